"""Variables, and what became of them. May import: core, tables, dialects, the parts of queries."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, and_, or_, select

from surefoot.core.errors import NotFound
from surefoot.core.ids import to_text
from surefoot.core.variables import value_of
from surefoot.core.wire import Page, Variable, VariableChange, VariableFilter
from surefoot.ledger.dialects.choice import dialect_of
from surefoot.ledger.queries.paging import Order, page_rows
from surefoot.ledger.queries.rows import instant
from surefoot.ledger.tables import WORKSPACE, variable_changes, variables

__all__ = ["find_variable", "list_variable_changes", "list_variables", "no_variable", "variable_values"]

_v: Final = variables.c
_c: Final = variable_changes.c
_BY_NAME: Final = Order((_v.name,), (str,))
_NEWEST_FIRST: Final = Order((_c.number,), (int,), descending=True)
_NAMES_MAX: Final = 10_000  # looked through for one that is spelled nearly alike
_AT_ONCE: Final = 1000


def variable_values(connection: Connection, names: Collection[str]) -> dict[str, str]:
    """The values, as JSON, of those of these variables that are there."""
    found: dict[str, str] = {}
    each = list(dict.fromkeys(names))
    for low in range(0, len(each), _AT_ONCE):
        query = select(_v.name, _v.value).where(_v.workspace_id == WORKSPACE, _v.name.in_(each[low : low + _AT_ONCE]))
        found |= {row.name: row.value for row in connection.execute(query)}
    return found


def find_variable(connection: Connection, name: str) -> Variable:
    """The variable of that name. Raises NotFound."""
    row = connection.execute(select(variables).where(_v.workspace_id == WORKSPACE, _v.name == name)).first()
    if row is None:
        raise no_variable(connection, name)
    return _variable_of(row)


def no_variable(connection: Connection, name: str) -> NotFound:
    """That there is none of that name, with the nearest that there is."""
    names = select(_v.name).where(_v.workspace_id == WORKSPACE).order_by(_v.name).limit(_NAMES_MAX)
    near = get_close_matches(name, list(connection.execute(names).scalars()), n=1)
    told = f" Did you mean {near[0]!r}?" if near else ""
    return NotFound(f"There is no variable {name!r}.{told}", do=f"Set it: surefoot variable set {name} VALUE")


def list_variables(
    connection: Connection, where: VariableFilter | None = None, *, limit: int = 200, after: str | None = None
) -> Page[Variable]:
    """A page of variables, by name."""
    query = select(variables).where(_v.workspace_id == WORKSPACE)
    if where is not None and where.name_like is not None:
        query = query.where(_v.name.contains(where.name_like, autoescape=True))
    if where is not None and where.tags:
        query = query.where(dialect_of(connection).has_all(_v.tags, where.tags))
    rows, cursor = page_rows(connection, query, "variables", "NAME_ASC", _BY_NAME, limit, after)
    return Page(results=[_variable_of(row) for row in rows], after=cursor)


def list_variable_changes(
    connection: Connection, name: str, *, limit: int = 200, after: str | None = None
) -> Page[VariableChange]:
    """A page of what became of a variable, the newest first. Raises NotFound if there never was one, or long ago."""
    b = variable_changes.alias("before")
    stood = and_(b.c.workspace_id == _c.workspace_id, b.c.name == _c.name, b.c.number == _c.number - 1)
    query = (
        select(variable_changes, b.c.value.label("value_before"), b.c.tags.label("tags_before"))
        .select_from(variable_changes.outerjoin(b, stood))
        .where(_c.workspace_id == WORKSPACE, _c.name == name)
        .where(or_(_c.number == 1, b.c.number.is_not(None)))  # else it only says what the next was made to
    )
    rows, cursor = page_rows(connection, query, "changes", "NUMBER_DESC", _NEWEST_FIRST, limit, after)
    if not rows and after is None:
        raise no_variable(connection, name)
    return Page(results=[_change_of(row) for row in rows], after=cursor)


def _variable_of(row: Row[Any]) -> Variable:
    return Variable(
        id=to_text(row.id),
        name=row.name,
        value=value_of(row.value),
        tags=_tags(row.tags) or [],
        created=instant(row.created_us),
        updated=instant(row.updated_us),
    )


def _change_of(row: Row[Any]) -> VariableChange:
    return VariableChange(
        variable=row.name,
        number=row.number,
        timestamp=instant(row.at_us),
        action="removed" if row.value is None else "created" if row.value_before is None else "changed",
        before=None if row.value_before is None else value_of(row.value_before),
        after=None if row.value is None else value_of(row.value),
        tags_before=_tags(row.tags_before),
        tags_after=_tags(row.tags),
        changed_by=row.changed_by,
        run_id=None if row.run_id is None else to_text(row.run_id),
        run_name=row.run_name,
        run_type=None if row.run_id is None else "task-run" if row.is_task else "flow-run",
    )


def _tags(text: str | None) -> list[str] | None:
    return None if text is None else msgspec.json.decode(text, type=list[str])
