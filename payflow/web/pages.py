"""What all pages load: our own assets, the business's colours, and htmx. Their addresses change
with their content, so that browsers may keep them for a year."""

import mimetypes
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    render_template,
    request,
    send_from_directory,
    url_for,
)

from payflow.brand import Palette
from payflow.config import current_settings

bp = Blueprint("pages", __name__)

# Seconds.
A_YEAR = 365 * 24 * 3600


def init_app(app: Flask) -> None:
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = A_YEAR
    app.jinja_env.globals |= {
        "asset": asset_url,
        "brand_asset": brand_asset_url,
        "htmx_url": htmx_url,
    }
    app.after_request(_keep_what_was_asked_for)


def _keep_what_was_asked_for(response: Response) -> Response:
    """Let an asset be kept under the address that has its version alone: while a deploy lasts,
    pages of one version load what processes of the other answer."""
    address = request.full_path.rstrip("?")
    if response.cache_control.max_age and address != _current_address():
        response.headers["Cache-Control"] = "no-cache"
        response.headers.pop("Expires", None)
    return response


def _current_address() -> str:
    """Of the asset that is asked for, as our pages have it."""
    filename = (request.view_args or {}).get("filename", "")
    if request.endpoint == "static":
        return asset_url(filename)
    return htmx_url() if request.endpoint == "pages.htmx" else brand_asset_url(filename)


def asset_url(filename: str) -> str:
    """The address of a file in static/, which changes with its content."""
    file = Path(str(current_app.static_folder)) / filename
    return url_for("static", filename=filename, v=_content_hash(file))


def brand_asset_url(filename: str) -> str:
    """The address of a file in the business's colours; of templates/brand/."""
    version = _brand_version(filename, current_settings().brand)
    return url_for("pages.brand_asset", filename=filename, v=version)


def htmx_url() -> str:
    return url_for("pages.htmx", v=_content_hash(_htmx_folder() / "htmx.min.js"))


@cache
def _content_hash(file: Path) -> str:
    return _hash(file.read_bytes())


@cache
def _brand_version(filename: str, palette: Palette) -> str:
    """`palette`: all that such a file depends on, besides its template."""
    return _hash(render_template(f"brand/{filename}").encode())


def _hash(content: bytes) -> str:
    return sha256(content).hexdigest()[:12]


@bp.get("/assets/brand/<any('colors.css', 'favicon.svg'):filename>")
def brand_asset(filename: str) -> Response:
    """A stylesheet of its own, since our policy allows no style within a page."""
    kind = mimetypes.guess_type(filename)[0]
    response = Response(render_template(f"brand/{filename}"), mimetype=kind)
    response.cache_control.public = True
    response.cache_control.max_age = A_YEAR
    return response


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
