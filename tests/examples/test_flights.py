"""The main job of the demo, on a handful of rows: what recovers, what times out, what is written."""

import sqlite3
from pathlib import Path

import pytest

from examples.flaky_source import FlakySource
from examples.flights import nightly_flights
from surefoot.client import get_client
from surefoot.core.wire import LogFilter, TaskRunFilter

FLIGHTS = """\
year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest
2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH
2013,1,2,NA,1500,NA,NA,1755,NA,UA,464,N13538,EWR,SFO
2013,2,1,533,529,4,850,830,21,AA,1714,N24211,LGA,IAH
"""
WEATHER = """\
origin,year,month,day,hour,temp,wind_speed
EWR,2013,1,1,1,39.0,10.0
EWR,2013,1,1,2,41.0,NA
LGA,2013,2,1,1,30.0,5.0
"""
AIRLINES = "carrier,name\nUA,United\nAA,American\n"
PLANES = "tailnum,year\nN14228,1999\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, text in {"flights": FLIGHTS, "weather": WEATHER, "airlines": AIRLINES, "planes": PLANES}.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def test_the_nightly_job_recovers_and_loads_everything(data: Path, tmp_path: Path) -> None:
    with FlakySource(data) as source:
        report = nightly_flights(source.url, tmp_path / "out")
    with sqlite3.connect(tmp_path / "out" / "flights.db") as connection:
        loaded = connection.execute("SELECT * FROM delays ORDER BY month").fetchall()
    connection.close()
    assert loaded == [(1, "United", 2, 1, 11.0), (2, "American", 1, 0, 21.0)]
    assert "Forecast: none today (TaskRunTimeoutError)" in report.read_text()

    client = get_client()
    runs = {run.task_name: run for run in client.task_runs(limit=200).results if run.name != "fetch-planes"}
    recovered = client.find_task_run("fetch-weather")
    assert (recovered.state_name, recovered.run_count) == ("Completed", 3)
    assert (runs["fetch_forecast"].state_type, runs["fetch_forecast"].state_name) == ("FAILED", "TimedOut")
    assert len(client.task_runs(TaskRunFilter(task_name=["summarize_month"])).results) == 2
    flow_run = client.flow_runs().results[0]
    lines = [line.message for line in client.logs(LogFilter(flow_run_id=[flow_run.id])).results]
    assert "1 rows of the weather have no sound wind_speed and were left out" in lines
    client.close()


def test_a_source_that_is_gone_fails_the_job_with_its_reason(data: Path, tmp_path: Path) -> None:
    with FlakySource(data) as source:
        gone = source.url
    state = nightly_flights(gone, tmp_path / "out", return_state=True)
    assert state.is_failed()
    client = get_client()
    explanation = client.why(client.flow_runs().results[0].name)
    assert "Connection refused" in " ".join([explanation.summary, *explanation.causes])
    client.close()
