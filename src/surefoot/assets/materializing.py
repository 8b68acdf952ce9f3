"""Tasks that make assets: `@materialize`. May import: tasks, engine, core."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

import msgspec

from surefoot.assets.asset import Asset
from surefoot.assets.checks import Check, Checked, CheckError, checks_of
from surefoot.core.assets import AssetKeyError
from surefoot.engine.definition import BadInputType
from surefoot.engine.materializing import MaterializingExecution, Recipe
from surefoot.tasks import Task

__all__ = ["MaterializingTask", "materialize"]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class MaterializingTask(Task[P, R]):
    """A task that makes assets. The arguments are those of `materialize`, and of `task`."""

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        assets: Iterable[str | Asset],
        materialized_by: str | None = None,
        checks: Iterable[Callable[..., Any] | Check] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(fn, **options)
        what = f"task {self.name!r}"
        if isinstance(assets, (str, Asset)):
            raise AssetKeyError(f"assets of {what} is {assets!r}.", do=f"Pass a list: [{assets!r}].")
        self.assets: list[Asset] = [one if isinstance(one, Asset) else Asset(one) for one in assets]
        if not self.assets:
            raise BadInputType(
                f"@materialize of {what} names no asset.", do='Name what it makes: @materialize("s3://bucket/orders").'
            )
        keys = tuple([asset.key for asset in self.assets])
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise AssetKeyError(f"@materialize of {what} names {twice} twice.", do="Name it once.")
        if materialized_by is not None and (not isinstance(materialized_by, str) or len(materialized_by) > 200):
            raise BadInputType(f"by of {what} is {materialized_by!r}.", do='Pass a short text: by="dbt".')
        self.materialized_by = materialized_by
        self.checks = checks_of(checks, keys, what)
        if self.checks:
            if self.isgenerator:
                raise CheckError(
                    f"{what.capitalize()} yields its values one by one, so there is none to check.",
                    do="Return a list, or check within the function.",
                )
            self.body = Checked(self.fn, self.checks, keys, self.isasync)
        self._options |= {"assets": tuple(self.assets), "checks": self.checks}  # what came may be exhausted now
        told = tuple([(asset.key, _told(asset)) for asset in self.assets])
        self.recipe = Recipe(told, materialized_by, () if self.recipe is None else self.recipe.deps)
        self.execution_type = MaterializingExecution

    @classmethod
    def _known_options(cls) -> Mapping[str, Any]:
        return {**(Task.__init__.__kwdefaults__ or {}), "assets": None, "materialized_by": None, "checks": None}


def _told(asset: Asset) -> bytes | None:
    return None if asset.properties is None else msgspec.json.encode(asset.properties)


def materialize(
    *assets: str | Asset,
    by: str | None = None,
    checks: Iterable[Callable[..., Any] | Check] | None = None,
    **options: Any,
) -> Callable[[Callable[P, R]], MaterializingTask[P, R]]:
    """Make a function a task that makes assets: each run of it is recorded as a materialization of them.

    Assets that its inputs come from, over any number of tasks in between, are its upstream; others are named by
    `asset_deps`. A result that is taken from a cache, or from an earlier attempt of the flow run, made nothing anew.

    Args:
        assets: what it makes: keys ("s3://bucket/orders.parquet") or `Asset`.
        by: the tool that makes it, if that is another: "dbt".
        checks: functions of the value that it gives, or such with `check`. One that refuses it has the run fail, and
            what waits for it does not run.
        options: those of `task`.

    Raises TypeError if no asset is named, and AssetKeyError, a ValueError, for a key that is none.

    >>> @materialize("s3://bucket/orders.parquet", retries=2)
    ... def orders() -> list[int]:
    ...     return [1, 2, 3]
    >>> orders
    <Task 'orders'>
    """
    if not assets or (callable(assets[0]) and not isinstance(assets[0], Asset)):
        raise BadInputType(
            "@materialize names no asset.", do='Name what the task makes: @materialize("s3://bucket/orders").'
        )
    whole = {**options, "assets": assets, "materialized_by": by, "checks": checks}
    MaterializingTask._check_options(whole, "@materialize")
    return lambda fn: MaterializingTask(fn, **whole)
