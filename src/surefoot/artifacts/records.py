"""Artifacts as objects: made, and read again by their keys. May import: core, the parts beside."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Self
from uuid import UUID

from surefoot.artifacts.drafting import draft_of, image_draft, link_draft
from surefoot.artifacts.twins import awaited
from surefoot.artifacts.writing import ArtifactTypeError, Draft, check_key, record
from surefoot.core import ports, wire
from surefoot.core.artifacts import IMAGE, LINK, MARKDOWN, PROGRESS, TABLE, decoded

__all__ = [
    "Artifact",
    "ImageArtifact",
    "LinkArtifact",
    "MarkdownArtifact",
    "ProgressArtifact",
    "TableArtifact",
]


class Artifact:
    """Something that a run made for people to look at.

    Args:
        type: "markdown", "table", "link", "progress", "image", or a short name of your own, whose data is any JSON.
        key: shared by its versions; lower-case letters, digits, "-" and "_".
        description: a text about it, in markdown.
        data: what it shows.

    Once it is made or read it has an `id`, and `version`, `flow_run_id`, `task_run_id`, `created` and `updated`, as
    far as they are known.

    >>> Artifact(type="markdown", key="report", data="# All went well")
    Artifact(type='markdown', key='report')
    """

    _type: ClassVar[str | None] = None

    def __init__(
        self,
        type: str | None = None,
        key: str | None = None,
        description: str | None = None,
        data: Any = None,
    ) -> None:
        self.type = type or self._type or "json"
        self.key = key
        self.description = description
        self.data = data
        self.id: UUID | None = None
        self.version: int | None = None
        self.media_type: str | None = None
        self.place: str | None = None
        self.flow_run_id: UUID | None = None
        self.task_run_id: UUID | None = None
        self.created: datetime | None = None
        self.updated: datetime | None = None

    def create(self) -> Self:
        """Write it down, as part of the run that this is called in. Gives itself, with its id.

        Raises as the functions that make artifacts.
        """
        self.id = record(self._draft(), self.key, self.description)
        return self

    async def acreate(self) -> Self:
        """The same, awaited: what has to be stored is stored in a thread."""
        return await awaited(self.create)()

    def _draft(self) -> Draft:
        return draft_of(self.type, self.data)

    @classmethod
    def get(cls, key: str | None = None) -> Artifact | None:
        """The newest artifact with that key, with its data; None if there is none.

        Reads the ledger, which takes a fifth of a second the first time. Raises ArtifactValueError for what is no
        key, and MissingResult if its data is gone.
        """
        if key is None:
            raise ArtifactTypeError("Artifact.get() was called without a key.", do='Pass one: Artifact.get("report").')
        check_key(key)
        asked = ports.artifacts()
        try:
            found = asked.latest(key)
            if found is None:
                return None
            raw = asked.content(found.id) if found.place is not None and found.data is None else None
        finally:
            asked.close()
        return _read(found, raw)

    @classmethod
    async def aget(cls, key: str | None = None) -> Artifact | None:
        """The same, awaited: the ledger is read in a thread."""
        return await awaited(cls.get)(key)

    @classmethod
    def get_or_create(
        cls, key: str | None = None, description: str | None = None, data: Any = None, **fields: Any
    ) -> tuple[Artifact, bool]:
        """The newest artifact with that key, and False; or, if there is none, one made now, and True."""
        found = None if key is None else cls.get(key)
        if found is not None:
            return found, False
        if data is not None:
            fields["data"] = data
        return cls(key=key, description=description, **fields).create(), True

    @classmethod
    async def aget_or_create(
        cls, key: str | None = None, description: str | None = None, data: Any = None, **fields: Any
    ) -> tuple[Artifact, bool]:
        """The same, awaited."""
        return await awaited(cls.get_or_create)(key, description, data, **fields)

    def __repr__(self) -> str:
        version = "" if self.version is None else f", version={self.version}"
        return f"{type(self).__name__}(type={self.type!r}, key={self.key!r}{version})"


def _read(found: wire.Artifact, raw: bytes | None) -> Artifact:
    artifact = Artifact(found.type, found.key, found.description)
    # What is neither text nor JSON, the bytes of an image, is there as it is.
    artifact.data = found.data if raw is None else raw if (text := decoded(found.media_type, raw)) is None else text
    artifact.id, artifact.version = UUID(found.id), found.version
    artifact.media_type, artifact.place = found.media_type, found.place
    artifact.flow_run_id = None if found.flow_run_id is None else UUID(found.flow_run_id)
    artifact.task_run_id = None if found.task_run_id is None else UUID(found.task_run_id)
    artifact.created, artifact.updated = found.created, found.updated
    return artifact


class MarkdownArtifact(Artifact):
    """A text in markdown: `MarkdownArtifact(markdown="# Report", key="report").create()`."""

    _type = MARKDOWN

    def __init__(self, markdown: str, key: str | None = None, description: str | None = None) -> None:
        super().__init__(None, key, description, markdown)


class TableArtifact(Artifact):
    """A table: `TableArtifact(table=[{"region": "eu", "rows": 3}], key="rows").create()`."""

    _type = TABLE

    def __init__(self, table: Any, key: str | None = None, description: str | None = None) -> None:
        super().__init__(None, key, description, table)


class LinkArtifact(Artifact):
    """An address: `LinkArtifact(link="https://example.com", link_text="the page").create()`."""

    _type = LINK

    def __init__(
        self, link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
    ) -> None:
        super().__init__(None, key, description, {"link": link, "link_text": link_text})

    def _draft(self) -> Draft:
        return link_draft(self.data["link"], self.data["link_text"])


class ProgressArtifact(Artifact):
    """How far something is, from 0 to 100: `ProgressArtifact(progress=20).create()`."""

    _type = PROGRESS

    def __init__(self, progress: float, key: str | None = None, description: str | None = None) -> None:
        super().__init__(None, key, description, progress)


class ImageArtifact(Artifact):
    """A picture, by its address or with its bytes: `ImageArtifact(image=figure, key="plot").create()`."""

    _type = IMAGE

    def __init__(
        self, image_url: str | None = None, key: str | None = None, description: str | None = None, *, image: Any = None
    ) -> None:
        super().__init__(None, key, description, image_url)
        self._image = image

    def _draft(self) -> Draft:
        return super()._draft() if self._image is None else image_draft(self._image)
