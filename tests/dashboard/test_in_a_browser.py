"""The page in a real browser, beside a trader that trades."""

from __future__ import annotations

import contextlib
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from browser import expect, running, visit
from dashboard_cases import TOKEN, Session, await_that, page_on, trading

from cappuccino.broker.exchange.faults import FaultsConfig
from cappuccino.cli import HALTED
from cappuccino.trading.journal_reading import read_decisions, read_halts

PAGES = ("/", "/traders/paper", "/registry", "/studies", "/data", "/unlock")

TOO_PALE = """() => {
  const read = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const ground = (one) => {
    for (let e = one; e; e = e.parentElement) {
      const colour = read(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const pale = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || one.namespaceURI.endsWith("svg") || !one.checkVisibility()) continue;
    const [a, b] = [luminance(read(getComputedStyle(one).color)), luminance(ground(one))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) pale.push(`${one.className} ${one.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return pale;
}"""
"""Text whose contrast is below what WCAG asks for at AA."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running() as browser:
        yield browser


WRONG = {
    "a request to another host": (
        "requestfailed",
        "new Image().src = 'http://elsewhere.example/seen.png'",
        r"asked of other hosts: \['http://elsewhere\.example/seen\.png'\]",
    ),
    "a line in the console": ("console", "console.error('wrong')", r"errors: \['wrong'\]"),
    "an error of a script": ("pageerror", "setTimeout(() => wrong.wrong, 0)", r"errors: \['wrong is not defined'\]"),
}
"""The browser's event, the script that does it, and what the test is told."""


@pytest.mark.parametrize("what", WRONG)
def test_what_a_page_should_not_do_fails_its_test(browser, session: Session, address: str, what: str) -> None:
    del session

    event, script, told = WRONG[what]

    def do_it() -> None:
        with visit(browser, address) as page:
            page.goto("/")
            with page.expect_event(event):
                page.evaluate(script)

    with pytest.raises(AssertionError, match=told):
        do_it()


def test_a_fill_appears_within_five_seconds(browser, session: Session, address: str) -> None:
    with visit(browser, address) as page:
        page.goto("/traders/paper")
        known = {order["client_order_id"] for order in session.orders()}
        session.let_close(1800)

        def filled() -> list[str]:
            return [
                one["client_order_id"]
                for one in session.orders()
                if one["client_order_id"] not in known and one["state"] == "filled"
            ]

        await_that(lambda: bool(filled()), "a fill", session.process)
        journaled = time.monotonic()
        page.wait_for_selector(f"tr[data-order='{filled()[0]}'] .badge.filled")
        assert time.monotonic() - journaled < 5
        assert page.locator("#figures .badge").first.inner_text() == "running"


def test_the_equity_stands_beside_its_backtest_and_baselines(browser, session: Session, address: str) -> None:
    del session
    with visit(browser, address) as page:
        page.goto("/traders/paper")
        expect(page.locator("#equity-lines th")).to_have_text(["trader", "backtest", "equal weight held", "BTC held", "cash"])
        assert page.locator("#equity .scatterlayer .trace").count() == 5


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_every_page_fits_its_width_and_can_be_read(browser, session: Session, address: str, width: int, scheme: str) -> None:
    del session
    with visit(browser, address, width=width, scheme=scheme) as page:
        for path in PAGES:
            # No registry and no study are there, which the page says, and the browser tells of the status.
            answer = page.request.get(path)
            if answer.status == 503:
                assert "yet" in answer.text()
                continue
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            assert page.evaluate(TOO_PALE) == [], path


def test_what_is_read_stays_where_it_is_while_it_goes_on(browser, session: Session, address: str) -> None:
    """Focus and scrolling outlast the arrival of a bar, and what is as it was is not sent again."""
    with visit(browser, address) as page:
        page.goto("/traders/paper")
        for part in ("figures", "orders", "holdings", "record"):
            page.wait_for_event("response", lambda answer, part=part: f"/parts/{part}/" in answer.url and answer.status == 304)
        page.focus("#state-filled")
        page.evaluate("document.getElementById('orders-scroll').scrollTop = 40")
        before = page.locator("#orders tbody tr").count()
        session.pass_bars(1)
        expect(page.locator("#orders tbody tr")).not_to_have_count(before)
        assert page.evaluate("document.activeElement.id") == "state-filled"
        assert page.evaluate("document.getElementById('orders-scroll').scrollTop") == 40


def test_the_kill_switch_by_keyboard_alone(browser, artifact: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """While an order rests on the exchange: afterwards none is open there, and none is planned, also after a new start."""
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(trading(artifact, tmp_path, "risky"))
        session.pass_bars(2)
        page = stack.enter_context(visit(browser, stack.enter_context(page_on(tmp_path))))
        page.goto("/traders/risky")
        session.venue.faults.become(FaultsConfig(rates={"rest": 1.0}, rest_s=86_400))
        session.let_close(10)
        await_that(lambda: any(order.is_open for order in session.venue.ledger.orders.values()), "an order that rests")
        page.wait_for_selector("#orders .badge.accepted")

        press = page.keyboard.press
        for _ in range(20):
            press("Tab")
            if page.evaluate("document.activeElement.id") == "halt-open":
                break
        press("Enter")
        page.wait_for_selector("dialog#halt[open]")
        fields = {"flatten": "", "reason": "", "token": TOKEN, "confirm": "risky"}
        for name, value in fields.items():
            if page.evaluate("document.activeElement.name") != name:
                press("Tab")
            assert page.evaluate("document.activeElement.name") == name
            page.keyboard.type(value)
        press("Enter")
        page.wait_for_selector("dialog#halt:not([open])", state="attached")
        assert read_halts(session.journal)[-1]["source"] == "dashboard"
        session.pace.until += 30  # the order's own time is not up
        await_that(lambda: session.process.poll() is not None, "the trader to end")
        assert session.process.returncode == HALTED
        page.wait_for_selector("#figures .badge.halted")
        assert "Thrown" in page.locator("#done").inner_text()
        assert not any(order.is_open for order in session.venue.ledger.orders.values())
        assert session.orders()[-1]["state"] == "canceled"

        orders, decisions = len(session.orders()), len(read_decisions(session.journal))
        session.pace.until += 3 * 3600
        assert session.start().wait(60) == HALTED
        assert (len(session.orders()), len(read_decisions(session.journal))) == (orders, decisions)
        assert not any(order.is_open for order in session.venue.ledger.orders.values())
