"""Alpaca's trading API, version 2, as functions of a venue and a request."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cappuccino.broker.exchange import reading, wire
from cappuccino.broker.exchange.orders import LedgerOrder
from cappuccino.broker.exchange.refusals import Refused, validation
from cappuccino.broker.exchange.venue import Venue, asset_id

YEAR_NS = 365 * 86400 * 1_000_000_000


@dataclasses.dataclass(frozen=True)
class Request:
    """What of an HTTP request the handlers read: path parameters, query, JSON body."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Reply:
    """Status and JSON; None is an empty body."""

    status: int
    json: Any


Handler = Callable[[Venue, Request, float], Reply]
"""A handler is given the venue, settled, the request, and the time. It may raise Refused."""


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() == "true"


def get_account(venue: Venue, request: Request, now: float) -> Reply:
    """GET /v2/account."""
    del request
    return Reply(200, wire.account(venue, now))


def get_clock(venue: Venue, request: Request, now: float) -> Reply:
    """GET /v2/clock. Crypto never closes; the next opening and closing are a year off."""
    del request
    stamp = venue.stamp_at(now + venue.faults.config.skew_s)
    never = wire.time_of(stamp + YEAR_NS)
    return Reply(200, {"timestamp": wire.time_of(stamp), "is_open": True, "next_open": never, "next_close": never})


def list_assets(venue: Venue, request: Request, now: float) -> Reply:
    """GET /v2/assets."""
    del now
    is_other = request.query.get("asset_class", "crypto") != "crypto" or request.query.get("status", "active") != "active"
    return Reply(200, [] if is_other else [wire.asset(venue, asset) for asset in venue.market.assets])


def _asset_named(venue: Venue, symbol: str) -> str | None:
    ids = {asset_id(asset): asset for asset in venue.market.assets}
    asset = ids.get(symbol, reading.asset_of(symbol))
    return asset if asset in venue.market.assets else None


def get_asset(venue: Venue, request: Request, now: float) -> Reply:
    """GET /v2/assets/{symbol or id}."""
    del now
    asset = _asset_named(venue, request.path["symbol"])
    if asset is None:
        raise Refused(404, 40410000, f"asset not found for {request.path['symbol']}")
    return Reply(200, wire.asset(venue, asset))


def submit_order(venue: Venue, request: Request, now: float) -> Reply:
    """POST /v2/orders."""
    del now
    return Reply(200, wire.order(venue.submit(reading.ticket(request.body)), just_sent=True))


def list_orders(venue: Venue, request: Request, now: float) -> Reply:
    """GET /v2/orders."""
    del now
    query = request.query
    limit = reading.whole(query.get("limit"), "limit", 50, 500)
    status, direction = query.get("status", "open"), query.get("direction", "desc")
    if status not in ("open", "closed", "all") or direction not in ("asc", "desc"):
        raise validation(f"invalid status or direction: {status}, {direction}")
    found: Iterable[LedgerOrder] = [order for order in venue.ledger.orders.values() if not venue.is_hidden(order)]
    if status != "all":
        found = [order for order in found if order.is_open == (status == "open")]
    if "after" in query:
        after = reading.nanoseconds(query["after"])
        found = [order for order in found if order.submitted > after]
    if "until" in query:
        until = reading.nanoseconds(query["until"])
        found = [order for order in found if order.submitted < until]
    if "symbols" in query:
        assets = {reading.asset_of(symbol) for symbol in query["symbols"].split(",")}
        found = [order for order in found if order.ticket.asset in assets]
    if "side" in query:
        found = [order for order in found if order.ticket.side == query["side"]]
    ordered = list(found) if direction == "asc" else list(found)[::-1]
    return Reply(200, [wire.order(order) for order in ordered[:limit]])


def get_order(venue: Venue, request: Request, now: float) -> Reply:
    """GET /v2/orders/{id}."""
    del now
    order = venue.ledger.orders.get(request.path["id"])
    if order is None:
        raise Refused(404, 40410000, f"order not found for {request.path['id']}")
    return Reply(200, wire.order(order))


def get_order_by_client_id(venue: Venue, request: Request, now: float) -> Reply:
    """GET /v2/orders:by_client_order_id."""
    del now
    wanted = request.query.get("client_order_id", "")
    order = venue.ledger.by_client_id(wanted)
    if order is None or venue.is_hidden(order):
        raise Refused(404, 40410000, f"order not found for {wanted}")
    return Reply(200, wire.order(order))


