"""Task runs folded from the journal of an ended process into the ledger (SQLite), three states each."""

import os
import sqlite3
import tempfile
from itertools import count

from _measure import QUICK, in_turn, process_s, rate, tell

from surefoot.client.embedded import EmbeddedClient

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


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        numbers = count()

        def folded() -> float:
            home = os.path.join(folder, f"home-{next(numbers)}")
            process_s("-c", RECORDED, home=home)
            client = EmbeddedClient(home, wait_s=600)
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
                connection.execute(
                    "CREATE TABLE run (n INTEGER, id BLOB, a, b, c, d, e, PRIMARY KEY (id, n)) WITHOUT ROWID"
                )
                rows = ((number, *ROW) for number in range(COUNT))
                with connection:
                    return rate(COUNT, lambda: connection.executemany("INSERT INTO run VALUES (?,?,?,?,?,?,?)", rows))
            finally:
                connection.close()

        measured = in_turn(folded, inserted, rounds=3)
    floor = "bare sqlite3 inserting one row a run"
    tell("task runs folded", measured, "1/s", floor, "20,000/s, a later goal", measured.value >= 20_000)


if __name__ == "__main__":
    main()
