"""Paging by key: a page ends with a cursor that says where in the order the next one begins. May import: core.

A cursor is opaque to whoever gets it, but holds no secret: the list, its order, and the sort values of the last row,
the last of which are unique.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, tuple_

from surefoot.core.errors import BadInput

__all__ = ["LIMIT_MAX", "Order", "behind", "check_limit", "order_of", "page_rows", "read_cursor", "write_cursor"]

LIMIT_MAX: Final = 10_000

Keys = list[Any]  # of int, str or bytes, as the kinds of an order say


class Order(NamedTuple):
    """An order of rows: the expressions it goes by, the last of them unique, and the kinds of their values."""

    keys: tuple[ColumnElement[Any], ...]
    kinds: tuple[type, ...]
    descending: bool = False


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    noun: str
    sort: str
    keys: Keys


def order_of(noun: str, orders: dict[str, Order], sort: str) -> Order:
    """The order that `sort` names. Raises BadInput if there is none."""
    try:
        return orders[sort]
    except KeyError:
        raise BadInput(f"{noun} cannot be sorted by {sort!r}.", do=f"Use one of {', '.join(orders)}.") from None


def check_limit(limit: int) -> None:
    """Raise BadInput unless a page may have this many rows."""
    if not 1 <= limit <= LIMIT_MAX:
        raise BadInput(f"A page has 1 to {LIMIT_MAX} rows, not {limit}.", do=f"Pass a limit of at most {LIMIT_MAX}.")


def page_rows(
    connection: Connection, query: Select[Any], noun: str, sort: str, order: Order, limit: int, after: str | None
) -> tuple[Sequence[Row[*tuple[Any, ...]]], str | None]:
    """At most `limit` rows of `query` behind `after`, and the cursor of the last; None where no more follow.

    The sort values are appended to each row.
    """
    check_limit(limit)
    if after is not None:
        query = query.where(behind(order, read_cursor(after, noun, sort, order)))
    keys = order.keys
    query = query.add_columns(*(key.label(f"key_{number}") for number, key in enumerate(keys)))
    query = query.order_by(*(key.desc() if order.descending else key for key in keys)).limit(limit + 1)
    rows = connection.execute(query).all()
    if len(rows) <= limit:
        return rows, None
    rows = rows[:limit]
    return rows, write_cursor(noun, sort, list(rows[-1][-len(keys) :]))


def behind(order: Order, keys: Keys) -> ColumnElement[bool]:
    """What comes behind the row with these sort values."""
    first, mine, theirs = order.keys[0], tuple_(*order.keys), tuple_(*keys)
    if len(keys) == 1:
        return and_(first < keys[0] if order.descending else first > keys[0])
    # The first half follows from the second, and is what an index on an expression can be searched by.
    if order.descending:
        return and_(first <= keys[0], mine < theirs)
    return and_(first >= keys[0], mine > theirs)


def write_cursor(noun: str, sort: str, keys: Keys) -> str:
    """The cursor of a row with these sort values."""
    return urlsafe_b64encode(msgspec.msgpack.encode(_Cursor(noun, sort, keys))).rstrip(b"=").decode()


def read_cursor(cursor: str, noun: str, sort: str, order: Order) -> Keys:
    """The sort values in a cursor. Raises BadInput if it is not one of this list in this order."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        read = msgspec.msgpack.decode(urlsafe_b64decode(padded), type=_Cursor)
    except (ValueError, msgspec.DecodeError):
        read = None
    if (
        read is None
        or (read.noun, read.sort) != (noun, sort)
        or tuple(map(type, read.keys)) != order.kinds
        or any(isinstance(key, int) and not 0 <= key < 1 << 63 for key in read.keys)
        or write_cursor(noun, sort, read.keys) != cursor
    ):
        raise BadInput(f"{cursor!r} is not a cursor of {noun} by {sort}.", do="Begin again, without `after`.")
    return read.keys
