"""The flow run that code is in, as attributes of this module: `id`, `name` ... Outside of one: None, or empty.

May import: core, engine.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from surefoot.core.ids import instant_us, to_text
from surefoot.engine.scope import current
from surefoot.runtime.fields import answer, listed

if TYPE_CHECKING:
    from surefoot.engine.flow_execution import FlowExecution

    # What a type checker sees; at run time each is looked up when asked for.
    id: str | None
    tags: list[str]
    scheduled_start_time: datetime | None
    name: str | None
    flow_name: str | None
    parameters: dict[str, Any]
    parent_flow_run_id: str | None
    parent_deployment_id: str | None
    root_flow_run_id: str | None
    run_count: int
    api_url: str | None
    ui_url: str | None
    flow_version: str | None
    job_variables: dict[str, Any] | None


def _flow() -> FlowExecution | None:
    execution = current()
    return None if execution is None else execution.flow


def _of(ask: Callable[[FlowExecution], Any], otherwise: Any = None) -> Callable[[], Any]:
    def asked() -> Any:
        flow = _flow()
        return otherwise if flow is None else ask(flow)

    return asked


def _parent_id(flow: FlowExecution) -> str | None:
    return None if flow.parent_id is None else to_text(flow.parent_id)


def _created(flow: FlowExecution) -> datetime:
    return datetime.fromtimestamp(instant_us(flow.run_id) / 1e6, UTC)


_FIELDS: Final[dict[str, tuple[type, Callable[[], Any]]]] = {
    "id": (str, _of(lambda flow: to_text(flow.run_id))),
    "tags": (list, lambda: _of(lambda flow: sorted(flow.tags), [])()),
    "scheduled_start_time": (datetime, _of(_created)),
    "name": (str, _of(lambda flow: flow.new_name or flow.run_name)),
    "flow_name": (str, _of(lambda flow: flow.definition.name)),
    "parameters": (dict, lambda: dict(_of(lambda flow: flow.parameters(), {})())),
    "parent_flow_run_id": (str, _of(_parent_id)),
    "parent_deployment_id": (str, _of(lambda flow: None)),
    "root_flow_run_id": (str, _of(lambda flow: to_text(flow.root_id))),
    "run_count": (int, _of(lambda flow: flow.run_count, 0)),
    "api_url": (str, lambda: None),
    "ui_url": (str, lambda: None),
    "flow_version": (str, _of(lambda flow: flow.version)),
    "job_variables": (dict, lambda: None),
}


def __getattr__(name: str) -> Any:
    return answer("flow_run", _FIELDS, name)


def __dir__() -> list[str]:
    return listed(_FIELDS, globals())
