"""A ledger on a PostgreSQL server: what to call it, who holds it, what its errors mean. No password gets into a text.

May import: core, the dialect beside it.
"""

from __future__ import annotations

import os
import re
import socket
from typing import Any, Final

from sqlalchemy import URL, Connection
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from surefoot.core.errors import BadInput, LedgerBusy, Unavailable
from surefoot.ledger.dialects import postgres

__all__ = ["Server"]

_BEHIND_FAILED: Final = re.compile(r".*failed: (?:FATAL: +)?", re.DOTALL)
# What libpq and psycopg say of an option that there is not, or whose value makes no sense, before they reach anybody.
_BAD_OPTION: Final = re.compile(
    r'invalid connection option "|bad value for |invalid \w+ value: "|invalid integer value "|invalid port number'
    r"|could not parse network address"
)
# (SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html)
_LOCKED: Final = "55P03"
_PASSING: Final = ("40001", "40P01", "25P03", "57P01", "57P02")  # serialization, deadlock, idle too long, shut down
_FULL: Final = ("53100", "53200", "53300")  # disk, memory, connections


class Server:
    """The place of a ledger that is a database of its own, or a schema of its own in one."""

    dialect: Final[Any] = postgres
    elsewhere: Final = "Make a database for it: createdb surefoot"

    def __init__(self, url: URL, busy_s: float) -> None:
        self.busy_s = busy_s
        shown = URL.create("postgresql", url.username, None, url.host, url.port, url.database)
        self.name = shown.render_as_string()
        options = {
            "application_name": f"surefoot {os.getpid()} on {socket.gethostname()}"[:63],
            "client_encoding": "utf8",
            "connect_timeout": 10,
            "keepalives_idle": 30,  # a server whose machine is gone is found out within a minute
            "keepalives_interval": 10,
            "keepalives_count": 3,
        }
        try:
            self.engine = postgres.engine_for(url, busy_s, options)
        except ArgumentError as error:  # an option that is the toolkit's own to read
            raise self._bad_option(str(error)) from error

    def is_there(self) -> bool:
        """A database is there before it is looked at, or the look says that it is not."""
        return True

    def copy_of(self, head: str) -> None:
        """None: whoever runs the server keeps copies."""

    def make_ready(self, connection: Connection) -> None:
        """Look whether the database can hold all text there is. Raises BadInput if not."""
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        connection.rollback()
        if encoding != "UTF8":
            raise BadInput(
                f"The database of {self.name} is encoded as {encoding}, which does not have every character.",
                do="Make one that has: createdb -E UTF8 -T template0 surefoot",
            )

    def keep_copy(self, head: str) -> None:
        """None: whoever runs the server keeps copies, and an upgrade that fails changes nothing."""

    def sign(self) -> None:
        """Nothing: the server knows who holds its locks."""

    def is_passing(self, error: DBAPIError) -> bool:
        """Whether the transaction met another, or a server that was stopped."""
        return error.connection_invalidated or _state(error) in _PASSING

    def told(self, error: DBAPIError) -> Exception | None:
        """What an error of PostgreSQL means."""
        state, text = _state(error), _text(error)
        if state == _LOCKED:
            return LedgerBusy(
                f"The ledger {self.name} is held by {self._holder()}; waited {self.busy_s:g} s.",
                do="Try again, or end that process.",
            )
        if state == "3F000":
            return BadInput(
                f"The schema that {self.name} names for its tables is not there.", do="Make it: CREATE SCHEMA NAME"
            )
        if state == "42501":
            return Unavailable(
                f"The ledger {self.name} cannot be used: {text}.",
                do="Give that user the right to, or name another in the URL.",
            )
        if state in _FULL:
            return Unavailable(f"The ledger {self.name} takes nothing more: {text}.", do="Make room there.")
        if state is None and _BAD_OPTION.search(text):
            return self._bad_option(text)
        if error.connection_invalidated or (state is None and isinstance(error, OperationalError)):
            return Unavailable(f"The ledger {self.name} cannot be reached: {text}.", do=self._way_out(text))
        if isinstance(error, OperationalError):
            return Unavailable(f"The ledger {self.name} does not answer: {text}.", do="Try again.")
        return None

    def garbled(self, error: Exception) -> Exception | None:
        """PostgreSQL looks after its pages."""
        return None

    def _bad_option(self, text: str) -> BadInput:
        return BadInput(
            f"The URL of the ledger {self.name} has an option that cannot be used: "
            f"{text.removeprefix('connection is bad: ')}.",
            do="Correct what stands behind the ? there; "
            "https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS lists what there is.",
        )

    def _way_out(self, text: str) -> str:
        if "does not exist" in text and "database" in text:
            return f"Make it: createdb {self.engine.url.database}"
        if "password" in text or "authentication" in text or "role" in text or "pg_hba" in text:
            return "Correct the name and password in the URL."
        return "Start PostgreSQL there, or correct the URL."

    def _holder(self) -> str:
        """Who has the lock now, as far as this user may know."""
        query = (
            "SELECT a.pid, a.application_name, a.client_addr::text, a.usename FROM pg_catalog.pg_locks l"
            " JOIN pg_catalog.pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
            " AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
            f" AND (l.classid, l.objid, l.objsubid) = ({postgres.LOCK[0]}, {postgres.LOCK[1]}, 2)"
        )
        try:
            with self.engine.connect() as connection:
                row = connection.exec_driver_sql(query).first()
        except SQLAlchemyError:
            row = None
        if row is None:
            return "another session"
        who = re.sub(r"^surefoot (\d+) on ", r"process \1 on ", row.application_name or "another program")
        where = f" from {row.client_addr}" if row.client_addr else ""
        return f"{who} (PostgreSQL's process {row.pid}, user {row.usename}{where})"


def _state(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _text(error: DBAPIError) -> str:
    """What the server, or the way to it, said: the last of several tries, and its first line."""
    told = str(error.orig).strip().rpartition("\n- ")[2]
    return _BEHIND_FAILED.sub("", told, count=1).partition("\n")[0].rstrip(". ")
