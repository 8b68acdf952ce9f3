"""Leases: whoever opens an epoch of a flow run has the run to itself until the ledger knows what became of that.

Between the two nothing in the ledger tells that anybody is at the run, and no other home can see into its journal. So
nobody opens the next epoch before the lease has run out, by the ledger's clock, but for proof that its holder is no
more; and not even then while there is proof that it lives. May import: core, tables, dialects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, delete, select, update

from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.tables import WORKSPACE, leases

__all__ = ["Holder", "Lease", "Proof", "end_lease", "grant_lease", "lease_of", "renew_lease"]


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The process that has a lease, and all that may prove that it lives or is no more."""

    writer_id: bytes
    home_id: bytes | None  # where its journal lies, if several homes share the ledger
    host: str
    boot_id: str
    pid: int
    mark: str  # see core/os/host.py

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host or 'a machine without a name'}"


class Lease(NamedTuple):
    """That a process has a flow run to itself; instants are by the ledger's clock."""

    epoch: int  # that it opened
    granted_us: int
    until_us: int
    holder: Holder


# True: the holder lives. False: it is no more. None: neither can be told from here, so the lease decides.
Proof = Callable[[Holder], bool | None]


def lease_of(connection: Connection, flow_run_id: bytes) -> Lease | None:
    """The lease on a flow run, valid or not."""
    c = leases.c
    row = connection.execute(select(leases).where(c.workspace_id == WORKSPACE, c.flow_run_id == flow_run_id)).first()
    if row is None:
        return None
    holder = Holder(
        writer_id=bytes(row.writer_id),
        home_id=None if row.home_id is None else bytes(row.home_id),
        host=row.host,
        boot_id=row.boot_id,
        pid=row.pid,
        mark=row.mark,
    )
    return Lease(row.epoch, row.granted_us, row.until_us, holder)


def grant_lease(connection: Connection, flow_run_id: bytes, lease: Lease) -> None:
    """Give the run to this process. One that there was is replaced: whether it counted was looked at before."""
    row = {
        "workspace_id": WORKSPACE,
        "flow_run_id": flow_run_id,
        "epoch": lease.epoch,
        "granted_us": lease.granted_us,
        "until_us": lease.until_us,
        **msgspec.structs.asdict(lease.holder),
    }
    dialect_of(connection).upsert(connection, leases, [row])


def renew_lease(connection: Connection, flow_run_id: bytes, epoch: int, until_us: int) -> None:
    """Let the lease last longer, also one that has run out and that nobody took over."""
    c = leases.c
    mine = c.workspace_id == WORKSPACE, c.flow_run_id == flow_run_id, c.epoch == epoch
    connection.execute(update(leases).where(*mine).values(until_us=until_us))


def end_lease(connection: Connection, flow_run_id: bytes, epoch: int) -> None:
    """The lease is not needed any more. One of a later epoch stays."""
    c = leases.c
    mine = c.workspace_id == WORKSPACE, c.flow_run_id == flow_run_id, c.epoch <= epoch
    connection.execute(delete(leases).where(*mine))
