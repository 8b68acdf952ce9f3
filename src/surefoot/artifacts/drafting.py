"""Drafts: what each type of artifact is made of, checked, as the bytes that are kept.

May import: core, the parts beside.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec

from surefoot.artifacts.pictures import picture_bytes
from surefoot.artifacts.tables import json_bytes, table_bytes
from surefoot.artifacts.writing import ArtifactTypeError, ArtifactValueError, Draft
from surefoot.core.artifacts import IMAGE, JSON, LINK, MARKDOWN, PROGRESS, TABLE, TEXT, URL

__all__ = [
    "draft_of",
    "image_at_draft",
    "image_draft",
    "link_draft",
    "markdown_draft",
    "progress_draft",
    "table_draft",
]

_TYPE: Final = re.compile(r"[a-z][a-z0-9_-]{0,40}")
_LINK_MAX: Final = 8192
_TEXT_MAX: Final = 1000
_URL: Final = re.compile(r"(data:image/|[a-z][a-z0-9+.-]*://)[^\s\x00-\x1f]+", re.IGNORECASE)


def markdown_draft(text: Any) -> Draft:
    """A text in markdown."""
    return Draft(MARKDOWN, TEXT, _utf8(_text(text, "markdown")))


def table_draft(rows: Any) -> Draft:
    """A table."""
    return Draft(TABLE, JSON, table_bytes(rows))


def link_draft(address: Any, text: Any = None) -> Draft:
    """An address, and the text to show for it."""
    address = _text(address, "link")
    if not address.strip() or len(address) > _LINK_MAX:
        raise ArtifactValueError(
            f"link has {len(address):,} characters.", do=f"Pass an address of at most {_LINK_MAX:,} characters."
        )
    if text is not None and len(_text(text, "link_text")) > _TEXT_MAX:
        raise ArtifactValueError(
            f"link_text has {len(text):,} characters.", do=f"Pass at most {_TEXT_MAX:,}, and a description."
        )
    return Draft(LINK, JSON, json_bytes({"link": address, "link_text": text}, "the link"))


def progress_draft(percent: Any) -> Draft:
    """How far something is, from 0 to 100."""
    if isinstance(percent, bool) or not hasattr(type(percent), "__float__"):
        raise ArtifactTypeError(f"progress is {percent!r}.", do="Pass a number from 0 to 100.")
    number = float(percent)
    if not math.isfinite(number) or not 0 <= number <= 100:
        raise ArtifactValueError(f"progress is {percent!r}.", do="Pass a number from 0 to 100.")
    return Draft(PROGRESS, JSON, msgspec.json.encode(number))


def image_draft(picture: Any, format: str | None = None) -> Draft:
    """A picture, with its bytes."""
    content, media_type = picture_bytes(picture, format)
    return Draft(IMAGE, media_type, content, is_apart=True)


def image_at_draft(url: Any) -> Draft:
    """A picture that lies elsewhere."""
    address = _text(url, "image_url")
    if _URL.fullmatch(address) is None:
        raise ArtifactValueError(
            f"image_url is {address[:100]!r}, which is no URL.", do="Pass a file, bytes or a figure as image=..."
        )
    return Draft(IMAGE, URL, _utf8(address))


def draft_of(type: str, data: Any) -> Draft:
    """An artifact of a type and data of it, as `Artifact(type=..., data=...)` says it."""
    if type == LINK and isinstance(data, dict):
        return link_draft(data.get("link"), data.get("link_text"))
    if type == IMAGE:
        return image_at_draft(data) if isinstance(data, str) else image_draft(data)
    known = {MARKDOWN: markdown_draft, TABLE: table_draft, LINK: link_draft, PROGRESS: progress_draft}.get(type)
    if known is not None:
        return known(data)
    if not isinstance(type, str) or _TYPE.fullmatch(type) is None:
        raise ArtifactValueError(
            f"The type of an artifact is {type!r}.", do="Use 'markdown', 'table', or a short name in lower case."
        )
    return Draft(type, JSON, json_bytes(data, "the data"))


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ArtifactTypeError(f"{what} is of type {type(value).__name__}.", do="Pass a text.")
    return value


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
