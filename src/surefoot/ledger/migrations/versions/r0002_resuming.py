"""Revision 0002: what resuming needs (keys, where results are kept, epochs, requests), and what retention leaves.

What is said here stays as it is, whatever `tables.py` will say one day.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns, then make the tables."""
    for runs in ("flow_runs", "task_runs"):
        op.add_column(runs, sa.Column("key", sa.LargeBinary(), nullable=True))
        op.add_column(runs, sa.Column("result", sa.LargeBinary(), nullable=True))
        op.add_column(runs, sa.Column("unkept", sa.Text(), nullable=True))
    op.add_column("flow_runs", sa.Column("parameters_at", sa.LargeBinary(), nullable=True))
    op.add_column("flow_runs", sa.Column("unkept_parameters", sa.Text(), nullable=True))
    op.add_column("task_runs", sa.Column("unkeyed", sa.Text(), nullable=True))
    op.add_column("writers", sa.Column("home_id", sa.LargeBinary(16), nullable=True))
    op.create_table(
        "epochs",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("flow_run_id", sa.LargeBinary(16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("writer_id", sa.LargeBinary(16), nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "flow_run_id", "epoch"),
    )
    op.create_table(
        "requests",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("asked_us", sa.BigInteger(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "run_id", "kind"),
    )
    op.create_table(
        "summaries",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("flow_id", sa.LargeBinary(16), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("is_task", sa.SmallInteger(), nullable=False),
        sa.Column("state_name", sa.Text(), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("ran_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "flow_id", "day", "is_task", "state_name"),
        sa.CheckConstraint("is_task IN (0, 1)", name="is_task_is_yes_or_no"),
    )
