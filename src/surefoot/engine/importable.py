"""What another process can import: whether a thing is found there under its module's and its own name.

May import: sources.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from surefoot.engine.sources import FLOW_FILE

__all__ = ["adopt_scripts", "as_script", "import_named", "is_module_importable", "is_script", "scripts", "standing_at"]

_known: dict[str, bool] = {}
_scripts = ["__main__"]


@contextmanager
def as_script(name: str) -> Iterator[None]:
    """While the body runs, a module is one whose code may run flows, and that other processes must not import."""
    _scripts.append(name)
    try:
        yield
    finally:
        _scripts.remove(name)


def is_script(name: str) -> bool:
    """Whether a module is run here, and never imported by other processes."""
    return name in _scripts or name.startswith(FLOW_FILE)


def scripts() -> list[str]:
    """The modules that are run here at the moment."""
    return [*_scripts]


def adopt_scripts(names: Iterable[str]) -> None:
    """In a child process: those of its owner."""
    _scripts[:] = names


def is_module_importable(name: str) -> bool:
    """Whether a process with the same path would import the module that is loaded here under that name.

    >>> is_module_importable("json"), is_module_importable("__main__")
    (True, False)
    """
    module = sys.modules.get(name)
    if module is None or is_script(name):
        return False
    found = _known.get(name)
    if found is None:
        found = _known[name] = _look(name, getattr(module, "__file__", None))
    return found


def _look(name: str, file: str | None) -> bool:
    package, _, _ = name.rpartition(".")
    if package and not is_module_importable(package):
        return False
    path = getattr(sys.modules[package], "__path__", None) if package else None
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = None if find is None else find(name, path, None)
        if spec is not None:
            return file is None or spec.origin == file
    return False


def standing_at(module: str, qualname: str) -> Any:
    """What stands here under that name; None if nothing does."""
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = _named(found, part)
    return found


def import_named(module: str, qualname: str) -> Any:
    """What stands under that name, in a module that may have to be imported first."""
    importlib.import_module(module)
    found = standing_at(module, qualname)
    if found is None:
        raise AttributeError(f"module {module!r} has no {qualname!r}")
    return found


def _named(owner: Any, name: str) -> Any:
    # A class is looked into as it is written: what it hands out is bound to it, and another object each time.
    return vars(owner).get(name) if isinstance(owner, type) else getattr(owner, name, None)
