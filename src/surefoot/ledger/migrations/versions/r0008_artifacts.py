"""Revision 0008: artifacts.

What is said here stays as it is, whatever `tables.py` will say one day.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "artifacts",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=True),
        sa.Column("changed_us", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("described_us", sa.BigInteger(), nullable=True),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("crc32", sa.BigInteger(), nullable=False),
        sa.Column("gone_before", sa.Integer(), nullable=False),
        sa.Column("flow_run_id", sa.LargeBinary(16), nullable=True),
        sa.Column("task_run_id", sa.LargeBinary(16), nullable=True),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
        sa.CheckConstraint("created_us IS NOT NULL OR key IS NULL", name="only_created_has_key"),
    )
    for name, column, last in (
        ("artifacts_of_key", "key", ["id", "gone_before"]),
        ("artifacts_of_flow_run", "flow_run_id", ["id"]),
        ("artifacts_of_task_run", "task_run_id", ["id"]),
    ):
        there = sa.column(column).is_not(None)
        op.create_index(name, "artifacts", ["workspace_id", column, *last], sqlite_where=there, postgresql_where=there)
