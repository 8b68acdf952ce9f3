"""`make demo`: the nightly job on real data, and then what Surefoot knows of it. Nothing leaves this machine."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / ".demo-data"
HOME = ROOT / ".demo-home"
OUTPUT = ROOT / ".demo-output"


def main() -> int:
    """Run the job twice, the second time with the source gone, and show both."""
    if not (DATA / "flights.csv").is_file():
        print("The data is not here yet. Type: make demo", file=sys.stderr)
        return 2
    # A home of its own: the demo leaves yours alone. Set before Surefoot is imported.
    os.environ["SUREFOOT_HOME"] = str(HOME)
    sys.path.insert(0, str(ROOT))

    from examples.flaky_source import FlakySource
    from examples.flights import nightly_flights

    heading("A nightly job: 336,776 flights. The source refuses twice, and its forecast never comes.")
    start = time.perf_counter()
    with FlakySource(DATA) as source:
        report = nightly_flights(source.url, OUTPUT)
        gone = source.url
    print(f"\n{report.read_text()}\n(in {time.perf_counter() - start:.1f} s; the table is in {OUTPUT / 'flights.db'})")

    heading("The same a night later, and the source is gone: it fails, and says so.")
    nightly_flights(gone, OUTPUT, return_state=True)

    show("flow-run", "ls")
    show("why", newest())
    show("flow-run", "inspect", newest(skip=1))
    show("flow-run", "logs", newest(skip=1), "--tail", "12")
    print(f"\nAll of it lies in {HOME}. To look around: SUREFOOT_HOME={HOME} {surefoot()} --help")
    return 0


def newest(skip: int = 0) -> str:
    """The name of the newest flow run, or of one before it."""
    listed = subprocess.run([surefoot(), "flow-run", "ls", "-o", "json"], capture_output=True, check=True)
    import json

    return str(json.loads(listed.stdout)[skip]["name"])


def show(*arguments: str) -> None:
    """Type a command, for all to see."""
    heading(f"$ surefoot {' '.join(arguments)}")
    subprocess.run([surefoot(), *arguments], check=True)


def surefoot() -> str:
    """The command beside this Python."""
    return str(Path(sys.executable).parent / "surefoot")


def heading(text: str) -> None:
    """A line that stands out."""
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
