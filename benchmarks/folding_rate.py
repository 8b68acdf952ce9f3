"""Task runs folded from the journal of an ended process into the ledger, three states each: SQLite, then PostgreSQL.

PostgreSQL is a server of the benchmark's own, which writes to the disk in earnest; without its programs that half is
left out, and says so.
"""

import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

import psycopg
from _measure import QUICK, in_turn, process_s, rate, tell

from surefoot.client.embedded import EmbeddedClient

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools.postgres import Cluster, NoPostgres

COUNT = 50 if QUICK else 10_000
RECORDED = f"""
from surefoot import flow, task

@task
def same(x):
    return x

@flow
def many():
    for number in range({COUNT}):
        same(number)

many()
"""
ROW = (b"sixteen bytes id", "same", "same-1", "COMPLETED", "Completed", "x" * 400)
COLUMNS = "n integer, id {}, a text, b text, c text, d text, e text, PRIMARY KEY (id, n)"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        numbers = count()

        def folded(url: Callable[[], str | None]) -> float:
            home = os.path.join(folder, f"home-{next(numbers)}")
            process_s("-c", RECORDED, home=home)
            client = EmbeddedClient(home, wait_s=600, url=url())
            try:
                result = rate(COUNT, lambda: client.flow_runs(limit=1))  # a read folds what is pending first
                if client.behind:
                    raise SystemExit(f"{client.behind} facts were left unfolded")
                return result
            finally:
                client.close()

        def inserted() -> float:
            connection = sqlite3.connect(os.path.join(folder, f"bare-{next(numbers)}.db"))
            try:
                connection.execute(f"CREATE TABLE run ({COLUMNS.format('BLOB')}) WITHOUT ROWID")
                rows = ((number, *ROW) for number in range(COUNT))
                with connection:
                    return rate(COUNT, lambda: connection.executemany("INSERT INTO run VALUES (?,?,?,?,?,?,?)", rows))
            finally:
                connection.close()

        measured = in_turn(lambda: folded(lambda: None), inserted, rounds=3)
        floor = "bare sqlite3 inserting one row a run"
        tell("task runs folded", measured, "1/s", floor, "20,000/s", measured.value >= 20_000)

        try:
            with Cluster(lasting=True) as cluster:

                def database() -> str:
                    name = f"fold_{next(numbers)}"
                    with psycopg.connect(cluster.url(), autocommit=True) as connection:
                        connection.execute(f"CREATE DATABASE {name}")
                    return cluster.url(name)

                def copied() -> float:
                    with psycopg.connect(database()) as connection, connection.cursor() as cursor:
                        cursor.execute(f"CREATE TABLE run ({COLUMNS.format('bytea')})")

                        def copy() -> None:
                            with cursor.copy("COPY run FROM STDIN") as rows:
                                for number in range(COUNT):
                                    rows.write_row((number, *ROW))
                            connection.commit()

                        return rate(COUNT, copy)

                measured = in_turn(lambda: folded(database), copied, rounds=3)
        except NoPostgres as error:
            print(error, file=sys.stderr)
            return
        floor = "bare psycopg copying one row a run"
        tell("task runs folded into PostgreSQL", measured, "1/s", floor, "15,000/s", measured.value >= 15_000)


if __name__ == "__main__":
    main()
