"""Lighthouse's marks for payflow's pages, on the whole of payflow: `make lighthouse`.

Starts a demo of its own, pays one payment, and has Lighthouse look at the form and at the receipt
as on a slow phone. Each mark is the median of several looks, since one takes a busy machine for a
slow page. Fails where a mark is below 95, and says what cost it.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import requests

from sandbox.demo.postgres import free_port
from sandbox.demo.processes import Program, stop_all, tail, until
from tests.chromium import ARGUMENTS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIGHTHOUSE = HERE / "node_modules" / "lighthouse" / "cli" / "index.js"

LEAST = 95
TRIES = 3
LOOKS = int(os.environ.get("LIGHTHOUSE_LOOKS", "3"))
MARKED = ("performance", "accessibility", "best-practices")


class Failed(Exception):
    """There is nothing to mark; the message says why."""


@dataclass(frozen=True)
class Page:
    name: str
    url: str
    categories: Sequence[str]
    reports: list[dict[str, Any]] = field(default_factory=list)

    def marks(self) -> dict[str, float]:
        return {
            category: median(100 * each["categories"][category]["score"] for each in self.reports)
            for category in self.categories
        }

    def faults(self) -> Iterator[str]:
        """What is not as Lighthouse wants it, in the last look."""
        report = self.reports[-1]
        for category in self.categories:
            for counted in report["categories"][category]["auditRefs"]:
                audit = report["audits"][counted["id"]]
                if counted["weight"] and audit["score"] is not None and audit["score"] < 0.9:
                    shown = audit.get("displayValue", "")
                    yield f"{category}: {audit['title']} {shown}".rstrip()


def main(chromium: Path) -> int:
    with tempfile.TemporaryDirectory() as folder, demo(Path(folder)) as site:
        pages = (
            Page("form", f"{site}/", (*MARKED, "seo")),
            # Not for search engines.
            Page("receipt", pay(site), MARKED),
        )
        for page in pages:
            for _ in range(LOOKS):
                page.reports.append(look(page, chromium, Path(folder)))
    return tell(pages)


def tell(pages: Sequence[Page]) -> int:
    for page in pages:
        marks = ", ".join(f"{category} {mark:.0f}" for category, mark in page.marks().items())
        print(f"{page.name}: {marks}")
        for fault in page.faults():
            print(f"    {fault}")
    low = [mark for page in pages for mark in page.marks().values() if mark < LEAST]
    if low:
        print(f"Marks below {LEAST} fail.")
    return 1 if low else 0


@contextmanager
def demo(folder: Path) -> Iterator[str]:
    """The whole of payflow, as `make demo` starts it; answers its address."""
    ports = {"PORT": str(free_port()), "SANDBOX_PORT": str(free_port())}
    environment = {**os.environ, **ports, "PAYFLOW_DATA": str(folder / "payflow")}
    log, site = folder / "demo.log", f"http://127.0.0.1:{ports['PORT']}"
    command = [sys.executable, "-m", "sandbox.demo"]
    program = Program("demo", command, log, environment, ROOT)
    program.start()
    try:
        if not until(lambda: "Ctrl-C" in tail(log, 40) or program.died() is not None, within=90):
            raise Failed(f"the demo does not start; it says:\n{tail(log)}")
        yield site
    finally:
        stop_all([program], within=15)


def pay(site: str) -> str:
    """Pay as a customer does; answers the address of the receipt once it is one."""
    browser = requests.Session()
    fields = {
        "amount": "1250.00",
        "currency": "USD",
        "description": "Invoice 2026-118",
        "name": "A. Customer",
        "email": "customer@example.com",
    }
    form = fields | hidden_fields(browser.get(f"{site}/", timeout=10).text)
    opened = browser.post(f"{site}/checkout", data=form, timeout=30, allow_redirects=False)
    card = {
        "email": "customer@example.com",
        "number": "4242424242424242",
        "expiration": "12 / 40",
        "cvc": "123",
        "name": "A. Customer",
    }
    paid = browser.post(opened.headers["Location"], data=card, timeout=30, allow_redirects=False)
    receipt = paid.headers["Location"].split("?")[0]
    if not until(lambda: 'data-payment-status="paid"' in browser.get(receipt, timeout=10).text, 15):
        raise Failed("the payment did not become paid")
    return receipt


def hidden_fields(page: str) -> Mapping[str, str]:
    inputs = re.findall(r'<input[^>]*type="hidden"[^>]*>', page)
    return dict(re.search(r'name="([^"]+)".*value="([^"]*)"', each).groups() for each in inputs)


def look(page: Page, chromium: Path, folder: Path) -> dict[str, Any]:
    """Lighthouse's report on a page. It tells nobody about it."""
    report = folder / "report.json"
    command = [
        "node",
        str(LIGHTHOUSE),
        page.url,
        "--quiet",
        "--no-enable-error-reporting",
        "--output=json",
        f"--output-path={report}",
        f"--only-categories={','.join(page.categories)}",
        f"--chrome-flags={' '.join(['--headless=new', *ARGUMENTS])}",
    ]
    environment = os.environ | {"CHROME_PATH": str(chromium)}
    for _ in range(TRIES):
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=180, check=False
        )
        # It has seen no page at all, as happens while the browser is read from a cold disk.
        if "NO_NAVSTART" not in result.stderr:
            break
    if result.returncode != 0:
        raise Failed(f"Lighthouse ended with status {result.returncode}:\n{result.stderr}")
    found: dict[str, Any] = json.loads(report.read_text())
    if "runtimeError" in found:
        raise Failed(found["runtimeError"]["message"])
    return found


if __name__ == "__main__":
    try:
        sys.exit(main(Path(Path(sys.argv[1]).read_text().strip())))
    except Failed as error:
        sys.exit(f"lighthouse: {error}")
