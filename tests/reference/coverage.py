"""Which rows of the reference there are in the chapters that are built, and why some have no test: numbers, reasons."""

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
    13: [(1, 20)],
    14: [(20, 24), (30, 40), (50, 56)],
    17: [(23, 23), (26, 26)],
}

_DEPLOYMENTS = "deployments, schedules and infrastructure come with the work on deployments"
_BACKGROUND = "background tasks and task workers come with the work on them"
_SERVER = "a rule, or a route, of a server that several clients talk to, and comes with that"
_COLLECTIONS = "comes with the integrations"

# Rows that are not in the scope of these tests, each with the reason.
ELSEWHERE: dict[str, str] = {
    **dict.fromkeys(("1.80", "1.81", "1.82", "1.83", "1.84", "1.85", "1.86", "1.87", "1.90"), _DEPLOYMENTS),
    "1.92": "not needed: a process holds a lock for as long as it lives, so its death is seen without heartbeats",
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
    "13.13": _SERVER,
    **dict.fromkeys(("13.14", "13.15", "13.16"), _DEPLOYMENTS),
    "13.17": "events come with the work on events and automations",
    "13.18": _SERVER,
    "14.56": "automations come with the work on events and automations",
}

_BLOCKS = "blocks come with the work on them"
_PAUSING = "runs cannot be paused from outside yet: this comes with the work on interactive runs"

# The lines of Appendix A, in its order: the ids of the tests that hold each, or the reason why there is none.
APPENDIX: tuple[tuple[str, ...] | str, ...] = (
    ("a flow's name with a slash", "a task's name with a percent sign"),
    ("hooks that are no list", "a hook that is no function"),
    ("mended: delays of a flow as a list",),
    ("a time limit of zero", "a time limit below zero", "a time limit that is no number"),
    ("a delay that is no number", "51 delays", "jitter below zero"),
    ("A:on_rollback as an argument of @task, mended",),
    ("a reserved parameter, return_state", "a reserved parameter, wait_for"),
    ("an argument is missing", "an argument too much"),
    ("a value of the wrong type",),
    ("mended: a list of states, one failed",),
    ("mended: a failed state in a dict",),
    ("a cancelled state", "a crashed state"),
    ("mended: a running state", "mended: a scheduled state", "mended: a pending state"),
    ("mended: a flow with retries that returns a failed state",),
    ("a task that returns a cancelled state, and a flow that returns it",),
    ("sys.exit in a flow", "sys.exit in a flow that was asked for its state", "Ctrl-C in a flow"),
    ("mended: sys.exit in a submitted task",),
    ("a hook that raises",),
    ("a submit outside of flows", "a map outside of flows"),
    ("a map over what is unmapped", "a map over a text"),
    ("a map over lengths 2 and 3",),
    ("maps over nothing, a dict, a set, a range, a generator",),
    ("what hangs on a failed future",),
    ("futures in a list, a dict, a dataclass, an object",),
    ("futures that are not done in time",),
    ("A:a stored result that is a lock, mended",),
    ("A:a lock as input with INPUTS, mended",),
    ("A:two tasks with the same constant key", "A:two tasks with the same inputs, mended"),
    ("A:transaction SERIALIZABLE without lock manager", "A:a SERIALIZABLE cache without lock manager, mended"),
    ("A:txn.get of a name that was not set",),
    ("A:a limit that is not there",),
    ("A:more slots than there are", "A:a lease of 5 s, mended", "A:a rate that is none", "A:no retries when full"),
    ("A:a block within a block that holds all, mended",),
    ("A:the limit of a tag is 0, mended",),
    ("A:a variable set twice", "A:what a variable cannot be", "A:a variable that is not there"),
    ("A:an artifact's key, a table that is a text, progress out of its range, mended",),
    _BLOCKS,
    ("a run logger outside of runs",),  # and pausing outside of runs, which comes with pausing
    _PAUSING,
    _PAUSING,
    _DEPLOYMENTS,
    _DEPLOYMENTS,
    _DEPLOYMENTS,
    ("A:keys that are none", "A:nothing that is made"),
    _SERVER,
    _SERVER,
    _SERVER,
    (
        "A:command, an unknown setting",
        "A:command, a value that cannot be used",
        "A:command, the active profile deleted",
        "A:command, a profile that is not there",
        "A:command, an id that is none",
        "A:command, an unknown command",
    ),
)


def rows() -> Iterator[str]:
    """The numbers of all rows."""
    for chapter, stretches in STRETCHES.items():
        for first, last in stretches:
            for number in range(first, last + 1):
                yield f"{chapter}.{number:02}"
