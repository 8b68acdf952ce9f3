"""A process of its own that computes a cached value under a lock: `python caching_program.py FOLDER [GATE]`.

It says "computing" when it is called. With a gate, a file, it waits there until that is gone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from surefoot import task
from surefoot.cache_policies import CachePolicy
from surefoot.locking.filesystem import FileSystemLockManager
from surefoot.transactions import IsolationLevel
from tests.engine.concurrency import until


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    folder, gate = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None
    policy = CachePolicy.from_cache_key_fn(lambda context, parameters: "shared").configure(
        isolation_level=IsolationLevel.SERIALIZABLE, lock_manager=FileSystemLockManager(folder / "locks")
    )

    @task(cache_policy=policy, result_storage=folder / "values")
    def slow() -> str:
        say("computing")
        if gate is not None:
            until(lambda: not gate.exists())
        return "value"

    say(slow(return_state=True).name)


if __name__ == "__main__":
    main()
