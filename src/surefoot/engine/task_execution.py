"""A task run in the hands of this process. May import: execution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from surefoot.core.facts import ResultAt, RunFact, TaskRunCreated
from surefoot.core.states import COMPLETED
from surefoot.engine import scope
from surefoot.engine.effects import Enter, Held, Outcome, Verdict
from surefoot.engine.execution import Execution
from surefoot.engine.inputs import PLAIN
from surefoot.engine.kept import keep_as
from surefoot.engine.lifecycle import Life, task_life
from surefoot.engine.runs import Run, TaskRun
from surefoot.engine.scope import current
from surefoot.engine.session import session
from surefoot.results.asking import Persistence, tell_here
from surefoot.results.pickling import PLAIN as SMALL

if TYPE_CHECKING:
    from surefoot.engine.definition import Definition
    from surefoot.engine.limiting import SlotUse
    from surefoot.engine.transactions import TaskTransaction
    from surefoot.results.cached import Hit
    from surefoot.results.persistence import CachedAt

__all__ = ["TaskExecution"]


class TaskExecution(Execution):
    """One run of a task."""

    is_task = True
    view: ClassVar[type[Run]] = TaskRun

    __slots__ = ("cache", "index", "limits", "map_id", "retries", "task_key", "transaction")

    retries: int
    limits: SlotUse | None  # what it makes of the limits that its tags have

    def __init__(
        self,
        task: Definition,
        key: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any = None,
        map_id: bytes | None = None,
    ) -> None:
        if not task.fits(args, kwargs):
            task.bind(args, kwargs)
        parent = current()
        self.transaction: TaskTransaction | None = None  # if it is in one, has hooks for that, or asks for it
        super().__init__(task, args, kwargs, parent, session() if parent is None else parent.session)
        self.task_key = key
        self.map_id = map_id
        if self.transaction is not None:
            self.context.run(scope.transact, self.transaction)
        flow = self.flow
        self.index = 0
        if flow is not None:
            self.index = flow.next_index(key)
            if flow.keys is not None:
                flow.keys.identify(self, args, kwargs)
                if flow._earlier_runs:
                    flow.take_up(self)
        # Three digits tell runs of a small flow apart at a glance; their id tells all apart.
        self.run_name = f"{task.name}-{self.run_id.hex()[-3:]}"
        if wait_for is not None or kwargs or not PLAIN.issuperset(map(type, args)):
            self.look_for_inputs(wait_for)
        if task._bound and task.is_of_instance:
            self.is_mutable = True
        if task.run_name is not None and self.references is None:
            self.run_name = task.run_name_for(self.parameters())

    def begin(self) -> Life:
        flow = self.flow
        self.limits = None
        if flow is not None and flow.resuming is not None and flow.resuming.replay is not None:
            self.retries, self.cache = 0, None
            return task_life(flow.resuming.replay.rules, resumes=True)
        if self.definition.isolation is not None:
            from surefoot.engine.pickling import check_rows

            check_rows(self.definition, [(self.args, self.kwargs)])
        rules = self.definition.rules(self.session.settings)
        around = scope.transaction()
        if around is not None or rules.transacts:
            from surefoot.engine.transactions import TaskTransaction

            self.transaction = TaskTransaction(self, around)
        self.retries = rules.attempts - 1
        caching = self.definition.caching
        self.cache = None if caching is None else caching.use(self)
        if self.tags:
            from surefoot.engine.limiting import slots_for

            self.limits = slots_for(self)
        return task_life(
            rules,
            self._keeps(),
            flow is not None and flow.resuming is not None,
            caching is not None,
            self,
            self.limits is not None,
        )

    def _keeps(self) -> bool:
        flow = self.flow
        return (flow is not None and flow.keeper is not None) or self.persistence.persist

    def keeps_at_once(self, value: object) -> bool:
        """Whether keeping this value takes no time to speak of, and changes nothing of the run's end."""
        definition = self.definition
        if self.persistence.persist or definition.isgenerator or not definition.cache_result_in_memory:
            return False
        return not definition.isasync or type(value) in SMALL  # what takes time is not to hold an event loop up

    # -- in a transaction

    def keep_committed(self, verdict: Verdict) -> Verdict:
        """Keep the value, now that it is committed. Its verdict is FAILED if that was asked for and cannot be done."""
        assert self.transaction is not None
        return keep_as(self, verdict, *self.transaction.keepable) if self._keeps() else verdict

    def forget_kept(self, why: str) -> None:
        """What was kept counts for nothing, and is removed where somebody asked for it to be stored."""
        at, self.result, self.unkept = self.result, None, why
        if at is not None and self.persistence.persist:
            from surefoot.results.persistence import forget

            forget(at)

    def settled_late(self, name: str, message: str | None, data: Any) -> None:
        """The transaction around it was committed or rolled back, after it had ended itself."""
        self.enter(Enter(COMPLETED, name, message, data))
        super().finished()

    def finished(self) -> None:
        if self.cache is not None:
            self.cache.let_go()  # if it broke off before it came to that itself
        if self.limits is not None:
            self.limits.give_back()  # likewise
        transaction = self.transaction
        if transaction is None or not transaction.is_left_to_others():
            Execution.finished(self)
        elif self.ended is not None:  # its arguments and its context may be needed yet
            self.ended(self)

    # -- in a cache

    def find_cached(self) -> Verdict | Held | str:
        """The value that the cache of its task has for it; else why there is none."""
        assert self.cache is not None
        return self.cache.look_up()

    def let_go(self) -> None:
        """Whatever it holds of a cache is free for others."""
        if self.cache is not None:
            self.cache.let_go()

    def take_from_cache(self, hit: Hit) -> None:
        """Its value is that which another run stored."""
        if self.is_mutable:
            self._take_fingerprint()
        by = UUID(hit.record.run_id).bytes if hit.record.run_id else None
        at = hit.at
        self.result = ResultAt(
            at.place, 0, at.length, at.serializer, self.definition.source, self.epoch, self.made_from(), by
        )
        if self.flow is not None:
            self.flow.links.add(hit.value, self.run_id)
            if self.flow.lineage is not None:
                self.flow.lineage.gave(self, hit.value)

    def cached_at(self) -> CachedAt | None:
        cache = self.cache
        if cache is None or cache.key is None:
            return None
        from surefoot.results.persistence import CachedAt

        return CachedAt(cache.key, cache.until_us(), cache.name, cache.caching.key_storage)

    def notes(self, outcome: Outcome) -> bytes | None:
        """In another process: what its call told of assets, and which its value comes from, for its owner."""
        if self.definition.recipe is None and (self.flow is None or self.flow.lineage is None):
            return None
        from surefoot.engine.materializing import notes_of

        return notes_of(self, outcome)

    def take_notes(self, notes: bytes) -> None:
        """What its call in another process told of assets."""
        from surefoot.engine.materializing import take_notes

        take_notes(self, notes)

    def keep_little_of(self, error: BaseException) -> None:
        if self.map_id is not None and self.flow is not None:
            self.flow.shared_frames.failed(self.map_id, error)

    def created(self, at_us: int, mono_us: int, effect: Enter) -> RunFact:
        parent, flow, task = self.parent, self.flow, self.definition
        return TaskRunCreated(
            self.run_id,
            None if flow is None else flow.run_id,
            self.task_key,
            task.name,
            self.run_name,
            at_us,
            mono_us,
            effect.state_type,
            effect.state_name,
            self.epoch,
            self.index,
            parent.run_id if parent is not None and parent.is_task else None,
            task.version,
            tuple(sorted(self.tags)) if self.tags else (),
            self.inputs,
            self.map_id,
            self.retries,
            self.run_key,
            None,
            self.unkeyed,
        )


def _persistence_here() -> Persistence | None:
    here = current()
    return None if here is None else here.persistence


tell_here(_persistence_here)
