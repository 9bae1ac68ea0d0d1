"""Servers on loopback sockets that misbehave."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable


def response(status: str, body: str, *headers: str) -> bytes:
    """A whole HTTP answer after which the connection closes."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", "Connection: close", *headers)
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class RawServer:
    """Answers each connection by a function of (its number, the socket); remembers the requests."""

    def __init__(self, answer: Callable[[int, socket.socket], None]) -> None:
        self.requests: list[bytes] = []
        self.ended = threading.Event()
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            seen = b""
            while b"\r\n\r\n" not in seen:
                chunk = connection.recv(65536)
                if not chunk:
                    return
                seen += chunk
            self.requests.append(seen)
            self._answer(len(self.requests) - 1, connection)
        self.ended.set()

    def close(self) -> None:
        self._listener.close()


def drip(data: bytes, pause: float) -> Callable[[int, socket.socket], None]:
    """An answer of one byte at a time."""

    def answer(_: int, connection: socket.socket) -> None:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(pause)

    return answer
