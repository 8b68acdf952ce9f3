"""Runs the test suite on each Python that is found: `python tools/pythons.py [--pythons "A B"] [pytest's arguments]`.

Each has an environment of its own in `.venvs/`, made from the lock, hashes checked. May import: the standard library.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
VENVS: Final = ROOT / ".venvs"
LOCK: Final = ROOT / "requirements" / "dev.txt"
VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14")


def main(arguments: list[str]) -> int:
    """Run the suite on each, and say at the end on which it failed."""
    named = arguments[1].split() if arguments[:1] == ["--pythons"] else None
    options = arguments[2:] if named is not None else arguments
    failed = []
    pythons = dict(versions_of(named if named is not None else candidates()))
    if not pythons:
        print("pythons: no Python from 3.11 on was found", file=sys.stderr)
        return 1
    for version, python in sorted(pythons.items(), key=lambda found: [int(part) for part in found[0].split(".")]):
        print(f"pythons: {version} ({python})", flush=True)
        venv = environment(version, python)
        if subprocess.run([venv / "bin" / "python", "-m", "pytest", *options], cwd=ROOT, check=False).returncode:
            failed.append(version)
    missing = [version for version in VERSIONS if version not in pythons]
    print(f"pythons: ran on {', '.join(pythons)}; failed on {', '.join(failed) or 'none'}", flush=True)
    if missing:
        print(f"pythons: not found, so not tested: {', '.join(missing)}")
    return 1 if failed else 0


def candidates() -> Iterator[str]:
    """Programs that may be a Python: this one, those on PATH, and those that pyenv keeps."""
    yield sys.executable
    yield from (found for version in VERSIONS if (found := shutil.which(f"python{version}")))
    pyenv = shutil.which("pyenv")
    if pyenv:
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False).stdout.strip()
        yield from map(str, sorted(Path(root, "versions").glob("3.*/bin/python")))


def versions_of(pythons: Iterator[str] | list[str]) -> Iterator[tuple[str, str]]:
    """Each version that Surefoot supports, and one Python that is of it."""
    seen = set()
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    for python in pythons:
        try:
            found = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
        except OSError:
            continue
        version = found.stdout.strip()
        if found.returncode == 0 and version in VERSIONS and version not in seen:
            seen.add(version)
            yield version, python


def environment(version: str, python: str) -> Path:
    """The environment of a Python, made again when the lock or the project's metadata changed."""
    venv = VENVS / version
    made_from = hashlib.sha256(LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + str(venv).encode())
    stamp = venv / ".made-from"
    if stamp.exists() and stamp.read_text() == made_from.hexdigest():
        return venv
    subprocess.run([python, "-m", "venv", "--clear", venv], check=True)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-qq", "install", "--no-deps"]
    subprocess.run([*pip, "--require-hashes", "-r", LOCK], check=True)
    subprocess.run([*pip, "--no-index", "--no-build-isolation", "--editable", ROOT], check=True)
    stamp.write_text(made_from.hexdigest())
    return venv


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
