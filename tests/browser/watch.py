"""What none of our pages may do in anybody's browser: say something on its console, or ask another
origin for anything."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, Response


class Watch:
    """Notes the faults of all pages of a browser. `may`: what the console may say all the
    same, as a regular expression, where a test breaks something."""

    def __init__(self, context: BrowserContext, origins: set[str], may: str = ""):
        self.origins, self.may = origins, may
        self.faults: list[str] = []
        self._refusals: set[str] = set()
        context.on("request", self._asked)
        context.on("response", self._answered)
        context.on("console", self._said)
        context.on("weberror", lambda error: self.faults.append(str(error.error)))

    def _asked(self, request: Request) -> None:
        if request.is_navigation_request():
            allowed = self.origins
        else:
            allowed = {_origin(request.frame.url)} & self.origins
        if _origin(request.url) not in allowed:
            self.faults.append(f"{request.frame.url} asked for {request.url}")

    def _answered(self, response: Response) -> None:
        if response.request.is_navigation_request() and response.status >= 400:
            self._refusals.add(response.url)

    def _said(self, message: ConsoleMessage) -> None:
        # Chromium itself remarks upon a page whose own status is an error, as it should be there.
        of_the_page = message.location["url"] in self._refusals
        if not of_the_page and not (self.may and re.match(self.may, message.text)):
            self.faults.append(message.text)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
