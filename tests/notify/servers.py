"""Whom messages are sent to in tests: a mail server and a webhook, real ones, that can be down, slow, or say no."""

from __future__ import annotations

import base64
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Inbox:
    """What has arrived, and how the server behaves."""

    def __init__(self) -> None:
        self.arrived: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.news = threading.Condition()
        self.answers: list[int] = []  # codes to answer the next messages with, instead of taking them
        self.always: int | None = None  # the same for all
        self.silent = threading.Event()  # not set: nothing is answered
        self.silent.set()
        self.connections = 0
        self.knocked = threading.Event()
        self.port = 0
        self.logins: list[tuple[str, str]] = []
        self.tls: ssl.SSLContext | None = None
        self.secured = 0
        self.sockets: list[ssl.SSLSocket] = []

    def take(self, message: Any) -> None:
        """One has arrived."""
        with self.news:
            self.arrived.append(message)
            self.news.notify_all()

    def wait(self, count: int = 1, timeout_s: float = 20) -> list[Any]:
        """What has arrived, when it is so many."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.arrived) >= count, timeout_s), self.arrived
            return list(self.arrived)

    def code(self) -> int | None:
        """The code to refuse the next message with; None to take it."""
        return self.always or (self.answers.pop(0) if self.answers else None)


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        inbox = cast(Any, self.server).inbox
        inbox.connections += 1
        body = self.rfile.read(int(self.headers["content-length"]))
        inbox.knocked.set()
        inbox.silent.wait(30)
        code = inbox.code()
        if code is None:
            inbox.headers.append({name.lower(): value for name, value in self.headers.items()})
            inbox.take(json.loads(body))
        try:
            self.send_response(code or 200)
            if code and 300 <= code < 400:
                self.send_header("Location", f"http://127.0.0.1:{inbox.port}/elsewhere")
            self.end_headers()
            self.wfile.write(f"you asked for {self.path}".encode() if code else b"ok")
        except OSError:
            pass  # whoever asked did not wait

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def webhook() -> Iterator[Inbox]:
    """A webhook on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hook) as server:
        yield from _served(server)


class _Mail(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a client needs."""

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self) -> None:
        inbox = cast(Any, self.server).inbox
        inbox.connections += 1
        inbox.silent.wait(30)
        self.secure = False
        try:
            self.say("220 test ESMTP")
            while line := self.rfile.readline().decode().strip():
                if self.answer(inbox, line.partition(" ")[0].upper(), line):
                    return
        except (OSError, ValueError):
            pass

    def answer(self, inbox: Inbox, verb: str, line: str) -> bool:
        if verb == "EHLO":
            offers = ["test", "8BITMIME", "SMTPUTF8"]
            offers += ["AUTH PLAIN"]
            offers += ["STARTTLS"] if inbox.tls and not self.secure else []
            for offer in offers[:-1]:
                self.say(f"250-{offer}")
            self.say(f"250 {offers[-1]}")
        elif verb == "STARTTLS" and inbox.tls is not None:
            self.say("220 go on")
            self.request = inbox.tls.wrap_socket(self.request, server_side=True)
            self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", 0)
            inbox.sockets.append(self.request)
            self.secure = True
            inbox.secured += 1
        elif verb == "AUTH":
            _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
            inbox.logins.append((user, password))
            self.say("235 welcome" if password != "wrong" else "535 5.7.8 no such user with wrong")
        elif verb == "RCPT":
            code = inbox.code()
            self.say(f"{code} refused" if code else "250 ok")
        elif verb == "DATA":
            self.say("354 go on")
            lines = []
            while (row := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(row[1:] if row.startswith(b".") else row)
            inbox.take(message_from_bytes(b"".join(lines), policy=policy.default))
            self.say("250 2.0.0 queued")
        elif verb == "QUIT":
            self.say("221 bye")
            return True
        else:
            self.say("250 ok")
        return False


class _MailServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


@contextmanager
def mail_server() -> Iterator[Inbox]:
    """A mail server on this machine. What arrives is an `EmailMessage`."""
    with _MailServer(("127.0.0.1", 0), _Mail) as server:
        yield from _served(server)


def _served(server: Any) -> Iterator[Inbox]:
    inbox = server.inbox = Inbox()
    inbox.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield inbox
    finally:
        inbox.silent.set()
        server.shutdown()
        thread.join()
        server.server_close()  # and wait for what is still being answered
        for socket in inbox.sockets:
            socket.close()


def words(letter: EmailMessage) -> str:
    """The text of a letter."""
    return cast(str, letter.get_content())


def certificate(folder: Path) -> Path:
    """A certificate for `localhost`, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    begins = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(begins).not_valid_after(begins.replace(year=2090))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    signed = builder.sign(key, hashes.SHA256())
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made = folder / "localhost.pem"
    made.write_bytes(plain + signed.public_bytes(Encoding.PEM))
    return made


def settings_file(folder: Path, text: str) -> None:
    """Write a `surefoot.toml`."""
    (folder / "surefoot.toml").write_text(text, encoding="utf-8")
