"""The types that users see are exact, to mypy and to pyright."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CALLS = Path(__file__).with_name("calls.py")
ROOT = CALLS.parents[2]
PYRIGHT = ROOT / "tools" / "pyright"


def wrong_lines() -> set[int]:
    lines = CALLS.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


def test_mypy_sees_exact_types_and_each_wrong_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path), "--no-error-summary", "--strict", str(CALLS)]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src")}
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment).stdout
    errors = {int(match[1]) for match in re.finditer(r"calls\.py:(\d+): error", told)}
    assert errors == wrong_lines(), told


def test_pyright_sees_exact_types_and_each_wrong_line(tmp_path: Path) -> None:
    settings = {
        "include": ["calls.py"],
        "extraPaths": [str(ROOT / "src")],
        "pythonVersion": "3.11",
        "typeCheckingMode": "strict",
        # These tell of what is left unused, which a page of examples is.
        "reportUnusedFunction": False,
        "reportUnusedCoroutine": False,
        "reportUnusedExpression": False,
    }
    (tmp_path / "calls.py").write_bytes(CALLS.read_bytes())  # it reads nothing outside of its project
    project = tmp_path / "pyrightconfig.json"
    project.write_text(json.dumps(settings))
    command = [str(pyright()), "--outputjson", "--pythonpath", sys.executable, "--project", str(project)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    found = json.loads(told.stdout)["generalDiagnostics"]
    errors = {it["range"]["start"]["line"] + 1: it["message"] for it in found if it["severity"] == "error"}
    assert set(errors) == wrong_lines(), errors


def pyright() -> Path:
    """The program of pyright, installed from its lock when it is first wanted."""
    program = PYRIGHT / "node_modules" / ".bin" / "pyright"
    npm = shutil.which("npm")
    with open(PYRIGHT / "package.json") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            why = "pyright needs npm. Install Node.js 20 or newer, with npm."
            if npm is not None:
                done = subprocess.run([npm, "ci", "--no-progress"], cwd=PYRIGHT, capture_output=True, text=True)
                why = f"pyright could not be installed: {done.stderr[-500:]} Run: npm ci --prefix {PYRIGHT}"
            if not program.exists():
                if os.environ.get("CI") == "true" or "pyright" in os.environ.get("SUREFOOT_TEST_REQUIRE", ""):
                    pytest.fail(why)
                pytest.skip(why)
    return program
