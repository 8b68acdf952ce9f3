"""Pictures as bytes: files, bytes, and what libraries of images and plots make, none of which is asked for by import.

May import: core, writing (its errors).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from surefoot.artifacts.writing import ArtifactTypeError, ArtifactValueError
from surefoot.core.artifacts import HTML

__all__ = ["picture_bytes"]

_PNG: Final = "image/png"
_SVG: Final = "image/svg+xml"
_FORMATS: Final = {
    "png": _PNG,
    "svg": _SVG,
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "html": HTML,
}
_READ_MAX: Final = 1 << 30  # a file beyond is not even read; settings say how large an artifact may be
_MARKS: Final = (
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_IS_SVG: Final = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*)*<svg[\s>]", re.DOTALL)
_IS_HTML: Final = re.compile(rb"\s*(<!doctype html|<html[\s>])", re.IGNORECASE)
_WAYS: Final = "a file, bytes, a figure of matplotlib or plotly, or an image of PIL"


def picture_bytes(picture: Any, format: str | None = None) -> tuple[bytes, str]:
    """The bytes of a picture and their media type.

    Args:
        picture: the path of a file, bytes, a figure, or an image.
        format: what a figure or image is to be made: "png", "svg", "jpg", "webp" or "html"; None: as suits it.

    Raises ArtifactTypeError and ArtifactValueError for what is none.
    """
    if format is not None and format not in _FORMATS:
        raise ArtifactValueError(f"format is {format!r}.", do=f"Use one of {', '.join(sorted(_FORMATS))}.")
    if isinstance(picture, str) and "://" in picture:
        raise ArtifactValueError(f"The image {picture[:100]!r} is an address.", do="Pass it as image_url=...")
    if isinstance(picture, (str, os.PathLike)):
        content = _file(picture)
        return content, _media_type(content, f"The file {os.fspath(picture)!r}")
    if isinstance(picture, (bytes, bytearray, memoryview)):
        content = bytes(picture)
        return content, _media_type(content, "What was passed as bytes")
    if hasattr(picture, "getvalue") and hasattr(picture, "read"):  # BytesIO, with a figure saved to it
        return picture_bytes(picture.getvalue(), None)
    try:
        made = _drawn(picture, format)
    except Exception as error:  # of a library, which knows formats and modes of its own
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise ArtifactValueError(
            f"The {type(picture).__name__} could not be made {format or 'an image'}: {told[0].rstrip('.')}.",
            do="Pass another format, or save it yourself and pass the file.",
        ) from error
    if made is None:
        raise ArtifactTypeError(f"The image is of type {type(picture).__name__}.", do=f"Pass {_WAYS}.")
    return made


def _drawn(picture: Any, format: str | None) -> tuple[bytes, str] | None:
    """What a library makes of its figure or image; None if it has no way that is known."""
    if not hasattr(picture, "savefig") and callable(getattr(picture, "get_figure", None)):  # axes of matplotlib
        picture = picture.get_figure()
    if hasattr(picture, "savefig"):
        wanted = format or "png"
        return _saved(lambda out: picture.savefig(out, format=wanted, bbox_inches="tight")), _FORMATS[wanted]
    if format in (None, "html") and hasattr(picture, "to_html"):
        # With the library's own script in it, so that it can be looked at where there is no network.
        is_plotly = type(picture).__module__.partition(".")[0] == "plotly"
        text = picture.to_html(include_plotlyjs=True, full_html=True) if is_plotly else picture.to_html()
        return str(text).encode(), HTML
    if hasattr(picture, "to_image"):
        wanted = format or "png"
        return bytes(picture.to_image(format=wanted)), _FORMATS[wanted]
    if type(picture).__module__.partition(".")[0] == "PIL" and hasattr(picture, "save"):
        wanted = "jpeg" if format == "jpg" else format or "png"
        return _saved(lambda out: picture.save(out, format=wanted)), _FORMATS[wanted]
    if callable(getattr(picture, "_repr_png_", None)):
        return bytes(picture._repr_png_()), _PNG
    return None


def _saved(save: Callable[[BytesIO], Any]) -> bytes:
    out = BytesIO()
    save(out)
    return out.getvalue()


def _file(path: str | os.PathLike[str]) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_READ_MAX + 1)
    except OSError as error:
        raise ArtifactValueError(
            f"The image {os.fspath(path)!r} cannot be read: {error.strerror or error}.", do=f"Pass {_WAYS}."
        ) from error
    except ValueError:  # a NUL in it
        raise ArtifactValueError(f"The image {path!r} is no path.", do=f"Pass {_WAYS}.") from None
    if len(content) > _READ_MAX:
        raise ArtifactValueError(f"The image {os.fspath(path)!r} has more than 1 GiB.", do="Make a link to it.")
    return content


def _media_type(content: bytes, what: str) -> str:
    for mark, media_type in _MARKS:
        if content.startswith(mark):
            return media_type
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if _IS_SVG.match(content[:4096]):
        return _SVG
    if _IS_HTML.match(content[:4096]):
        return HTML
    raise ArtifactValueError(f"{what} is no image that is known.", do="Pass PNG, JPEG, GIF, WebP, SVG or HTML.")
