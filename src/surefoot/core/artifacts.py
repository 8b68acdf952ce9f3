"""Artifacts: the types that have a meaning, media types, and how data becomes bytes and is read again.

May import: msgspec.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["ENDINGS", "HTML", "IMAGE", "JSON", "LINK", "MARKDOWN", "PROGRESS", "TABLE", "TEXT", "URL", "decoded"]

MARKDOWN: Final = "markdown"
TABLE: Final = "table"
LINK: Final = "link"
PROGRESS: Final = "progress"
IMAGE: Final = "image"

JSON: Final = "application/json"
TEXT: Final = "text/markdown"
URL: Final = "text/uri-list"  # an image that lies where its address says
HTML: Final = "text/html"

# What a file of each media type ends with.
ENDINGS: Final = {
    JSON: "json",
    TEXT: "md",
    URL: "url",
    HTML: "html",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/svg+xml": "svg",
}


def decoded(media_type: str, raw: bytes) -> Any:
    """The data in its bytes: a text, or what JSON says; None of what is neither, or is damaged.

    >>> decoded(JSON, b"[1, 2]"), decoded(TEXT, b"# Report"), decoded("image/png", b"...")
    ([1, 2], '# Report', None)
    """
    if media_type == JSON:
        try:
            return msgspec.json.decode(raw)
        except msgspec.DecodeError:
            return None
    return raw.decode(errors="replace") if media_type in (TEXT, URL) else None
