"""Alpaca's crypto market data API, v1beta3, as functions of a venue and a request."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from cappuccino.broker.alpaca_wire import timeframe
from cappuccino.broker.exchange import reading, wire
from cappuccino.broker.exchange.market import ServedBar
from cappuccino.broker.exchange.refusals import Refused
from cappuccino.broker.exchange.trading_api import Handler, Reply, Request
from cappuccino.broker.exchange.venue import Venue

SYMBOL = re.compile("^[A-Z0-9]+/[A-Z]+$")


def _assets(venue: Venue, request: Request) -> list[str]:
    """Assets asked for and known, in the order of their symbols. Raises Refused."""
    symbols = sorted(set(request.query.get("symbols", "").split(",")))
    for symbol in symbols:
        if not SYMBOL.match(symbol):
            raise Refused(400, None, f"invalid symbol: {symbol} does not match ^[A-Z]+/[A-Z]+$")
    return [reading.asset_of(symbol) for symbol in symbols if reading.asset_of(symbol) in venue.market.assets]


def _token(asset: str, opening: int) -> str:
    return base64.urlsafe_b64encode(f"{asset}|{opening}".encode()).decode()


def _opened(token: str) -> tuple[str, int]:
    try:
        asset, opening = base64.urlsafe_b64decode(token).decode().split("|")
        return asset, int(opening)
    except (binascii.Error, ValueError):
        raise Refused(400, None, "invalid page token") from None


def list_bars(venue: Venue, request: Request, now: float) -> Reply:
    """GET /v1beta3/crypto/us/bars: by symbol, then time; `limit` counts bars of all symbols. The running bar is served."""
    query = request.query
    served = timeframe(venue.market.bar_seconds)
    if query.get("timeframe") != served:
        raise Refused(400, None, f"invalid timeframe: {query.get('timeframe')}; this exchange has bars of {served}")
    limit = reading.whole(query.get("limit"), "limit", 1000, 10_000)
    limit = min(limit, venue.faults.config.page or limit)
    is_descending = query.get("sort", "asc") == "desc"
    start = reading.nanoseconds(query["start"]) / 1e9 if "start" in query else now - now % 86400
    end = reading.nanoseconds(query["end"]) / 1e9 if "end" in query else now
    skip_to, resume = _opened(query["page_token"]) if query.get("page_token") else ("", 0)
    found: dict[str, list[Any]] = {}
    for asset in _assets(venue, request):
        if asset < skip_to:
            continue
        first, last = start, end
        if asset == skip_to:
            first, last = (start, min(end, resume)) if is_descending else (max(start, resume), end)
        bars = faulty_bars(venue, asset, venue.market.bars(asset, first, last, now), now)
        for bar in reversed(bars) if is_descending else bars:
            if limit == 0:
                return Reply(200, {"bars": found, "next_page_token": _token(asset, bar.at)})
            found.setdefault(f"{asset}/USD", []).append(wire.bar(bar))
            limit -= 1
    return Reply(200, {"bars": found, "next_page_token": None})


def faulty_bars(venue: Venue, asset: str, bars: list[ServedBar], now: float) -> list[ServedBar]:
    """Bars with what the fault plan makes of them."""
    faults, served = venue.faults, []
    for bar in bars:
        fault, age = faults.of_bar(asset, bar.at), now - bar.at - venue.market.bar_seconds
        is_absurd = fault == "absurd_bar" and age >= 0 and faults.is_first(asset, bar.at)
        is_restated = fault == "restated_bar" and 0 <= age < faults.config.restated_s
        if fault == "missing_bar" or (fault == "late_bar" and age < faults.config.late_s):
            faults.count(fault)
            continue
        if is_absurd or is_restated:
            close = bar.close * (1.5 if is_absurd else 1.001)
            bar = bar._replace(close=close, high=max(bar.high, close))
            faults.count(str(fault))
        elif fault == "idle_bar":
            bar = bar._replace(volume=0.0)
            faults.count(fault)
        served.append(bar)
    return served


def latest_bars(venue: Venue, request: Request, now: float) -> Reply:
    """GET /v1beta3/crypto/us/latest/bars: the last complete bar of each symbol."""
    found = {asset: venue.market.latest_bar(asset, now) for asset in _assets(venue, request)}
    return Reply(200, {"bars": {f"{asset}/USD": wire.bar(bar) for asset, bar in found.items() if bar is not None}})


def latest_quotes(venue: Venue, request: Request, now: float) -> Reply:
    """GET /v1beta3/crypto/us/latest/quotes: the book now; a symbol without a bar is absent."""
    books = {asset: venue.market.quote(asset, now) for asset in _assets(venue, request)}
    return Reply(200, {"quotes": {f"{asset}/USD": wire.quote(book, now) for asset, book in books.items() if book is not None}})


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/v1beta3/crypto/us/bars", list_bars),
    ("GET", "/v1beta3/crypto/us/latest/bars", latest_bars),
    ("GET", "/v1beta3/crypto/us/latest/quotes", latest_quotes),
)
