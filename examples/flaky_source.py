"""A source of data that is what sources are: it mostly answers, sometimes not at once, and one part of it is slow
today.

    python examples/flaky_source.py .demo-data
"""

import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FAILS_FIRST = {"/weather.csv": 2}  # how many requests for a path are refused before it answers


class FlakySource(ThreadingHTTPServer):
    """Serves the files of a folder on a free port of this machine."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: Counter[str] = Counter()
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "FlakySource":
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: FlakySource

    def do_GET(self) -> None:
        """A file, a refusal, or a long wait."""
        self.server.asked[self.path] += 1
        if self.path == "/forecast":
            self.server.closing.wait(60)
            return
        if self.server.asked[self.path] <= FAILS_FIRST.get(self.path, 0):
            self.send_error(503, "Busy, come back later")
            return
        file = self.server.folder / self.path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(file.stat().st_size))
        self.end_headers()
        self.wfile.write(file.read_bytes())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the run's own log tells it."""


if __name__ == "__main__":
    with FlakySource(Path(sys.argv[1])) as source:
        print(source.url)
        source.closing.wait()
