"""`from surefoot import flow, task` in a new process, beside importing msgspec alone; and what else that loads."""

import json
import sys
import sysconfig

from _measure import Medians, in_turn, process_s, tell

TIMED = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
LOADED = "{}; import json, sys; print(json.dumps({{n: getattr(m, '__file__', None) for n, m in sys.modules.items()}}))"
OURS = "from surefoot import flow, task"
FLOOR = "import msgspec"
HEAVY = {"asyncio", "logging", "multiprocessing", "sqlite3", "ssl", "tomllib"}  # wanted later, if at all


def main() -> None:
    alone = in_turn(lambda: import_ms(OURS), lambda: import_ms(FLOOR), rounds=15)
    tell(
        "import",
        alone,
        "ms",
        "importing msgspec",
        "under 100 ms, at most 2 times the floor",
        alone.value < 100 and alone.ratio <= 2,
    )
    whole = in_turn(lambda: process_s("-c", OURS)[0] * 1000, lambda: process_s("-c", FLOOR)[0] * 1000, rounds=15)
    tell("process that imports", whole, "ms", "process that imports msgspec", "under 100 ms", whole.value < 100)
    ours, floor = modules(OURS), modules(FLOOR)
    unwanted = sorted((third_party(ours) - third_party(floor)) | (HEAVY & (ours.keys() - floor.keys())))
    tell(
        "modules that the import loads",
        Medians(len(ours), len(floor)),
        "modules",
        "loaded by importing msgspec",
        f"no third-party one more, and none of {', '.join(sorted(HEAVY))}",
        not unwanted,
    )
    if unwanted:
        print(f"{OURS}: loads {', '.join(unwanted)}", file=sys.stderr)


def import_ms(statement: str) -> float:
    return float(process_s("-c", TIMED.format(statement))[1]) * 1000


def modules(statement: str) -> dict[str, str | None]:
    loaded: dict[str, str | None] = json.loads(process_s("-c", LOADED.format(statement))[1])
    return loaded


def third_party(loaded: dict[str, str | None]) -> set[str]:
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    names = {name.partition(".")[0] for name, file in loaded.items() if file and any(map(file.startswith, places))}
    return names - {"surefoot"}


if __name__ == "__main__":
    main()
