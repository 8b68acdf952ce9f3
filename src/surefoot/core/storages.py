"""Storages: addresses of places for results, as users write them: the path of a folder, or a URL without credentials.

Pure: whether something answers there is not found out. May import: nothing.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["CLOUDS", "MEMORY", "BadStorage", "is_block", "no_place", "parse_storage"]

_FOLDERS: Final = frozenset({"file", "local"})
MEMORY: Final = "memory"
CLOUDS: Final = {
    "s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "azure": "az", "abfs": "az", "abfss": "az"
}  # fmt: skip


# Types of blocks that results are stored in, by the names that users give them.
_BLOCKS: Final = frozenset(
    "azure azure-blob-storage-container gcs gcs-bucket local-file-system "
    "redis-storage-container remote-file-system s3 s3-bucket smb".split()
)


class BadStorage(ValueError):
    """A text that is no address: `what` follows the name of where it stands, `do` says what would be one."""

    def __init__(self, what: str, do: str) -> None:
        super().__init__(what)
        self.what = what
        self.do = do


def parse_storage(text: str) -> tuple[str, str]:
    """The scheme of an address, empty for a folder, and what follows it. Raises BadStorage, which shows no secret.

    >>> parse_storage("S3://bucket/reports/"), parse_storage("file:///srv/reports"), parse_storage("reports")
    (('s3', 'bucket/reports'), ('', '/srv/reports'), ('', 'reports'))
    """
    if not text.strip() or "\0" in text:
        raise no_place(text)
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if is_block(text):
        raise BadStorage(
            f" is {text!r}, which names a block of Prefect's, and there are no blocks here.",
            f"Name what it stores in, such as s3://BUCKET/FOLDER; if it is a folder, write './{text}'.",
        )
    if not separator or scheme in _FOLDERS:
        return "", rest if separator else text
    kind = CLOUDS.get(scheme)
    if kind is None and scheme != MEMORY:
        raise BadStorage(
            f" is {_masked(text)!r}, and nothing here stores in {scheme}://.",
            "Use a folder, s3://BUCKET, gs://BUCKET, az://CONTAINER, memory://NAME, or pass an object with "
            "`read_path` and `write_path`.",
        )
    parts = rest.rstrip("/").split("/")
    # Of Azure alone what stands before @ is the container.
    if ":" in parts[0] or ("@" in parts[0] and kind != "az"):
        raise BadStorage(
            f" is {_masked(text)!r}: a URL holds no credentials.",
            "Take what stands before the @ out of it, and set the variables of that cloud instead, such as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        )
    if not parts[0] or any(part in ("", ".", "..") for part in parts) or any(mark in rest for mark in "?#"):
        what = "container" if kind == "az" else "bucket" if kind else "name"
        raise BadStorage(
            f" is {_masked(text)!r}, which is no address.",
            f"Write {scheme}://{what.upper()} or {scheme}://{what.upper()}/FOLDER; keys and endpoints come from the "
            "environment.",
        )
    return scheme, "/".join(parts)


def is_block(text: str) -> bool:
    """Whether a text is how users of Prefect name a block that stores results: TYPE/NAME.

    >>> is_block("s3-bucket/prod"), is_block("./s3-bucket/prod"), is_block("reports/daily")
    (True, False, False)
    """
    kind, slash, name = text.partition("/")
    return slash == "/" and kind in _BLOCKS and re.fullmatch(r"[a-z0-9-]+", name) is not None


def no_place(storage: object) -> BadStorage:
    """What is neither a path nor a URL."""
    return BadStorage(
        f" is {storage!r}, which is no place.",
        "Pass the path of a folder, a URL such as s3://BUCKET/FOLDER, or an object with `read_path` and `write_path`.",
    )


def _masked(text: str) -> str:
    """A URL as it may be shown: what may be credentials in it is not there to read."""
    scheme, _, rest = text.partition("://")
    rest = re.sub(r"^(?:[^/]*:.*|[^/]*)@", "***@", rest, flags=re.DOTALL)  # a secret may have slashes in it
    return f"{scheme}://" + re.sub(r"(?<=[?#]).+", "***", rest, flags=re.DOTALL)
