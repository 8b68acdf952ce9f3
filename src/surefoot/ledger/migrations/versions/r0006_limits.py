"""Revision 0006: limits, who holds slots of them and who waits for some, and what was taken of rates.

What is said here stays as it is, whatever `tables.py` will say one day.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the tables."""
    _make_limits()
    _make_places()
    _make_rates()


def _name() -> sa.Column[Any]:
    return sa.Column("name", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False)


def _make_limits() -> None:
    op.create_table(
        "limits",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        _name(),
        sa.Column("slots", sa.BigInteger(), nullable=False),
        sa.Column("interval_us", sa.BigInteger(), nullable=True),
        sa.Column("is_active", sa.SmallInteger(), nullable=False),
        sa.Column("in_code", sa.SmallInteger(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "name"),
        sa.CheckConstraint("slots > 0", name="slots_are_some"),
        sa.CheckConstraint("is_active IN (0, 1) AND in_code IN (0, 1)", name="flags_are_yes_or_no"),
    )


def _make_places() -> None:
    op.create_table(
        "limit_places",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        _name(),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.SmallInteger(), nullable=False),
        sa.Column("stops", sa.SmallInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("lease_us", sa.BigInteger(), nullable=False),
        sa.Column("lasts_us", sa.BigInteger(), nullable=False),
        sa.Column("asked_us", sa.BigInteger(), nullable=False),
        sa.Column("granted_us", sa.BigInteger(), nullable=True),
        sa.Column("run_id", sa.LargeBinary(16), nullable=True),
        sa.Column("is_task", sa.SmallInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "number", "name"),
        sa.CheckConstraint("state IN (0, 1, 2) AND weight > 0", name="place_is_one"),
        sa.CheckConstraint("(state = 0) = (granted_us IS NULL)", name="only_granted_has_instant"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "limit_places_in_line", "limit_places", ["workspace_id", "name", "key", "state", "rank", "number", "weight"]
    )
    op.create_index(
        "limit_places_of_process", "limit_places", ["workspace_id", "owner", "origin", "state", "granted_us"]
    )


def _make_rates() -> None:
    op.create_table(
        "limit_rates",
        sa.Column("workspace_id", sa.Integer(), nullable=False),
        _name(),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("full_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "name", "key"),
        sqlite_with_rowid=False,
    )
    op.create_index("limit_rates_by_end", "limit_rates", ["workspace_id", "full_us"])
