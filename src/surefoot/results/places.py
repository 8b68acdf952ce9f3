"""Places: where stored results lie. A folder, an object store behind a URL, this process's memory, or a storage object.

An address is a text: the path of a folder or file, or a URL (`s3://bucket/prefix/key`). What reads and writes objects
does it by address, here, and cannot tell places apart. Whatever goes wrong is an OSError whose `strerror` is a line
for people: FileNotFoundError only where there surely is no such object. May import: core; `clouds` late.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any, Final, Protocol

from surefoot.core.errors import BadInput
from surefoot.core.os.files import write_bytes
from surefoot.core.storages import CLOUDS, MEMORY, BadStorage, no_place, parse_storage

__all__ = [
    "Covered",
    "NotSet",
    "Place",
    "StorageError",
    "address_of",
    "check",
    "covering",
    "exists",
    "get",
    "head",
    "is_far",
    "is_given",
    "is_url",
    "names",
    "put",
    "put_back",
    "remove",
]

Covered = list[tuple[str, bytes | None]]  # what was at an address before something was put there; None: nothing
_covered: Final[ContextVar[Covered | None]] = ContextVar("surefoot_covered", default=None)

_GIVEN: Final = "storage"  # the scheme of storage objects that code made itself


class StorageError(BadInput, ValueError):
    """A storage key, or a place for results, that cannot be used."""


class NotSet(OSError):
    """The environment has not set what a cloud cannot do without."""


class Place(Protocol):
    """Where objects lie. Names are relative, with slashes. Raises OSError as this module says."""

    def put(self, name: str, parts: Iterable[bytes]) -> None:
        """Put an object there, whole or not at all, over what had that name."""
        ...

    def get(self, name: str) -> bytes:
        """The bytes of an object."""
        ...

    def head(self, name: str, size: int) -> bytes:
        """Its first bytes, at least `size` where it has as many."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        ...

    def remove(self, name: str) -> int | None:
        """Remove it: how many bytes it had; None if there was none."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """The names that begin with that folder, in no order."""
        ...


# -- addresses


def is_url(address: str) -> bool:
    """Whether an address is none of a file.

    >>> is_url("s3://bucket/reports"), is_url("/srv/reports")
    (True, False)
    """
    return "://" in address


def is_far(address: str) -> bool:
    """Whether reading and writing there takes the time of a network: an event loop must not wait for it."""
    scheme = _scheme(address)
    return scheme in CLOUDS or scheme == _GIVEN


def is_given(address: str) -> bool:
    """Whether what lies there goes through an object of the code's own."""
    return _scheme(address) == _GIVEN


def address_of(storage: object) -> str:
    """The address that a `result_storage` names: a path, a URL, or a storage object. Raises BadInput for others.

    >>> address_of("s3://bucket/reports/")
    's3://bucket/reports'
    """
    if isinstance(storage, str):
        return _address_of_text(storage)
    try:
        path = os.fspath(storage)  # type: ignore[call-overload]
    except TypeError:
        return _address_of_given(storage)
    if not isinstance(path, str):
        raise _no_place(storage)
    return _address_of_text(path)


def _address_of_text(text: str) -> str:
    try:
        scheme, rest = parse_storage(text)
    except BadStorage as error:
        raise StorageError(f"result_storage{error.what}", do=error.do) from None
    if not scheme:
        return os.path.abspath(os.path.expanduser(rest))
    if scheme in CLOUDS and find_spec("obstore") is None:
        raise StorageError(
            f"result_storage is {text!r}, and the package 'obstore', which reaches it, is not installed.",
            do="Run: pip install obstore",
        )
    return f"{scheme}://{rest}"


def _no_place(storage: object) -> StorageError:
    told = no_place(storage)
    return StorageError(f"result_storage{told.what}", do=told.do)


def _scheme(address: str) -> str:
    scheme, separator, _ = address.partition("://")
    return scheme if separator else ""


def check(address: str) -> None:
    """Raise OSError if it is known, without asking anybody, that nothing can be stored there."""
    if CLOUDS.get(_scheme(address)) == "az":  # which is not even a server without an account
        _found(address)


# -- objects by address


def put(address: str, *parts: bytes) -> None:
    """Put the parts, one after another, where the address is. Raises OSError if that cannot be done."""
    covered = _covered.get()
    if covered is not None:
        covered.append((address, _before(address)))
    if not is_url(address):
        try:
            write_bytes(address, *parts, sync=False)  # as the journal: power loss only
        except OSError as error:  # a write that fails does not say where, and a new file has a name of its own
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), address) from error
        return
    place, name = _found(address)
    place.put(name, parts)


