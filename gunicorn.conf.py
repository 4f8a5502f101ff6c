"""How gunicorn serves payflow; `GUNICORN_CMD_ARGS` or the command line override it."""

import os
import socket
import struct

from gunicorn.workers import gthread

# Seconds that a thread waits for the first word on a connection, before the process's one poller
# waits in its place. gunicorn's five, for which it has no setting, would let a few connections that
# say nothing hold all threads.
gthread.DEFAULT_WORKER_DATA_TIMEOUT = 0.02

# Two processes, so that one that dies leaves the other; threads, since requests wait for Postgres.
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gthread"
threads = 8
# Seconds. Longer than the longest call to Stripe that a request waits for.
timeout = 60
graceful_timeout = 30
keepalive = 75
accesslog = None
# Nothing of ours talks to it, and it is a file in a place that may not be writable.
control_socket_disable = True

# It would wait for the client outside of the socket's own patience, for ever.
sendfile = False
# Seconds that a client may be silent in the middle of a request, or take nothing of an answer.
client_patience = int(os.environ.get("CLIENT_PATIENCE", "20"))


def when_ready(server):
    """Else a request of which no more comes holds its thread for ever, and few of them all threads;
    so does an answer that nobody takes.

    A connection has the options of the socket that it was accepted on.
    """
    for listener in server.LISTENERS:
        patience = struct.pack("ll", client_patience, 0)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
