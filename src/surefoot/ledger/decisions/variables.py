"""Variables, set and removed, each change noted with who made it. To be called in transactions that write.

May import: core, tables, dialects.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from surefoot.core.errors import AlreadyExists
from surefoot.core.variables import KEPT, By
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.tables import WORKSPACE, variable_changes, variables

__all__ = ["set_variable", "unset_variable"]

_v: Final = variables.c
_c: Final = variable_changes.c


def set_variable(
    tx: Connection, name: str, value: str, tags: list[str] | None, by: By, new_id: bytes, *, overwrite: bool
) -> None:
    """Set a variable. Raises AlreadyExists if it is there, unless it is to be overwritten.

    Args:
        tx: in a transaction that writes.
        name: which.
        value: JSON.
        tags: None leaves those that it has.
        by: who does it.
        new_id: the id of one that is not there yet.
        overwrite: whether one that is there may be changed.
    """
    before = _stands(tx, name)
    if before is not None and not overwrite:
        raise AlreadyExists(
            f"There is a variable {name!r} already.", do="To change it, say so: overwrite=True, or --overwrite."
        )
    now_us = dialect_of(tx).now_us(tx)
    if before is None:
        told = msgspec.json.encode(tags or []).decode()
        row = {"workspace_id": WORKSPACE, "name": name, "id": new_id, "value": value, "tags": told}
        tx.execute(insert(variables), {**row, "created_us": now_us, "updated_us": now_us})
    else:
        told = before.tags if tags is None else msgspec.json.encode(tags).decode()
        if (value, told) == (before.value, before.tags):
            return  # nothing became of it
        tx.execute(update(variables).where(*_is(_v, name)).values(value=value, tags=told, updated_us=now_us))
    _note(tx, name, value, told, by, now_us)


def unset_variable(tx: Connection, name: str, by: By) -> bool:
    """Remove a variable. False if it is not there. What became of it until then can be seen for a while."""
    if not tx.execute(delete(variables).where(*_is(_v, name))).rowcount:
        return False
    _note(tx, name, None, None, by, dialect_of(tx).now_us(tx))
    return True


def _stands(tx: Connection, name: str) -> Row[str, str] | None:
    return tx.execute(select(_v.value, _v.tags).where(*_is(_v, name))).first()


def _note(tx: Connection, name: str, value: str | None, tags: str | None, by: By, now_us: int) -> None:
    number = 1 + (tx.execute(select(func.max(_c.number)).where(*_is(_c, name))).scalar() or 0)
    tx.execute(
        insert(variable_changes),
        {
            "workspace_id": WORKSPACE,
            "name": name,
            "number": number,
            "at_us": now_us,
            "value": value,
            "tags": tags,
            "changed_by": by.who,
            "run_id": by.run_id,
            "run_name": by.run_name,
            "is_task": int(by.is_task),
        },
    )
    # One more than is shown: what the oldest change was made to stands in the row before it.
    tx.execute(delete(variable_changes).where(*_is(_c, name), _c.number < number - KEPT))


def _is(columns: Any, name: str) -> tuple[Any, Any]:
    return columns.workspace_id == WORKSPACE, columns.name == name