def cancel_order(venue: Venue, request: Request, now: float) -> Reply:
    """DELETE /v2/orders/{id}."""
    del now
    venue.cancel(request.path["id"])
    return Reply(204, None)


def _cancel_all(venue: Venue) -> list[dict[str, Any]]:
    open_ids = [order.id for order in venue.ledger.orders.values() if order.is_open]
    for order_id in open_ids:
        venue.cancel(order_id)
    return [{"id": order_id, "status": 200} for order_id in open_ids]


def cancel_orders(venue: Venue, request: Request, now: float) -> Reply:
    """DELETE /v2/orders."""
    del request, now
    return Reply(207, _cancel_all(venue))


def _held(venue: Venue) -> list[str]:
    return [asset for asset, holding in venue.ledger.holdings.items() if holding.quantity != 0]


def list_positions(venue: Venue, request: Request, now: float) -> Reply:
    """GET /v2/positions."""
    del request
    marks = venue.market.marks(now)
    return Reply(200, [wire.position(venue.ledger, asset, marks[asset]) for asset in _held(venue)])


def _holding_named(venue: Venue, symbol: str) -> str:
    asset = _asset_named(venue, symbol)
    if asset is None or asset not in _held(venue):
        raise Refused(404, 40410000, "position does not exist")
    return asset


def get_position(venue: Venue, request: Request, now: float) -> Reply:
    """GET /v2/positions/{symbol or id}."""
    asset = _holding_named(venue, request.path["symbol"])
    return Reply(200, wire.position(venue.ledger, asset, venue.market.marks(now)[asset]))


def close_position(venue: Venue, request: Request, now: float) -> Reply:
    """DELETE /v2/positions/{symbol or id}?qty= or ?percentage=."""
    del now
    asset = _holding_named(venue, request.path["symbol"])
    order = venue.close_position(asset, request.query.get("qty"), request.query.get("percentage"))
    return Reply(200, wire.order(order, just_sent=True))


def close_positions(venue: Venue, request: Request, now: float) -> Reply:
    """DELETE /v2/positions?cancel_orders=."""
    del now
    if _flag(request.query, "cancel_orders"):
        _cancel_all(venue)
    answers = []
    for asset in _held(venue):
        try:
            order = venue.close_position(asset, None, None)
            answers.append({"symbol": f"{asset}USD", "status": 200, "body": wire.order(order, just_sent=True)})
        except Refused as refused:
            answers.append({"symbol": f"{asset}USD", "status": refused.status, "body": refused.body()})
    return Reply(207, answers)


def list_fills(venue: Venue, request: Request, now: float) -> Reply:
    """GET /v2/account/activities/FILL; the page token is the id of the last fill seen."""
    del now
    query = request.query
    size = reading.whole(query.get("page_size"), "page_size", 100, 100)
    found = list(venue.ledger.fills)
    if "after" in query:
        after = reading.nanoseconds(query["after"])
        found = [fill for fill in found if fill.at > after]
    if "until" in query:
        until = reading.nanoseconds(query["until"])
        found = [fill for fill in found if fill.at < until]
    if query.get("direction", "desc") == "desc":
        found.reverse()
    if "page_token" in query:
        ids = [fill.id for fill in found]
        if query["page_token"] not in ids:
            raise validation("invalid page_token")
        found = found[ids.index(query["page_token"]) + 1 :]
    return Reply(200, [wire.fill(fill) for fill in found[:size]])


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/v2/account", get_account),
    ("GET", "/v2/account/activities/FILL", list_fills),
    ("GET", "/v2/clock", get_clock),
    ("GET", "/v2/assets", list_assets),
    ("GET", "/v2/assets/{symbol:path}", get_asset),
    ("POST", "/v2/orders", submit_order),
    ("GET", "/v2/orders", list_orders),
    ("DELETE", "/v2/orders", cancel_orders),
    ("GET", "/v2/orders:by_client_order_id", get_order_by_client_id),
    ("GET", "/v2/orders/{id}", get_order),
    ("DELETE", "/v2/orders/{id}", cancel_order),
    ("GET", "/v2/positions", list_positions),
    ("DELETE", "/v2/positions", close_positions),
    ("GET", "/v2/positions/{symbol}", get_position),
    ("DELETE", "/v2/positions/{symbol}", close_position),
)