def _before(address: str) -> bytes | None:
    try:
        return get(address)
    except FileNotFoundError:
        return None


@contextmanager
def covering() -> Iterator[Covered]:
    """Meanwhile what is put over something else is noted, with what was there, so that it can be put back."""
    covered: Covered = []
    token = _covered.set(covered)
    try:
        yield covered
    finally:
        _covered.reset(token)


def put_back(covered: Covered) -> None:
    """Have all as it was before, the last first. Raises OSError of the first that cannot be."""
    for address, before in reversed(covered):
        if before is None:
            remove(address)
        else:
            put(address, before)


def get(address: str) -> bytes:
    """The bytes of the object at that address. FileNotFoundError if there is none, OSError if that is unknown."""
    if not is_url(address):
        with open(address, "rb") as file:
            return file.read()
    place, name = _found(address)
    return place.get(name)


def head(address: str, size: int) -> bytes:
    """The first bytes of the object, at least `size` of them where it has as many. Raises OSError as `get`."""
    if not is_url(address):
        with open(address, "rb") as file:
            return file.read(size)
    place, name = _found(address)
    return place.head(name, size)


def exists(address: str) -> bool:
    """Whether there is an object at that address. Raises OSError if that cannot be found out."""
    if not is_url(address):
        try:
            return os.stat(address).st_size >= 0 and not os.path.isdir(address)
        except (FileNotFoundError, NotADirectoryError):
            return False
    place, name = _found(address)
    return place.exists(name)


def remove(address: str) -> int | None:
    """Remove the object at that address: how many bytes it had, None if there was none. Raises OSError."""
    if not is_url(address):
        try:
            size = os.stat(address).st_size
            os.unlink(address)
        except FileNotFoundError:
            return None
        return size
    place, name = _found(address)
    return place.remove(name)


def names(storage: str) -> Iterator[str]:
    """The names of all objects of a storage, relative to it, with slashes, in no order. Raises OSError."""
    if is_url(storage):
        place, prefix = _found(storage)
        yield from place.names(prefix)
        return
    for folder, _, files in os.walk(storage):
        for file in files:
            if not file.endswith(".tmp"):
                yield os.path.relpath(os.path.join(folder, file), storage).replace(os.sep, "/")


_given: Final[dict[str, Place]] = {}  # what code made itself, by its address


def _found(address: str) -> tuple[Place, str]:
    """Where an address leads, and what its object is called there."""
    for root, place in _given.items():
        if address.startswith(root) and address[len(root) : len(root) + 1] in ("", "/"):
            return place, address[len(root) + 1 :]
    scheme = _scheme(address)
    root, _, name = address.partition("://")[2].partition("/")
    if scheme == MEMORY:
        return _memories.setdefault(root, Memory()), name
    if scheme in CLOUDS:
        from surefoot.results.clouds import cloud  # a door: it needs a library that is not always there

        return cloud(CLOUDS[scheme], scheme, root), name
    raise OSError(
        errno.ENODEV,
        "its storage is an object of the code's own, which this process has not loaded"
        if scheme == _GIVEN
        else f"nothing here reads {scheme}://",
        address,
    )


# -- memory


