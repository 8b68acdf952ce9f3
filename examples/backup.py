import sys
from http.client import HTTPConnection
from pathlib import Path

from surefoot import exponential_backoff, flow, task


@task(retries=3, retry_delay_seconds=exponential_backoff(0.1))
def upload(file: str, server: str) -> None:
    HTTPConnection(server).request("PUT", f"/{Path(file).name}", Path(file).read_bytes())


@flow
def backup(file: str, server: str) -> None:
    upload(file, server)


if __name__ == "__main__":
    backup(*sys.argv[1:])
