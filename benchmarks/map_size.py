"""A map over 10,000 and over 100,000 items, each in a new process: how long, and how much memory at most. And over
100,000 items of which one in a hundred fails.
"""

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
FAILING = "def same(x):\n    if x % 100 == 7:\n        raise ConnectionError(x)\n    return x\n"
OURS_FAILING = OURS.replace("def same(x):\n    return x\n", FAILING).replace(".result()", ".wait()")
BARE_FAILING = BARE.replace("def same(x):\n    return x\n", FAILING).replace(".result()", ".exception()")
FLOOR = "a bare thread pool's submits and results"


def main() -> None:
    for size in SIZES:
        measure(f"map over {size:,}", size, OURS, BARE)
    size = SIZES[-1]
    measure(f"map over {size:,} of which 1 % fail", size, OURS_FAILING, BARE_FAILING)


def measure(figure: str, size: int, ours: str, bare: str) -> None:
    peaks: dict[str, list[float]] = {ours: [], bare: []}

    def seconds(code: str) -> float:
        took_s, peak_mb = json.loads(process_s("-c", code.format(size))[1])
        peaks[code].append(peak_mb)
        return float(took_s)

    took = in_turn(partial(seconds, ours), partial(seconds, bare), rounds=3)
    peak = Medians(max(peaks[ours]), max(peaks[bare]))
    if size < 100_000:
        tell(figure, took, "s", FLOOR)
        tell(f"{figure}, peak memory", peak, "MB", FLOOR)
    else:
        tell(figure, took, "s", FLOOR, "30 s, then 15 s", took.value < 30)
        tell(f"{figure}, peak memory", peak, "MB", FLOOR, "600 MB", peak.value < 600)


if __name__ == "__main__":
    main()
