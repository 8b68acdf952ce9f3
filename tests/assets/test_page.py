"""The page on assets is what happens: its program is run, its commands are typed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "assets.md"
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DIFFERS = re.compile(r"today \d\d:\d\d|\b[a-z]+-[0-9a-f]{3}\b")


def told(text: str) -> list[list[str]]:
    """The words of each line, without what differs from run to run, and how wide columns are."""
    return [DIFFERS.sub("...", line).split() for line in text.strip().splitlines()]


def test_what_the_page_on_assets_shows_is_what_is_seen(tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    program, more = [block for kind, block in blocks if kind == "python"]
    script = tmp_path / "nightly.py"
    script.write_text(program)
    subprocess.run([sys.executable, script], check=True, capture_output=True, timeout=60)
    typed = [block for kind, block in blocks if kind == "text"]
    assert len(typed) == 2
    for block in typed:
        command, _, shown = block.partition("\n")
        words = command.removeprefix("$ surefoot ").split()
        seen = subprocess.run(
            [sys.executable, "-m", "surefoot", *words], check=True, capture_output=True, text=True, timeout=60
        )
        assert told(seen.stdout) == told(shown)
    script.write_text(program.partition("if __name__")[0] + more + "assert fresh([{'id': 101}]) and not keys([])\n")
    subprocess.run([sys.executable, script], check=True, timeout=60)