class Memory:
    """Objects in this process, for tests and for values that need not outlive it."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def put(self, name: str, parts: Iterable[bytes]) -> None:
        """Put an object there."""
        self._objects[name] = b"".join(parts)

    def get(self, name: str) -> bytes:
        """The bytes of an object."""
        try:
            return self._objects[name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None

    def head(self, name: str, size: int) -> bytes:
        """Its first bytes."""
        return self.get(name)[:size]

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        return name in self._objects

    def remove(self, name: str) -> int | None:
        """Remove it."""
        found = self._objects.pop(name, None)
        return None if found is None else len(found)

    def names(self, prefix: str) -> Iterator[str]:
        """The names that begin with that folder."""
        return _within(prefix, list(self._objects))


_memories: Final[dict[str, Memory]] = {}


def _within(prefix: str, names: Iterable[str]) -> Iterator[str]:
    start = f"{prefix}/" if prefix else ""
    return (name.removeprefix(start) for name in names if name.startswith(start))


# -- storage objects


def _address_of_given(storage: Any) -> str:
    if type(storage).__module__.partition(".")[0] in ("obstore", "pyo3_object_store"):
        from surefoot.results.clouds import given_store

        address, place = given_store(storage)
    else:
        read, write = getattr(storage, "read_path", None), getattr(storage, "write_path", None)
        if not (callable(read) and callable(write)) or isinstance(storage, type):
            raise _no_place(storage)
        address = f"{_GIVEN}://{_mark_of(storage)}"
        place = Given(storage, address)
    if place is not None:
        _given[address] = place
    return address


def _mark_of(storage: Any) -> str:
    """What a storage object is known by in every process that makes it alike."""
    kind = type(storage)
    fields = sorted((name, value) for name, value in getattr(storage, "__dict__", {}).items() if _is_plain(value))
    told = repr((kind.__module__, kind.__qualname__, fields)).encode("utf-8", "backslashreplace")
    return f"{kind.__qualname__.rpartition('.')[2]}-{hashlib.blake2b(told, digest_size=6).hexdigest()}"


def _is_plain(value: object) -> bool:
    return isinstance(value, (str, int, float, bool, bytes, type(None), os.PathLike))


class Given:
    """An object of the user's with `read_path(path) -> bytes` and `write_path(path, content)`, plain or asynchronous.

    `path_exists`, `delete_path` and `list_paths` are called where it has them.
    """

    def __init__(self, storage: Any, root: str) -> None:
        self._storage = storage
        self._root = root  # its address, for messages

    def put(self, name: str, parts: Iterable[bytes]) -> None:
        """Put an object there."""
        self._ask(self._storage.write_path, name, b"".join(parts))

    def get(self, name: str) -> bytes:
        """The bytes of an object."""
        found = self._ask(self._storage.read_path, name)
        if not isinstance(found, (bytes, bytearray, memoryview)):
            raise OSError(errno.EIO, f"read_path of {self._storage!r} gave a {type(found).__name__}, not bytes", name)
        return bytes(found)

    def head(self, name: str, size: int) -> bytes:
        """Its first bytes: all of them, since nothing else can be asked for."""
        return self.get(name)

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        ask = getattr(self._storage, "path_exists", None)
        if ask is not None:
            return bool(self._ask(ask, name))
        try:
            self.get(name)
        except FileNotFoundError:
            return False
        return True

    def remove(self, name: str) -> int | None:
        """Remove it, if the object can do that."""
        size = len(self.get(name)) if self.exists(name) else None
        if size is not None:
            self._ask(self._method("delete_path", "removes nothing"), name)
        return size

    def names(self, prefix: str) -> Iterator[str]:
        """The names that begin with that folder, if the object can tell."""
        return _within(prefix, self._ask(self._method("list_paths", "lists nothing")))

    def _method(self, name: str, lacking: str) -> Callable[..., Any]:
        method = getattr(self._storage, name, None)
        if method is None:
            raise OSError(errno.ENOTSUP, f"it {lacking}: it has no `{name}`", repr(self._storage))
        return method  # type: ignore[no-any-return]

    def _ask(self, method: Callable[..., Any], *arguments: Any) -> Any:
        try:
            answer = method(*arguments)
            return _awaited(answer) if hasattr(answer, "__await__") else answer
        except Exception as error:
            address = f"{self._root}/{arguments[0]}" if arguments else self._root
            if isinstance(error, KeyError):  # of an object that keeps them in a dict
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), address) from error
            if not isinstance(error, OSError):
                raise OSError(errno.EIO, f"{type(error).__name__}: {error}", address) from error
            why = error.strerror or str(error) or type(error).__name__
            where = "" if error.filename is None else f": {error.filename!r}"  # what it is called in there
            raise OSError(error.errno or _ERRNO.get(type(error), errno.EIO), why + where, address) from error


# Of errors that were raised with a text alone. What OSError makes of a number is its own.
_ERRNO: Final[dict[type, int]] = {
    FileNotFoundError: errno.ENOENT,
    PermissionError: errno.EACCES,
    TimeoutError: errno.ETIMEDOUT,
}


def _awaited(answer: Any) -> Any:
    """What an awaitable gives, from code that cannot await: on a thread of its own, where no event loop is."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    async def ended() -> Any:
        return await answer

    with ThreadPoolExecutor(1, "surefoot-storage") as executor:
        return executor.submit(asyncio.run, ended()).result()
