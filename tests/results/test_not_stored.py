"""What a storage refuses is told with the real reason, and with a way out that fits it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from surefoot import flow
from surefoot.core.errors import ResultNotStored
from surefoot.serializers import Serializer
from tests.journal.test_budgets import in_a_small_disk


class Refusing:
    """A storage object of the user's own that takes nothing."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read_path(self, path: str) -> bytes:
        raise FileNotFoundError(path)

    def write_path(self, path: str, content: bytes) -> None:
        raise self._error


def told(storage: Any, **options: Any) -> str:
    @flow(result_storage=storage, **options)
    def nightly() -> int:
        return 1

    with pytest.raises(ResultNotStored) as caught:
        nightly()
    return str(caught.value)


@pytest.mark.parametrize(
    ("error", "why", "do"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device", "Free space there"),
        (OSError("the shelf is closed"), "the shelf is closed", "Look into its `write_path`"),
        (RuntimeError("no such bucket"), "RuntimeError: no such bucket", "Look into its `write_path`"),
        (PermissionError(13, "no", "/mnt/shelf"), "no: '/mnt/shelf'", "Let this user write there"),
    ],
    ids=["full", "bare", "other", "permission"],
)
def test_what_a_storage_object_raises_is_told_as_its_own(home: Path, error: Exception, why: str, do: str) -> None:
    said = told(Refusing(error))
    assert "could not be stored: storage://Refusing-" in said
    assert why in said
    assert f"{do}, or pass another result_storage." in said


def test_a_file_in_the_place_of_a_folder_is_named(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    file.touch()
    for storage in (file, file / "daily"):
        said = told(storage)
        assert f"{str(file)!r} is a file, and would have to be a folder." in said
        assert said.endswith("Move that file away, or pass another result_storage.")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc here")
def test_a_place_where_no_folder_can_be_made_is_named() -> None:
    said = told("/proc/nope")
    assert "could not be stored: the folder '/proc/nope' cannot be made: No such file or directory." in said
    assert said.endswith("Make that folder, or pass another result_storage.")


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    said = told(tmp_path / ("x" * 300))
    assert "File name too long" in said
    assert said.endswith("Use a shorter name, or pass another result_storage.")


FULL = """
import sys
from surefoot import flow

@flow(result_storage=sys.argv[1])
def large():
    return b"x" * 1_000_000

print(large(return_state=True).data)
"""


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [*in_a_small_disk(disk, "400k"), sys.executable, "-c", FULL, str(disk / "results")]
    said = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert f"could not be stored: {disk / 'results'}" in said.stdout, said.stderr
    assert "No space left on device" in said.stdout
    assert "Free space there, or pass another result_storage." in said.stdout


class FromATemplate(Serializer):
    type = "from-a-template"

    def dumps(self, obj: Any) -> bytes:
        return Path("/no/such/template").read_bytes()

    def loads(self, blob: bytes) -> Any:
        return blob


def test_what_a_serializer_cannot_read_is_no_fault_of_the_storage(tmp_path: Path) -> None:
    said = told(tmp_path / "results", result_serializer=FromATemplate())
    assert "FileNotFoundError: [Errno 2] No such file or directory: '/no/such/template'" in said
    assert "Pass a result_serializer that can write it" in said
