"""What handing over a slot takes of the ledger: rows found by an index, however many wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from surefoot.core.limits import Asked, LimitKey
from surefoot.ledger import Ledger, queries
from surefoot.ledger.decisions.limits import set_limit
from surefoot.ledger.decisions.rates import reserve
from surefoot.ledger.decisions.slots import ask, give_back, look_after, renew
from tests.ledger.plans import Plans

KEY = LimitKey("db")
MANY = 200


def lives(_: str, __: str) -> bool | None:
    return True


def asked(owner: str = "p") -> Asked:
    return Asked((KEY,), 1, 0, 60_000_000, owner, "", "someone")


def wait(tx: Connection, owner: str = "p") -> int:
    number = ask(tx, asked(owner), lambda _: None, lives).number
    assert number is not None
    return number


@pytest.fixture
def numbers() -> list[int]:
    return []


@pytest.fixture
def tx(tmp_path: Path, numbers: list[int]) -> Iterator[Connection]:
    """A transaction, in a ledger in which many wait for one slot."""
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        with ledger.decide() as connection:
            set_limit(connection, "db", lives, slots=1, interval_us=None, is_active=None)
            numbers += [wait(connection) for _ in range(MANY)]
        with ledger.decide() as connection:
            yield connection


def test_nobody_who_waits_is_walked_past(tx: Connection, numbers: list[int]) -> None:
    plans = Plans(tx)
    told = [
        plans.of(lambda tx: wait(tx)),
        plans.of(lambda tx: give_back(tx, numbers[0], "p", "", [KEY], lives)),
        plans.of(lambda tx: give_back(tx, numbers[50], "p", "", [KEY], lives)),
        plans.of(lambda tx: look_after(tx, [KEY], lives)),
        plans.of(lambda tx: renew(tx, "p", "")),
        plans.of(lambda tx: queries.granted_since(tx, "p", "", 1)),
        plans.of(lambda tx: queries.watched_in(tx, [KEY])),
        plans.of(lambda tx: queries.waiting_of(tx, "p", "")),
        plans.of(lambda tx: queries.standing_of(tx, numbers[-1])),
        plans.of(lambda tx: reserve(tx, [LimitKey("60/minute", "x")], 1, {}, None, False)),
    ]
    for plan in told:
        scans = [line for line in plan.splitlines() if line.startswith("SCAN") and "limit_" in line]
        assert not scans, plan


def test_a_hand_over_reads_as_many_rows_whether_ten_wait_or_hundreds(tx: Connection, numbers: list[int]) -> None:
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    driver: Any = tx.connection.driver_connection
    statements: list[str] = []
    event.listen(tx, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))

    def cost(number: int) -> tuple[int, int]:
        steps[0] = 0
        statements.clear()
        driver.set_progress_handler(count, 1)
        turns = give_back(tx, number, "p", "", [KEY], lives)
        driver.set_progress_handler(None, 0)
        assert [turn.what for turn in turns] == ["granted", "next"]
        return steps[0], len(statements)

    among_many = cost(numbers[0])
    for number in numbers[12:]:
        give_back(tx, number, "p", "", [KEY], lives)
    among_ten = cost(numbers[1])
    assert among_many[1] == among_ten[1]
    assert among_many[0] <= 1.2 * among_ten[0]
