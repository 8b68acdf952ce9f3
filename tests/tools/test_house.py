"""The house rules find what they are for, leave alone what they are not for, and yield to a skip with a reason only."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.house import ROOT, Source, check

PLATE = '"""What this room is for."""\n'


def rules_broken(*files: tuple[str, str]) -> list[tuple[str, int]]:
    """Rule and line of each breach in files that would stand at these paths, dead files apart."""
    breaches = check([Source(path, text) for path, text in files])
    return [(breach.rule, breach.line) for breach in breaches if breach.rule != "dead-file"]


BROKEN = [
    ("a file over 600 lines", "src/surefoot/core/x.py", PLATE + "x = 1\n" * 600, ("size", 0)),
    ("no docstring", "src/surefoot/core/x.py", "x = 1\n", ("door-plate", 0)),
    ("a drawer", "src/surefoot/core/utils.py", PLATE, ("drawer", 0)),
    ("a long function", "src/surefoot/core/x.py", PLATE + "def f():\n" + "    g()\n" * 80, ("length", 2)),
    ("a sleep", "tests/core/test_x.py", "import time\ntime.sleep(1)\n", ("sleep", 2)),
    ("a sleep under its own name", "tests/core/test_x.py", "from time import sleep as s\ns(1)\n", ("sleep", 2)),
    ("an awaited sleep", "tests/core/test_x.py", "import asyncio\nasyncio.sleep(0.1)\n", ("sleep", 2)),
    ("a clock", "src/surefoot/engine/x.py", PLATE + "import time\ntime.monotonic()\n", ("clock", 3)),
    ("a clock not called", "src/surefoot/engine/x.py", PLATE + "from time import time\nf(time)\n", ("clock", 3)),
    ("a calendar", "src/surefoot/x.py", PLATE + "from datetime import datetime\ndatetime.now()\n", ("clock", 3)),
    ("a system module", "src/surefoot/journal/x.py", PLATE + "import fcntl\n", ("system", 2)),
    ("a system name", "src/surefoot/engine/x.py", PLATE + "import signal\nsignal.SIGALRM\n", ("system", 3)),
    (
        "the name of the system",
        "src/surefoot/journal/x.py",
        PLATE + "import sys\nif sys.platform: ...\n",
        ("system", 3),
    ),
    ("the kind of system", "src/surefoot/cli/x.py", PLATE + "from os import name as n\nn\n", ("system", 3)),
    ("memory of the kernel", "src/surefoot/journal/x.py", PLATE + "from mmap import mmap\n", ("system", 2)),
    ("a late system module", "src/surefoot/x.py", PLATE + "def f():\n    import ctypes\n", ("system", 3)),
    ("a fork", "src/surefoot/engine/x.py", PLATE + "import os\nos.fork()\n", ("system", 3)),
    ("what is done after a fork", "src/surefoot/x.py", PLATE + "import os\nos.register_at_fork()\n", ("system", 3)),
    ("a killer", "src/surefoot/x.py", PLATE + "from os import kill\nkill(1, 2)\n", ("system", 3)),
    ("a look for a name", "src/surefoot/x.py", PLATE + "import os\nhasattr(os, 'nice')\n", ("system", 3)),
    ("a look for a signal", "src/surefoot/x.py", PLATE + "import signal\ngetattr(signal, 'x')\n", ("system", 3)),
    ("a database toolkit", "src/surefoot/client/x.py", PLATE + "from sqlalchemy import select\n", ("sql", 2)),
    ("SQL as text", "src/surefoot/client/x.py", PLATE + "q = '''SELECT name\nFROM run'''\n", ("sql", 2)),
    ("a late import", "src/surefoot/x.py", PLATE + "def f():\n    from surefoot.core import a\n", ("late-import", 3)),
    (
        "a late import by name",
        "src/surefoot/x.py",
        PLATE + "from importlib import import_module\ndef f(n):\n    import_module(f'surefoot.{n}')\n",
        ("late-import", 4),
    ),
    ("a pair of classes", "src/surefoot/x.py", PLATE + "class Pool: ...\nclass AsyncPool: ...\n", ("pair", 3)),
    ("a pair of functions", "src/surefoot/x.py", PLATE + "def run(): ...\ndef run_async(): ...\n", ("pair", 3)),
    ("an awaiting twin", "src/surefoot/x.py", PLATE + "def run(): ...\nasync def arun(): ...\n", ("pair", 3)),
    (
        "a pair of methods",
        "src/surefoot/x.py",
        PLATE + "class Pool:\n    def run(self): ...\n    async def async_run(self): ...\n",
        ("pair", 4),
    ),
    ("a comment on things to do", "tests/test_x.py", "x = 1  # TO" + "DO: more\n", ("unfinished", 1)),
    ("a docstring on things to do", "tools/x.py", '"""FIX' + 'ME."""\n', ("unfinished", 0)),
    ("what is not implemented", "tools/x.py", "raise NotImplemented" + "Error\n", ("unfinished", 1)),
]

ALLOWED = [
    ("the clock itself", "src/surefoot/core/clock.py", PLATE + "import time\ntime.sleep(1)\n"),
    ("a clock of the tests", "tests/core/test_x.py", "import time\ntime.monotonic()\n"),
    ("a step of the loop", "tests/core/test_x.py", "import asyncio\nasyncio.sleep(0)\n"),
    ("a sleep that is not time's", "tests/core/test_x.py", "clock.sleep(1)\n"),
    ("a lock in its room", "src/surefoot/core/os/linux.py", PLATE + "import fcntl\n"),
    ("a test of one system", "tests/core/test_x.py", "import sys, mmap\nsys.platform\n"),
    ("what every system has", "src/surefoot/x.py", PLATE + "import os, signal\nos.replace\nsignal.SIGTERM\n"),
    ("a look at something else", "src/surefoot/x.py", PLATE + "import os\ngetattr(os.environ, 'x')\n"),
    ("SQL in the ledger", "src/surefoot/ledger/x.py", PLATE + "from sqlalchemy import select\nq = 'PRAGMA a'\n"),
    ("words that begin like SQL", "src/surefoot/x.py", PLATE + "t = 'select a run from the list'\nu = 'UPDATE it'\n"),
    ("a late foreign import", "src/surefoot/x.py", PLATE + "def f():\n    import pydantic\n"),
    ("a command's own imports", "src/surefoot/cli/x.py", PLATE + "def f():\n    from surefoot.core import a\n"),
    ("the two ways of `with`", "src/surefoot/x.py", PLATE + "def __enter__(): ...\nasync def __aenter__(): ...\n"),
    ("words that differ by an a", "src/surefoot/x.py", PLATE + "def round(): ...\ndef around(): ...\n"),
    ("a long test", "tests/test_x.py", "def f():\n" + "    g()\n" * 700),
]


@pytest.mark.parametrize(("path", "text", "breach"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_rule_is_found_at_its_line(path: str, text: str, breach: tuple[str, int]) -> None:
    assert rules_broken((path, text)) == [breach]


@pytest.mark.parametrize(("path", "text"), [row[1:] for row in ALLOWED], ids=[row[0] for row in ALLOWED])
def test_what_is_right_is_left_alone(path: str, text: str) -> None:
    assert rules_broken((path, text)) == []


def test_a_pair_is_found_across_the_files_of_a_package() -> None:
    one, other = PLATE + "class Pool: ...\n", PLATE + "class AsyncPool: ...\n"
    assert rules_broken(("src/surefoot/x.py", one), ("src/surefoot/y.py", other)) == [("pair", 2)]
    assert rules_broken(("src/surefoot/x.py", one), ("src/surefoot/core/y.py", other)) == []


def test_a_skip_with_a_reason_excuses_its_line() -> None:
    text = "import time\ntime.sleep(1)  # house: skip sleep: a blocking call is what is tested\n"
    assert rules_broken(("tests/test_x.py", text)) == []


def test_a_skip_alone_on_its_line_excuses_the_next() -> None:
    text = "import time\n# house: skip sleep: a blocking call is what is tested\ntime.sleep(1)\n"
    assert rules_broken(("tests/test_x.py", text)) == []


def test_a_skip_anywhere_excuses_a_rule_about_the_file() -> None:
    text = PLATE + "x = 1\n# house: skip drawer: users know this name\n"
    assert rules_broken(("src/surefoot/utils.py", text)) == []


def test_a_skip_excuses_no_other_rule_and_no_other_line() -> None:
    text = "import time\ntime.sleep(1)  # house: skip clock: wrong rule\ntime.sleep(2)\n"
    assert rules_broken(("tests/test_x.py", text)) == [("skip", 2), ("sleep", 2), ("sleep", 3)]


def test_a_skip_without_a_reason_breaks_a_rule() -> None:
    text = "import time\ntime.sleep(1)  # house: skip sleep\n"
    assert rules_broken(("tests/test_x.py", text)) == [("skip", 2)]


def test_a_skip_that_skips_nothing_breaks_a_rule() -> None:
    assert rules_broken(("tests/test_x.py", "x = 1  # house: skip sleep: no longer\n")) == [("skip", 1)]


def test_a_file_that_nothing_imports_is_dead() -> None:
    used = ("src/surefoot/core/used.py", PLATE)
    lazy = ("src/surefoot/core/lazy.py", PLATE)
    dead = ("src/surefoot/core/dead.py", PLATE)
    face = ("src/surefoot/core/__init__.py", PLATE + "from surefoot.core.used import x\nDOOR = {'y': 'lazy'}\n")
    assert [(it.path, it.rule) for it in check([Source(*file) for file in (used, lazy, dead, face)])] == [
        ("src/surefoot/core/dead.py", "dead-file")
    ]


def test_modules_that_import_each_other_are_a_circle() -> None:
    one = ("src/surefoot/one.py", PLATE + "from surefoot.two import x\n")
    two = ("src/surefoot/two.py", PLATE + "from surefoot import three\n")
    three = ("src/surefoot/three.py", PLATE + "import surefoot.one\n")
    assert rules_broken(one, two, three) == [("circle", 0)]
    assert rules_broken(one, two) == []


def test_what_is_imported_for_types_alone_closes_no_circle() -> None:
    one = ("src/surefoot/one.py", PLATE + "from surefoot.two import x\n")
    two = ("src/surefoot/two.py", PLATE + "if TYPE_CHECKING:\n    from surefoot.one import Y\n")
    assert rules_broken(one, two) == []


def test_a_breach_reads_like_a_compiler_says_it() -> None:
    (breach,) = check([Source("tests/test_x.py", "import time\ntime.sleep(1)\n")])
    assert str(breach).startswith("tests/test_x.py:2: sleep: time.sleep in a test")


def test_the_program_counts_what_it_read_and_says_so_by_its_exit_code() -> None:
    done = subprocess.run([sys.executable, Path(ROOT, "tools/house.py")], capture_output=True, text=True, check=False)
    summary = done.stdout.splitlines()[-1]
    assert (done.returncode == 0) == summary.endswith(" 0 breaches")
    assert done.stderr == ""
