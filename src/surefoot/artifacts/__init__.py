"""Artifacts: what runs make for people to look at: reports, tables, links, progress, images and plots.

    from surefoot.artifacts import create_table_artifact

    @task
    def check(rows):
        create_table_artifact([{"region": r.region, "rows": r.count} for r in rows], key="rows-by-region")

`surefoot artifact ls` shows them, `surefoot artifact inspect rows-by-region` one of them. Those with one key are its
versions. Each function has a twin to be awaited, whose name begins with "a". May import: core, engine, results.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from surefoot.artifacts.drafting import (
    image_at_draft,
    image_draft,
    link_draft,
    markdown_draft,
    progress_draft,
    table_draft,
)
from surefoot.artifacts.records import (
    Artifact,
    ImageArtifact,
    LinkArtifact,
    MarkdownArtifact,
    ProgressArtifact,
    TableArtifact,
)
from surefoot.artifacts.twins import awaited, id_here
from surefoot.artifacts.writing import ArtifactTypeError, change, record

__all__ = [
    "Artifact",
    "ImageArtifact",
    "LinkArtifact",
    "MarkdownArtifact",
    "ProgressArtifact",
    "TableArtifact",
    "acreate_image_artifact",
    "acreate_link_artifact",
    "acreate_markdown_artifact",
    "acreate_plot_artifact",
    "acreate_progress_artifact",
    "acreate_table_artifact",
    "aupdate_progress_artifact",
    "create_image_artifact",
    "create_link_artifact",
    "create_markdown_artifact",
    "create_plot_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "update_progress_artifact",
]


def create_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> UUID:
    """Make a text in markdown an artifact of the run that this is called in. Its id.

    Args:
        markdown: the text, of at most `artifacts.max_bytes` (16 MiB).
        key: shared by its versions; lower-case letters, digits, "-" and "_". Without one it is found by its run alone.
        description: a text about it.

    Raises:
        ArtifactTypeError, ArtifactValueError: a TypeError and a ValueError: what was passed cannot be.
        ArtifactNotStored: it is too large for the record of a run, and the storage of results did not take it.

    >>> import tempfile
    >>> from surefoot import flow
    >>> from surefoot.core.settings import temporary_settings
    >>> @flow
    ... def report():
    ...     create_markdown_artifact("# All went well", key="report")
    ...     return Artifact.get("report").data
    >>> with temporary_settings({"home": tempfile.mkdtemp(), "logging.level": "WARNING"}):
    ...     report()
    '# All went well'
    """
    return id_here(record(markdown_draft(markdown), key, description))


def create_table_artifact(table: Any, key: str | None = None, description: str | None = None) -> UUID:
    """Make a table an artifact of the run that this is called in. Its id.

    Args:
        table: a list of dicts, a dict of lists, a list of lists, or a data frame of pandas, polars or arrow. NaN and
            what is missing shows as nothing; instants, decimals and paths as their texts.
        key, description: as of `create_markdown_artifact`, which also says what is raised. A table whose rows or
            columns are not equally long, or with a value that JSON has not, is refused; the message says where.
    """
    return id_here(record(table_draft(table), key, description))


def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> UUID:
    """Make a link an artifact of the run that this is called in. Its id.

    Args:
        link: the address.
        link_text: what to show for it.
        key, description: as of `create_markdown_artifact`, which also says what is raised.
    """
    return id_here(record(link_draft(link, link_text), key, description))


def create_progress_artifact(progress: float, key: str | None = None, description: str | None = None) -> UUID:
    """Make how far something is an artifact of the run that this is called in. Its id, for `update_progress_artifact`.

    Args:
        progress: from 0 to 100.
        key, description: as of `create_markdown_artifact`, which also says what is raised.
    """
    return id_here(record(progress_draft(progress), key, description))


def update_progress_artifact(artifact_id: UUID | str, progress: float, description: str | None = None) -> UUID:
    """Say how far it is now. Gives the id again.

    Args:
        artifact_id: what `create_progress_artifact` gave, in this process or another.
        progress: from 0 to 100.
        description: in place of the one before; None leaves that.

    Raises ArtifactTypeError and ArtifactValueError for what cannot be. That there is no such artifact is not found
    out: the ledger is not asked.
    """
    return id_here(change(artifact_id, progress_draft(progress), description))


def create_image_artifact(
    image_url: str | None = None,
    key: str | None = None,
    description: str | None = None,
    *,
    image: Any = None,
    format: str | None = None,
) -> UUID:
    """Make an image an artifact of the run that this is called in. Its id.

    Args:
        image_url: the address of an image that lies elsewhere; or
        image: the image itself, whose bytes go to the storage of the run's results: the path of a file (PNG, JPEG, GIF,
            WebP, SVG, HTML), bytes, an image of PIL, or a figure of matplotlib or plotly.
        key, description: as of `create_markdown_artifact`, which also says what is raised.
        format: what a figure or image is made: "png", "svg", "jpg", "webp" or "html".
    """
    if image_url is not None and not isinstance(image_url, str):
        image, image_url = image_url, None  # passed first, as the address is elsewhere
    if (image_url is None) == (image is None):
        told = "neither" if image is None else "both"
        raise ArtifactTypeError(
            f"create_image_artifact() got {told} of image_url and image.", do="Pass one: image=figure."
        )
    draft = image_at_draft(image_url) if image is None else image_draft(image, format)
    return id_here(record(draft, key, description))


def create_plot_artifact(
    figure: Any, key: str | None = None, description: str | None = None, *, format: str | None = None
) -> UUID:
    """Make a plot an artifact of the run that this is called in. Its id.

    Args:
        figure: of matplotlib, which becomes a PNG; or of plotly or altair, which becomes a page of HTML that works
            without a network.
        key, description: as of `create_markdown_artifact`, which also says what is raised.
        format: "png", "svg" or "html" instead, as far as the library can make it.
    """
    return id_here(record(image_draft(figure, format), key, description))


acreate_markdown_artifact = awaited(create_markdown_artifact)
acreate_table_artifact = awaited(create_table_artifact)
acreate_link_artifact = awaited(create_link_artifact)
acreate_progress_artifact = awaited(create_progress_artifact)
aupdate_progress_artifact = awaited(update_progress_artifact)
acreate_image_artifact = awaited(create_image_artifact)
acreate_plot_artifact = awaited(create_plot_artifact)
