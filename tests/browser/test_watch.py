"""The watch that every browser test keeps sees what it is there for."""

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
        page.goto("about:blank")
        page.evaluate(f"fetch('{web}', {{mode: 'no-cors'}}).catch(() => 0)")
        for fault in ("a word", "Content Security Policy", "a fault", "about:blank asked for"):
            # Asking the page something has Playwright hand over what it has heard.
            until(lambda fault=fault: page.evaluate("true") and fault in " ".join(watch.faults))
