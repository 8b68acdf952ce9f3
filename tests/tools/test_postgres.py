"""The server that tests and benchmarks start for themselves leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.places import Databases
from tools.house import ROOT
from tools.postgres import Cluster, binaries

pytestmark = pytest.mark.skipif(not binaries() or sys.platform != "linux", reason="needs PostgreSQL, on Linux")

OWNER = """
import signal
from tools.postgres import Cluster
cluster = Cluster()
print(cluster.url(), cluster.folder, flush=True)
signal.pause()
"""


def test_a_server_whose_owner_is_killed_goes_with_it_and_the_next_owner_clears_up(server: Databases) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        url, folder = owner.stdout.readline().split()
        psycopg.connect(url).close()
        os.kill(owner.pid, signal.SIGKILL)
    while _answers(url):
        pass
    with Cluster() as other:
        assert not Path(folder).exists()
        assert other.folder.exists()
    assert not other.folder.exists()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
