"""Promise 14: it explains itself. A table of failed situations, each with the cause that `why` must name."""

import datetime
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from surefoot import Skip, flow, task
from surefoot.artifacts import create_table_artifact
from surefoot.assets import CheckResult, add_asset_metadata, materialize
from surefoot.cache_policies import INPUTS
from surefoot.client import get_client
from surefoot.core.wire import Explanation, FlowRunFilter
from surefoot.states import Cancelled, Failed
from surefoot.transactions import transaction
from surefoot.variables import Variable, render


def explain(flow_name: str) -> Explanation:
    client = get_client()
    try:
        run = client.flow_runs(FlowRunFilter(flow_name=[flow_name])).results[0]
        return client.why(run.name)
    finally:
        client.close()


@task
def breaks(text: str = "the disk is full") -> None:
    raise OSError(text)


@task
def needs(value: object) -> object:
    return value


@task(retries=2)
def refused() -> None:
    raise ConnectionError("connection refused")


@task
def odd_breaks(number: int) -> int:
    if number % 2:
        raise ValueError("odd numbers are not allowed")
    return number


@flow
def own_exception() -> None:
    raise RuntimeError("the configuration names no bucket")


@flow
def task_failed() -> None:
    breaks()


@flow
def gave_up_after_retries() -> None:
    refused()


@flow
def upstream_failed() -> None:
    needs.submit(needs.submit(breaks.submit("no rows from the source"))).result()


@flow
def some_of_a_map_failed() -> object:
    futures = odd_breaks.map(range(10))
    futures.wait()
    return futures


@flow(timeout_seconds=0.1)
def took_too_long() -> None:
    while True:
        pass


@flow
def wrong_parameter(count: int) -> None: ...


@flow
def exits() -> None:
    sys.exit(3)


@flow
def stops_itself() -> object:
    return Cancelled(message="nothing to do on Sundays")


@flow
def says_so_itself() -> object:
    return Failed(message="three sensors are silent")


@flow
def inner() -> None:
    breaks("the inner disk is full")


@flow
def subflow_failed() -> None:
    inner()


@task(cache_policy=INPUTS)
def cached(source: object) -> None: ...


@flow
def no_hash() -> None:
    cached(threading.Lock())


@task(persist_result=True, result_serializer="json")
def gives_a_lock() -> object:
    return threading.Lock()


@flow
def cannot_be_stored() -> None:
    gives_a_lock()


def no_reply(_: object) -> None:
    raise ConnectionError("the bank does not answer")


@task(on_commit=[no_reply])
def pays() -> None: ...


@flow
def commit_failed() -> None:
    with transaction():
        pays()


@task
def closed() -> None:
    raise Skip("the exchange is closed")


@task
def reports(value: object) -> None: ...


@flow
def trigger_not_met() -> None:
    needs.submit(breaks.submit("no rows"), wait_for=[closed.submit()]).result()


@task(isolation="process")
def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@flow
def process_died() -> None:
    dies()


def no_nulls(rows: list[object]) -> CheckResult:
    return CheckResult(None not in rows, f"{rows.count(None)} of {len(rows)} keys are null")


@materialize("s3://lake/orders", checks=[no_nulls])
def orders() -> list[object]:
    return [1, None]


@flow
def asset_check_failed() -> None:
    needs.submit(orders.submit()).result()


@flow
def asset_not_made_here() -> None:
    add_asset_metadata("s3://lake/orders", {"rows": 3})


@flow
def table_ragged() -> None:
    create_table_artifact({"region": ["eu", "us"], "rows": [3]}, key="rows")


@flow
def variable_missing() -> None:
    Variable.set("bucket", "s3://backups")
    render({"to": "{{ surefoot.variables.buckt }}/daily"})


@flow
def variable_is_no_json() -> None:
    Variable.set("last-load", {"at": datetime.date(2026, 1, 1)})


