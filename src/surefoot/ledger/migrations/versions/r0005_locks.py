"""Revision 0005: places in the lines of locks.

What is said here stays as it is, whatever `tables.py` will say one day.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "lock_places",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("ticket", sa.String(32), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("lease_us", sa.BigInteger(), nullable=False),
        sa.Column("hold_us", sa.BigInteger(), nullable=True),
        sa.Column("until_us", sa.BigInteger(), nullable=True),
        sa.Column("has_it", sa.SmallInteger(), nullable=False),
        sa.Column("watches", sa.String(32), nullable=True),
        sa.PrimaryKeyConstraint("workspace_id", "key", "number"),
        sa.CheckConstraint("has_it IN (0, 1)", name="has_it_is_yes_or_no"),
    )
