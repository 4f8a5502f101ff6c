"""Where a demo runs: its ports and its data folder, and whether they are to be had.

Decides nothing about what is run there.
"""

import fcntl
import shlex
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from dotenv import dotenv_values


class Refused(Exception):
    """The demo can't start here; the message says why and what to do."""


@dataclass(frozen=True)
class Place:
    """Where a demo runs: what tells it from another one on the same machine."""

    port: int
    sandbox_port: int
    data: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Place":
        return cls(
            port=port_from(environment, "PORT", 8000),
            sandbox_port=port_from(environment, "SANDBOX_PORT", 12111),
            data=Path(environment.get("PAYFLOW_DATA") or "var"),
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def settings_file(self) -> Path:
        return self.data / "demo.env"

    @property
    def lock(self) -> Path:
        return self.data / "demo.lock"

    @property
    def logs(self) -> Path:
        return self.data / "log"

    def command(self) -> str:
        """The shell command that starts a demo here."""
        words = ["make", "demo"]
        words += [f"PORT={self.port}"] if self.port != 8000 else []
        words += [f"SANDBOX_PORT={self.sandbox_port}"] if self.sandbox_port != 12111 else []
        words += [f"PAYFLOW_DATA={self.data}"] if self.data != Path("var") else []
        return shlex.join(words)


@contextmanager
def claimed(place: Place) -> Iterator[None]:
    """Ours are the data folder, until we end, and both ports, for the moment."""
    if not place.data.exists():  # else it is told first if one is running on it
        check_ports(place)
    try:
        place.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.logs.mkdir(exist_ok=True)
        lock = place.lock.open("a")
    except OSError as error:
        raise Refused(f"can't use the data folder {place.data}: {error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(already_running(place)) from None
        check_ports(place)
        yield


def already_running(place: Place) -> str:
    address = dotenv_values(place.settings_file).get("PUBLIC_URL") or "starting"
    beside = replace(free_ports_from(place), data=place.data.with_name(place.data.name + "-2"))
    return (
        f"one is already running on {place.data} ({address}).\n"
        f"Stop it first, or run another beside it: {beside.command()}"
    )


def check_ports(place: Place) -> None:
    if place.port == place.sandbox_port:
        raise Refused(f"PORT and SANDBOX_PORT are both {place.port}; give them different ports")
    busy = [port for port in (place.port, place.sandbox_port) if not is_free(port)]
    if busy:
        sentence = " and ".join(f"port {port} is in use" for port in busy)
        raise Refused(f"{sentence}. Run it on another one: {free_ports_from(place).command()}")


def free_ports_from(place: Place) -> Place:
    port = next(p for p in range(place.port, 65536) if is_free(p) and p != place.sandbox_port)
    others = range(place.sandbox_port, 65536)
    return replace(
        place, port=port, sandbox_port=next(p for p in others if is_free(p) and p != port)
    )


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except PermissionError:
            raise Refused(f"port {port} needs root; choose one above 1023") from None
        except OSError:
            return False
    return not listens(port)  # macOS lets us bind beside a server on every address


def listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def port_from(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise Refused(f"{name} must be a port number from 1 to 65535, not {text!r}")
    return int(text)
