"""Decisions: what needs one authority. Each is one short transaction; who is too late is told so."""
