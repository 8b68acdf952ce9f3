"""Entrypoints: a flow is found by file or module and name; what is not there is named, with what is."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from surefoot import Flow
from surefoot.entrypoints import load_flow
from surefoot.exceptions import BadInput, EntrypointError
from tests.recorded import record

SOURCE = """
from functools import partial
from surefoot import flow, task

@flow(name="nightly load")
def load(n: int = 1): return n

@flow
def report(): return "report"

@flow
async def later(): return "later"

def plain(n: int = 2):
    print("plain")
    return n

added = partial(plain, 5)

class Jobs:
    @flow
    @staticmethod
    def alone(): return "alone"

    @classmethod
    @flow
    def of_class(cls): return cls.__name__

@task
def step(): ...

CONFIG = {"a": 1}

if __name__ == "__main__":
    raise SystemExit("it was run as a script")
"""


@pytest.fixture(autouse=True)
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder to work in, and the process's modules and search path as they were."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    file = tmp_path / "jobs_of_mine.py"
    file.write_text(SOURCE)
    return file


@pytest.mark.parametrize("name", ["load", "nightly load"])
def test_a_flow_is_found_by_the_functions_name_or_its_own(jobs: Path, name: str) -> None:
    for place in ("jobs_of_mine.py", "./jobs_of_mine.py", str(jobs), "jobs_of_mine"):
        found = load_flow(f"{place}:{name}")
        assert (found.name, found(7)) == ("nightly load", 7)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("report", "report"), ("Jobs.alone", "alone"), ("Jobs.of_class", "Jobs"), ("plain", 2), ("added", 5)],
)
def test_functions_methods_and_partials_are_found(jobs: Path, name: str, wanted: Any) -> None:
    found = load_flow(f"jobs_of_mine.py:{name}")
    assert isinstance(found, Flow)
    assert found() == wanted


def test_an_asynchronous_flow_is_found_too(jobs: Path) -> None:
    assert asyncio.run(load_flow("jobs_of_mine.py:later")()) == "later"


def test_a_plain_function_becomes_a_flow_that_logs_its_prints(jobs: Path, home: Path) -> None:
    load_flow("jobs_of_mine.py:plain")()
    assert "plain" in record(home).messages()


def test_the_only_flow_of_a_file_needs_no_name(tmp_path: Path) -> None:
    (tmp_path / "only.py").write_text("from surefoot import flow\n@flow\ndef main(): return 1\nalso = main\n")
    assert load_flow("only.py")() == 1
    assert load_flow("only.py").fn.__module__ == "only"
    (tmp_path / "none_here.py").write_text("x = 1")
    with pytest.raises(EntrypointError, match=r"none_here\.py has no flow\."):
        load_flow("none_here.py")


WAY_OUT = "decorated with @flow"
REFUSED = [
    ("jobs_of_mine.py", r"has 3 flows", r"Name one: jobs_of_mine\.py:load"),
    (
        "jobs_of_mine.py:reprot",
        r"has no flow 'reprot'\. Did you mean jobs_of_mine\.py:report\?",
        "decorated with @flow",
    ),
    ("jobs_of_mine.py:zzz", r"Its flows: load, report, later\.", WAY_OUT),
    ("jobs_of_mine.py:Jobs.zzz", r"has no flow 'Jobs\.zzz'", WAY_OUT),
    ("jobs_of_mine.py:step", r"is <Task 'step'>, which is no flow", WAY_OUT),
    ("jobs_of_mine.py:Jobs", r"is <class .*Jobs'>, which is no flow", WAY_OUT),
    ("jobs_of_mine.py:CONFIG", r"is \{'a': 1\}, which is no flow", WAY_OUT),
    ("job_of_mine.py:load", r"no file 'job_of_mine\.py' in .*Did you mean jobs_of_mine\.py\?", r"FILE\.py:FLOW"),
    ("there/isnt.py:load", r"no file 'there/isnt\.py'", r"FILE\.py:FLOW"),
    ("no_such_module:load", r"'no_such_module' cannot be imported: ModuleNotFoundError", r"FILE\.py:FLOW"),
    (":load", "cannot be imported", r"FILE\.py:FLOW"),
    ("", "cannot be imported", r"FILE\.py:FLOW"),
]


@pytest.mark.parametrize(("entrypoint", "told", "way_out"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_not_there_is_told_with_what_is(jobs: Path, entrypoint: str, told: str, way_out: str) -> None:
    with pytest.raises(EntrypointError, match=told) as caught:
        load_flow(entrypoint)
    assert isinstance(caught.value, ValueError)
    assert re.search(way_out, caught.value.do) or re.search(way_out, str(caught.value))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError"),
        ("import no_such_thing", "no_such_thing"),
    ],
)
def test_a_file_that_cannot_be_loaded_says_why_and_leaves_nothing_behind(
    tmp_path: Path, source: str, told: str
) -> None:
    (tmp_path / "broken_job.py").write_text(source)
    with pytest.raises(EntrypointError, match=told) as caught:
        load_flow("broken_job.py:main")
    assert "python broken_job.py" in caught.value.do
    assert caught.value.__cause__ is not None
    assert "broken_job" not in sys.modules


def test_our_own_errors_in_a_file_are_told_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "wrong_job.py").write_text("from surefoot import flow\n@flow(retries='x')\ndef main(): ...\n")
    with pytest.raises(BadInput, match="retries of a flow is 'x'"):
        load_flow("wrong_job.py:main")


@pytest.mark.parametrize("name", ["json.py", "pytest.py", "surefoot.py", "nightly-load.py", "2024.py"])
def test_a_file_is_never_taken_for_a_module_of_the_same_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("from surefoot import flow\n@flow\ndef main(): return __name__\n")
    before = {module: sys.modules[module] for module in ("json", "pytest", "surefoot")}
    assert load_flow(f"./{name}:main")() not in before
    assert json is sys.modules["json"]
    assert {module: sys.modules[module] for module in before} == before


def test_what_lies_beside_a_file_can_be_imported_by_it(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "shared_things.py").write_text("ANSWER = 42")
    source = "from surefoot import flow\nfrom shared_things import ANSWER\n@flow\ndef main(): return ANSWER\n"
    (folder / "importing_job.py").write_text(source)
    assert load_flow("jobs/importing_job.py:main")() == 42


def test_classes_of_a_loaded_file_know_their_module(tmp_path: Path) -> None:
    (tmp_path / "typed_job.py").write_text(
        "from __future__ import annotations\n"
        "import pickle\n"
        "from dataclasses import dataclass\n"
        "from surefoot import flow\n"
        "@dataclass\n"
        "class Point:\n    x: int\n"
        "@flow\n"
        "def main(p: Point): return pickle.loads(pickle.dumps(p)).x\n"
    )
    assert load_flow("typed_job.py:main")({"x": "3"}) == 3