SITUATIONS: list[tuple[Callable[[], object], str, list[str]]] = [
    (own_exception, "own-exception", ["the configuration names no bucket"]),
    (task_failed, "task-failed", ["breaks", "the disk is full"]),
    (gave_up_after_retries, "gave-up-after-retries", ["refused", "connection refused", "2 retries"]),
    (upstream_failed, "upstream-failed", ["breaks", "no rows from the source"]),
    (some_of_a_map_failed, "some-of-a-map-failed", ["odd_breaks", "5", "odd numbers are not allowed"]),
    (took_too_long, "took-too-long", ["took longer than", "100 ms"]),
    (lambda: wrong_parameter("many"), "wrong-parameter", ["count", "many", "valid integer"]),  # type: ignore[call-overload]
    (exits, "exits", ["sys.exit(3)"]),
    (stops_itself, "stops-itself", ["nothing to do on Sundays"]),
    (says_so_itself, "says-so-itself", ["three sensors are silent"]),
    (subflow_failed, "subflow-failed", ["the inner disk is full"]),
    (no_hash, "no-hash", ["source", "lock"]),
    (cannot_be_stored, "cannot-be-stored", ["gives_a_lock", "stored", "lock"]),
    (commit_failed, "commit-failed", ["the bank does not answer"]),
    (trigger_not_met, "trigger-not-met", ["breaks", "no rows"]),
    (table_ragged, "table-ragged", ["The column 'rows' of the table has 1 rows, and 'region' has 2"]),
    (
        asset_check_failed,
        "asset-check-failed",
        ["orders", "Check 'no_nulls' of asset s3://lake/orders", "1 of 2 keys are null"],
    ),
    (asset_not_made_here, "asset-not-made-here", ["s3://lake/orders", "outside of a run that makes it"]),
    (variable_missing, "variable-missing", ["There is no variable 'buckt'", "Did you mean 'bucket'?"]),
    (variable_is_no_json, "variable-is-no-json", ["last-load", "['at'] is of type date"]),
    (process_died, "process-died", ["dies", "SIGKILL"]),
]


@pytest.mark.parametrize(("call", "flow_name", "words"), SITUATIONS, ids=[name for _, name, _ in SITUATIONS])
def test_why_names_the_cause(call: Callable[[], object], flow_name: str, words: list[str]) -> None:
    with pytest.raises((Exception, SystemExit)):
        call()
    explanation = explain(flow_name)
    told = "\n".join([explanation.summary, *explanation.causes])
    for word in words:
        assert word in told
    assert explanation.do, "no next step is named"
    assert all(line.startswith("surefoot ") for line in explanation.do)


def test_why_says_that_nothing_was_wrong_and_what_was_skipped(home: Path) -> None:
    @flow
    def skips() -> object:
        return reports.submit(needs.submit(closed.submit())), needs.submit(3)

    skips()
    with closing(get_client()) as client:
        told = {run.task_name: client.why(run.id) for run in client.task_runs().results}
    assert told["closed"].run.state_name == told["reports"].run.state_name == "Skipped"
    assert "the exchange is closed" in told["closed"].summary
    assert "closed" in " ".join([told["reports"].summary, *told["reports"].causes])


def test_why_names_what_was_blocked() -> None:
    with pytest.raises(Exception, match="no rows"):
        upstream_failed()
    assert any("needs" in line for line in explain("upstream-failed").blocked)


def test_why_of_an_asset_is_why_of_the_run_that_was_to_make_it() -> None:
    with pytest.raises(Exception, match="keys are null"):
        asset_check_failed()
    command = Path(sys.executable).parent / "surefoot"
    told = subprocess.run([command, "why", "s3://lake/orders"], capture_output=True, text=True, check=True).stdout
    assert "1 of 2 keys are null" in told
    assert "needs" in told.partition("What it blocked")[2]


SCRIPT = """
import os, sys
from surefoot import flow, task

@task
def step():
    print("in", flush=True)
    sys.stdin.read()

@flow
def killed():
    step()

killed()
"""


def test_why_says_that_a_process_died(home: Path, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"in\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    explanation = explain("killed")
    assert explanation.run.state_type == "CRASHED"
    assert str(process.pid) in "\n".join([explanation.summary, *explanation.causes])


def test_an_unknown_setting_in_a_file_names_path_value_and_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "surefoot.toml").write_text('[loging]\nlevel = "DEBUG"\n')
    command = Path(sys.executable).parent / "surefoot"
    ended = subprocess.run([command, "flow-run", "ls"], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stdout == ""
    for word in ("surefoot.toml", "loging", "logging.level"):
        assert word in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
