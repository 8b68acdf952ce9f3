"""Keys of assets: what a text has to be to name something that runs make, wherever it lies. May import: core.errors."""

from __future__ import annotations

import re
from typing import Final, Literal

from surefoot.core.errors import BadInput

__all__ = ["KEY_CHARS_MAX", "METADATA_BYTES_MAX", "UPSTREAM_MAX", "AssetKeyError", "How", "check_key"]

KEY_CHARS_MAX: Final = 512
METADATA_BYTES_MAX: Final = 65_536  # of one materialization, as JSON
UPSTREAM_MAX: Final = 1_000  # of one materialization

How = Literal["data", "declared"]  # how an asset rests on another

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_REFUSED: Final = frozenset(" #?&%\"'<>[]{}|\\^`")


class AssetKeyError(BadInput, ValueError):
    """A text is no key of an asset."""


def check_key(key: object) -> str:
    """The key, if it is one: a URI such as `s3://bucket/orders.parquet`. Raises AssetKeyError that says what is wrong.

    >>> check_key("postgres://prod/orders")
    'postgres://prod/orders'
    >>> check_key("S3://orders")
    Traceback (most recent call last):
    surefoot.core.assets.AssetKeyError: Asset key 'S3://orders' has a capital in its scheme. Write 's3://orders'.
    """
    if not isinstance(key, str):
        raise AssetKeyError(f"An asset key is {key!r}, which is no text.", do='Pass a URI: "s3://bucket/orders".')
    shown = repr(key) if len(key) <= 80 else f"{key[:80]!r}..."
    if len(key) > KEY_CHARS_MAX:
        raise AssetKeyError(
            f"Asset key {shown} has {len(key):,} characters.",
            do=f"Use {KEY_CHARS_MAX} at most: name a folder or table.",
        )
    scheme, separator, rest = key.partition("://")
    if not separator or not scheme:
        raise AssetKeyError(
            f"Asset key {shown} is no URI.", do="Say where the asset lies: s3://bucket/name, postgres://server/table."
        )
    if scheme != scheme.lower():
        raise AssetKeyError(
            f"Asset key {shown} has a capital in its scheme.", do=f"Write {f'{scheme.lower()}://{rest}'!r}."
        )
    if not _SCHEME.fullmatch(scheme):
        raise AssetKeyError(
            f"Asset key {shown} has the scheme {scheme!r}.", do="A scheme is a letter, then a-z, 0-9, +, . and -."
        )
    if not rest.strip("/"):
        raise AssetKeyError(f"Asset key {shown} ends after its scheme.", do=f"Name what it is: {scheme}://orders")
    wrong = next((char for char in rest if char in _REFUSED or not char.isprintable()), None)
    if wrong is not None:
        raise AssetKeyError(f"Asset key {shown} contains {wrong!r}.", do="Leave the character out, or write _ for it.")
    return key
