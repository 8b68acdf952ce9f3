"""The ledger's tables, as SQLAlchemy Core metadata: the one place that says which columns, keys and indexes there are.

Rules: `workspace_id` stands first in every unique key and index; ids are 16 bytes, instants microseconds, lists and
maps JSON text; there are no foreign keys (a child may arrive before its parent); the types are portable, so that
PostgreSQL needs no other plan. A run's history is one column of its row, not a row a state: measured on SQLite with
100,000 task runs of three states, 12 µs a run against 24 µs, and 489 bytes against 588. May import: core.states.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
)

from surefoot.core.states import FINAL, StateType

__all__ = [
    "HEAD",
    "WORKSPACE",
    "alembic_version",
    "artifacts",
    "asset_edges",
    "asset_events",
    "assets",
    "early_states",
    "epochs",
    "flow_runs",
    "flows",
    "leases",
    "limit_places",
    "limit_rates",
    "limits",
    "lock_places",
    "logs",
    "meta",
    "metadata",
    "positions",
    "requests",
    "summaries",
    "task_runs",
    "tombstones",
    "unknown_facts",
    "variable_changes",
    "variables",
    "workspaces",
    "writers",
]

HEAD: Final = "0009"  # the newest revision in migrations/versions
WORKSPACE: Final = 0  # the default workspace, the only one until there are teams

metadata = MetaData()


def _id(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, LargeBinary(16), nullable=null)


def _us(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, BigInteger, nullable=null)


def _text(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, Text, nullable=null)


def _name(name: str = "name", *, null: bool = False) -> Column[Any]:
    # What is listed by name comes in the order of code points, whatever language the database was made for.
    return Column(name, Text().with_variant(Text(collation="C"), "postgresql"), nullable=null)


def _count(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, Integer, nullable=null)


def _workspace() -> Column[Any]:
    return Column("workspace_id", Integer, nullable=False)


def _quoted(kinds: frozenset[StateType] | type[StateType]) -> str:
    return ", ".join(f"'{kind.value}'" for kind in StateType if kind in kinds)


def _run_columns() -> list[Any]:
    """What flow runs and task runs share: how the run was made, then how it is now, told by its newest (epoch, n)."""
    counts = "epoch >= 0 AND n >= 0 AND run_count >= 0 AND ran_us >= 0 AND illegal >= 0"
    return [
        _count("retries"),
        _us("created_us"),
        _count("created_epoch"),  # of the oldest creation heard of: that one tells name, tags ...
        Column("key", LargeBinary, nullable=True),  # what it is found by when its parent is run again
        _id("writer_id"),  # who lives its life in the newest epoch
        _count("epoch"),
        _count("n"),
        Column("state_type", String(16), nullable=False),
        _text("state_name"),
        _us("state_us"),
        _text("message", null=True),
        _id("cause_id", null=True),
        _us("until_us", null=True),
        _count("run_count"),
        _us("expected_us"),
        _us("start_us", null=True),
        _us("end_us", null=True),
        _us("ran_us"),
        Column("result", LargeBinary, nullable=True),  # a ResultAt: where its value is kept
        _text("unkept", null=True),  # why it is not
        Column(
            "unended", SmallInteger, nullable=False
        ),  # 1 until a fact ends it: also where a dead writer made it Crashed
        _count("illegal"),  # transitions in its history that the table of states does not allow
        Column("history", LargeBinary, nullable=False),  # see history.py
        CheckConstraint(f"state_type IN ({_quoted(StateType)})", name="state_type_is_known"),
        CheckConstraint(f"(state_type IN ({_quoted(FINAL)})) = (end_us IS NOT NULL)", name="only_ended_has_end"),
        CheckConstraint("unended IN (0, 1)", name="unended_is_yes_or_no"),
        CheckConstraint(counts, name="counts_are_counts"),
    ]


workspaces = Table("workspaces", metadata, Column("id", Integer, primary_key=True, autoincrement=False), _text("name"))

meta = Table("meta", metadata, Column("key", String(64), primary_key=True), _text("value"))

writers = Table(
    "writers",
    metadata,
    _workspace(),
    _id("id"),
    _text("host", null=True),  # null until a segment's first fact was folded, as are the next four
    _text("boot_id", null=True),
    Column("pid", BigInteger, nullable=True),
    _text("surefoot", null=True),
    _us("started_us", null=True),
    _us("heard_us"),  # the instant in its newest fact
    _us("received_us"),  # by the ledger's clock: when something of it was last folded
    _us("ended_us", null=True),
    Column("ended", String(16), nullable=True),
    _text("why", null=True),
    _count("lost"),
    _id("home_id", null=True),  # where its journal lies, if several homes share the ledger
    _us("mono_us", null=True),  # its own monotonic time at `heard_us`; null if no fact has told one
    PrimaryKeyConstraint("workspace_id", "id"),
    CheckConstraint("ended IN ('closed', 'observed')", name="ended_is_known"),
    CheckConstraint("(ended IS NULL) = (ended_us IS NULL)", name="only_ended_has_end"),
)

positions = Table(
    "positions",
    metadata,
    _workspace(),
    _id("writer_id"),
    Column("stream", String(16), nullable=False),
    _count("segment"),
    Column("offset", BigInteger, nullable=False),
    PrimaryKeyConstraint("workspace_id", "writer_id", "stream", "segment"),
    sqlite_with_rowid=False,
)

flows = Table(
    "flows",
    metadata,
    _workspace(),
    _id("id"),
    _name(),
    _us("created_us"),
    _us("updated_us"),
    _id("newest_run_id"),
    _text("description", null=True),  # as the newest run told it
    PrimaryKeyConstraint("workspace_id", "id"),
)

flow_runs = Table(
    "flow_runs",
    metadata,
    _workspace(),
    _id("id"),
    _id("flow_id"),
    _text("flow_name"),
    _name(),
    _text("flow_version", null=True),
    _text("parameters"),
    _text("tags"),
    _id("parent_flow_run_id", null=True),
    _id("parent_task_run_id", null=True),
    _text("start", null=True),
    _text("inputs"),
    Column("parameters_at", LargeBinary, nullable=True),  # a ResultAt: where those are that JSON cannot give back
    _text("unkept_parameters", null=True),  # those that could not be kept, each with the reason
    *_run_columns(),
    PrimaryKeyConstraint("workspace_id", "id"),
)

task_runs = Table(
    "task_runs",
    metadata,
    _workspace(),
    _id("id"),
    _id("flow_run_id", null=True),
    _id("parent_task_run_id", null=True),
    _text("task_key"),
    _text("task_name"),
    _name(),
    _text("task_version", null=True),
    _count("call_index"),
    _text("tags"),
    _text("inputs"),
    _id("map_id", null=True),
    _text("unkeyed", null=True),  # why it has no key
    *_run_columns(),
    PrimaryKeyConstraint("workspace_id", "id"),
)

# States that arrived before their run's creation wait here, so that a run's row never lacks what its creation tells.
early_states = Table(
    "early_states",
    metadata,
    _workspace(),
    _id("run_id"),
    Column("history", LargeBinary, nullable=False),
    PrimaryKeyConstraint("workspace_id", "run_id"),
)

logs = Table(
    "logs",
    metadata,
    _workspace(),
    _id("writer_id"),
    _count("segment"),
    Column("offset", BigInteger, nullable=False),
    _us("at_us"),
    _us("order_us"),  # at_us, but never less than that of the line before it in the same journal
    Column("level", Integer, nullable=False),
    _text("logger"),
    _text("message"),
    _count("cut"),
    _id("flow_run_id", null=True),
    _id("task_run_id", null=True),
    PrimaryKeyConstraint("workspace_id", "writer_id", "segment", "offset"),
    sqlite_with_rowid=False,
)

unknown_facts = Table(
    "unknown_facts",
    metadata,
    _workspace(),
    _id("writer_id"),
    Column("stream", String(16), nullable=False),
    _count("segment"),
    Column("offset", BigInteger, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    PrimaryKeyConstraint("workspace_id", "writer_id", "stream", "segment", "offset"),
)

# Each start of a flow run after its first is a decision, made once: whoever inserts the row has the epoch.
epochs = Table(
    "epochs",
    metadata,
    _workspace(),
    _id("flow_run_id"),
    _count("epoch"),
    _id("writer_id"),  # who was to start it
    _us("opened_us"),
    _text("opened_by"),  # who did, for people: "pid 12 on host"
    _text("why"),  # "retry"
    PrimaryKeyConstraint("workspace_id", "flow_run_id", "epoch"),
)

# Who opened a flow run's newest epoch, and until when nobody else may open the next without proof that it died: a live
# row, of no account once the ledger knows of the epoch, and gone soon after.
leases = Table(
    "leases",
    metadata,
    _workspace(),
    _id("flow_run_id"),
    _count("epoch"),
    _us("granted_us"),  # by the ledger's clock, as is the next
    _us("until_us"),
    _id("writer_id"),
    _id("home_id", null=True),  # where its journal lies, if several homes share the ledger
    _text("host"),
    _text("boot_id"),
    Column("pid", BigInteger, nullable=False),
    _text("mark"),  # of the process: see core/os/host.py
    PrimaryKeyConstraint("workspace_id", "flow_run_id"),
)

# What somebody asked of a run that has an owner: it stands beside the run's state until the run has ended.
requests = Table(
    "requests",
    metadata,
    _workspace(),
    _id("run_id"),
    Column("kind", String(16), nullable=False),  # "cancel"
    _us("asked_us"),
    _text("asked_by"),
    PrimaryKeyConstraint("workspace_id", "run_id", "kind"),
)

# Locks: who holds one and who waits for it, in the order of `number`. Of live processes only: see core/lines.py.
lock_places = Table(
    "lock_places",
    metadata,
    _workspace(),
    _text("key"),
    _count("number"),
    Column("ticket", String(32), nullable=False),
    _text("holder"),
    _text("owner"),  # its process, as it shows in the home
    _text("origin"),  # that home, if several share the ledger: who is there too can look whether the process lives
    _us("lease_us"),  # elsewhere it counts as dead from then on, by the ledger's clock
    _us("hold_us", null=True),
    _us("until_us", null=True),
    Column("has_it", SmallInteger, nullable=False),
    Column("watches", String(32), nullable=True),
    PrimaryKeyConstraint("workspace_id", "key", "number"),
    CheckConstraint("has_it IN (0, 1)", name="has_it_is_yes_or_no"),
)

# Limits on how much goes on at once (`interval_us` is null), or how often (it is the time after which one more may).
limits = Table(
    "limits",
    metadata,
    _workspace(),
    _name(),
    Column("slots", BigInteger, nullable=False),
    _us("interval_us", null=True),
    Column("is_active", SmallInteger, nullable=False),
    Column("in_code", SmallInteger, nullable=False),  # code declared it, and nobody has set it since
    _us("created_us"),
    _us("updated_us"),
    PrimaryKeyConstraint("workspace_id", "name"),
    CheckConstraint("slots > 0", name="slots_are_some"),
    CheckConstraint("is_active IN (0, 1) AND in_code IN (0, 1)", name="flags_are_yes_or_no"),
)

# Who holds slots of which limit (and key of it), and who waits for some: a row for each limit of whoever needs several.
# Used are the slots of those that hold theirs, and nothing else: no counter can drift.
limit_places = Table(
    "limit_places",
    metadata,
    _workspace(),
    _us("number"),  # of whoever asks, the same in all its rows: those who asked before have lower ones
    _name(),
    _text("key"),
    Column("state", SmallInteger, nullable=False),  # 0 waits, 1 holds, 2 was not heard of in time
    Column("rank", BigInteger, nullable=False),  # the lower, the sooner
    Column("weight", BigInteger, nullable=False),
    Column("lines", SmallInteger, nullable=False),  # how many rows it has
    Column("stops", SmallInteger, nullable=False),  # once it is lost, its holder is to stop
    _text("owner"),  # the process, as it shows in the home
    _text("origin"),  # that home, if several share the ledger: who is there too can look whether the process lives
    _us("lease_us"),  # after that it counts no more, by the ledger's clock
    _us("lasts_us"),  # for how long it is renewed
    _us("asked_us"),
    _us("granted_us", null=True),
    _id("run_id", null=True),
    Column("is_task", SmallInteger, nullable=False),
    _text("holder"),  # for people
    PrimaryKeyConstraint("workspace_id", "number", "name"),
    CheckConstraint("state IN (0, 1, 2) AND weight > 0", name="place_is_one"),
    CheckConstraint("(state = 0) = (granted_us IS NULL)", name="only_granted_has_instant"),
    sqlite_with_rowid=False,
)

# How much was taken of limits on how often: the instant at which all of it is paid back. One that is past says nothing.
limit_rates = Table(
    "limit_rates",
    metadata,
    _workspace(),
    _name(),
    _text("key"),
    _us("full_us"),
    PrimaryKeyConstraint("workspace_id", "name", "key"),
    sqlite_with_rowid=False,
)

# Artifacts, each a version of its key. One whose creation has not arrived, but a change of it, is not created yet.
artifacts = Table(
    "artifacts",
    metadata,
    _workspace(),
    _id("id"),
    _name("key", null=True),
    _text("type"),
    _us("created_us", null=True),
    _us("changed_us"),  # when what it shows was told
    _text("description", null=True),
    _us("described_us", null=True),
    _text("media_type"),
    _text("place", null=True),  # where its data lies, if not here
    Column("size", BigInteger, nullable=False),
    Column("crc32", BigInteger, nullable=False),
    _count("gone_before"),  # how many versions of its key between the one before it and this one were deleted
    _id("flow_run_id", null=True),
    _id("task_run_id", null=True),
    Column("data", LargeBinary, nullable=True),  # last, so that whoever lists artifacts reads none of it
    PrimaryKeyConstraint("workspace_id", "id"),
    CheckConstraint("created_us IS NOT NULL OR key IS NULL", name="only_created_has_key"),
)

# What runs make, by key. An asset that others rest on has a row too, whether or not any run here makes it.
assets = Table(
    "assets",
    metadata,
    _workspace(),
    _id("id"),  # derived from the key
    _name("key"),
    _text("properties"),
    _us("described_us", null=True),  # when its properties were told; null if never
    _us("created_us"),  # when it was first heard of
    _us("completed_us", null=True),  # when it was last made
    PrimaryKeyConstraint("workspace_id", "id"),
)

# Each time that a run began to make an asset, and what became of it.
asset_events = Table(
    "asset_events",
    metadata,
    _workspace(),
    _id("asset_id"),
    _id("run_id"),  # of the task
    _count("epoch"),
    _count("n"),
    _us("at_us"),
    Column("outcome", String(16), nullable=False),
    _id("flow_run_id", null=True),
    _text("task_name"),
    _text("run_name"),
    _text("made_by", null=True),
    _text("message", null=True),
    _text("details"),
    _text("checks"),
    PrimaryKeyConstraint("workspace_id", "asset_id", "run_id", "epoch"),
    sqlite_with_rowid=False,
)

# Which asset rests on which other, as the newest materialization that said so told it.
asset_edges = Table(
    "asset_edges",
    metadata,
    _workspace(),
    _id("asset_id"),
    _id("upstream_id"),
    Column("how", String(16), nullable=False),
    _us("told_us"),
    _id("run_id"),
    _id("flow_run_id", null=True),
    PrimaryKeyConstraint("workspace_id", "asset_id", "upstream_id"),
    sqlite_with_rowid=False,
)

variables = Table(
    "variables",
    metadata,
    _workspace(),
    _name(),
    _id("id"),
    _text("value"),  # JSON
    _text("tags"),  # JSON, a list of texts
    _us("created_us"),
    _us("updated_us"),
    PrimaryKeyConstraint("workspace_id", "name"),
)

# What became of variables, the newest few of each: what a change put in place of what stands in the row before.
variable_changes = Table(
    "variable_changes",
    metadata,
    _workspace(),
    _name(),
    _count("number"),  # from 1
    _us("at_us"),
    _text("value", null=True),  # null: it was removed
    _text("tags", null=True),
    _text("changed_by"),  # for people
    _id("run_id", null=True),
    _text("run_name", null=True),
    Column("is_task", SmallInteger, nullable=False),
    PrimaryKeyConstraint("workspace_id", "name", "number"),
    CheckConstraint("(value IS NULL) = (tags IS NULL)", name="removed_has_neither"),
    CheckConstraint("is_task IN (0, 1)", name="is_task_is_yes_or_no"),
)

# Rows of runs and artifacts that somebody deleted: what is told of them later is dropped.
tombstones = Table(
    "tombstones",
    metadata,
    _workspace(),
    _id("run_id"),
    _us("deleted_us"),
    PrimaryKeyConstraint("workspace_id", "run_id"),
    sqlite_with_rowid=False,
)

# What is left of runs that retention deleted: how many there were on each day (of their creation, in UTC), and how long
# they ran. Task runs count for the flow that they ran in; those of none have sixteen zero bytes there.
summaries = Table(
    "summaries",
    metadata,
    _workspace(),
    _id("flow_id"),
    _count("day"),  # since 1970-01-01
    Column("is_task", SmallInteger, nullable=False),
    _text("state_name"),  # one that Surefoot gives; a name of the user's own counts as its type's
    Column("runs", BigInteger, nullable=False),
    _us("ran_us"),
    PrimaryKeyConstraint("workspace_id", "flow_id", "day", "is_task", "state_name"),
    CheckConstraint("is_task IN (0, 1)", name="is_task_is_yes_or_no"),
)

# Alembic's own table, so that a new ledger is stamped without importing Alembic (which takes longer than all the rest).
alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
