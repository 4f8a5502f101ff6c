"""Languages: which one a reader gets, and how amounts and times are written in it.

English stands in the code; each folder of translations/ is a language beside it. A browser is
answered in the language that `?lang=` names (kept in the session), else the first of its own that
we have; a customer's letters are in the language of the form. The owner reads LOCALE's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from babel import Locale
from flask import Flask, has_request_context, request, session
from flask_babel import Babel, force_locale, get_locale

from payflow.config import current_settings

FOLDER = Path(__file__).resolve().parent.parent / "translations"
LANGUAGES = ("en", *sorted(one.name for one in FOLDER.iterdir() if one.is_dir()))


def init_app(app: Flask) -> None:
    Babel(
        app,
        default_locale=app.config["PAYFLOW"].locale,
        default_translation_directories=str(FOLDER),
        locale_selector=_of_reader,
    )
    app.before_request(_remember)
    app.jinja_env.globals |= {
        "language": language,
        "languages": LANGUAGES,
        "language_name": _name_of,
        "other_language": _same_page_in,
    }


def language() -> str:
    """The reader's language, one of LANGUAGES."""
    spoken = (get_locale() or Locale("en")).language
    return spoken if spoken in LANGUAGES else "en"


def locale() -> str:
    """The reader's locale, for amounts and times: the owner's where that is of the language."""
    return str(get_locale() or Locale("en"))


def locale_of(written: str | None) -> str:
    """The locale of a language that a form says it was shown in; else the reader's."""
    return _regional(written) if written in LANGUAGES else locale()


@contextmanager
def reading(reader: str) -> Iterator[None]:
    """Write for a reader of that language from here on."""
    with force_locale(_regional(reader)):
        yield


def _of_reader() -> str:
    if not has_request_context():
        return current_settings().locale
    chosen = session.get("language")
    return _regional(chosen if chosen in LANGUAGES else _of_browser())


def _of_browser() -> str:
    owners = Locale.parse(current_settings().locale).language
    return request.accept_languages.best_match(LANGUAGES, owners) or "en"


def _regional(reader: str) -> str:
    """LOCALE with its region, where the reader speaks its language: en_IE dates as in Ireland."""
    owners = current_settings().locale
    return owners if Locale.parse(owners).language == reader else reader


def _name_of(code: str) -> str:
    """A language's own name for itself."""
    return str(Locale(code).get_language_name(code)).capitalize()


def _same_page_in(code: str) -> str:
    """This page's query, with another language."""
    return urlencode({**request.args.to_dict(), "lang": code})


def _remember() -> None:
    """Keep the language that was asked for by the address."""
    # A cache that keeps these for everybody must not keep somebody's cookie with them.
    if request.path.startswith(("/static/", "/assets/")):
        return
    asked = request.args.get("lang", "").lower()[:2]
    if asked in LANGUAGES and session.get("language") != asked:
        session["language"] = asked
