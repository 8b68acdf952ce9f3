"""The deployment that the run was started by, as attributes of this module. A run that code started itself has none.

May import: core, engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from surefoot.runtime.fields import answer, listed

if TYPE_CHECKING:
    # What a type checker sees; at run time each is looked up when asked for.
    id: str | None
    flow_run_id: str | None
    parameters: dict[str, Any]
    name: str | None
    version: str | None

_FIELDS: Final[dict[str, tuple[type, Callable[[], Any]]]] = {
    "id": (str, lambda: None),
    "flow_run_id": (str, lambda: None),
    "parameters": (dict, dict),
    "name": (str, lambda: None),
    "version": (str, lambda: None),
}


def __getattr__(name: str) -> Any:
    return answer("deployment", _FIELDS, name)


def __dir__() -> list[str]:
    return listed(_FIELDS, globals())
