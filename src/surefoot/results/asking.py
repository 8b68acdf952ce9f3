"""Asking: what decorators, the run around and the settings say about storing the result of a run as an object.

What a decorator says comes first; then, for a task, `tasks.default_persist_result`; then the run around it; then
`results.persist_by_default`. Serializers and storages are loaded by those decorators alone that name one.
May import: core; objects and serializing late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from surefoot.core.errors import BadInput, TemplateError
from surefoot.core.settings import Settings

if TYPE_CHECKING:
    from datetime import timedelta

    from surefoot.results.serializing import Serializer

__all__ = ["NOTHING_ASKED", "Asked", "Persistence", "asked", "check_key", "persistence_here", "tell_here"]

_TTL_MAX_S: Final = 100 * 366 * 86_400  # a hundred years
_KEY_ROOTS: Final = ("parameters", "task_run", "flow_run")


class Persistence:
    """What counts for one run: `persist`; the address of the storage, the serializer and how long it is stored, in
    microseconds. None: as the settings say.
    """

    __slots__ = ("is_far", "persist", "serializer", "storage", "ttl_us")

    def __init__(
        self, persist: bool, storage: str | None, serializer: Serializer | None, ttl_us: int | None = None
    ) -> None:
        self.persist = persist
        self.storage = storage
        self.serializer = serializer
        self.ttl_us = ttl_us
        self.is_far = storage is not None and "://" in storage  # the time of a network may pass

    @classmethod
    def by_default(cls, settings: Settings) -> Persistence:
        """That of an outermost run which says nothing itself."""
        default = cls(bool(settings.get("results.persist_by_default")), None, None)
        default.is_far = "://" in (settings.get("results.default_storage") or "")
        return default


_here: Callable[[], Persistence | None] | None = None


def tell_here(ask: Callable[[], Persistence | None]) -> None:
    """For whoever knows the run that code is in: what counts for that, None outside of runs."""
    global _here
    _here = ask


def persistence_here() -> Persistence | None:
    """What counts for the run that this code is in; None outside of runs."""
    return None if _here is None else _here()


class Asked:
    """What a decorator says: `persist_result`, `result_storage`, `result_serializer`, `result_storage_key`,
    `result_ttl`.
    """

    __slots__ = ("key", "persist", "serializer", "storage", "ttl_us")

    def __init__(
        self,
        persist: bool | None,
        storage: str | None,
        serializer: Serializer | None,
        key: str | None,
        ttl_us: int | None = None,
    ) -> None:
        self.persist = persist
        self.storage = storage
        self.serializer = serializer
        self.key = key
        self.ttl_us = ttl_us

    def in_force(self, around: Persistence | None, settings: Settings, *, is_task: bool) -> Persistence:
        """What counts for a run, within a run for which `around` counts; None for an outermost one."""
        if around is None:
            around = Persistence.by_default(settings)
        persist = self.persist
        if is_task and persist is None:
            persist = settings.get("tasks.default_persist_result")
        if persist is None and self is NOTHING_ASKED:
            return around
        found = Persistence(
            around.persist if persist is None else persist,
            self.storage or around.storage,
            self.serializer or around.serializer,
            around.ttl_us if self.ttl_us is None else self.ttl_us,
        )
        found.is_far = found.is_far or (found.storage is None and around.is_far)
        return found


NOTHING_ASKED: Final = Asked(None, None, None, None)


def asked(
    persist_result: bool | None,
    result_storage: Any,
    result_serializer: Any,
    result_storage_key: str | None = None,
    result_ttl: timedelta | float | None = None,
    *,
    parameters: tuple[str, ...] | None = None,
    owner: str = "",
) -> Asked:
    """What the arguments of a decorator ask for. Raises BadInput for what cannot be used.

    Args:
        persist_result, result_storage, result_serializer, result_storage_key, result_ttl: as the user wrote them.
        parameters: the names of the function's parameters; None where any may come.
        owner: whose they are, for messages: "task 'load'".
    """
    where = [result_storage, result_serializer, result_storage_key, result_ttl]
    if persist_result is None and all(option is None for option in where):
        return NOTHING_ASKED
    if persist_result is not None and not isinstance(persist_result, bool):
        raise ResultOptionError(f"persist_result of {owner} is {persist_result!r}.", do="Pass True or False.")
    if persist_result is False and any(option is not None for option in where):
        raise ResultOptionError(
            f"{owner} has persist_result=False, and says where or how its result is stored.",
            do="Leave one of them out.",
        )
    storage = serializer = None
    if result_storage is not None:
        from surefoot.results.places import address_of

        storage = address_of(result_storage)
    if result_serializer is not None:
        from surefoot.results.serializing import resolve_serializer

        serializer = resolve_serializer(result_serializer)
    if result_storage_key is not None:
        check_key(result_storage_key, parameters, owner)
    persist = True if any(option is not None for option in where) else persist_result
    return Asked(persist, storage, serializer, result_storage_key, _ttl_us(result_ttl, owner))


def _ttl_us(ttl: Any, owner: str) -> int | None:
    """How long a result is stored, in microseconds. Raises BadInput for what is no length of time."""
    if ttl is None:
        return None
    seconds = ttl.total_seconds() if hasattr(ttl, "total_seconds") else ttl
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 < seconds < _TTL_MAX_S:
        raise ResultOptionError(
            f"result_ttl of {owner} is {ttl!r}.", do="Pass a timedelta, or a number of seconds above 0."
        )
    return int(seconds * 1e6)


class ResultOptionError(BadInput, ValueError):
    """Options of a decorator about results that contradict each other, or are of the wrong type."""


def check_key(template: str, parameters: tuple[str, ...] | None, owner: str) -> None:
    """Refuse a `result_storage_key` that can never be filled in. Raises TemplateError."""
    if not isinstance(template, str) or not template.strip():
        raise TemplateError(
            f"result_storage_key of {owner} is {template!r}.", do='Pass a text: "report-{parameters[day]}".'
        )
    import string  # a door: most results have no key

    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise TemplateError(
            f"result_storage_key {template!r} is no template: {error}.", do="Write {{ for a brace."
        ) from None
    for field in fields:
        root, _, rest = field.partition("[")
        name = rest.partition("]")[0]
        if root.partition(".")[0] not in _KEY_ROOTS or (root == "parameters" and not name):
            raise TemplateError(
                f"result_storage_key {template!r} of {owner} names {{{field}}}.",
                do="Use {parameters[NAME]}, {task_run.name} or {flow_run.name}.",
            )
        if root == "parameters" and parameters is not None and name not in parameters:
            there = ", ".join(f"{{parameters[{it}]}}" for it in parameters) or "none: it has no parameters"
            raise TemplateError(
                f"result_storage_key {template!r} of {owner} names {{{field}}}, no parameter.",
                do=f"Use the parameters that it has: {there}.",
            )
