"""An exchange on loopback whose answers are altered on their way."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from loopback import serving_app

from cappuccino.broker.exchange.server import create_app
from cappuccino.broker.exchange.venue import Venue

Alter = Callable[[Any], Any]
"""The JSON of an answer -> another value, or bytes that are sent as they are."""


@contextlib.contextmanager
def serving_altered(venue: Venue, path: str, alter: Alter) -> Iterator[str]:
    """The URL of an exchange whose answers to `path` (a part of it) are altered."""
    app = create_app(venue)

    async def altered(scope: Any, receive: Any, send: Any) -> None:
        if path not in scope.get("path", ""):
            await app(scope, receive, send)
            return
        body, start = b"", {}

        async def keep(message: Any) -> None:
            nonlocal body, start
            if message["type"] == "http.response.start":
                start = message
            else:
                body += message.get("body", b"")

        keep.__self__ = getattr(send, "__self__", None)  # type: ignore[attr-defined]
        await app(scope, receive, keep)
        made = alter(json.loads(body)) if start["status"] == 200 else body
        content = made if isinstance(made, bytes) else json.dumps(made).encode()
        headers = [one for one in start["headers"] if one[0] != b"content-length"]
        await send({**start, "headers": [*headers, (b"content-length", str(len(content)).encode())]})
        await send({"type": "http.response.body", "body": content})

    with serving_app(altered) as url:
        yield url
