"""A year of flights from New York, end to end: fetch over HTTP, validate, transform by month, load, summarize.

    surefoot run examples/flights.py:nightly-flights -p source=http://127.0.0.1:8000 -p folder=/tmp/flights

`make demo` runs it against `examples/flaky_source.py`, which fails on purpose now and then.
"""

import asyncio
import csv
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from pydantic import BaseModel, Field, ValidationError

from surefoot import allow_failure, exponential_backoff, flow, get_run_logger, task, unmapped

TABLES = ("flights", "weather", "planes", "airlines")


class Weather(BaseModel):
    """One hour at one airport, as far as it is used."""

    origin: str = Field(pattern="^(EWR|JFK|LGA)$")
    month: int = Field(ge=1, le=12)
    temp: float = Field(ge=-60, le=140)
    wind_speed: float = Field(ge=0, le=200)


@task(retries=3, retry_delay_seconds=exponential_backoff(0.2), task_run_name="fetch-{table}")
def fetch(source: str, table: str, folder: Path) -> Path:
    """Fetch one table into a file. The source flickers, so it is asked again."""
    target = folder / f"{table}.csv"
    try:
        with urlopen(f"{source}/{table}.csv") as answer:
            target.write_bytes(answer.read())
    except HTTPError as refusal:
        refusal.close()
        raise
    get_run_logger().info("%s: %d kB", table, target.stat().st_size // 1024)
    return target


@task(timeout_seconds=1)
async def fetch_forecast(source: str) -> str:
    """Nice to have, and slow today: given up after a second."""
    place = urlsplit(source)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(b"GET /forecast HTTP/1.0\r\n\r\n")
        return str(await reader.read(), "utf-8")
    finally:
        writer.close()


@task
def validate_weather(file: Path) -> dict[int, tuple[float, float]]:
    """Mean temperature and wind by month, of the rows that are sound; the others are counted and told."""
    sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    refused: Counter[str] = Counter()
    for row in rows(file):
        try:
            hour = Weather.model_validate(row)
        except ValidationError as error:
            refused.update(str(problem["loc"][0]) for problem in error.errors())
            continue
        month = sums[hour.month]
        month[0] += hour.temp
        month[1] += hour.wind_speed
        month[2] += 1
    for column, count in refused.items():
        get_run_logger().warning("%d rows of the weather have no sound %s and were left out", count, column)
    return {month: (temp / count, wind / count) for month, (temp, wind, count) in sorted(sums.items())}


@task
def split_by_month(file: Path, folder: Path) -> list[Path]:
    """One file for each month, so that the months can be worked on side by side."""
    writers: dict[str, csv.DictWriter[str]] = {}
    files: dict[str, Path] = {}
    open_files = []
    try:
        for row in rows(file):
            month = row["month"]
            if month not in writers:
                files[month] = folder / f"flights-{int(month):02d}.csv"
                handle = files[month].open("w", newline="")
                open_files.append(handle)
                writers[month] = csv.DictWriter(handle, row)
                writers[month].writeheader()
            writers[month].writerow(row)
    finally:
        for handle in open_files:
            handle.close()
    return sorted(files.values())


@task
def summarize_month(file: Path, airlines: dict[str, str]) -> list[tuple[int, str, int, int, float]]:
    """For each airline of a month: flights, flights that did not depart, mean delay at arrival in minutes."""
    flights: Counter[str] = Counter()
    cancelled: Counter[str] = Counter()
    delays: dict[str, list[float]] = defaultdict(list)
    month = 0
    for row in rows(file):
        month = int(row["month"])
        airline = airlines[row["carrier"]]
        flights[airline] += 1
        if row["dep_time"] == "NA":
            cancelled[airline] += 1
        if row["arr_delay"] != "NA":
            delays[airline].append(float(row["arr_delay"]))
    return [
        (month, airline, count, cancelled[airline], sum(delays[airline]) / len(delays[airline]))
        for airline, count in sorted(flights.items())
    ]


@task
def read_airlines(file: Path) -> dict[str, str]:
    """Codes and names of the airlines."""
    return {row["carrier"]: row["name"] for row in rows(file)}


@task
def load(database: Path, months: list[list[tuple[int, str, int, int, float]]]) -> int:
    """Put everything into one table, at once or not at all."""
    lines = [line for month in months for line in month]
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TABLE IF EXISTS delays")
        connection.execute("CREATE TABLE delays (month INT, airline TEXT, flights INT, cancelled INT, delay REAL)")
        connection.executemany("INSERT INTO delays VALUES (?, ?, ?, ?, ?)", lines)
    connection.close()
    return sum(line[2] for line in lines)


@task
def write_summary(
    database: Path, weather: dict[int, tuple[float, float]], forecast: str | Exception, report: Path, flights: int
) -> Path:
    """The page that people read in the morning."""
    with sqlite3.connect(database) as connection:
        by_month = connection.execute(
            "SELECT month, SUM(flights), SUM(cancelled), SUM(delay * flights) / SUM(flights)"
            " FROM delays GROUP BY month ORDER BY month"
        ).fetchall()
    connection.close()
    lines = [
        f"{flights:,} flights from New York in 2013",
        "",
        "month  flights  cancelled  delay (min)  temp (F)  wind (mph)",
    ]
    for month, count, cancelled, delay in by_month:
        temp, wind = weather[month]
        lines.append(f"{month:5}  {count:7,}  {cancelled:9,}  {delay:11.1f}  {temp:8.1f}  {wind:10.1f}")
    told = f"none today ({type(forecast).__name__})" if isinstance(forecast, Exception) else forecast
    report.write_text("\n".join([*lines, "", f"Forecast: {told}", ""]))
    return report


@flow(name="nightly-flights")
def nightly_flights(source: str, folder: Path) -> Path:
    """Fetch, validate, transform, load, report."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {table: fetch.submit(source, table, folder) for table in TABLES}
    forecast = fetch_forecast.submit(source)
    weather = validate_weather.submit(files["weather"])
    airlines = read_airlines.submit(files["airlines"])
    months = split_by_month.submit(files["flights"], folder)
    summaries = summarize_month.map(months, unmapped(airlines))
    database = folder / "flights.db"
    flights = load.submit(database, summaries)
    # The report does without the forecast: its failure is an input like any other.
    report = write_summary.submit(database, weather, allow_failure(forecast), folder / "report.txt", flights)
    return report.result()


def rows(file: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV file, one by one."""
    with file.open(newline="") as lines:
        yield from csv.DictReader(lines)
