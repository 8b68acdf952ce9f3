"""The task run that code is in, as attributes of this module: `id`, `name` ... Outside of one: None, or empty.

May import: core, engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from surefoot.core.ids import to_text
from surefoot.engine.scope import current
from surefoot.runtime.fields import answer, listed

if TYPE_CHECKING:
    from surefoot.engine.execution import Execution

    # What a type checker sees; at run time each is looked up when asked for.
    id: str | None
    tags: list[str]
    name: str | None
    parameters: dict[str, Any]
    run_count: int
    task_name: str | None
    api_url: str | None
    ui_url: str | None


def _of(ask: Callable[[Execution], Any], otherwise: Any = None) -> Callable[[], Any]:
    def asked() -> Any:
        execution = current()
        return otherwise if execution is None or not execution.is_task else ask(execution)

    return asked


_FIELDS: Final[dict[str, tuple[type, Callable[[], Any]]]] = {
    "id": (str, _of(lambda run: to_text(run.run_id))),
    "tags": (list, lambda: _of(lambda run: sorted(run.tags), [])()),
    "name": (str, _of(lambda run: run.new_name or run.run_name)),
    "parameters": (dict, lambda: dict(_of(lambda run: run.parameters(), {})())),
    "run_count": (int, _of(lambda run: run.run_count, 0)),
    "task_name": (str, _of(lambda run: run.definition.name)),
    "api_url": (str, lambda: None),
    "ui_url": (str, lambda: None),
}


def __getattr__(name: str) -> Any:
    return answer("task_run", _FIELDS, name)


def __dir__() -> list[str]:
    return listed(_FIELDS, globals())
