"""Object stores of the tests' own, on this machine: S3 (moto), Azure (Azurite, by npm), and Google's, as far as a small
stand-in speaks it, since the emulators that there are answer without the ETag that clients ask for.

Each is started when it is first wanted, one a test process. A store that is not to be had is loud: its tests fail where
`CI=true` or `SUREFOOT_TEST_REQUIRE` names it, and are skipped elsewhere, with what to type.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from email.utils import formatdate
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

__all__ = ["KINDS", "Store"]

KINDS = ("s3", "az", "gs")
AZURITE = Path(__file__).resolve().parent.parent / "tools" / "azurite"
# The account and key that Azurite documents as its own, open to all.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Store(NamedTuple):
    """A running store: what the environment has to say, and how to make a bucket or container of a name."""

    kind: str
    environment: dict[str, str]
    make: Callable[[str], None]


class Missing(Exception):
    """A store cannot be had here, and what to type."""


@pytest.fixture(scope="session")
def object_stores() -> Iterator[Callable[[str], Store]]:
    """The store of a kind."""
    started: dict[str, Store] = {}
    with ExitStack() as stack:

        def store(kind: str) -> Store:
            if kind not in started:
                try:
                    started[kind] = stack.enter_context(_STARTS[kind]())
                except Missing as error:
                    required = os.environ.get("SUREFOOT_TEST_REQUIRE", "").split(",")
                    if os.environ.get("CI") == "true" or kind in required:
                        pytest.fail(str(error))
                    pytest.skip(str(error))
            return started[kind]

        yield store


_numbers = count()


@pytest.fixture
def bucket_of(object_stores: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes a bucket or container of a kind, and gives its URL."""

    def bucket(kind: str) -> str:
        store = object_stores(kind)
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        name = f"bucket-{os.getpid()}-{next(_numbers)}"
        store.make(name)
        return f"{kind}://{name}"

    return bucket


