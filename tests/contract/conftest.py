"""The stand-in and its client, as the stand-in's own tests have them."""

from tests.sandbox.conftest import client, endpoint, running, sandbox

__all__ = ["client", "endpoint", "running", "sandbox"]
