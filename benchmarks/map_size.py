"""A map over 10,000 and over 100,000 items, each in a new process: how long, and how much memory at most."""

import json
from functools import partial

from _measure import QUICK, Medians, in_turn, process_s, tell

SIZES = (10, 100) if QUICK else (10_000, 100_000)
SETTING = """
import json, resource, sys, time

def peak_mb():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)

def measured(work, count):
    start = time.perf_counter()
    work(count)
    print(json.dumps([time.perf_counter() - start, peak_mb()]))
"""
OURS = (
    SETTING
    + """
from surefoot import flow, task

@task
def same(x):
    return x

@flow
def mapped(count):
    same.map(range(count)).result()

measured(mapped, {})
"""
)
BARE = (
    SETTING
    + """
from concurrent.futures import ThreadPoolExecutor

def same(x):
    return x

def mapped(count):
    with ThreadPoolExecutor() as pool:
        for future in [pool.submit(same, x) for x in range(count)]:
            future.result()

measured(mapped, {})
"""
)
FLOOR = "a bare thread pool's submits and results"


def main() -> None:
    for size in SIZES:
        measure(size)


def measure(size: int) -> None:
    peaks: dict[str, list[float]] = {OURS: [], BARE: []}

    def seconds(code: str) -> float:
        took_s, peak_mb = json.loads(process_s("-c", code.format(size))[1])
        peaks[code].append(peak_mb)
        return float(took_s)

    tell(f"map over {size:,}", in_turn(partial(seconds, OURS), partial(seconds, BARE), rounds=3), "s", FLOOR)
    tell(f"map over {size:,}, peak memory", Medians(max(peaks[OURS]), max(peaks[BARE])), "MB", FLOOR)


if __name__ == "__main__":
    main()