@contextmanager
def _s3() -> Iterator[Store]:
    with _program([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p"], "The S3 of moto") as port:
        environment = {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }
        # It looks only at whose request this would be, and signatures count for nothing.
        scope = "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request"
        headers = {"Authorization": f"{scope}, SignedHeaders=host, Signature=0", "Content-Length": "0"}
        yield Store("s3", environment, lambda name: _asked(port, f"/{name}", headers, 200))


def _asked(port: int, path: str, headers: dict[str, str], expected: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("PUT", path, headers=headers)
        answer = connection.getresponse()
        assert answer.status == expected, answer.read()
    finally:
        connection.close()


@contextmanager
def _program(command: list[str], what: str) -> Iterator[int]:
    """A server that dies with this process: the free port that it was given, once it answers there."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    dies_too = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    process = subprocess.Popen([*dies_too, *command, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process, what)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def _az() -> Iterator[Store]:
    command = [str(_azurite()), "--silent", "--disableTelemetry", "--inMemoryPersistence", "--skipApiVersionCheck"]
    with _program([*command, "--blobHost", "127.0.0.1", "--blobPort"], "Azurite") as port:
        address = f"http://127.0.0.1:{port}/{ACCOUNT}"
        environment = {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_ENDPOINT": address,
        }
        yield Store("az", environment, lambda name: _make_container(port, name))


def _make_container(port: int, name: str) -> None:
    """One signed request (Shared Key, "Authorize with Shared Key" of Microsoft's documentation)."""
    date, version = formatdate(usegmt=True), "2021-08-06"
    lines = f"x-ms-date:{date}\nx-ms-version:{version}\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    signed = "PUT" + "\n" * 12 + lines
    mark = base64.b64encode(hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()).decode()
    headers = {"x-ms-date": date, "x-ms-version": version, "Content-Length": "0"}
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{mark}"
    _asked(port, f"/{ACCOUNT}/{name}?restype=container", headers, 201)


def _azurite() -> Path:
    """Azurite's program; installed from the lock when it is first wanted, by one test process at a time."""
    program = AZURITE / "node_modules" / ".bin" / "azurite-blob"
    npm = shutil.which("npm")
    with open(AZURITE / "package.json") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            if npm is None:
                raise Missing("Azurite needs npm. Install Node.js 20 or newer, with npm.")
            done = subprocess.run(
                [npm, "ci", "--no-progress", "--ignore-scripts"], cwd=AZURITE, capture_output=True, text=True
            )
            if done.returncode or not program.exists():
                raise Missing(f"Azurite could not be installed: {done.stderr[-500:]} Run: npm ci --prefix {AZURITE}")
    return program


def _wait_for(port: int, process: subprocess.Popen[bytes], what: str) -> None:
    for _ in range(6000):
        if process.poll() is not None:
            raise Missing(f"{what} ended at once, with {process.returncode}. Run: make bootstrap")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            threading.Event().wait(0.02)
    raise Missing(f"{what} does not answer.")


# -- as much of Google's store as its clients ask of it: objects by the XML API, lists by that of S3's form


class _GoogleServer(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Google)
        self.objects: dict[str, dict[str, bytes]] = {}
        self.parts: dict[str, dict[int, bytes]] = {}


class _Google(BaseHTTPRequestHandler):
    server: _GoogleServer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", headers.pop("length", str(len(body))))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _where(self) -> tuple[dict[str, bytes] | None, str]:
        bucket, _, name = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        return self.server.objects.get(bucket), name

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_PUT(self) -> None:
        body, (bucket, name), asked = self._body(), self._where(), parse_qs(urlsplit(self.path).query)
        if bucket is None:
            return self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        if "partNumber" in asked:
            self.server.parts[asked["uploadId"][0]][int(asked["partNumber"][0])] = body
        else:
            bucket[name] = body
        return self._answer(200, ETag=f'"{hashlib.md5(body).hexdigest()}"', x_goog_generation="1")

    def do_POST(self) -> None:  # an object in several parts: begun, and ended
        self._body()
        (bucket, name), asked = self._where(), parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if bucket is None:
            return self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        if "uploads" in asked:
            upload = str(len(self.server.parts))
            self.server.parts[upload] = {}
            told = f"<UploadId>{upload}</UploadId>"
            return self._answer(200, f"<InitiateMultipartUploadResult>{told}</InitiateMultipartUploadResult>".encode())
        whole = bucket[name] = b"".join(part for _, part in sorted(self.server.parts.pop(asked["uploadId"][0]).items()))
        told = f"<ETag>{hashlib.md5(whole).hexdigest()}</ETag>"
        answer = f"<CompleteMultipartUploadResult>{told}</CompleteMultipartUploadResult>".encode()
        return self._answer(200, answer, x_goog_generation="1")

    def do_GET(self) -> None:
        bucket, name = self._where()
        if bucket is None:
            return self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        if not name:
            return self._answer(200, _listed(bucket, parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]))
        if name not in bucket:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        body, status, extra = bucket[name], 200, {}
        wanted = self.headers.get("Range", "").removeprefix("bytes=")
        if wanted:
            first, _, last = wanted.partition("-")
            extra = {"Content_Range": f"bytes {first}-{min(int(last), len(body) - 1)}/{len(body)}"}
            body, status = body[int(first) : int(last) + 1], 206
        etag = f'"{hashlib.md5(bucket[name]).hexdigest()}"'
        return self._answer(status, body, ETag=etag, Last_Modified=formatdate(usegmt=True), **extra)

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        bucket, name = self._where()
        self._answer(404 if bucket is None or bucket.pop(name, None) is None else 204)


@contextmanager
def _gs() -> Iterator[Store]:
    server = _GoogleServer()
    objects = server.objects
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    account = {"gcs_base_url": f"http://127.0.0.1:{server.server_port}", "disable_oauth": True}
    account |= {"client_email": "", "private_key": "", "private_key_id": ""}
    try:
        yield Store("gs", {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account)}, lambda name: objects.update({name: {}}))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listed(bucket: dict[str, bytes], prefix: str) -> bytes:
    found = "".join(
        f"<Contents><Key>{name}</Key><Size>{len(body)}</Size><ETag>&quot;{hashlib.md5(body).hexdigest()}&quot;</ETag>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for name, body in bucket.items()
        if name.startswith(prefix)
    )
    return f"<ListBucketResult><Name>b</Name>{found}<IsTruncated>false</IsTruncated></ListBucketResult>".encode()


_STARTS: dict[str, Any] = {"s3": _s3, "az": _az, "gs": _gs}
