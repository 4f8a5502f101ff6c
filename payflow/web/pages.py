"""What all pages load: our own assets, and htmx. Their addresses change with their content."""

from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Flask, Response, current_app, send_from_directory, url_for

bp = Blueprint("pages", __name__)

# Seconds.
A_YEAR = 365 * 24 * 3600


def init_app(app: Flask) -> None:
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = A_YEAR
    app.jinja_env.globals |= {"asset": asset_url, "htmx_url": htmx_url}


def asset_url(filename: str) -> str:
    """The address of a file in static/, which changes with its content."""
    file = Path(str(current_app.static_folder)) / filename
    return url_for("static", filename=filename, v=_content_hash(file))


def htmx_url() -> str:
    return url_for("pages.htmx", v=_content_hash(_htmx_folder() / "htmx.min.js"))


@cache
def _content_hash(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()[:12]


@bp.get("/assets/htmx.js")
def htmx() -> Response:
    """htmx, out of the package that carries it, which is found without being imported."""
    return send_from_directory(_htmx_folder(), "htmx.min.js")


@cache
def _htmx_folder() -> Path:
    spec = find_spec("js_lib_htmx")
    assert spec is not None
    assert spec.submodule_search_locations
    return next(Path(spec.submodule_search_locations[0]).rglob("htmx.min.js")).parent
