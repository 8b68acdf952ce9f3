"""The README's first screen is what really happens: this runs its example and prints the list that follows.

`python tools/readme.py` prints it, `--write` puts it into the README. A test compares the two.
May import: the standard library.
"""

import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from os import environ
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
README: Final = ROOT / "README.md"
EXAMPLE: Final = ROOT / "examples" / "backup.py"
LISTED: Final = re.compile(r"(?<=    \$ surefoot flow-run ls\n)(?:    .*\n)+")
SHOWN: Final = re.compile(r"(?<=```python\n)(.*?)(?=```)", re.DOTALL)


def main() -> int:
    """Print the list, or write it into the README."""
    listed = "".join(f"    {line}\n" for line in run_example().splitlines())
    if sys.argv[1:] != ["--write"]:
        print(listed, end="")
        return 0
    text = LISTED.sub(lambda _: listed, README.read_text(encoding="utf-8"), count=1)
    README.write_text(SHOWN.sub(lambda _: EXAMPLE.read_text(encoding="utf-8"), text, count=1), encoding="utf-8")
    return 0


def run_example() -> str:
    """Run the example where its upload is taken and where it is refused, and list the runs."""
    command = str(Path(sys.executable).parent / "surefoot")
    with tempfile.TemporaryDirectory() as home, sink() as server:
        environment = {key: value for key, value in environ.items() if not key.startswith("SUREFOOT_")}
        environment |= {"SUREFOOT_HOME": home, "COLUMNS": "120"}
        for target in (server, "127.0.0.1:9"):
            subprocess.run([sys.executable, EXAMPLE, ROOT / "LICENSE", target], env=environment, capture_output=True)
        listed = subprocess.run(
            [command, "flow-run", "ls"], env=environment, capture_output=True, text=True, check=True
        )
    return listed.stdout


def normalized(listed: str) -> str:
    """The list without what differs from run to run: names of runs, times, and the space that they take."""
    lines = []
    for line in listed.strip().splitlines():
        line = re.sub(r"\b[a-z]+-[a-z]+\b(?=\s+backup\b)", "NAME", line.strip())
        line = re.sub(r"\b(?:today|yesterday) \d\d:\d\d\b", "STARTED", line)
        line = re.sub(r"\b[\d.]+ ?(?:ms|s)\b", "TOOK", line)
        lines.append(re.sub(r" {2,}", "  ", line))
    return "\n".join(lines)


@contextmanager
def sink() -> Iterator[str]:
    """A place that takes uploads."""
    with HTTPServer(("127.0.0.1", 0), Sink) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Sink(BaseHTTPRequestHandler):
    """Takes what is put."""

    def do_PUT(self) -> None:
        """Read it, and say thanks."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    sys.exit(main())
