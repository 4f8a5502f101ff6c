"""The watch that every browser test keeps sees what it is there for."""

from playwright.sync_api import Page

from tests.browser.watch import Watch
from tests.stack import until


def test_what_a_page_says_on_its_console_or_asks_elsewhere_is_a_fault(browser, web, world):
    with browser.new_context() as context:
        watch = Watch(context, {web, world.url})
        page = context.new_page()
        page.goto(web)
        page.goto(f"{web}/payments/unknown")
        assert watch.faults == []

        page.evaluate("console.log('a word')")
        page.evaluate(f"fetch('{world.url}').catch(() => 0)")
        page.evaluate("void setTimeout(() => { throw new Error('a fault') })")
        heard(page, watch, "a word", "Content Security Policy", "a fault")
        page.goto("about:blank")
        page.evaluate(f"fetch('{web}', {{mode: 'no-cors'}}).catch(() => 0)")
        heard(page, watch, "about:blank asked for")


def heard(page: Page, watch: Watch, *faults: str) -> None:
    # Asking the page something has Playwright hand over what it has heard.
    until(lambda: page.evaluate("true") and all(one in " ".join(watch.faults) for one in faults))
