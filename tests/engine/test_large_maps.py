"""Large maps as an everyday size: results while it runs, bounded memory, and a quiet standard error."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from surefoot import task
from surefoot.cli.app import app
from surefoot.client import get_client
from surefoot.core.wire import TaskRunFilter
from surefoot.futures import as_completed
from tests.engine.concurrency import SOON, on


def test_results_come_while_most_of_a_map_has_not_begun() -> None:
    seen = threading.Event()

    @task
    def item(n: int) -> int:
        assert n == 0 or seen.wait(SOON)
        return n

    @on(2)
    def program() -> int:
        futures = item.map(range(3000))
        results = as_completed(futures)
        first = next(results)
        pending = sum(future.state.is_pending() for future in futures)
        seen.set()
        assert first.result() == 0
        assert sum(future.result() for future in results) == sum(range(3000))
        return pending

    assert program() >= 2900


PROGRAM = """
import sys
from surefoot import flow, task
from surefoot.futures import as_completed

way, count = sys.argv[1], int(sys.argv[2])

@task
def item(n):
    in_hand = bytearray(10_000)
    if way == "failing" and n % 10 == 0:
        raise ConnectionError(f"GET /items/{n} timed out")
    return n

@flow
def program():
    futures = item.map(range(count))
    if way == "as_completed":
        assert sum(future.result() for future in as_completed(futures)) == sum(range(count))
    futures.wait()
    assert sum(future.state.is_completed() for future in futures) == (count * 9 // 10 if way == "failing" else count)

program()
try:
    import resource
except ImportError:
    sys.exit()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak // (1 << 20 if sys.platform == "darwin" else 1 << 10))
"""


def run_program(folder: Path, way: str, count: int) -> tuple[int, str]:
    """The most megabytes that it had, and what it wrote on standard error, which is a file."""
    said = folder / "stderr.txt"
    with said.open("w") as stderr:
        told = subprocess.run(
            [sys.executable, "-c", PROGRAM, way, str(count)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            check=True,
            text=True,
        )
    return int(told.stdout or 0), said.read_text(encoding="utf-8")


def test_progress_in_a_file_is_one_line_at_the_end(tmp_path: Path) -> None:
    _, said = run_program(tmp_path, "failing", 500)
    assert "\r" not in said
    assert "\x1b" not in said
    assert "map item: 500 runs, 50 of them failed, in" in said
    assert said.count("500") == 1
    assert said.count(" ERROR ") == 10  # after ten of a kind the number at the end is enough


@pytest.mark.long
@pytest.mark.parametrize("way", ["waiting", "as_completed", "failing"])
def test_a_map_over_100_000_items_stays_below_600_megabytes(way: str, tmp_path: Path) -> None:
    peak_mb, _ = run_program(tmp_path, way, 100_000)
    assert peak_mb < 600


ONE_IN_A_HUNDRED = """
from pathlib import Path
from surefoot import flow, task

@task
def fetch(n):
    if n % 100 == 7:
        with open("calls", "a") as calls:
            calls.write(f"{n} ")
        if not Path("mended").exists():
            raise ValueError(f"row {n} has no price") if n % 1000 == 7 else ConnectionError(f"GET /{n} timed out")
    return n

@flow
def items(count: int):
    rows = fetch.map(range(count))
    rows.wait()  # the first that fails would keep the others from being started
    return sum(rows.result())
"""


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_of_a_map_of_which_one_in_a_hundred_fails_the_failures_are_grouped_and_only_these_run_again(
    count: int, tmp_path: Path
) -> None:
    (tmp_path / "flows.py").write_text(ONE_IN_A_HUNDRED)
    failing = [n for n in range(count) if n % 100 == 7]
    priceless = len([n for n in failing if n % 1000 == 7])

    code, said = surefoot(tmp_path, "run", "flows.py:items", "-p", f"count={count}")
    assert code == 1
    assert f"map fetch: {count:,} runs, {len(failing):,} of them failed, in" in said
    assert said.count(" ERROR ") == 11  # ten of its tasks, and the flow
    assert len(said.splitlines()) < 20
    with closing(get_client()) as client:
        while (page := client.flow_runs()).behind:
            pass  # a slow machine takes in a large run in several goes
        (run,) = page.results
        groups = client.failures(run.id).groups
    assert [group.count for group in groups] == [len(failing) - priceless, priceless]
    why = CliRunner().invoke(app, ["why", run.name]).stdout
    assert f"{len(failing) - priceless:,} task runs of fetch failed: GET /… timed out" in why
    assert f"{priceless:,} task runs of fetch failed: row … has no price" in why
    page_of_it = CliRunner().invoke(app, ["flow-run", "inspect", run.name]).stdout
    assert "ConnectionError: GET /… timed out" in page_of_it
    assert "ValueError: row … has no price" in page_of_it
    assert len(page_of_it.splitlines()) < 40

    (tmp_path / "mended").touch()
    (tmp_path / "calls").unlink()
    code, said = surefoot(tmp_path, "flow-run", "retry", run.name)
    assert code == 0, said
    assert sorted(map(int, (tmp_path / "calls").read_text().split())) == failing
    with closing(get_client()) as client:
        while (counts := client.task_run_counts(TaskRunFilter(flow_run_id=[run.id])).by_name) != {
            "Cached": count - len(failing),
            "Completed": len(failing),
        }:
            assert client.behind, counts


def surefoot(folder: Path, *words: str) -> tuple[int, str]:
    """How a command ended that never had 600 megabytes, and what it wrote on standard error."""
    program = """
import sys
from surefoot.cli import main
try:
    main()
finally:
    try:
        import resource
    except ImportError:
        pass
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print("peak", peak // (1 << 20 if sys.platform == "darwin" else 1 << 10))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=folder, capture_output=True, encoding="utf-8", check=False
    )
    peak_mb = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("peak ")]
    assert all(each < 600 for each in peak_mb)
    return done.returncode, done.stderr
