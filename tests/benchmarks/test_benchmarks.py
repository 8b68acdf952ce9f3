"""Every benchmark works, and prints its figures in the one form. How fast anything is, nobody asserts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("[!_]*.py"))
NUMBER = (int, float)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_benchmark_prints_one_json_line_a_figure_beside_its_floor(script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / script, "--quick"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines
    for line in lines:
        assert list(line) == ["figure", "value", "unit", "floor", "ratio", "goal", "met"]
        assert list(line["floor"]) == ["what", "value"]
        assert all(type(number) in NUMBER for number in (line["value"], line["floor"]["value"], line["ratio"]))
        assert all([line["figure"], line["unit"], line["floor"]["what"]])
        assert (line["goal"] is None) == (line["met"] is None)
    assert len({line["figure"] for line in lines}) == len(lines)
    assert list(tmp_path.iterdir()) == []  # it cleans up behind itself


def test_the_benchmarks_are_found() -> None:
    assert "import_time.py" in SCRIPTS
