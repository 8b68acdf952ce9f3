"""Keeping what a run completes with: for resuming, in a pack; where somebody asked for it, in a storage.

The value comes first, then the fact that names its place. May import: results, core, effects, telling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from surefoot.core.errors import ResultNotStored
from surefoot.core.facts import ResultAt
from surefoot.core.states import COMPLETED, FAILED
from surefoot.engine import telling
from surefoot.engine.effects import Keep, Verdict

if TYPE_CHECKING:
    from surefoot.engine.execution import Execution

__all__ = ["check_storage", "keep", "keep_as", "keep_at_once", "keepable"]


def keep(run: Execution, effect: Keep) -> Verdict:
    """Keep the value that a run completes with."""
    return keep_as(run, effect.verdict, *keepable(run))


def keep_at_once(run: Execution, value: object) -> None:
    """Keep it for resuming alone: of the state that follows, that changes nothing but where the value lies."""
    flow, definition = run.flow, run.definition
    assert flow is not None
    if run.inputs or run.made_of or run.before is not None:
        inputs, run.unkept = keepable(run)
        if run.unkept is not None:
            return
    else:  # as of most
        inputs = run.unkept = None
    assert flow.keeper is not None
    kept = flow.keeper.keep(value, definition._source or definition.source, run.epoch, inputs)
    if type(kept) is ResultAt:
        run.result = kept
    else:
        assert type(kept) is str
        run.unkept = kept


def keepable(run: Execution) -> tuple[bytes | None, str | None]:
    """What the value that is there now was made from; and why it cannot be taken for that, if so."""
    if run.definition.isgenerator:
        return None, "it is a generator, whose values are handed on one by one"
    inputs = run.made_from() if run.inputs or run.made_of else None
    if run.before is not None and run.fingerprint() != run.before:
        return inputs, "it changes its inputs in place, which others may rely on"
    return inputs, None


def check_storage(run: Execution) -> None:
    """Before a run that is to be stored calls anything: raise what is known to keep it from that."""
    from surefoot.results import persistence

    persistence.check_storage(run.persistence, run.session.settings, run.definition.name)


def keep_as(run: Execution, verdict: Verdict, inputs: bytes | None, unkept: str | None) -> Verdict:
    """Keep it, as `keepable` says."""
    definition, keeper = run.definition, None if run.flow is None else run.flow.keeper
    run.unkept = unkept
    if unkept is not None and (definition.isgenerator or not run.persistence.persist):
        return verdict
    kept: ResultAt | str | None
    if not run.persistence.persist:
        assert keeper is not None
        kept = keeper.keep(verdict.data, definition.source, run.epoch, inputs)
    else:
        from surefoot.results.persistence import keep_for

        try:
            kept = keep_for(
                definition.asks,
                run.persistence,
                keeper,
                verdict.data,
                settings=run.session.settings,
                run_id=run.run_id,
                name=definition.name,
                source=definition.source,
                epoch=run.epoch,
                inputs=inputs,
                key_fields=run.key_fields,
                cached=run.cached_at(),
            )
        except ResultNotStored as error:
            if run.session.settings.get("results.on_store_error") == "fail":
                return Verdict(FAILED, "Failed", error.what, error)
            kept = f"{error.what[0].lower()}{error.what[1:].rstrip('.')}"
            telling.not_stored(run, kept)
    if isinstance(kept, str):
        run.unkept = kept
    else:
        run.result = kept
        if kept is not None and not definition.cache_result_in_memory:
            cached = run.cached_at()
            key = None if cached is None else cached.key
            from surefoot.results.persistence import stored_at

            stored = stored_at(kept, run.session.settings, run.run_id, key)
            return Verdict(COMPLETED, verdict.state_name, verdict.message, stored)
    return verdict
