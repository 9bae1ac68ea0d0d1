"""The kill switch from the page: the same journaled latch as `cappuccino trade halt` and `resume`, with the token and a confirmation."""

from __future__ import annotations

import contextlib
import sqlite3

from starlette.requests import Request
from starlette.responses import Response

from cappuccino.dashboard.access import Access
from cappuccino.dashboard.pages import Pages
from cappuccino.dashboard.traders import Trader
from cappuccino.errors import InputError
from cappuccino.trading.clock import RealClock
from cappuccino.trading.folder import running
from cappuccino.trading.journal import Journal
from cappuccino.trading.latch import KillSwitch
from cappuccino.trading.ruled import stops_in_force

SOURCE = "dashboard"
_DONE = {"HX-Trigger-After-Swap": "changed"}
"""The page's parts are read again at once."""


def halt(pages: Pages, access: Access, trader: Trader, request: Request, form: dict[str, str]) -> Response:
    """Throw it, with `flatten` in the form to sell everything besides."""
    refused = _refused(pages, access, trader, request, form)
    if refused is not None:
        return refused
    flatten = "flatten" in form
    try:
        with contextlib.closing(Journal(trader.journal)) as journal:
            KillSwitch(journal, trader.folder, RealClock()).throw(_reason(form), SOURCE, flatten=flatten)
    except (InputError, sqlite3.Error) as error:
        return pages.words(request, 503, f"It could not be thrown: {error}")
    said = "Thrown: the trader cancels its open orders and ends"
    if running(trader.folder) is None:
        said = "Thrown: no trader runs; open orders are canceled when it is started"
        said += f", or sold everything by: cappuccino trade flatten trade.name={trader.name}" if flatten else ""
    return _done(pages, access, request, said)


def resume(pages: Pages, access: Access, trader: Trader, request: Request, form: dict[str, str]) -> Response:
    """Release it, and let losses count anew, as `cappuccino trade resume` does."""
    refused = _refused(pages, access, trader, request, form)
    if refused is not None:
        return refused
    try:
        with contextlib.closing(Journal(trader.journal)) as journal:
            switch, mark = KillSwitch(journal, trader.folder, RealClock()), journal.last_mark()
            if switch.thrown() is None and not stops_in_force(None if mark is None else mark.risk):
                return pages.words(request, 409, "It is neither halted nor stopped by a risk rule")
            switch.release(_reason(form), SOURCE)
    except (InputError, sqlite3.Error) as error:
        return pages.words(request, 503, f"It could not be released: {error}")
    said = "Released: it goes on from the next bar" if running(trader.folder) else "Released: start the trader again to go on"
    return _done(pages, access, request, said)


def _refused(pages: Pages, access: Access, trader: Trader, request: Request, form: dict[str, str]) -> Response | None:
    if not access.knows(request) and not access.is_token(form.get("token", "")):
        said = "That is not the token" if form.get("token") else "The token is needed"
        return pages.words(request, 403, f"{said}: the console in which the page was started says where it is from")
    if form.get("confirm") != trader.name:
        return pages.words(request, 422, f"Type the trader's name, {trader.name}, to confirm")
    return None


def _done(pages: Pages, access: Access, request: Request, said: str) -> Response:
    answer = pages.words(request, 200, said)
    answer.headers.update(_DONE)
    access.remember(request, answer)
    return answer


def _reason(form: dict[str, str]) -> str:
    return " ".join(form.get("reason", "").split())[:200] or "by hand"
