"""The lock is hashed, names no address, and is in step with pyproject.toml and the environment that runs this."""

import re
import tomllib
from importlib.metadata import version
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.house import ROOT

LOCKS = ("base", "dev", "demo")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


class Pin(NamedTuple):
    """One locked distribution."""

    requirement: Requirement
    hashes: list[str]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        (only,) = self.requirement.specifier
        return only.version


def pins(lock: str) -> list[Pin]:
    """What `requirements/<lock>.txt` pins."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    entries = re.findall(r"^(\w[^\\\n]*?) \\\n((?: +--hash=\S+(?: \\)?\n)+)", text, re.MULTILINE)
    return [Pin(Requirement(entry), re.findall(r"--hash=(\S+)", hashes)) for entry, hashes in entries]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address_and_no_path(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|^--?[a-z]|file:|[ =](/|\.\.?/)", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_a_pin_with_hashes(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    starts = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(pins(lock)) == len(starts) > 0
    assert all(hash_.startswith("sha256:") for pin in pins(lock) for hash_ in pin.hashes)


def test_the_lock_is_in_step_with_what_the_project_asks_for() -> None:
    locked = {pin.name: pin.version for pin in pins("base")}
    for asked in map(Requirement, PROJECT["project"]["dependencies"]):
        assert asked.specifier.contains(locked[canonicalize_name(asked.name)]), f"{asked}: run `make lock`"


def test_users_and_developers_get_the_same_versions() -> None:
    developers = {pin.name: pin.version for pin in pins("dev")}
    assert {pin.name: pin.version for pin in pins("base")}.items() <= developers.items()


def test_a_plain_install_is_at_most_20_distributions() -> None:
    assert len(pins("base")) + 1 <= 20


def test_this_environment_is_the_lock() -> None:
    wanted = [pin for pin in pins("dev") if not pin.requirement.marker or pin.requirement.marker.evaluate()]
    assert {pin.name: version(pin.name) for pin in wanted} == {pin.name: pin.version for pin in wanted}
