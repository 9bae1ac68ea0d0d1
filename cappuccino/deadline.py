"""A requests session in which every request ends by a total deadline, however slowly the server answers.

The timeouts of `requests` bound each read from the socket, so a server that drips one byte a second, in headers or body, holds
a caller for ever. Here each request runs on a thread of its own; at the deadline its socket is shut down, which ends the
thread, and a request that has not been sent by then is not sent any more.
"""

from __future__ import annotations

import concurrent.futures
import socket
import threading
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class DeadlinePassed(requests.Timeout):
    """The request's total time was up."""


class _Call:
    """Sockets that one request uses; cutting it shuts them and every later one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_cut = False

    def use(self, sock: socket.socket) -> None:
        with self._lock:
            if self._is_cut:
                raise DeadlinePassed("the deadline passed before the request was sent")
            self._sockets.append(sock)

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            for sock in self._sockets:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # closed or disconnected meanwhile


_running = threading.local()


def _use(sock: Any) -> None:
    call = getattr(_running, "call", None)
    if call is not None and sock is not None:
        call.use(sock)


class _Connection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _use(self.sock)

    def request(self, *args: Any, **options: Any) -> None:
        _use(self.sock)
        super().request(*args, **options)


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _use(self.sock)

    def request(self, *args: Any, **options: Any) -> None:
        _use(self.sock)
        super().request(*args, **options)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection  # pyright: ignore[reportAssignmentType]


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection  # pyright: ignore[reportAssignmentType]


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager


class DeadlineSession(requests.Session):
    """`limit_s` seconds for each request in all, name resolution included; then DeadlinePassed. The body is read in full.

    `limit_s` may be set between requests. A session serves one caller at a time.
    """

    def __init__(self, limit_s: float | int) -> None:
        super().__init__()
        self.limit_s = limit_s
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """As `requests.Session.request`, with the total deadline."""
        call = _Call()
        options["timeout"] = self.limit_s
        send = super().request

        def run() -> requests.Response:
            _running.call = call
            return send(*args, **options)

        worker = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="request")
        future = worker.submit(run)
        try:
            return future.result(timeout=self.limit_s)
        except concurrent.futures.TimeoutError:
            raise DeadlinePassed(f"no full answer within {self.limit_s:g} s") from None
        finally:
            if not future.done():
                call.cut()
            worker.shutdown(wait=False)
