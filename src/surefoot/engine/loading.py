"""Loading Python files and modules as they are named by people, without running them as scripts.

May import: core, importable, sources.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
from types import ModuleType

from surefoot.core.errors import EntrypointError, SurefootError
from surefoot.engine.importable import as_script
from surefoot.engine.sources import FLOW_FILE

__all__ = ["has_left", "load_file", "load_module"]


def has_left(what: str, stop: SystemExit) -> EntrypointError:
    """The error that says that a file ended the process while it was loaded."""
    return EntrypointError(
        f"{what}: the file called sys.exit({stop.code!r}) while it was loaded.",
        do='Give it what it asks for, or put what only a script does under `if __name__ == "__main__":`.',
    )


def load_file(path: str) -> ModuleType:
    """The module that a Python file makes, loaded by its own name where that is free, never as `__main__`.

    Raises EntrypointError if it is not there, or cannot be loaded.
    """
    full = os.path.abspath(path)
    if not os.path.isfile(full):
        folder = os.path.dirname(full)
        there = sorted(name for name in _listdir(folder) if name.endswith(".py"))
        near = difflib.get_close_matches(os.path.basename(full), there, n=1)
        hint = f" Did you mean {os.path.join(os.path.dirname(path), near[0])}?" if near else ""
        raise EntrypointError(f"There is no file {path!r} in {os.getcwd()}.{hint}", do="Pass FILE.py:FLOW.")
    name = os.path.splitext(os.path.basename(full))[0]
    folder = os.path.dirname(full)
    # As for a script: what lies beside the file can be imported from it.
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name if _is_free(name, full) else FLOW_FILE + name, full)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        with as_script(spec.name):
            spec.loader.exec_module(module)
    except SurefootError:
        del sys.modules[spec.name]
        raise
    except SystemExit as stop:
        del sys.modules[spec.name]
        raise has_left(path, stop) from stop
    except Exception as error:
        del sys.modules[spec.name]
        raise EntrypointError(
            f"{path} cannot be loaded: {type(error).__name__}: {error}", do=f"Run `python {path}` to see where."
        ) from error
    return module


def _is_free(name: str, path: str) -> bool:
    """Whether a file may be loaded as a module of that name without being taken for another: `json.py` may not."""
    known = sys.modules.get(name)
    if known is not None:
        return getattr(known, "__file__", None) == path
    if not name.isidentifier() or name in sys.stdlib_module_names:
        return False
    other = importlib.util.find_spec(name)
    return other is None or other.origin == path


def _listdir(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def load_module(name: str) -> ModuleType:
    """The module of that name; what lies in the working directory can be imported too.

    Raises EntrypointError if it cannot be imported.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except SurefootError:
        raise
    except SystemExit as stop:
        raise has_left(name, stop) from stop
    except Exception as error:
        raise EntrypointError(
            f"Module {name!r} cannot be imported: {type(error).__name__}: {error}.",
            do="Pass FILE.py:FLOW or module:FLOW.",
        ) from error
