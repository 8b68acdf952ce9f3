"""What an asset is: a key, and what is to be said of it. May import: engine, core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from surefoot.core.assets import check_key
from surefoot.core.errors import BadInput
from surefoot.engine.materializing import add_metadata

__all__ = ["Asset", "AssetProperties", "AssetPropertyError", "add_asset_metadata"]

_TEXT_MAX: Final = {"name": 250, "url": 2_000, "description": 5_000}
_OWNERS_MAX: Final = 100
_OWNER_CHARS_MAX: Final = 250


class AssetPropertyError(BadInput, ValueError):
    """A property of an asset cannot be taken."""


class AssetProperties(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said of an asset to people.

    Args:
        name: what it is called (at most 250 characters).
        url: where it can be looked at (2,000).
        description: what it is (5,000).
        owners: who answers for it (100 names).

    Raises AssetPropertyError.
    """

    name: str | None = None
    url: str | None = None
    description: str | None = None
    owners: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be shown."""
        for field, most in _TEXT_MAX.items():
            value = getattr(self, field)
            if value is not None and not isinstance(value, str):
                raise AssetPropertyError(f"The {field} of an asset is {value!r}.", do="Pass a text.")
            if value is not None and len(value) > most:
                raise AssetPropertyError(
                    f"The {field} of an asset has {len(value):,} characters.", do=f"Use {most:,} at most."
                )
        if self.owners is not None:
            self._check_owners(self.owners)

    def _check_owners(self, owners: Any) -> None:
        if isinstance(owners, str) or not all(isinstance(owner, str) for owner in owners):
            raise AssetPropertyError(f"The owners of an asset are {owners!r}.", do='Pass a list: ["data-team"].')
        if len(owners) > _OWNERS_MAX or max(map(len, owners), default=0) > _OWNER_CHARS_MAX:
            raise AssetPropertyError(
                "An asset has too many owners, or one with a long name.",
                do=f"Use {_OWNERS_MAX} at most, of {_OWNER_CHARS_MAX} characters.",
            )


class Asset(msgspec.Struct, frozen=True):
    """Something that runs make, or rest on: a table, a file, a model.

    Args:
        key: a URI that says where it lies, of at most 512 characters: "s3://bucket/orders.parquet". Nothing is read
            there or written: it is a name.
        properties: what is to be said of it. Those of the newest run that told some are shown, as a whole.

    Raises AssetKeyError, a ValueError, for what is no such URI.

    >>> Asset("s3://bucket/orders.parquet", AssetProperties(name="Orders", owners=["data-team"])).key
    's3://bucket/orders.parquet'
    """

    key: str
    properties: AssetProperties | None = None

    def __post_init__(self) -> None:
        """Refuse what is no key."""
        check_key(self.key)
        if self.properties is not None and not isinstance(self.properties, AssetProperties):
            raise AssetPropertyError(
                f"The properties of {self.key} are {self.properties!r}.", do='Pass AssetProperties(name="...").'
            )

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return self.key

    def add_metadata(self, metadata: Mapping[str, Any]) -> None:
        """The same as `add_asset_metadata(self, metadata)`."""
        add_asset_metadata(self, metadata)


def add_asset_metadata(asset: str | Asset, metadata: Mapping[str, Any]) -> None:
    """Tell something of what the run here makes: how many rows there are, which version of a model it is.

    Args:
        asset: one that the run makes, as its key or as such.
        metadata: what is to be told, by name, as JSON can hold it: at most 64 KiB. Told twice, the later value counts.

    Raises MissingContextError outside of a run below `@materialize`, AssetKeyError for an asset that it does not make,
    and MetadataError for what JSON cannot hold; the last two are ValueErrors.

    >>> from surefoot.assets import materialize
    >>> @materialize("s3://bucket/orders.parquet")
    ... def orders() -> list[int]:
    ...     add_asset_metadata("s3://bucket/orders.parquet", {"rows": 3})
    ...     return [1, 2, 3]
    """
    add_metadata(check_key(getattr(asset, "key", asset)), metadata)
