"""How gunicorn serves payflow; `GUNICORN_CMD_ARGS` or the command line override it."""

import os

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
