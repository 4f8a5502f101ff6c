"""Mail servers of the tests' own: that refuse, break off, never answer, or speak TLS."""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from sandbox.demo.postgres import free_port
from tests.stack import until

# Resolves to the loopback everywhere, and isn't one of the names under which payflow knows it: a
# server on it is to be spoken to encrypted.
ELSEWHERE = "LOCALHOST"


class Keeper:
    """Takes every letter."""

    def __init__(self) -> None:
        self.letters: list[Envelope] = []
        self.connections = 0

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, answers: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return answers

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.letters.append(envelope)
        return "250 OK"


class Refusing(Keeper):
    """Answers every recipient so."""

    def __init__(self, answer: str) -> None:
        super().__init__()
        self.answer = answer

    async def handle_RCPT(self, *_: object) -> str:
        return self.answer


class Forgetful(Keeper):
    """Takes the first letter and says that it didn't."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.letters.append(envelope)
        return "451 Try again later" if len(self.letters) == 1 else "250 OK"


class Hasty(Keeper):
    """Takes the letter, and drops the connection at QUIT instead of answering."""

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert server.transport is not None
        server.transport.abort()
        return "221 Bye"


@contextmanager
def mail_server(handler: Keeper, port: int = 0, **options: Any) -> Iterator[int]:
    """A server on the loopback; answers its port."""
    if "tls_context" in options:
        options |= {"require_starttls": True}
    controller = Controller(
        handler,
        hostname="127.0.0.1",
        port=port or free_port(),
        authenticator=lambda *_: AuthResult(success=True),
        **options,
    )
    if port:
        until(lambda: _is_free(port))
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextmanager
def silent_server() -> Iterator[int]:
    """Takes connections and never says a word; answers its port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost, made now: to be trusted by whoever is told to, and to serve."""
    key, public = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-keyout", str(key), "-out", str(public),
         "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, key)
    return public, context
