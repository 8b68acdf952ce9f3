"""Revision 0009: assets, what became of each attempt to make one, and which rests on which.

What is said here stays as it is, whatever `tables.py` will say one day.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "assets",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.Column("described_us", sa.BigInteger(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("completed_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )
    op.create_index("assets_by_key", "assets", ["workspace_id", "key"], unique=True)
    _make_events()
    op.create_table(
        "asset_edges",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("asset_id", sa.LargeBinary(16), nullable=False),
        sa.Column("upstream_id", sa.LargeBinary(16), nullable=False),
        sa.Column("how", sa.String(16), nullable=False),
        sa.Column("told_us", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.LargeBinary(16), nullable=False),
        sa.Column("flow_run_id", sa.LargeBinary(16), nullable=True),
        sa.PrimaryKeyConstraint("workspace_id", "asset_id", "upstream_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("asset_edges_down", "asset_edges", ["workspace_id", "upstream_id", "asset_id"])


def _make_events() -> None:
    op.create_table(
        "asset_events",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("asset_id", sa.LargeBinary(16), nullable=False),
        sa.Column("run_id", sa.LargeBinary(16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("flow_run_id", sa.LargeBinary(16), nullable=True),
        sa.Column("task_name", sa.Text(), nullable=False),
        sa.Column("run_name", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("checks", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "asset_id", "run_id", "epoch"),
        sqlite_with_rowid=False,
    )
    for name, columns in (
        ("asset_events_by_time", ["workspace_id", "asset_id", "at_us", "run_id", "epoch"]),
        ("asset_events_by_age", ["workspace_id", "at_us"]),
        ("asset_events_of_run", ["workspace_id", "run_id"]),
    ):
        op.create_index(name, "asset_events", columns)
