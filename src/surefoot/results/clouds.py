"""Clouds: object stores behind `s3://`, `gs://` and `az://`, through the library obstore (the extras s3, gs, az).

Credentials, regions and endpoints come from the environment variables that the clouds' own tools know (`AWS_...`,
`GOOGLE_...`, `AZURE_...`); of S3 also from profiles and sessions, where boto3 is installed. Objects appear whole or not
at all, as the stores promise. May import: core, places.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from importlib.util import find_spec
from typing import Any, Final, TypeVar

from surefoot.core import settings as core_settings
from surefoot.core.storages import CLOUDS
from surefoot.results.places import NotSet, Place, StorageError

__all__ = ["Cloud", "cloud", "given_store"]

T = TypeVar("T")

_CONNECT_S: Final = 5
_AT_ONCE: Final = 8 << 20  # bytes up to which the parts of an object are joined, and sent as one
_VARIABLES: Final = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
_stores: Final[dict[tuple[Any, ...], Cloud]] = {}


def cloud(kind: str, scheme: str, root: str) -> Cloud:
    """The store of a bucket or container, made once for each environment that it may depend on."""
    timeout_s = core_settings.refresh().results.storage_timeout_seconds
    prefix = _VARIABLES[kind]
    variables = tuple(sorted(item for item in os.environ.items() if item[0].startswith(prefix)))
    key = (os.getpid(), kind, root, timeout_s, variables)  # a forked child cannot use its parent's connections
    found = _stores.get(key)
    if found is None:
        if len(_stores) > 64:
            _stores.clear()
        found = _stores[key] = Cloud(_made(kind, root, timeout_s), f"{scheme}://{root}")
    return found


def _made(kind: str, root: str, timeout_s: float) -> Any:
    from obstore.store import AzureStore, GCSStore, S3Store

    tries: dict[str, Any] = {
        "retry_config": {"max_retries": 5, "retry_timeout": timedelta(seconds=timeout_s)},
        # An endpoint without encryption is used only where somebody named it.
        "client_options": {
            "allow_http": True,
            "connect_timeout": timedelta(seconds=min(_CONNECT_S, timeout_s)),
            "timeout": timedelta(seconds=timeout_s),
        },
    }
    try:
        if kind == "s3":
            return S3Store(root, **_credentials_of_boto3(), **tries)
        if kind == "gs":
            return GCSStore(root, **tries)
        container, _, account = root.partition("@")
        named: dict[str, Any] = {"account_name": account.partition(".")[0]} if account else {}
        return AzureStore(container, **named, **tries)
    except Exception as error:  # what its settings in the environment amount to
        line = _line(error)
        if "Account must be specified" in line:
            line = "no account is named, neither there (abfss://CONTAINER@ACCOUNT...) nor by AZURE_STORAGE_ACCOUNT_NAME"
            raise NotSet(errno.EINVAL, line, f"{kind}://{root}") from error
        raise OSError(errno.EINVAL, line, f"{kind}://{root}") from error


def _credentials_of_boto3() -> dict[str, Any]:
    """Profiles, single sign-on and the like, which obstore does not know, as boto3 finds them."""
    here = os.environ
    wanted = any(here.get(name) for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")) or (
        "AWS_ACCESS_KEY_ID" not in here and os.path.exists(os.path.expanduser("~/.aws"))
    )
    if not wanted or find_spec("boto3") is None:
        return {}
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        return {"credential_provider": Boto3CredentialProvider()}
    except ValueError:  # it finds none either: obstore tries the machine's own
        return {}


def given_store(store: Any) -> tuple[str, Place | None]:
    """The address of a store that code made with obstore itself; and the place, if it is more than that address."""
    kind = type(store).__name__
    prefix = str(getattr(store, "prefix", None) or "").strip("/")
    if kind == "LocalStore":
        if not prefix:
            raise StorageError("result_storage is a LocalStore without a prefix.", do="Pass the path of the folder.")
        return os.path.abspath(prefix if os.path.isabs(prefix) else f"/{prefix}"), None
    told = dict(getattr(store, "config", {}))
    config = {str(name).lower().removeprefix("aws_"): value for name, value in told.items()}
    if kind == "S3Store":
        root = f"s3://{config['bucket']}"
    elif kind == "GCSStore":
        root = f"gs://{config.get('bucket') or config['google_bucket']}"
    elif kind == "AzureStore":
        root = f"az://{config.get('container_name') or config['azure_container_name']}"
    elif kind == "MemoryStore":
        return f"memory://obstore-{id(store):x}", Cloud(store, "memory://")
    else:
        raise StorageError(f"result_storage is a {kind}, which stores nothing.", do="Pass a store of S3, GCS or Azure.")
    address = f"{root}/{prefix}" if prefix else root
    return address, Cloud(store, address)


class Cloud:
    """One bucket or container.

    Args:
        store: of obstore.
        root: its address, for messages.
    """

    def __init__(self, store: Any, root: str) -> None:
        self._store = store
        self._root = root

    def put(self, name: str, parts: Iterable[bytes]) -> None:
        """Put an object there."""
        listed = list(parts)
        whole = sum(map(len, listed)) <= _AT_ONCE
        self._ask(name, lambda: self._store.put(name, b"".join(listed) if whole else iter(listed)))

    def get(self, name: str) -> bytes:
        """The bytes of an object."""
        return self._ask(name, lambda: bytes(self._store.get(name).bytes()))

    def head(self, name: str, size: int) -> bytes:
        """Its first bytes."""
        there = self._ask(name, lambda: self._store.head(name))["size"]
        if not there:
            return b""
        return self._ask(name, lambda: bytes(self._store.get_range(name, start=0, end=min(size, there))))

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        try:
            self._ask(name, lambda: self._store.head(name))
        except FileNotFoundError:
            return False
        return True

    def remove(self, name: str) -> int | None:
        """Remove it."""
        try:
            size: int = self._ask(name, lambda: self._store.head(name))["size"]
        except FileNotFoundError:
            return None
        self._ask(name, lambda: self._store.delete(name))
        return size

    def names(self, prefix: str) -> Iterator[str]:
        """The names that begin with that folder."""
        pages = iter(self._store.list(prefix or None))
        while True:
            page = self._ask(prefix, lambda: next(pages, None))
            if page is None:
                return
            for found in page:
                yield found["path"].removeprefix(f"{prefix}/" if prefix else "")

    def _ask(self, name: str, ask: Callable[[], T]) -> T:
        address = f"{self._root}/{name}"
        try:
            return ask()
        except FileNotFoundError as error:
            container = _NO_CONTAINER.search(str(error))
            if container is None:
                raise FileNotFoundError(errno.ENOENT, "there is no such object", address) from None
            raise OSError(errno.ENXIO, f"there is no such bucket or container ({container[0]})", address) from error
        except Exception as error:
            if any(machine in str(error) for machine in _MACHINES):
                variable = _KEYS[CLOUDS[self._root.partition("://")[0]]]
                line = f"there are no credentials: {variable} is not set, and this machine has no role of its own"
                raise NotSet(errno.EINVAL, line, address) from error
            if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
                raise PermissionError(errno.EACCES, f"the store refuses it: {_line(error)}", address) from error
            raise OSError(errno.EIO, _line(error), address) from error


# Who is asked for the role of a machine, where the environment has no credentials; and what is set instead.
_MACHINES: Final = ("/latest/api/token", "/latest/meta-data", "/computeMetadata/", "/metadata/identity/")
_KEYS: Final = {
    "s3": "AWS_ACCESS_KEY_ID",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_KEY",
}
_NO_CONTAINER: Final = re.compile(r"NoSuchBucket|ContainerNotFound|The specified bucket does not exist")
_NOISE: Final = re.compile(r" in [0-9.]+(ns|µs|ms|s)\b|, max_retries: .*?(?=\s+- )|Generic \w+ error: ")


def _line(error: Exception) -> str:
    """What a store answered, in a line."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    code = re.search(r"<Code>(\w+)</Code>", str(error))
    line = _NOISE.sub("", first).partition("<?xml")[0].strip().rstrip(":")
    return f"{line} ({code[1]})" if code else line
