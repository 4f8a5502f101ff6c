"""A small threaded HTTP/1.1 server for one WSGI app, on the standard library's.

Werkzeug's own closes every connection after one answer and waits 10 ms to do so, which is most of a
request's time here. This one keeps connections open and leaves the raw socket within reach.
"""

import io
import logging
import re
import select
import socket
import struct
import sys
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote
from wsgiref.types import WSGIApplication

from sandbox import clock

log = logging.getLogger(__name__)

IDLE_AFTER_S = 75
LARGEST_BODY = 4 * 1024 * 1024
TOO_LARGE = b'{"error": {"message": "That is too large.", "type": "invalid_request_error"}}\n'

# Keys of the WSGI environment by which the app asks for trouble on the wire, instead of the answer
# it has given: the connection reset, or so many seconds of silence, then closed.
RESET = "sandbox.reset"
SILENCE = "sandbox.silence_s"
LOOK_FOR_THE_END_S = 0.2

# A header may go on over several lines; written down in one, or an answer can't repeat it.
FOLD = re.compile(r"[\r\n]+[ \t]*")


class Server(ThreadingHTTPServer):
    """Binds at once: an :class:`OSError` from the constructor means the port is taken."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, host: str, port: int) -> None:
        self.app: WSGIApplication | None = None
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own looks the host's name up, which can hang on a laptop without a network.
        # A port whose last connections are winding down is free to be taken again.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            log.exception("a request failed")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_AFTER_S
    server: Server

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self._refuse(411, b"Send a Content-Length.\n")
            return
        if int(length) > LARGEST_BODY:
            self._refuse(413, TOO_LARGE)
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            # The client was cut off: what it meant to send isn't what came.
            self.close_connection = True
            return
        self._run(body)

    do_GET = do_POST = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def _refuse(self, status: int, text: bytes) -> None:
        """The body stays unread, so the connection can't be used again."""
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text)

    def _run(self, body: bytes) -> None:
        started: list[Any] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Any:
            started[:] = [status, headers]
            return started.append

        assert self.server.app is not None, "the app is set before the server serves"
        environ = self._environ(body)
        chunks = self.server.app(environ, start_response)
        try:
            content = b"".join(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        if RESET in environ:
            self._reset()
        elif SILENCE in environ:
            self._be_silent(environ[SILENCE])
        else:
            status, headers = started
            self._send(status, headers, content)

    def _reset(self) -> None:
        """Closed with a RST: the client sees its connection reset, not ended."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _be_silent(self, seconds: float) -> None:
        """Until time is up or the client has given up and closed."""
        self.close_connection = True
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            # Not select(), which knows no descriptor above 1023.
            look = select.poll()
            look.register(self.connection, select.POLLIN)
            readable = look.poll(LOOK_FOR_THE_END_S * 1000)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                return
            if readable:  # another request already, which nobody will answer
                time.sleep(LOOK_FOR_THE_END_S)

    def _send(self, status: str, headers: Iterable[tuple[str, str]], content: bytes) -> None:
        """Head and body in one write: on loopback that is one packet and no waiting."""
        lines = [f"HTTP/1.1 {status}", f"Date: {self.date_time_string()}"]
        lines += [f"{name}: {value}" for name, value in headers if name.lower() != "content-length"]
        lines.append(f"Content-Length: {len(content)}")
        if self.close_connection:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self.wfile.write(head if self.command == "HEAD" else head + content)

    def _environ(self, body: bytes) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "SERVER_NAME": self.server.server_name,
            "SERVER_PORT": str(self.server.server_port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in self.headers.items():
            key = "HTTP_" + name.upper().replace("-", "_")
            if key not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
                value = FOLD.sub(" ", value)
                environ[key] = f"{environ[key]},{value}" if key in environ else value
        return environ

    def date_time_string(self, timestamp: float | None = None) -> str:
        """By the stand-in's clock, as ``created`` is: clients take Stripe's time from here."""
        return super().date_time_string(clock.now() if timestamp is None else timestamp)

    def version_string(self) -> str:
        return "payflow-sandbox"

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the index page shows what happened."""
