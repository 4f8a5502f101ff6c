"""A way to Postgres on which connections go dead without a word to either end."""

import socket
import threading
from contextlib import suppress
from typing import Self


class Wire:
    """Carries what comes to its port to another; all connections can go dead at once, as those to
    a server that is gone. Those that are made afterwards are well."""

    def __init__(self, to: int) -> None:
        self.to, self.dead = to, threading.Event()
        self.sockets: list[socket.socket] = []
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self.listener, *self.sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in list(self.threads):
            thread.join()
        for one in (self.listener, *self.sockets):
            one.close()

    def cut(self) -> None:
        self.dead.set()
        self.dead = threading.Event()

    def _run(self, work: object, *arguments: object) -> None:
        self.threads.append(threading.Thread(target=work, args=arguments))
        self.threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                one = self.listener.accept()[0]
                other = socket.create_connection(("127.0.0.1", self.to))
                self.sockets += [one, other]
                self._run(self._carry, one, other, self.dead)
                self._run(self._carry, other, one, self.dead)

    def _carry(self, one: socket.socket, other: socket.socket, dead: threading.Event) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if not dead.is_set():
                    other.sendall(data)
            if not dead.is_set():
                other.shutdown(socket.SHUT_WR)
