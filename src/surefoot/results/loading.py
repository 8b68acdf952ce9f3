"""Loading what was kept or stored: a value, or the reason why it does not come back.

May import: core, packs; objects late.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from threading import Lock
from types import ModuleType
from typing import Any, BinaryIO, Final

from surefoot.core.errors import TerminationSignal
from surefoot.core.facts import ResultAt
from surefoot.core.ids import to_text
from surefoot.results.packs import is_pack, missing, open_pack, read_value
from surefoot.results.pickling import unpickled, why_not

__all__ = ["Loader", "load"]

_OPEN_MAX: Final = 8  # packs that a loader has open at a time


class Loader:
    """Loads the results of one resumed run, many from the same packs. For any thread.

    Args:
        home_path: the Surefoot home.
        main_module: the module that the flow's file is loaded as now: classes and functions that were the script's own
            (`__main__`) when a result was kept are found there.
        stand_ins: have classes that are not found stood in for by some that only show what they were.
    """

    def __init__(self, home_path: str, main_module: ModuleType | None = None, *, stand_ins: bool = False) -> None:
        self._stand_ins = stand_ins
        self._home_path = os.path.abspath(os.path.expanduser(home_path))
        self._main_module = main_module
        self._lock = Lock()
        self._files: OrderedDict[str, BinaryIO] = OrderedDict()

    def load(self, at: ResultAt, run_id: str = "", cache_key: str | None = None) -> Any:
        """The value at that place. Raises MissingResult, which says why it is not to be had.

        With `run_id`, the id of the run whose it is, an object that another run has stored over it is a miss, unless
        it stored it under that cache key.
        """
        if not is_pack(at.place):
            from surefoot.results.objects import read_object

            return read_object(at.place, run_id=_stored_by(at, run_id), cache_key=cache_key)[0]
        if at.serializer != "pickle":
            raise missing(at.place, f"it was written by the serializer {at.serializer!r}, which is not known here")
        with self._lock:
            raw = read_value(self._file(at.place), at)
        try:
            return unpickled(raw, self._main_module, stand_ins=self._stand_ins)
        except (KeyboardInterrupt, TerminationSignal):
            raise
        except BaseException as error:  # of the value's own making, SystemExit included
            raise missing(at.place, f"it cannot be unpickled: {why_not(error)}") from error

    def raw(self, at: ResultAt, run_id: str = "") -> bytes:
        """The bytes that the serializer made. Raises MissingResult, as `load`."""
        if not is_pack(at.place):
            from surefoot.results.objects import read_payload

            return read_payload(at.place, run_id=_stored_by(at, run_id))[1]
        with self._lock:
            return read_value(self._file(at.place), at)

    def _file(self, place: str) -> BinaryIO:
        file = self._files.pop(place, None)
        if file is None:
            file = open_pack(self._home_path, place)
            if len(self._files) >= _OPEN_MAX:
                self._files.popitem(last=False)[1].close()
        self._files[place] = file
        return file

    def close(self) -> None:
        """Close what is open. It can be used again."""
        with self._lock:
            while self._files:
                self._files.popitem()[1].close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _stored_by(at: ResultAt, run_id: str) -> str:
    return run_id if at.by is None else to_text(at.by)


def load(
    home_path: str,
    at: ResultAt,
    main_module: ModuleType | None = None,
    *,
    run_id: str = "",
    cache_key: str | None = None,
) -> Any:
    """The value at that place of a home. Raises MissingResult, which says why it is not to be had."""
    with Loader(home_path, main_module) as loader:
        return loader.load(at, run_id, cache_key)
