"""The exchange on HTTP: Alpaca's two APIs, and beside them paths to control it; what changes anything takes the account's keys.

`POST /control/advance {"to": unix seconds}` moves a stepped clock and answers `{"now": ...}`, 409 if it cannot;
`GET /control/state` answers now, first and last time of the replay, and whether it is finished; `GET /control/faults` how many faults
of each kind there were; `POST /control/faults`, with the fields of `FaultsConfig`, says what goes wrong from now on;
`POST /control/adjust {"cash": "5", "BTC": "-0.1"}` changes the ledger as no order does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cappuccino.broker.exchange import data_api, faulty, reading, trading_api
from cappuccino.broker.exchange.arithmetic import exactly
from cappuccino.broker.exchange.faults import FaultsConfig
from cappuccino.broker.exchange.refusals import Refused
from cappuccino.broker.exchange.trading_api import Handler, Reply, Request
from cappuccino.broker.exchange.venue import Venue
from cappuccino.errors import InputError
from cappuccino.listening import listen, url_of


class _RateLimit:
    """Requests per minute of exchange time, counted in whole minutes."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._minute, self._count = -1, 0

    def take(self, now: float) -> bool:
        """Count a request; whether it may be served."""
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._count = minute, 0
        self._count += 1
        return self._count <= self.per_minute

    def headers(self) -> dict[str, str]:
        """As Alpaca sends them with each answer."""
        return {
            "X-Ratelimit-Limit": str(self.per_minute),
            "X-Ratelimit-Remaining": str(max(self.per_minute - self._count, 0)),
            "X-Ratelimit-Reset": str((self._minute + 1) * 60),
        }


def _authorize(venue: Venue, request: HttpRequest) -> None:
    key, secret = (request.headers.get(f"APCA-API-{name}", "") for name in ("KEY-ID", "SECRET-KEY"))
    if not key or not secret:
        raise Refused(403, None, "forbidden.")
    if venue.config.key and (key, secret) != (venue.config.key, venue.config.secret):
        raise Refused(401, 40110000, "request is not authorized")


def create_app(venue: Venue) -> faulty.FaultyAnswers:
    """The application that serves `venue`."""
    limit, stale = _RateLimit(venue.config.requests_per_minute), faulty.StaleReads(venue)

    def endpoint(handle: Handler, *, is_trading: bool) -> Callable[[HttpRequest], Any]:
        answer = exactly(handle)

        async def serve(request: HttpRequest) -> Response:
            content = await request.body()
            # From here to the reply nothing awaits: on the one event loop a request is served as a whole.
            fault: str | None = None
            try:
                if not limit.take(venue.clock.now()):
                    raise Refused(429, 42910000, "rate limit exceeded")
                if is_trading:
                    _authorize(venue, request)
                parsed = reading.body(content) if request.method == "POST" else {}
                fault = venue.faults.of_request(faulty.asked(venue, handle, request, parsed), venue.clock.now())
                instead = faulty.unserved(fault, venue.faults.busy_until, limit.headers())
                if instead is not None:
                    request.scope[faulty.FAULT] = fault
                    return instead
                now = venue.settle()
                reply = stale.answer(handle, now) or answer(
                    venue, Request(request.path_params, request.query_params, parsed), now
                )
                reply = faulty.again(reply, request.query_params) if fault == "repeat_token" else reply
            except Refused as refused:
                reply = Reply(refused.status, refused.body())
            request.scope[faulty.FAULT] = fault
            if reply.json is None:
                return Response(status_code=reply.status, headers=limit.headers())
            return JSONResponse(reply.json, reply.status, headers=limit.headers())

        return serve

    def control(change: Callable[[bytes], dict[str, Any]]) -> Callable[[HttpRequest], Any]:
        """What changes the exchange: 401 and 403 without the keys, 409 with the reason where it cannot be."""

        async def serve(request: HttpRequest) -> Response:
            content = await request.body()
            try:
                _authorize(venue, request)
            except Refused as refused:
                return JSONResponse(refused.body(), refused.status)
            try:
                return JSONResponse(change(content))
            except (Refused, InputError) as error:
                return JSONResponse({"message": str(error)}, 409)

        return serve

    def advance(content: bytes) -> dict[str, Any]:
        now = venue.clock.advance(float(reading.number(reading.body(content).get("to"), "to")))
        venue.settle()
        return {"now": now}

    def go_wrong(content: bytes) -> dict[str, Any]:
        try:
            venue.faults.become(FaultsConfig(**json.loads(content)))
        except (TypeError, ValueError) as error:
            raise InputError(f"these are no faults: {error}") from None
        return {}

    def adjust(content: bytes) -> dict[str, Any]:
        venue.adjust({name: reading.number(value, name) for name, value in reading.body(content).items()})
        return {}

    async def state(request: HttpRequest) -> Response:
        del request
        now, market = venue.settle(), venue.market
        return JSONResponse({"now": now, "first": market.first, "last": market.last, "finished": now >= market.last})

    async def counts(request: HttpRequest) -> Response:
        del request
        return JSONResponse(dict(venue.faults.counts))

    async def refuse_path(request: HttpRequest, error: Exception) -> Response:
        del request
        status = error.status_code if isinstance(error, HTTPException) else 404
        message = "endpoint not found." if status == 404 else "method not allowed."
        return JSONResponse({"message": message}, status)

    routes = [
        Route(path, endpoint(handle, is_trading=is_trading), methods=[method])
        for table, is_trading in ((trading_api.ROUTES, True), (data_api.ROUTES, False))
        for method, path, handle in table
    ]
    routes += [
        Route("/control/advance", control(advance), methods=["POST"]),
        Route("/control/state", state, methods=["GET"]),
        Route("/control/faults", counts, methods=["GET"]),
        Route("/control/faults", control(go_wrong), methods=["POST"]),
        Route("/control/adjust", control(adjust), methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={404: refuse_path, 405: refuse_path})
    return faulty.FaultyAnswers(app, venue.faults)


def serve(venue: Venue, *, host: str = "127.0.0.1", port: int = 0, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. Port 0 takes a free one; `ready` is called with a line of JSON, {"url": ...}.

    Raises InputError if the address cannot be listened on.
    """
    listener = listen(host, port)
    config = uvicorn.Config(create_app(venue), log_level="warning", access_log=False, http="h11", lifespan="off")
    ready(json.dumps({"url": url_of(listener)}))
    uvicorn.Server(config).run(sockets=[listener])
