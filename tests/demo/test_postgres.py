"""The private Postgres: real servers on folders of their own."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from sandbox.demo.postgres import Postgres, PostgresError
from sandbox.demo.processes import until
from tests.demo.processes import ROOT, holding, is_alive


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    with Postgres(tmp_path / "postgres", durable=False) as server:
        yield server


def rows(postgres: Postgres, query: str, database: str = "postgres") -> list[tuple[object, ...]]:
    with psycopg.connect(postgres.url(database)) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that runs a Postgres on a folder and prints the server's process id."""
    code = (
        "import sys, time; from pathlib import Path; from sandbox.demo.postgres import Postgres\n"
        "postgres = Postgres(Path(sys.argv[1]), durable=False); postgres.start()\n"
        "print(postgres.process.pid, flush=True); time.sleep(60)"
    )
    with running(code, tmp_path / "postgres") as owner:
        yield owner


@contextmanager
def running(code: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        yield program
        program.kill()


def number_printed_by(program: subprocess.Popen[str]) -> int:
    assert program.stdout is not None
    return int(program.stdout.readline())


def test_a_cold_server_answers_with_utf8_and_lower_case_beyond_ascii(postgres: Postgres) -> None:
    assert rows(postgres, "SHOW server_encoding") == [("UTF8",)]
    assert rows(postgres, "SELECT lower('ÄÖÜ')") == [("äöü",)]


def test_what_was_written_is_there_after_a_restart(postgres: Postgres) -> None:
    postgres.create_database("first")
    with psycopg.connect(postgres.url("first")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    address = postgres.url("first")
    postgres.restart()

    assert postgres.url("first") == address
    assert rows(postgres, "SELECT answer FROM kept", "first") == [(42,)]


def test_a_database_is_made_from_a_template(postgres: Postgres) -> None:
    postgres.create_database("migrated")
    with psycopg.connect(postgres.url("migrated")) as connection:
        connection.execute("CREATE TABLE payments ()")

    postgres.create_database("copy", template="migrated")

    assert rows(postgres, "SELECT count(*) FROM payments", "copy") == [(0,)]
    postgres.drop_database("copy")
    assert not postgres.database_exists("copy")


def test_nobody_gets_in_without_the_password(postgres: Postgres) -> None:
    stranger = f"postgresql://payflow:guess@127.0.0.1:{postgres.port}/postgres"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(stranger)


def test_it_takes_another_port_when_the_chosen_one_was_taken_meanwhile(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with Postgres(tmp_path / "postgres", durable=False, port=taken) as server:
            assert server.port != taken
            assert rows(server, "SELECT 1") == [(1,)]


def test_a_pid_file_that_a_killed_server_left_does_not_block_the_next(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres", durable=False)
    server.start()
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    pid_file = server.cluster / "postmaster.pid"
    # By the next start the number may be another program's: here it is ours.
    pid_file.write_text(pid_file.read_text().replace(str(server.process.pid), str(os.getpid()), 1))
    server.stop()

    with Postgres(tmp_path / "postgres", durable=False) as again:
        assert rows(again, "SELECT 1") == [(1,)]


def test_a_second_server_on_the_folder_is_refused_and_the_first_left_alone(
    postgres: Postgres,
) -> None:
    with pytest.raises(PostgresError, match="already running on"):
        Postgres(postgres.folder).start()

    assert postgres.died() is None
    assert rows(postgres, "SELECT 1") == [(1,)]


def test_it_dies_with_its_owner_even_when_that_is_killed(
    tmp_path: Path, owner: subprocess.Popen[str]
) -> None:
    assert is_alive(number_printed_by(owner))

    owner.kill()
    owner.wait()

    assert until(lambda: not holding(str(tmp_path)), within=60), holding(str(tmp_path))
    with Postgres(tmp_path / "postgres", durable=False) as again:
        assert rows(again, "SELECT 1") == [(1,)]


def test_stopping_cuts_open_connections(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url()) as connection:
        connection.execute("SELECT 1")  # and now it is idle in a transaction
        postgres.stop()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_a_server_that_cannot_start_shows_what_its_log_says(tmp_path: Path) -> None:
    with Postgres(tmp_path / "postgres", durable=False) as server:
        settings = server.cluster / "postgresql.conf"
    settings.write_text("shared_buffers = nonsense\n")

    with pytest.raises(PostgresError, match="nonsense"):
        Postgres(tmp_path / "postgres").start()


def test_root_needs_no_user_namespaces(tmp_path: Path) -> None:
    """Containers often refuse them. A changed root folder makes the kernel refuse them here."""
    if os.geteuid() != 0:
        assert os.geteuid() > 0, "only root has anything to leave, so nothing to try here"
        return
    code = (
        "import sys, psycopg; from pathlib import Path\n"
        "from sandbox.demo.postgres import Postgres, unroot\n"
        "with Postgres(Path(sys.argv[1]), durable=False) as postgres:\n"
        "    print(unroot(), psycopg.connect(postgres.url()).execute('SELECT 1').fetchone())"
    )
    tmp_path.chmod(0o700)
    inside = 'mount --rbind / "$1" && cd "$2" && exec chroot "$1" "$3" -c "$4" "$5"'
    root, data = tmp_path / "root", tmp_path / "postgres"
    root.mkdir()
    result = subprocess.run(
        ["unshare", "--mount", "sh", "-c", inside, "sh", root, ROOT, sys.executable, code, data],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert result.stdout == "nobody (1,)\n", result.stderr


WATCHED = """
import os, subprocess, sys, time
watcher = '''
import runpy, sys
sys.platform = "darwin"
runpy.run_path("sandbox/demo/leash.py", run_name="__main__")
'''
program = "import sys, time; print(len(sys.argv), flush=True); time.sleep(60)"
leash = [sys.executable, "-c", watcher, str(os.getpid()), "15"]
subprocess.Popen([*leash, sys.executable, "-c", program, sys.argv[1]])
time.sleep(60)
"""


def test_elsewhere_than_on_linux_the_leash_watches_the_parent_itself(tmp_path: Path) -> None:
    with running(WATCHED, tmp_path) as owner:
        assert number_printed_by(owner) == 2

        owner.kill()
        owner.wait()

        assert until(lambda: not holding(str(tmp_path)), within=60), holding(str(tmp_path))
