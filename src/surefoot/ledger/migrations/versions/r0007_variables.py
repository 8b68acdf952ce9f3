"""Revision 0007: variables, and what became of them.

What is said here stays as it is, whatever `tables.py` will say one day.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "variables",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        _name(),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "name"),
    )
    op.create_table(
        "variable_changes",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        _name(),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=True),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("run_id", sa.LargeBinary(16), nullable=True),
        sa.Column("run_name", sa.Text(), nullable=True),
        sa.Column("is_task", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "name", "number"),
        sa.CheckConstraint("(value IS NULL) = (tags IS NULL)", name="removed_has_neither"),
        sa.CheckConstraint("is_task IN (0, 1)", name="is_task_is_yes_or_no"),
    )


def _name() -> sa.Column[Any]:
    return sa.Column("name", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False)
