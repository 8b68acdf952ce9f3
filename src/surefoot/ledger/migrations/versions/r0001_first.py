"""Revision 0001, the first: runs with their histories, flows, logs, writers and positions.

What is said here stays as it is, whatever `tables.py` will say one day.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_TYPES = "'SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING', 'CANCELLED', 'COMPLETED', 'FAILED', 'CRASHED'"


def upgrade() -> None:
    """Make the tables, then their indexes."""
    _make_runs()
    _make_journal_tables()
    _make_small_tables()
    _index_runs()
    _index_rest()


def _make_runs() -> None:
    op.create_table(
        "flow_runs",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("flow_id", sa.LargeBinary(16), nullable=False),
        sa.Column("flow_name", sa.Text(), nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("flow_version", sa.Text(), nullable=True),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("parent_flow_run_id", sa.LargeBinary(16), nullable=True),
        sa.Column("parent_task_run_id", sa.LargeBinary(16), nullable=True),
        sa.Column("start", sa.Text(), nullable=True),
        sa.Column("inputs", sa.Text(), nullable=False),
        *_shared_columns(),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )
    op.create_table(
        "task_runs",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("flow_run_id", sa.LargeBinary(16), nullable=True),
        sa.Column("parent_task_run_id", sa.LargeBinary(16), nullable=True),
        sa.Column("task_key", sa.Text(), nullable=False),
        sa.Column("task_name", sa.Text(), nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("task_version", sa.Text(), nullable=True),
        sa.Column("call_index", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("map_id", sa.LargeBinary(16), nullable=True),
        *_shared_columns(),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )


def _shared_columns() -> list[Any]:
    return [
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("created_epoch", sa.Integer(), nullable=False),
        sa.Column("writer_id", sa.LargeBinary(16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("state_type", sa.String(16), nullable=False),
        sa.Column("state_name", sa.Text(), nullable=False),
        sa.Column("state_us", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("cause_id", sa.LargeBinary(16), nullable=True),
        sa.Column("until_us", sa.BigInteger(), nullable=True),
        sa.Column("run_count", sa.Integer(), nullable=False),
        sa.Column("expected_us", sa.BigInteger(), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=True),
        sa.Column("end_us", sa.BigInteger(), nullable=True),
        sa.Column("ran_us", sa.BigInteger(), nullable=False),
        sa.Column("unended", sa.SmallInteger(), nullable=False),
        sa.Column("illegal", sa.Integer(), nullable=False),
        sa.Column("history", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(f"state_type IN ({_TYPES})", name="state_type_is_known"),
        sa.CheckConstraint(
            "(state_type IN ('CANCELLED', 'COMPLETED', 'FAILED', 'CRASHED')) = (end_us IS NOT NULL)",
            name="only_ended_has_end",
        ),
        sa.CheckConstraint("unended IN (0, 1)", name="unended_is_yes_or_no"),
        sa.CheckConstraint(
            "epoch >= 0 AND n >= 0 AND run_count >= 0 AND ran_us >= 0 AND illegal >= 0", name="counts_are_counts"
        ),
    ]


def _make_journal_tables() -> None:
    op.create_table(
        "writers",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("host", sa.Text(), nullable=True),
        sa.Column("boot_id", sa.Text(), nullable=True),
        sa.Column("pid", sa.BigInteger(), nullable=True),
        sa.Column("surefoot", sa.Text(), nullable=True),
        sa.Column("started_us", sa.BigInteger(), nullable=True),
        sa.Column("heard_us", sa.BigInteger(), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("ended", sa.String(16), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("lost", sa.Integer(), nullable=False),
        sa.CheckConstraint("ended IN ('closed', 'observed')", name="ended_is_known"),
        sa.CheckConstraint("(ended IS NULL) = (ended_us IS NULL)", name="only_ended_has_end"),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )
    op.create_table(
        "positions",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("writer_id", sa.LargeBinary(16), nullable=False),
        sa.Column("stream", sa.String(16), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "writer_id", "stream", "segment"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "logs",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("writer_id", sa.LargeBinary(16), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("order_us", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("logger", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("cut", sa.Integer(), nullable=False),
        sa.Column("flow_run_id", sa.LargeBinary(16), nullable=True),
        sa.Column("task_run_id", sa.LargeBinary(16), nullable=True),
        sa.PrimaryKeyConstraint("workspace_id", "writer_id", "segment", "offset"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "early_states",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.LargeBinary(16), nullable=False),
        sa.Column("history", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "run_id"),
    )
    op.create_table(
        "unknown_facts",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("writer_id", sa.LargeBinary(16), nullable=False),
        sa.Column("stream", sa.String(16), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "writer_id", "stream", "segment", "offset"),
    )


def _make_small_tables() -> None:
    op.create_table(
        "flows",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("newest_run_id", sa.LargeBinary(16), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "tombstones",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.LargeBinary(16), nullable=False),
        sa.Column("deleted_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "run_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "workspaces",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _index_runs() -> None:
    op.create_index("flow_runs_by_end", "flow_runs", ["workspace_id", sa.text("coalesce(end_us, 0)"), "id"])
    op.create_index("flow_runs_by_expected", "flow_runs", ["workspace_id", "expected_us", "id"])
    op.create_index("flow_runs_by_name", "flow_runs", ["workspace_id", "name", "id"])
    op.create_index(
        "flow_runs_by_next", "flow_runs", ["workspace_id", sa.text("coalesce(until_us, 9223372036854775807)"), "id"]
    )
    op.create_index(
        "flow_runs_by_start", "flow_runs", ["workspace_id", sa.text("coalesce(start_us, expected_us)"), "id"]
    )
    op.create_index(
        "flow_runs_by_state",
        "flow_runs",
        ["workspace_id", "state_type", "id"],
        sqlite_where=sa.text("state_type != 'COMPLETED'"),
        postgresql_where=sa.text("state_type != 'COMPLETED'"),
    )
    op.create_index("flow_runs_of_flow", "flow_runs", ["workspace_id", "flow_id", "id"])
    op.create_index(
        "flow_runs_of_parent",
        "flow_runs",
        ["workspace_id", "parent_flow_run_id", "id"],
        sqlite_where=sa.text("parent_flow_run_id IS NOT NULL"),
        postgresql_where=sa.text("parent_flow_run_id IS NOT NULL"),
    )
    op.create_index(
        "flow_runs_of_writer",
        "flow_runs",
        ["workspace_id", "writer_id", "end_us"],
        sqlite_where=sa.text("unended = 1"),
        postgresql_where=sa.text("unended = 1"),
    )
    op.create_index("task_runs_by_end", "task_runs", ["workspace_id", sa.text("coalesce(end_us, 0)"), "id"])
    op.create_index("task_runs_by_expected", "task_runs", ["workspace_id", "expected_us", "id"])
    op.create_index("task_runs_by_name", "task_runs", ["workspace_id", "name", "id"])
    op.create_index(
        "task_runs_by_next", "task_runs", ["workspace_id", sa.text("coalesce(until_us, 9223372036854775807)"), "id"]
    )
    op.create_index(
        "task_runs_by_state",
        "task_runs",
        ["workspace_id", "state_type", "id"],
        sqlite_where=sa.text("state_type != 'COMPLETED'"),
        postgresql_where=sa.text("state_type != 'COMPLETED'"),
    )
    op.create_index("task_runs_of_flow_run", "task_runs", ["workspace_id", "flow_run_id", "id", "state_name"])
    op.create_index(
        "task_runs_of_flow_run_by_state",
        "task_runs",
        ["workspace_id", "flow_run_id", "state_type", "id"],
        sqlite_where=sa.text("state_type != 'COMPLETED'"),
        postgresql_where=sa.text("state_type != 'COMPLETED'"),
    )
    op.create_index(
        "task_runs_of_writer",
        "task_runs",
        ["workspace_id", "writer_id", "end_us"],
        sqlite_where=sa.text("unended = 1"),
        postgresql_where=sa.text("unended = 1"),
    )


def _index_rest() -> None:
    op.create_index("flows_by_name", "flows", ["workspace_id", "name"], unique=True)
    op.create_index("logs_by_time", "logs", ["workspace_id", "order_us", "writer_id", "segment", "offset"])
    op.create_index(
        "logs_of_flow_run", "logs", ["workspace_id", "flow_run_id", "order_us", "writer_id", "segment", "offset"]
    )
    op.create_index(
        "logs_of_task_run",
        "logs",
        ["workspace_id", "task_run_id", "order_us", "writer_id", "segment", "offset"],
        sqlite_where=sa.text("task_run_id IS NOT NULL"),
        postgresql_where=sa.text("task_run_id IS NOT NULL"),
    )
