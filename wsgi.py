"""The application for gunicorn and flask: `gunicorn wsgi:app`, `flask --app wsgi …`."""

import sys

from payflow import create_app
from payflow.config import ConfigError

try:
    app = create_app()
except ConfigError as error:
    sys.exit(f"payflow cannot start:\n{error}")
