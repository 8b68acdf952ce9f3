"""Which rows chapters 1 to 8 of the reference have, and why some have no test here: numbers and reasons."""

from __future__ import annotations

from collections.abc import Iterator

# First and last number of each unbroken stretch of rows.
STRETCHES: dict[int, list[tuple[int, int]]] = {
    1: [(1, 29), (40, 55), (60, 74), (80, 92)],
    2: [(1, 30), (40, 60), (70, 78)],
    3: [(1, 10), (20, 27), (30, 44)],
    4: [(1, 25)],
    5: [(1, 13), (20, 23), (30, 47)],
    6: [(1, 10)],
    7: [(1, 20)],
    8: [(1, 15), (20, 28)],
}

_DEPLOYMENTS = "deployments, schedules and infrastructure come with the work on deployments"
_BACKGROUND = "background tasks and task workers come with the work on them"
_SERVER = "a rule, or a route, of a server that several clients talk to, and comes with that"
_COLLECTIONS = "comes with the integrations"

# Rows that are not in the scope of these tests, each with the reason.
ELSEWHERE: dict[str, str] = {
    **dict.fromkeys(("1.80", "1.81", "1.82", "1.83", "1.84", "1.85", "1.86", "1.87", "1.90"), _DEPLOYMENTS),
    "1.92": "not needed: a process holds a lock for as long as it lives, so its death is seen without heartbeats",
    "2.25": "assets come with the work on artifacts and assets",
    **dict.fromkeys(("2.50", "2.52", "2.53"), _BACKGROUND),
    "2.78": "waiting for runs of other machines by events comes with the server",
    **dict.fromkeys(("3.30", "3.41", "3.42", "3.43", "3.44"), _SERVER),
    "3.37": "a run is not begun before its time by whoever has schedules, which come with the work on deployments",
    "3.39": "limits across deployments come with the work on concurrency",
    "4.20": "locks in Redis come with that integration; LedgerLockManager is tested for many machines",
    **dict.fromkeys(("4.24", "4.25"), _DEPLOYMENTS),
    **dict.fromkeys(("6.03", "6.04"), _COLLECTIONS),
    "6.05": _BACKGROUND,
    "7.16": "there are no workers yet whose lines could be kept",
    "7.17": "HTTP and websockets come with the server; `surefoot flow-run logs` is tested in tests/cli/test_logs.py",
    "7.18": "there is no page of a run that a line could lead to; its name, which commands take, stands in each line",
    "8.12": "metrics of a client over HTTP come with the server",
    "8.14": "one package of at most 20 distributions is installed, which a slim one would hardly be smaller than",
    "8.27": "plugins come with the integrations",
    "8.28": _COLLECTIONS,
}

# Lines of the matrix of errors (Appendix A), by what they are about: each is part of a test's id, or has a reason.
MATRIX: dict[str, str | None] = {}


def rows() -> Iterator[str]:
    """The numbers of all rows."""
    for chapter, stretches in STRETCHES.items():
        for first, last in stretches:
            for number in range(first, last + 1):
                yield f"{chapter}.{number:02}"
