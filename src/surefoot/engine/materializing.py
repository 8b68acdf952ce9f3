"""Runs that make assets: each tells, as facts, that it began, and what became of it; and runs that rest on some.

Loaded with the first task that names an asset. May import: core, lineage, task_execution.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from surefoot.core.assets import METADATA_BYTES_MAX, UPSTREAM_MAX, AssetKeyError, check_key
from surefoot.core.clock import read_clock
from surefoot.core.errors import BadInput, MissingContextError
from surefoot.core.facts import AssetMaterialized, CheckTold
from surefoot.core.states import CANCELLED, COMPLETED, CRASHED, FAILED, FINAL, RUNNING, SKIPPED
from surefoot.engine.effects import Enter, Outcome, Returned
from surefoot.engine.execution import MESSAGE_CHARS_MAX
from surefoot.engine.lineage import Lineage
from surefoot.engine.scope import current
from surefoot.engine.task_execution import TaskExecution

if TYPE_CHECKING:
    from surefoot.core.assets import How
    from surefoot.engine.flow_execution import FlowExecution

__all__ = [
    "DependentExecution",
    "MaterializingExecution",
    "MetadataError",
    "Recipe",
    "add_metadata",
    "json_of",
    "keys_of",
    "limited",
    "lineage_of",
    "note_check",
    "notes_of",
    "take_notes",
]

_OUTCOMES: Final = {COMPLETED: "completed", FAILED: "failed", CANCELLED: "cancelled", CRASHED: "crashed"}
_NAMED: Final = {SKIPPED: "skipped", "RolledBack": "rolled-back"}
_BEGUN: Final = "begun"
_STAGED: Final = "Staged"  # its transaction decides later
_lock = threading.Lock()


class MetadataError(BadInput, ValueError):
    """Metadata of an asset cannot be kept."""


class Recipe(msgspec.Struct, frozen=True):
    """What a task has to do with assets."""

    assets: tuple[tuple[str, bytes | None], ...] = ()  # those that it makes, each with its properties as JSON
    by: str | None = None
    deps: tuple[str, ...] = ()  # those that it declares to rest on

    @property
    def keys(self) -> tuple[str, ...]:
        """Of those that it makes."""
        return tuple([key for key, _ in self.assets])


class Report:
    """What a call told of the assets that it makes."""

    __slots__ = ("checks", "metadata")

    def __init__(self) -> None:
        self.metadata: dict[str, dict[str, Any]] = {}
        self.checks: list[tuple[str | None, CheckTold]] = []  # None: of all assets of the task


class DependentExecution(TaskExecution):
    """A run of a task that declares to rest on assets."""

    __slots__ = ()

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        if self.flow is not None:
            lineage_of(self.flow).rests_on(self.run_id, _recipe_of(self).deps)


class MaterializingExecution(TaskExecution):
    """A run of a task that makes assets."""

    __slots__ = ("report",)

    report: Report | None  # of the call that is on, or was last

    def __init__(self, *args: Any) -> None:
        self.report = None
        super().__init__(*args)
        if self.flow is not None:
            lineage_of(self.flow).makes(self.run_id, _recipe_of(self).keys)

    def enter(self, effect: Enter) -> None:
        kind, name = effect.state_type, effect.state_name
        if self.sealed:
            return
        if kind in FINAL and name != _STAGED and self.attempt:
            # First the fact of the asset, then that of the run: what is there is known, wherever the process dies.
            outcome = _NAMED.get(name, _OUTCOMES[kind]) if kind is COMPLETED else _OUTCOMES[kind]
            self._tell(outcome, self.n + 1, None if outcome == "completed" else effect.message)
        super().enter(effect)
        if kind is RUNNING:
            self.report = None
            if self.attempt == 1:
                self._tell(_BEGUN, self.n)

    def _tell(self, outcome: str, n: int, message: str | None = None) -> None:
        recipe, flow, report = _recipe_of(self), self.flow, self.report or Report()
        upstream: dict[str, How] = {}
        if outcome != _BEGUN:  # all that is told of what it rests on is told once
            upstream = dict.fromkeys(recipe.deps, "declared")
            upstream |= (Lineage() if flow is None else lineage_of(flow)).upstream(self)
        at_us, mono_us = read_clock()
        for key, properties in recipe.assets:
            told = [(other, how) for other, how in upstream.items() if other != key]
            self.session.recorder.run(
                AssetMaterialized(
                    self.run_id,
                    None if flow is None else flow.run_id,
                    key,
                    at_us,
                    mono_us,
                    outcome,
                    self.epoch,
                    n,
                    self.definition.name,
                    self.new_name or self.run_name,
                    recipe.by,
                    message and message[:MESSAGE_CHARS_MAX],
                    json_of(report.metadata.get(key, {})),
                    tuple([check for of, check in report.checks if of is None or of == key]),
                    tuple(told[:UPSTREAM_MAX]),
                    properties,
                )
            )


def _recipe_of(execution: TaskExecution) -> Recipe:
    recipe = execution.definition.recipe
    assert recipe is not None
    return recipe


def lineage_of(flow: FlowExecution) -> Lineage:
    """What is followed in a flow run; from now on, if something of assets was loaded after it began."""
    found = flow.lineage
    if found is None:
        with _lock:
            found = flow.lineage or Lineage()
            one: FlowExecution | None = flow
            while one is not None:
                one.lineage = found
                one = one.around
    return found


def keys_of(assets: Iterable[Any], what: str) -> tuple[str, ...]:
    """The keys of some assets, given as such or as texts. Raises AssetKeyError."""
    if isinstance(assets, (str, bytes)) or hasattr(assets, "key") or not isinstance(assets, Iterable):
        raise AssetKeyError(f"{what} is {assets!r}.", do=f"Pass a list: [{assets!r}].")
    return tuple(dict.fromkeys([check_key(getattr(asset, "key", asset)) for asset in assets]))


# -- what a call tells


def add_metadata(key: str, metadata: Mapping[str, Any]) -> None:
    """Add to what the innermost run that makes this asset tells of it.

    Raises MissingContextError outside of one, AssetKeyError for an asset that it does not make, and MetadataError.
    """
    if not isinstance(metadata, Mapping) or not all(isinstance(name, str) for name in metadata):
        raise MetadataError(f"The metadata of {key} is {metadata!r}.", do='Pass a dict: {"rows": 1000}.')
    report = _report_of(_run_that_makes(key))
    with _lock:
        both = report.metadata.get(key, {}) | dict(metadata)
        report.metadata[key] = msgspec.json.decode(limited(json_of(both), key))


def _run_that_makes(key: str) -> MaterializingExecution:
    made: list[str] = []
    run = current()
    while run is not None and run.is_task:
        if isinstance(run, MaterializingExecution):
            keys = _recipe_of(run).keys
            if key in keys:
                return run
            made += keys
        elif run.definition.recipe is not None and key in run.definition.recipe.keys:
            raise MissingContextError(
                f"Metadata of {key} was told in a context that was taken elsewhere (hydrated_context).",
                do="Give it back to where the task runs, and add it there.",
            )
        run = run.parent
    if made:
        raise AssetKeyError(f"The run that is on does not make {key}.", do=f"It makes {', '.join(made)}.")
    raise MissingContextError(
        f"Metadata of {key} was told outside of a run that makes it.",
        do=f"Tell it in the function below @materialize({key!r}).",
    )


def _report_of(run: MaterializingExecution) -> Report:
    report = run.report
    if report is None:
        with _lock:
            report = run.report = run.report or Report()
    return report


def note_check(of: str | None, told: CheckTold) -> None:
    """Note what a check said of the value that the run here is about to return."""
    run = current()
    if isinstance(run, MaterializingExecution):
        _report_of(run).checks.append((of, told))


# -- from a child process


class Notes(msgspec.Struct, array_like=True):
    """What a call in a child told of assets."""

    metadata: dict[str, dict[str, Any]]
    checks: list[tuple[str | None, CheckTold]]
    behind: list[str]  # assets that its value comes from
    is_whole: bool  # it is the value of one run within


def notes_of(execution: TaskExecution, outcome: Outcome) -> bytes | None:
    """What the call of a run told of assets; None if nothing."""
    report = execution.report if isinstance(execution, MaterializingExecution) else None
    behind: list[str] = []
    flow, is_whole = execution.flow, False
    if type(outcome) is Returned and flow is not None and flow.lineage is not None:
        behind, is_whole = flow.lineage.told_of(execution, outcome.value)
    if report is None and not behind:
        return None
    report = report or Report()
    return msgspec.msgpack.encode(Notes(report.metadata, report.checks, behind, is_whole))


def take_notes(execution: TaskExecution, notes: bytes) -> None:
    """What a call in a child told, as if it had been called here."""
    told = msgspec.msgpack.decode(notes, type=Notes)
    if isinstance(execution, MaterializingExecution):
        execution.report = report = Report()
        report.metadata, report.checks = told.metadata, told.checks
    if told.behind and execution.flow is not None:
        lineage = lineage_of(execution.flow)
        if told.is_whole:
            lineage.is_of(execution.run_id, keys=told.behind)
        else:
            lineage.rests_on(execution.run_id, told.behind)


def json_of(value: object) -> bytes:
    """Metadata as JSON. Raises MetadataError that names the type that cannot stand in it."""
    try:
        return msgspec.json.encode(value, enc_hook=_plain)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MetadataError(
            f"Metadata of an asset cannot be kept: {error}.", do="Pass numbers, texts, lists."
        ) from None


def limited(metadata: bytes, of: str) -> bytes:
    """The same, if it is not too much for a fact. Raises MetadataError."""
    if len(metadata) > METADATA_BYTES_MAX:
        raise MetadataError(
            f"The metadata of {of} has {len(metadata):,} bytes; {METADATA_BYTES_MAX:,} is the most.",
            do="Keep it elsewhere, as an artifact or a file, and add where.",
        )
    return metadata


def _plain(value: Any) -> Any:
    item = getattr(value, "item", None)  # a number of numpy's
    if item is not None and getattr(value, "shape", None) == ():
        return item()
    raise TypeError(f"a {type(value).__name__} is no JSON")
