"""What the views share, hung on the Flask app: the store, the deliveries, where we listen."""

from typing import NamedTuple, cast

from flask import current_app

from sandbox.protocol.idempotency import UnderWay
from sandbox.store import Store
from sandbox.webhooks.deliveries import Deliveries


class World(NamedTuple):
    store: Store
    deliveries: Deliveries
    under_way: UnderWay
    origin: str
    smtp_port: int


def world() -> World:
    return cast(World, current_app.extensions["sandbox"])
