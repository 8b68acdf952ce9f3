"""What needs one authority: each decision is one short transaction, or a row of them, with a name of its own."""
