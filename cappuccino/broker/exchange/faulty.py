"""The faults of `faults.WIRE` on real connections, and reads that lag behind a write."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cappuccino.broker.exchange import data_api, reading, trading_api
from cappuccino.broker.exchange.faults import Asked, FaultPlan
from cappuccino.broker.exchange.trading_api import Handler, Reply, Request
from cappuccino.broker.exchange.venue import Venue

FAULT = "cappuccino.fault"
"""Key of an ASGI scope under which the fault of the answer is passed to the connection."""

_KINDS: dict[Handler, str] = {
    trading_api.submit_order: "submit",
    trading_api.get_order_by_client_id: "order",
    trading_api.get_order: "order",
    trading_api.list_orders: "orders",
    trading_api.cancel_order: "cancel",
    trading_api.get_account: "account",
    trading_api.list_positions: "positions",
    trading_api.list_assets: "assets",
    trading_api.get_clock: "clock",
    data_api.list_bars: "bars",
    data_api.latest_quotes: "quotes",
}


def asked(venue: Venue, handle: Handler, request: HttpRequest, body: Mapping[str, Any]) -> Asked:
    """What a request is about, for the fault plan."""
    kind = _KINDS.get(handle, "other")
    second = str(int(venue.clock.now()))
    if kind == "submit":
        asset = reading.asset_of(str(body.get("symbol", "")))
        return Asked(kind, str(body.get("client_order_id") or second), str(body.get("side")), asset)
    order = venue.ledger.orders.get(request.path_params.get("id", ""))
    if order is None:
        order = venue.ledger.by_client_id(request.query_params.get("client_order_id", ""))
    if order is None:
        return Asked(kind, request.query_params.get("client_order_id", second))
    return Asked(kind, order.ticket.client_order_id, order.ticket.side, order.ticket.asset)


def unserved(fault: str | None, reset: float, headers: Mapping[str, str]) -> Response | None:
    """The answer that is given without serving the request, if that is the fault."""
    if fault == "drop_before":
        return Response()
    if fault == "timeout_before":
        return JSONResponse({"message": "gateway timed out"}, 504)
    if fault == "html":
        return HTMLResponse("<html><body><h1>500 Internal Server Error</h1></body></html>", 500)
    if fault == "busy":
        told = {"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": str(math.ceil(reset))}
        return JSONResponse({"code": 42910000, "message": "rate limit exceeded"}, 429, headers={**headers, **told})
    return None


def again(reply: Reply, query: Mapping[str, str]) -> Reply:
    """A page of bars that leads to itself."""
    token = query.get("page_token") or "again"
    return Reply(reply.status, {**reply.json, "next_page_token": token})


class StaleReads:
    """Account and positions as they were before an order that reads do not show yet."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._before: dict[Handler, tuple[float, Reply]] = {}

    def answer(self, handle: Handler, now: float) -> Reply | None:
        """The answer of before, while it is served; None otherwise."""
        venue = self._venue
        if handle is trading_api.submit_order:
            if venue.faults.config.rates.get("stale", 0) or any(one["fault"] == "stale" for one in venue.faults.config.script):
                self._remember(now)
            return None
        if handle not in (trading_api.get_account, trading_api.list_positions):
            return None
        is_lagging = any(now < until for until in venue.hidden_until.values())
        kept = self._before.get(handle)
        return kept[1] if is_lagging and kept is not None else None

    def _remember(self, now: float) -> None:
        if any(now < until for until in self._venue.hidden_until.values()):
            return
        nothing = Request({}, {}, {})
        for handle in (trading_api.get_account, trading_api.list_positions):
            self._before[handle] = (now, handle(self._venue, nothing, now))


class FaultyAnswers:
    """An ASGI application whose answers are dropped, kept back or served a byte at a time, where their scope says so."""

    def __init__(self, app: ASGIApp, plan: FaultPlan) -> None:
        self._app, self._plan = app, plan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def sending(message: Message) -> None:
            fault = scope.get(FAULT)
            if fault == "timeout_after" and message["type"] == "http.response.start":
                message = {**message, "status": 504}
            if fault == "hang" and message["type"] == "http.response.start":
                await asyncio.sleep(self._plan.config.hang_s)
            if fault in ("drop_before", "drop_after", "hang"):
                _transport(send).abort()
            elif fault == "drip" and message["type"] == "http.response.body":
                await self._drip(message.get("body", b""), send)
            elif not _transport(send).is_closing():
                await send(message)

        await self._app(scope, receive, sending)

    async def _drip(self, body: bytes, send: Send) -> None:
        for position in range(len(body)):
            if _transport(send).is_closing():
                return
            await send({"type": "http.response.body", "body": body[position : position + 1], "more_body": True})
            await asyncio.sleep(self._plan.config.drip_s / max(1, len(body)))
        await send({"type": "http.response.body", "body": b""})


def _transport(send: Send) -> Any:
    """The connection that an answer of Uvicorn's goes to: ASGI has no word for closing it without one."""
    return send.__self__.transport  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
