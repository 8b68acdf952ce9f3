"""Epochs: deciding that a flow run that has ended is started again, once for all who ask (promise 1).

Only opening an epoch closes the door on the one before: a fact of an older epoch that comes late is filed, and changes
nothing of how the run stands. Whoever opens one has a lease on the run until the ledger knows of the epoch: see
`leases.py`. May import: core, tables, dialects, leases.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, func, insert, select

from surefoot.core.errors import Refused
from surefoot.core.ids import to_text
from surefoot.core.states import FINAL, StateType
from surefoot.ledger.decisions.leases import Holder, Lease, Proof, end_lease, grant_lease, lease_of, renew_lease
from surefoot.ledger.decisions.requests import forget_requests
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.tables import WORKSPACE, epochs, flow_runs

__all__ = ["LEASE_S", "give_up_epoch", "keep_epoch", "next_epoch", "open_epoch"]

LEASE_S: Final = 30.0


def next_epoch(connection: Connection, flow_run_id: bytes, proof: Proof) -> int:
    """The epoch that a flow run would be started in again. Raises Refused while somebody else is starting it."""
    c = flow_runs.c
    query = select(c.epoch, c.name).where(c.workspace_id == WORKSPACE, c.id == flow_run_id)
    run = connection.execute(query).one()
    lease = lease_of(connection, flow_run_id)
    if lease is not None and lease.epoch > run.epoch:
        _refuse_if_held(run.name, lease, dialect_of(connection).now_us(connection), proof(lease.holder))
    return 1 + max(int(run.epoch), _newest_opened(connection, flow_run_id))


def _newest_opened(connection: Connection, flow_run_id: bytes) -> int:
    c = epochs.c
    query = select(func.max(c.epoch)).where(c.workspace_id == WORKSPACE, c.flow_run_id == flow_run_id)
    return connection.execute(query).scalar() or 0


def _refuse_if_held(run_name: str, lease: Lease, now_us: int, lives: bool | None) -> None:
    if lives is False or (lives is None and now_us >= lease.until_us):
        return
    since = f"since {_time(lease.granted_us)} ({_seconds(now_us - lease.granted_us)} ago)"
    watch = f"See what becomes of it: surefoot flow-run watch {run_name}"
    if lives:
        until = "its process lives, and has not recorded anything of that yet"
        way_out = f"{watch}; or end that process."
    else:
        until = f"until {_time(lease.until_us)} (for {_seconds(lease.until_us - now_us)}) nobody else may"
        way_out = f"{watch}; or try again after that: if that process is gone, the run is free then."
    raise Refused(
        f"Flow run {run_name!r} is being started again by {lease.holder} {since}; {until}.",
        do=way_out,
    )


def _time(us: int) -> str:
    return f"{datetime.fromtimestamp(us / 1e6, UTC):%H:%M:%S} UTC"


def _seconds(us: int) -> str:
    return f"{max(1, round(us / 1e6)):,} s"


def open_epoch(
    connection: Connection,
    flow_run_id: bytes,
    epoch: int,
    holder: Holder,
    proof: Proof,
    *,
    why: str,
    lease_s: float = LEASE_S,
) -> None:
    """Open that epoch of a flow run, if it is still the next one, the run has still ended, and nobody else is at it.

    To be called in a transaction that writes. Raises Refused otherwise.

    Args:
        connection: of that transaction.
        flow_run_id: the run.
        epoch: as `next_epoch` gave it.
        holder: who is going to start it.
        proof: whether the holder of a lease lives, as far as it can be told from here.
        why: "retry".
        lease_s: for how long the run is the holder's alone, in seconds, if nothing more is heard.
    """
    c = flow_runs.c
    query = select(c.state_type, c.name).where(c.workspace_id == WORKSPACE, c.id == flow_run_id)
    run = connection.execute(query).first()
    if run is None:
        raise Refused(f"Flow run {to_text(flow_run_id)} was deleted meanwhile.")
    if next_epoch(connection, flow_run_id, proof) > epoch or StateType(run.state_type) not in FINAL:
        raise Refused(
            f"Flow run {run.name!r} was started again meanwhile, by another process.",
            do=f"See what becomes of it: surefoot flow-run watch {run.name}",
        )
    now_us = dialect_of(connection).now_us(connection)
    row = {
        "workspace_id": WORKSPACE,
        "flow_run_id": flow_run_id,
        "epoch": epoch,
        "writer_id": holder.writer_id,
        "opened_us": now_us,
        "opened_by": str(holder),
        "why": why,
    }
    connection.execute(insert(epochs), row)
    grant_lease(connection, flow_run_id, Lease(epoch, now_us, now_us + round(lease_s * 1e6), holder))
    forget_requests(connection, [flow_run_id])  # what was asked of the run was asked of its earlier epoch


def keep_epoch(connection: Connection, flow_run_id: bytes, epoch: int, *, lease_s: float = LEASE_S) -> bool | str:
    """Whether the ledger knows of an epoch by now, so that its lease is over; else that lasts `lease_s` more.

    Who opened the run's next epoch meanwhile, where somebody did: the run is not the asker's any more. To be called in
    a transaction that writes.
    """
    c, e = flow_runs.c, epochs.c
    known = connection.execute(select(c.epoch).where(c.workspace_id == WORKSPACE, c.id == flow_run_id)).scalar()
    newer = select(e.opened_by).where(e.workspace_id == WORKSPACE, e.flow_run_id == flow_run_id, e.epoch > epoch)
    opened_by = connection.execute(newer.order_by(e.epoch.desc()).limit(1)).scalar()
    if opened_by is not None:
        return str(opened_by)
    if known is None or known >= epoch:  # it was deleted, or a fact has told
        end_lease(connection, flow_run_id, epoch)
        return True
    until_us = dialect_of(connection).now_us(connection) + round(lease_s * 1e6)
    renew_lease(connection, flow_run_id, epoch, until_us)
    return False


def give_up_epoch(connection: Connection, flow_run_id: bytes, epoch: int) -> None:
    """Nothing of that epoch was recorded, nor will be: the next is free. To be called in a transaction that writes."""
    end_lease(connection, flow_run_id, epoch)
