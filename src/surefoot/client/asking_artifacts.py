"""Artifacts, by the methods that scripts know of the client. May import: client, core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from surefoot.client.asking import PAGE, Asking, Id, all_of, id_text, part_of
from surefoot.client.schemas.filters import ArtifactFilter, checked
from surefoot.core.errors import BadInput, NotFound
from surefoot.core.wire import Artifact

__all__ = ["ArtifactCalls"]

# What each order goes by, and whether the greatest is first.
_ORDERS: Final[dict[str, tuple[Callable[[Artifact], Any], bool]]] = {
    "ID_DESC": (lambda each: each.id, True),
    "CREATED_DESC": (lambda each: each.created, True),
    "UPDATED_DESC": (lambda each: each.updated, True),
    "KEY_ASC": (lambda each: each.key or "", False),
    "KEY_DESC": (lambda each: each.key or "", True),
}


class ArtifactCalls(Asking):
    """What can be asked of artifacts. They are made in flows and tasks, by `surefoot.artifacts`."""

    def read_artifact(self, artifact_id: Id) -> Artifact:
        """One artifact, with its data if that is text or JSON. Raises NotFound."""
        found = self._client.find_artifact(id_text(artifact_id))
        if found.id != id_text(artifact_id):  # it goes by its key only
            raise NotFound(
                f"There is no artifact with the id {artifact_id}.", do="See them: surefoot artifact ls --all"
            )
        return found

    def read_artifact_content(self, artifact_id: Id) -> bytes:
        """The data of an artifact as bytes. Raises NotFound, and MissingResult if its data is gone."""
        return self._client.artifact_content(id_text(artifact_id))

    def read_artifacts(
        self,
        *,
        artifact_filter: ArtifactFilter | dict[str, Any] | None = None,
        sort: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Artifact]:
        """Artifacts without their data, the newest first unless `sort` says otherwise; each version by itself."""
        return self._artifacts(artifact_filter, sort, limit, offset, latest=False)

    def read_latest_artifacts(
        self,
        *,
        artifact_filter: ArtifactFilter | dict[str, Any] | None = None,
        sort: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Artifact]:
        """The newest artifact of each key, without its data, by key unless `sort` says otherwise."""
        return self._artifacts(artifact_filter, sort, limit, offset, latest=True)

    def _artifacts(
        self,
        given: ArtifactFilter | dict[str, Any] | None,
        sort: str | None,
        limit: int | None,
        offset: int,
        *,
        latest: bool,
    ) -> list[Artifact]:
        where = checked(given, ArtifactFilter)
        narrowed = where.narrowed()
        pages = all_of(lambda after: self._client.artifacts(narrowed, latest=latest, limit=PAGE, after=after))
        found: Iterator[Artifact] = (each for each in pages if where.fits(each))
        if sort is not None and str(sort) != ("KEY_ASC" if latest else "ID_DESC"):  # in which they are read
            if sort not in _ORDERS:
                raise BadInput(f"Artifacts cannot be sorted by {str(sort)!r}.", do=f"Use one of {', '.join(_ORDERS)}.")
            key, is_reverse = _ORDERS[sort]
            found = iter(sorted(found, key=key, reverse=is_reverse))
        return part_of(found, limit, offset)

    def delete_artifact(self, artifact_id: Id) -> None:
        """Delete an artifact with its data. Raises NotFound."""
        self._client.delete_artifacts([self.read_artifact(artifact_id).id])
