"""A real kernel, and what it sends for each cell."""

from __future__ import annotations

import os
import queue
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

__all__ = ["SOON_S", "Cell", "Kernel"]

SOON_S = 60.0  # that nothing here takes, on however busy a machine


class Cell:
    """One cell that was sent to the kernel, and what came back for it."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def _of(self, *kinds: str) -> list[dict[str, Any]]:
        return [message["content"] for message in self.messages if message["msg_type"] in kinds]

    @property
    def is_over(self) -> bool:
        return any(content["execution_state"] == "idle" for content in self._of("status"))

    def stream(self, name: str) -> str:
        return "".join(content["text"] for content in self._of("stream") if content["name"] == name)

    @property
    def out(self) -> str:
        return self.stream("stdout")

    @property
    def err(self) -> str:
        return self.stream("stderr")

    @property
    def result(self) -> dict[str, str]:
        """The value of the cell's last line, by kind of text."""
        found: dict[str, str] = self._of("execute_result")[-1]["data"]
        return found

    @property
    def value(self) -> str:
        return self.result["text/plain"]

    @property
    def error(self) -> str | None:
        """The name of the exception that left the cell."""
        found = self._of("error")
        return found[-1]["ename"] if found else None

    @property
    def traceback(self) -> str:
        return "\n".join(self._of("error")[-1]["traceback"])

    @property
    def displays(self) -> list[tuple[str, str, str]]:
        """What was displayed, and displayed anew: kind of message, id, text."""
        kinds = ("display_data", "update_display_data")
        return [
            (
                message["msg_type"],
                message["content"]["transient"]["display_id"],
                message["content"]["data"]["text/plain"],
            )
            for message in self.messages
            if message["msg_type"] in kinds
        ]


class Kernel:
    """A kernel of its own process, with a home of its own."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home = home
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(
            env={**os.environ, "SUREFOOT_HOME": str(home)}, cwd=str(folder), stderr=subprocess.DEVNULL
        )
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=SOON_S)
        self._cells: dict[str, Cell] = {}

    def begin(self, code: str) -> Cell:
        """Send a cell."""
        cell = self._cells[self._client.execute(code, stop_on_error=False)] = Cell()
        return cell

    def until(self, is_so: Callable[[], object]) -> None:
        """Take what the kernel sends until something is so."""
        end_s = time.monotonic() + SOON_S
        while not is_so():
            assert time.monotonic() < end_s, {key: cell.messages for key, cell in self._cells.items()}
            try:
                message = self._client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            cell = self._cells.get(message["parent_header"].get("msg_id"))
            if cell is not None:
                cell.messages.append(message)

    def run(self, code: str) -> Cell:
        """Send a cell, and wait for its end."""
        cell = self.begin(code)
        self.until(lambda: cell.is_over)
        return cell

    def interrupt(self) -> None:
        """What the button does."""
        self._manager.interrupt_kernel()

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
