"""Who may read and who may change something: the host that a request names, where it comes from, and the token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cappuccino.errors import InputError

TOKEN_NAME = "CAPPUCCINO_TOKEN"
HEADER = "x-cappuccino-token"
SHORTEST = 16
"""Characters of a token."""

UNLOCK = "/unlock"
_OPEN = (UNLOCK, "/static/dashboard.css", "/static/icon.svg")
"""What is answered without a token in any case: the form that asks for it."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every answer. Attributes of style are plotly.js's, which draws with them; no style element and no script is inline."""


def given_or_new(given: str | None) -> tuple[str, bool]:
    """The token, and whether it was made here. Raises InputError for one that could be guessed; it is not shown."""
    if not given:
        return secrets.token_urlsafe(24), True
    if len(given) < SHORTEST or not given.isascii() or not given.isprintable():
        raise InputError(f"{TOKEN_NAME} has {len(given)} characters; {SHORTEST} printable ASCII ones or more are right")
    return given, False


class Access:
    """names: hosts by which the page may be asked for, besides addresses and localhost: no other site's name can then be made to
    lead here. reads_need_token: whether it is asked for before anything is shown."""

    def __init__(self, token: str, *, names: Sequence[str] = (), reads_need_token: bool = False) -> None:
        self._token, self._names, self.reads_need_token = token, {name.lower() for name in names}, reads_need_token
        # What the browser keeps is not the token, and is the same after a restart with the same one.
        self.cookie = hmac.new(token.encode(), b"cappuccino dashboard", hashlib.sha256).hexdigest()

    def is_token(self, given: str) -> bool:
        """Compared in constant time."""
        return hmac.compare_digest(given.encode(), self._token.encode())

    def knows(self, request: Request) -> bool:
        """Whether the request has the token, or the cookie of a browser that has given it."""
        cookie = request.cookies.get(_cookie_name(request), "")
        return self.is_token(request.headers.get(HEADER, "")) or hmac.compare_digest(cookie.encode(), self.cookie.encode())

    def remember(self, request: Request, response: Response) -> None:
        """Let the browser keep that it has given the token."""
        response.set_cookie(
            _cookie_name(request), self.cookie, httponly=True, samesite="strict", secure=request.url.scheme == "https"
        )

    def forget(self, request: Request, response: Response) -> None:
        """Take that back."""
        response.delete_cookie(_cookie_name(request), httponly=True, samesite="strict")

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names this server: an address, localhost, or one of the names."""
        name = (urlsplit(f"//{host}").hostname or "") if host else ""
        if name == "localhost" or name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def refusal(self, request: Request) -> Response | None:
        """Why a request is not served; None if it is."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        try:
            is_ours = self.is_ours(host)
        except ValueError:
            is_ours = False
        if not is_ours:
            return PlainTextResponse("this host is not served here; dashboard.names lists those that are\n", 400)
        if request.method not in ("GET", "HEAD"):
            if origin is not None and urlsplit(origin).netloc != host:
                return PlainTextResponse("a page of another origin may change nothing here\n", 403)
            if origin is None and not self.is_token(request.headers.get(HEADER, "")):
                return PlainTextResponse(f"what is no page gives the token in the header {HEADER}\n", 403)
        return None

    def is_locked(self, request: Request) -> bool:
        """Whether the token has to be given before this is shown."""
        return self.reads_need_token and request.url.path not in _OPEN and not self.knows(request)


def _cookie_name(request: Request) -> str:
    """By port: cookies are shared by all ports of a host."""
    return f"cappuccino-{request.url.port or 443}"


class Guard:
    """Puts the headers on every answer of an application, and refuses what may not be asked."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        answer = self._access.refusal(Request(scope))
        await (self._app if answer is None else answer)(scope, receive, guarded)
