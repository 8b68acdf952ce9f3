"""Cancelling: from the request, by a client that is open, until the run in another process has ended for its caller."""

import os
import signal
import subprocess
import sys
import time
from statistics import median

from _measure import HOME, QUICK, Medians, tell

from surefoot.client import get_client

ROUNDS = 3 if QUICK else 100
CHILD = f"""
import os, sys, time
from surefoot import flow
@flow
def waits():
    os.write(1, b"on\\n")
    {{wait}}
for _ in range({ROUNDS}):
    waits(return_state=True)
    os.write(1, f"{{time.monotonic_ns()}}\\n".encode())
"""
FLOOR = """
import os, signal, time
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, f"{time.monotonic_ns()}\\n".encode()))
os.write(1, b"on\\n")
while True: time.sleep(1000)
"""
WAITS = {"sleeps": "time.sleep(1000)", "computes": "while True: pass"}


def child(text: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", text]
    env = {**os.environ, "SUREFOOT_HOME": HOME, "SUREFOOT_LOGGING_LEVEL": "CRITICAL"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)


def cancelled_ms(wait: str) -> list[float]:
    client, found = get_client(), []
    with child(CHILD.replace("{wait}", wait)) as process:
        assert process.stdout is not None
        for _ in range(ROUNDS):
            process.stdout.readline()
            run = client.flow_runs(limit=1).results[0]
            start_ns = time.monotonic_ns()
            client.cancel_flow_run(run.id)
            found.append((int(process.stdout.readline()) - start_ns) / 1e6)
    client.close()
    return sorted(found)


def signalled_ms() -> list[float]:
    found = []
    with child(FLOOR) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(ROUNDS):
            start_ns = time.monotonic_ns()
            process.send_signal(signal.SIGUSR1)
            found.append((int(process.stdout.readline()) - start_ns) / 1e6)
        process.kill()
    return sorted(found)


def main() -> None:
    floor = signalled_ms()
    for what, wait in WAITS.items():
        found = cancelled_ms(wait)
        slowest = min(len(found) - 1, round(len(found) * 0.99))
        half, most = Medians(median(found), median(floor)), Medians(found[slowest], floor[slowest])
        tell(
            f"cancel of a flow that {what}, median",
            half,
            "ms",
            "a signal to a process",
            "under 100 ms",
            half.value < 100,
        )
        tell(f"cancel of a flow that {what}, 99th of 100", most, "ms", "a signal to a process")


if __name__ == "__main__":
    main()
