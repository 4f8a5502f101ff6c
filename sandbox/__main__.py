"""``python -m sandbox``: reads the arguments, starts both servers, ends in good order."""

import argparse
import fcntl
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NoReturn
from wsgiref.types import WSGIApplication

from sandbox import clock, later, settings
from sandbox.app import create_app
from sandbox.mailbox.mailbox import Sink
from sandbox.protocol.idempotency import UnderWay
from sandbox.recording import Recording
from sandbox.server import Server
from sandbox.settings import BadSetting
from sandbox.store import Store
from sandbox.webhooks.deliveries import Deliveries
from sandbox.world import World

HOST = "127.0.0.1"
CANNOT_START = 2


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="The outside world on a laptop: a stand-in for Stripe (API, hosted page,"
        " webhooks) and a mailbox. On 127.0.0.1 only; needs no network, moves no money.",
        epilog="Its switches turn while it runs: POST /_sandbox/settings; see sandbox/README.md.",
    )
    parser.add_argument(
        "--port", type=int, default=12111, help="of the HTTP server (default: %(default)s; 0: any)"
    )
    parser.add_argument(
        "--smtp-port", type=int, default=0, help="of the mailbox (default: any free one)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="keeps the state across restarts (default: a temporary folder, deleted at the end)",
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="appends each API exchange and event, as JSON"
    )
    parser.add_argument("--business-name", metavar="NAME", help="who is paid, as pages say it")
    parser.add_argument("--webhook-url", metavar="URL", help="where events are delivered to")
    parser.add_argument("--webhook-secret", metavar="whsec_…", help="what signs them")
    return parser.parse_args(argv)


def listen_for_mail(port: int) -> socket.socket:
    """Raises ``SystemExit`` with a sentence if the port is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(128)  # at once: of two that are only bound, the second finds out too late
    except (OSError, OverflowError) as error:
        stop_short(_port_trouble("SMTP", port, error))
    return listening


def _port_trouble(kind: str, port: int, error: Exception) -> str:
    return f"the {kind} port {port} on {HOST} can't be used: {error}. Is another sandbox running?"


def stop_short(sentence: str) -> NoReturn:
    print(f"sandbox: {sentence}", file=sys.stderr)
    raise SystemExit(CANNOT_START)


def http_server(port: int) -> Server:
    try:
        return Server(HOST, port)
    except (OSError, OverflowError) as error:
        stop_short(_port_trouble("HTTP", port, error))


def claim(folder: Path) -> IO[str]:
    """Ours is the folder for as long as the file is open: two would send each event twice."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "sandbox.lock").open("a")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stop_short(f"another sandbox runs on {folder}: stop it, or name another folder.")
    except OSError as error:
        stop_short(_folder_trouble(folder, error))
    return lock


def _folder_trouble(folder: Path, error: Exception) -> str:
    return f"can't keep state in {folder}: {error}."


def open_store(folder: Path) -> Store:
    """Only once the folder is claimed: what another is sending would be sent again."""
    try:
        store = Store(folder / "sandbox.sqlite3")
    except (OSError, sqlite3.Error) as error:
        stop_short(_folder_trouble(folder, error))
    with store.reading() as db:
        clock.restore(db)
    return store


def apply_endpoint(store: Store, args: argparse.Namespace) -> None:
    """The command line's word counts over what the folder remembers."""
    wanted = {"webhook_url": args.webhook_url, "webhook_secret": args.webhook_secret}
    given = {name: value for name, value in wanted.items() if value is not None}
    if len(given) == 1:
        stop_short("--webhook-url and --webhook-secret go together: give both or neither.")
    if args.business_name is not None:
        given["business_name"] = args.business_name
    try:
        with store.transaction() as db:
            settings.change(db, given)
    except BadSetting as error:
        stop_short(str(error))


def run(args: argparse.Namespace, folder: Path) -> None:
    """Serves until SIGTERM or SIGINT."""
    server = http_server(args.port)
    listening = listen_for_mail(args.smtp_port)
    lock = claim(folder)
    store = open_store(folder)
    apply_endpoint(store, args)
    smtp_port = listening.getsockname()[1]
    origin = f"http://{HOST}:{server.server_port}"
    deliveries = Deliveries(store)
    app = create_app(World(store, deliveries, UnderWay(), origin, smtp_port))
    server.app = recorded(app, store, args.record) if args.record else app
    sink = Sink(store, listening)
    sink.start()
    threading.Thread(target=server.serve_forever, args=(0.05,), name="http", daemon=True).start()
    deliveries.start()
    later.start(store)
    ended = end_signal()
    print(
        f"sandbox: Stripe {origin} · mailbox {origin}/inbox · SMTP {HOST}:{smtp_port}", flush=True
    )
    ended.wait()
    server.shutdown()
    server.server_close()
    sink.stop(no_assert=True)
    store.close()
    lock.close()


def recorded(app: WSGIApplication, store: Store, path: Path) -> WSGIApplication:
    try:
        recording = Recording(path)
    except OSError as error:
        stop_short(f"can't record to {path}: {error}.")
    recording.watch(store)
    return recording.around(app)


def end_signal() -> threading.Event:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    return ended


def main() -> None:
    args = arguments(sys.argv[1:])
    if args.data is not None:
        run(args, args.data)
        return
    with tempfile.TemporaryDirectory(prefix="payflow-sandbox-") as folder:
        run(args, Path(folder))


if __name__ == "__main__":
    main()
