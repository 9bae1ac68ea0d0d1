"""`/metrics` and `/health` over HTTP, read only, from a thread: prometheus_client's own application on the standard library's server."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from cappuccino.errors import InputError
from cappuccino.trading.watch.metrics import Metrics

IDLE_S = 10.0
"""Seconds after which a client that says nothing is left."""


class Endpoint:
    """Serves a trader's metrics at `host` and `port` (0: any that is free) until closed. Raises InputError if it cannot listen."""

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        try:
            self._server = _Server((host, port), _Handler)
        except OSError as error:
            raise InputError(f"watch.host {host}, watch.port {port}: {error.strerror or error}; name others") from None
        self._server.set_app(_app(metrics))
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="watch endpoint", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # As WSGIServer's, but without asking the network what this machine is called.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = IDLE_S

    def address_string(self) -> str:
        return str(self.client_address[0])

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape is no event."""


def _app(metrics: Metrics) -> Any:
    figures = make_wsgi_app(metrics.registry)

    def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _answer(start, "405 Method Not Allowed", {"message": "GET /metrics or /health"})
        if environ["PATH_INFO"] == "/metrics":
            return figures(environ, start)
        if environ["PATH_INFO"] == "/health":
            health = metrics.health()
            return _answer(start, "200 OK" if health["state"] == "running" else "503 Service Unavailable", health)
        return _answer(start, "404 Not Found", {"message": "there is /metrics and /health"})

    return app


def _answer(start: Any, status: str, value: Any) -> list[bytes]:
    body = json.dumps(value).encode()
    start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
