"""The pages of the traders, and their parts."""

from __future__ import annotations

import pathlib
from typing import Any

import plotly
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cappuccino.dashboard import kill_switch
from cappuccino.dashboard.access import Access
from cappuccino.dashboard.equity import CAUSE_MEANING, chart
from cappuccino.dashboard.pages import Pages, json_answer
from cappuccino.dashboard.replays import Replays
from cappuccino.dashboard.static_files import plotly_styles
from cappuccino.dashboard.traders import NEWEST_ORDERS, ORDER_STATES, Standing, Trader, traders_below
from cappuccino.errors import InputError


class TraderPages:
    """All of it is read again for each answer, but for what `Replays` keeps. Methods raise InputError for a journal that cannot be
    read, and HTTPException for a trader that is not there."""

    def __init__(self, runs_dir: pathlib.Path, pages: Pages, access: Access, replays: Replays) -> None:
        self._runs_dir, self._pages, self._access, self._replays = runs_dir, pages, access, replays

    def traders(self, request: Request) -> Response:
        """All of them."""
        return self._pages.answer(request, "traders.html", **self._traders())

    def traders_part(self, request: Request) -> Response:
        """The table alone."""
        return self._pages.answer(request, "_traders.html", **self._traders())

    def _traders(self) -> dict[str, Any]:
        standings: dict[str, Standing | str] = {}
        for name in traders_below(self._runs_dir):
            try:
                standings[name] = Trader(self._runs_dir, name).standing()
            except InputError as error:
                standings[name] = str(error)
        return {"standings": standings, "runs_dir": self._runs_dir}

    def trader(self, request: Request) -> Response:
        """One trader."""
        trader = self._trader(request)
        values = {**self._figures(trader), **self._orders(request, trader), **self._holdings(trader), **self._record(trader)}
        return self._pages.answer(
            request, "trader.html", **values, plotly_version=plotly.__version__, plotly_styles=plotly_styles()
        )

    def trader_part(self, request: Request) -> Response:
        """A part of its page: figures, holdings, orders or record."""
        trader, part = self._trader(request), request.path_params["part"]
        if part == "figures":
            return self._pages.answer(request, "_figures.html", **self._figures(trader))
        if part == "orders":
            return self._pages.answer(request, "_orders.html", **self._orders(request, trader))
        if part == "holdings":
            return self._pages.answer(request, "_holdings.html", **self._holdings(trader))
        if part == "record":
            return self._pages.answer(request, "_record.html", **self._record(trader))
        raise HTTPException(404)

    def _trader(self, request: Request) -> Trader:
        name = request.path_params["name"]
        if name not in traders_below(self._runs_dir):
            raise HTTPException(
                404, f"there is no trader {name} below {self._runs_dir}: it was never started, or its folder is gone"
            )
        return Trader(self._runs_dir, name)

    def _figures(self, trader: Trader) -> dict[str, Any]:
        return {"trader": trader, "standing": trader.standing()}

    def _orders(self, request: Request, trader: Trader) -> dict[str, Any]:
        state = request.query_params.get("state")
        state = state if state in ORDER_STATES else None
        rows = trader.orders(None if state is None else (state,))
        counts = trader.counts()
        return {
            "trader": trader,
            "chosen": state,
            "counts": counts,
            "states": ORDER_STATES,
            "orders": rows,
            "most": NEWEST_ORDERS,
        }

    def _holdings(self, trader: Trader) -> dict[str, Any]:
        try:
            distances, unknown = trader.distances(), ""
        except InputError as error:
            distances, unknown = None, str(error)
        return {"trader": trader, "positions": trader.positions(), "distances": distances, "unknown": unknown}

    def _record(self, trader: Trader) -> dict[str, Any]:
        replay = self._replays.of(trader, trader.last_bar())
        return {
            "trader": trader,
            "replay": replay,
            "meaning": CAUSE_MEANING,
            "undecided": trader.undecided(),
            "warnings": trader.warnings(),
            "halts": trader.halts(),
            "adjustments": trader.adjustments(),
        }

    def equity(self, request: Request) -> Response:
        """Its chart as data."""
        trader = self._trader(request)
        return json_answer(request, chart(trader, self._replays))

    def halt(self, request: Request, form: dict[str, str]) -> Response:
        """See `kill_switch.halt`."""
        return kill_switch.halt(self._pages, self._access, self._trader(request), request, form)

    def resume(self, request: Request, form: dict[str, str]) -> Response:
        """See `kill_switch.resume`."""
        return kill_switch.resume(self._pages, self._access, self._trader(request), request, form)
