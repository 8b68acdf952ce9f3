"""Artifacts: lists of them, the newest of each key, and the one that goes by a key or an id.

May import: core, tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Final, NoReturn

from sqlalchemy import ColumnElement, Connection, Row, func, select

from surefoot.core.artifacts import decoded
from surefoot.core.errors import Ambiguous, NotFound
from surefoot.core.ids import to_text
from surefoot.core.wire import Artifact, ArtifactFilter, Page
from surefoot.ledger.fold_runs import in_chunks
from surefoot.ledger.queries.find import digits_of, range_of
from surefoot.ledger.queries.paging import Order, check_limit, page_rows, read_cursor, write_cursor
from surefoot.ledger.queries.rows import ids_bytes, instant
from surefoot.ledger.tables import WORKSPACE, artifacts

__all__ = [
    "artifact_content",
    "artifacts_among",
    "count_artifacts",
    "find_artifact",
    "latest_artifacts",
    "list_artifacts",
]

_a = artifacts.c
_BY_ID: Final = Order((_a.id,), (bytes,), True)
_BY_KEY: Final = Order((_a.key,), (str,))
_SHOWN: Final = [column for column in artifacts.columns if column.name not in ("data", "workspace_id")]
_NEAR_AMONG: Final = 1000
_TOLD: Final = 5


def list_artifacts(
    connection: Connection, where: ArtifactFilter | None = None, *, limit: int = 200, after: str | None = None
) -> Page[Artifact]:
    """A page of artifacts, the newest first; the versions of a key each by itself."""
    query = select(*_SHOWN).where(*_conditions(where or ArtifactFilter()))
    rows, cursor = page_rows(connection, query, "artifacts", "ID_DESC", _BY_ID, limit, after)
    return Page(results=_artifacts_of(connection, rows), after=cursor)


def latest_artifacts(
    connection: Connection, where: ArtifactFilter | None = None, *, limit: int = 200, after: str | None = None
) -> Page[Artifact]:
    """A page of the newest artifact of each key, by key."""
    check_limit(limit)
    last = None if after is None else read_cursor(after, "artifacts", "KEY_ASC", _BY_KEY)[0]
    found: list[Artifact] = []
    while len(found) <= limit:
        newest = _some_newest(connection, last, limit + 1)
        if not newest:
            return Page(results=found)
        last = newest[-1][0]
        for chunk in in_chunks([artifact_id for _, artifact_id in newest]):
            query = select(*_SHOWN).where(*_conditions(where or ArtifactFilter()), _a.id.in_(chunk))
            some = _artifacts_of(connection, connection.execute(query).all())
            found += sorted(some, key=lambda each: each.key or "")
    found = found[:limit]
    return Page(results=found, after=write_cursor("artifacts", "KEY_ASC", [found[-1].key]))


def _some_newest(connection: Connection, last: str | None, limit: int) -> list[tuple[str, bytes]]:
    """The first keys behind `last`, and the newest artifact of each, found by two looks into the index."""
    keys, n = _keys_after(last), artifacts.alias("newest").c
    its = n.workspace_id == WORKSPACE, n.key.is_not(None), n.key == keys.c.key
    newest = select(n.id).where(*its).order_by(n.id.desc()).limit(1).scalar_subquery()
    rows = connection.execute(select(keys.c.key, newest).where(keys.c.key.is_not(None)).limit(limit))
    return sorted((key, artifact_id) for key, artifact_id in rows)


def _keys_after(last: str | None) -> Any:
    """The keys that there are behind `last`, in order, each found by one look into the index when it is asked for."""
    first = select(func.min(_a.key).label("key")).where(_a.workspace_id == WORKSPACE, _a.key.is_not(None))
    keys = (first if last is None else first.where(_a.key > last)).cte("keys", recursive=True)
    b = artifacts.alias("behind").c
    following = select(func.min(b.key)).where(b.workspace_id == WORKSPACE, b.key.is_not(None), b.key > keys.c.key)
    return keys.union_all(select(following.scalar_subquery()).where(keys.c.key.is_not(None)))


def count_artifacts(connection: Connection, where: ArtifactFilter) -> int:
    """How many fit."""
    query = select(func.count()).select_from(artifacts).where(*_conditions(where))
    return connection.execute(query).scalar() or 0


def find_artifact(connection: Connection, reference: str, version: int | None = None) -> Artifact:
    """The artifact that goes by a key (its newest version, or that one), an id, or a prefix of an id, with its data.

    Raises NotFound, which names the nearest keys, or Ambiguous for a prefix of several ids.
    """
    reference = reference.strip()
    artifact_id = _newest(connection, reference) if version is None else _version(connection, reference, version)
    artifact_id = artifact_id or _by_id(connection, reference)
    if artifact_id is None:
        _nowhere(connection, reference)
    query = select(*_SHOWN, _a.data).where(_a.workspace_id == WORKSPACE, _a.id == artifact_id)
    row = connection.execute(query).one()
    return _artifact_of(row, _versions(connection, [row]), row.data)


def artifact_content(connection: Connection, artifact_id: bytes) -> tuple[bytes | None, str | None, int, int]:
    """The data of an artifact; or None, the place of it, its size and its checksum. Raises NotFound."""
    query = select(_a.data, _a.place, _a.size, _a.crc32)
    row = connection.execute(query.where(_a.workspace_id == WORKSPACE, _a.id == artifact_id)).first()
    if row is None:
        _nowhere(connection, to_text(artifact_id))
    return row.data, row.place, row.size, row.crc32


def artifacts_among(connection: Connection, ids: Sequence[bytes]) -> set[bytes]:
    """Those of these ids that artifacts have."""
    found: set[bytes] = set()
    for chunk in in_chunks(ids):
        query = select(_a.id).where(_a.workspace_id == WORKSPACE, _a.id.in_(chunk))
        found.update(connection.execute(query).scalars())
    return found


def _versions(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> dict[bytes, int]:
    """The numbers of those of some artifacts that have a key. Of each key its versions are counted once."""
    by_key: dict[str, list[bytes]] = {}
    for row in sorted(rows, key=lambda row: row.id):
        if row.key is not None:
            by_key.setdefault(row.key, []).append(row.id)
    found: dict[bytes, int] = {}
    before = artifacts.alias("before").c
    its = before.workspace_id == WORKSPACE, before.key.is_not(None), before.key == _a.key, before.id <= _a.id
    number = select(func.count() + func.sum(before.gone_before)).where(*its).scalar_subquery()
    for chunk in in_chunks([ids[0] for ids in by_key.values()]):
        query = select(_a.id, number).where(_a.workspace_id == WORKSPACE, _a.id.in_(chunk))
        found |= {artifact_id: int(count) for artifact_id, count in connection.execute(query)}
    for key, ids in by_key.items():
        if len(ids) > 1:
            number_of = found[ids[0]]
            between = _a.workspace_id == WORKSPACE, _a.key.is_not(None), _a.key == key, _a.id > ids[0], _a.id <= ids[-1]
            for row in connection.execute(select(_a.id, _a.gone_before).where(*between).order_by(_a.id)):
                number_of += 1 + row.gone_before
                found[row.id] = number_of
    return found


def _conditions(where: ArtifactFilter) -> Iterator[ColumnElement[bool]]:
    yield _a.workspace_id == WORKSPACE
    yield _a.created_us.is_not(None)
    if where.id is not None:
        yield _a.id.in_(ids_bytes(where.id))
    if where.key is not None:
        yield _a.key.is_not(None)
        yield _a.key.in_(where.key)
    if where.type is not None:
        yield _a.type.in_(where.type)
    if where.flow_run_id is not None:
        yield _a.flow_run_id.is_not(None)
        yield _a.flow_run_id.in_(ids_bytes(where.flow_run_id))
    if where.task_run_id is not None:
        yield _a.task_run_id.is_not(None)
        yield _a.task_run_id.in_(ids_bytes(where.task_run_id))


def _newest(connection: Connection, key: str) -> bytes | None:
    its = _a.workspace_id == WORKSPACE, _a.key.is_not(None), _a.key == key
    return connection.execute(select(_a.id).where(*its).order_by(_a.id.desc()).limit(1)).scalar()


def _version(connection: Connection, key: str, version: int) -> bytes | None:
    its = _a.workspace_id == WORKSPACE, _a.key.is_not(None), _a.key == key
    number = 0
    for row in connection.execute(select(_a.id, _a.gone_before).where(*its).order_by(_a.id)):
        number += 1 + row.gone_before
        if number == version:
            found: bytes = row.id
            return found
    if number:
        raise NotFound(
            f"The artifact {key!r} has no version {version}: the newest is {number}, and some may have been deleted.",
            do=f"See which there are: surefoot artifact ls --key {key}",
        )
    return None


def _by_id(connection: Connection, reference: str) -> bytes | None:
    digits = digits_of(reference)
    if digits is None:
        return None
    there = _a.workspace_id == WORKSPACE, _a.id.between(*range_of(digits)), _a.created_us.is_not(None)
    rows = connection.execute(select(_a.id, _a.key).where(*there).order_by(_a.id.desc()).limit(_TOLD + 1)).all()
    if len(rows) > 1:
        shown = ", ".join(f"{to_text(row.id)} ({row.key or 'without a key'})" for row in rows[:_TOLD])
        more = ", and more" if len(rows) > _TOLD else ""
        raise Ambiguous(
            f"The ids of several artifacts begin with {reference!r}: {shown}{more}.", do="Use more of the id."
        )
    return rows[0].id if rows else None


def _nowhere(connection: Connection, reference: str) -> NoReturn:
    keys = _keys_after(None)
    there = connection.execute(select(keys.c.key).where(keys.c.key.is_not(None)).limit(_NEAR_AMONG)).scalars()
    near = get_close_matches(reference, list(there), n=3)
    raise NotFound(
        f"No artifact goes by {reference!r}." + (f" Near to it: {', '.join(near)}." if near else ""),
        do="See those that there are: surefoot artifact ls",
    )


def _artifacts_of(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[Artifact]:
    versions = _versions(connection, rows)
    return [_artifact_of(row, versions) for row in rows]


def _artifact_of(row: Row[*tuple[Any, ...]], versions: dict[bytes, int], data: bytes | None = None) -> Artifact:
    return Artifact(
        id=to_text(row.id),
        key=row.key,
        type=row.type,
        version=versions.get(row.id),
        description=row.description,
        data=None if data is None else decoded(row.media_type, data),
        media_type=row.media_type,
        size=row.size,
        place=row.place,
        flow_run_id=None if row.flow_run_id is None else to_text(row.flow_run_id),
        task_run_id=None if row.task_run_id is None else to_text(row.task_run_id),
        created=instant(row.created_us),
        updated=instant(row.changed_us),
    )
