"""Limits, by the methods that scripts know of the client. May import: client, core."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from surefoot.client.asking import PAGE, Asking, all_of, part_of
from surefoot.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
    checked_action,
)
from surefoot.core.limits import TAG, LimitOptionError, checked_count, checked_name, decay_us
from surefoot.core.wire import ConcurrencyLimit, Limit

__all__ = ["LimitCalls"]


class LimitCalls(Asking):
    """What can be asked of limits. What waits for slots and takes them is `surefoot.concurrency`."""

    def create_global_concurrency_limit(
        self, concurrency_limit: GlobalConcurrencyLimitCreate | dict[str, Any]
    ) -> Limit:
        """Make a limit. Raises AlreadyExists if there is one of that name, and BadInput for what cannot be."""
        wanted = checked_action(concurrency_limit, GlobalConcurrencyLimitCreate)
        _refuse_holding(wanted.active_slots)
        return self._client.set_limit(
            checked_name(wanted.name),
            checked_count(wanted.limit, "limit"),
            interval_us=_interval_us(wanted.slot_decay_per_second),
            active=wanted.active,
            new=True,
        )

    def update_global_concurrency_limit(
        self, name: str, concurrency_limit: GlobalConcurrencyLimitUpdate | dict[str, Any]
    ) -> Limit:
        """Change a limit. Raises NotFound, and BadInput for what cannot be."""
        wanted = checked_action(concurrency_limit, GlobalConcurrencyLimitUpdate)
        before = self._client.find_limit(name)
        if wanted.name not in (None, name):
            raise LimitOptionError(
                f"The limit {name!r} was to be called {wanted.name!r}: a limit keeps its name.",
                do="Make another, and delete this one.",
            )
        _refuse_holding(wanted.active_slots)
        decay = wanted.slot_decay_per_second
        slots = before.limit if wanted.limit is None and decay is not None else wanted.limit
        return self._client.set_limit(
            name,
            None if slots is None else checked_count(slots, "limit"),
            interval_us=_interval_us(decay),
            active=wanted.active,
            keeps_rate=decay is None,
        )

    def upsert_global_concurrency_limit_by_name(self, name: str, limit: int) -> Limit:
        """Make a limit with so many slots, or give one that is there so many."""
        return self._client.set_limit(checked_name(name), checked_count(limit, "limit"))

    def delete_global_concurrency_limit_by_name(self, name: str) -> None:
        """Delete a limit. Whoever waits for it goes on. Raises NotFound."""
        self._client.delete_limit(name)

    def read_global_concurrency_limit_by_name(self, name: str) -> Limit:
        """The limit of that name. Raises NotFound."""
        return self._client.find_limit(name)

    def read_global_concurrency_limits(self, limit: int | None = None, offset: int = 0) -> list[Limit]:
        """Limits, by name, those of tags too."""
        return part_of(self._limits(), limit, offset)

    # -- limits of tags

    def create_concurrency_limit(self, tag: str, concurrency_limit: int) -> ConcurrencyLimit:
        """Let so many tasks with this tag run at once; one that has a limit gets this one."""
        if not isinstance(tag, str) or not tag.strip():
            raise LimitOptionError(f"The tag of a limit is {tag!r}.", do='Pass a text, such as "gpu".')
        slots = checked_count(concurrency_limit, "concurrency_limit")
        return self._of_tag(self._client.set_limit(checked_name(f"{TAG}{tag}"), slots))

    def read_concurrency_limit_by_tag(self, tag: str) -> ConcurrencyLimit:
        """The limit of a tag, and who holds its slots. Raises NotFound."""
        return self._of_tag(self._client.find_limit(f"{TAG}{tag}"))

    def read_concurrency_limits(self, limit: int | None = None, offset: int = 0) -> list[ConcurrencyLimit]:
        """The limits of tags, by the tag."""
        of_tags = (each for each in self._limits() if each.name.startswith(TAG))
        return [self._of_tag(each) for each in part_of(of_tags, limit, offset)]

    def delete_concurrency_limit_by_tag(self, tag: str) -> None:
        """Delete the limit of a tag. Whoever waits for it goes on. Raises NotFound."""
        self._client.delete_limit(f"{TAG}{tag}")

    def _limits(self) -> Iterator[Limit]:
        return all_of(lambda after: self._client.limits(limit=PAGE, after=after))

    def _of_tag(self, found: Limit) -> ConcurrencyLimit:
        holders = all_of(lambda after: self._client.limit_places(found.name, limit=PAGE, after=after))
        return ConcurrencyLimit(
            tag=found.name.removeprefix(TAG),
            concurrency_limit=found.limit,
            active_slots=[each.run_id for each in holders if each.run_id is not None and each.state == "held"],
            created=found.created,
            updated=found.updated,
        )


def _interval_us(decay: float | None) -> int | None:
    return decay_us(decay, "slot_decay_per_second") if decay else None


def _refuse_holding(slots: int | None) -> None:
    if slots:
        raise LimitOptionError(
            f"active_slots is {slots}: slots are held by those who take them.",
            do="Leave it out; see who holds some: surefoot limit holders NAME",
        )
