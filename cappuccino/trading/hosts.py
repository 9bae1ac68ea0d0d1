"""A guard over every connection of this process: what is not on the list of hosts is refused before a packet leaves.

It hangs on Python's audit events, which requests, urllib, Apprise and whatever else opens a socket in Python raises and no library
can switch off. A name is checked when it is resolved; an address when it is connected to or sent to, and only those pass that an
allowed name was resolved to, or that are this machine's own. Unix sockets pass. A child process has no guard of ours, nor has a
library that opens sockets in C by itself.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
import urllib.parse
from collections import OrderedDict
from collections.abc import Collection
from typing import Any

from cappuccino.broker.access import DATA_URL, LIVE_URL, PAPER_URL
from cappuccino.errors import InputError, Refusal

KEPT_ADDRESSES = 4096
"""Addresses of allowed names that are remembered; names resolved long ago are resolved again before they are used."""


class HostRefused(Refusal):
    """A connection to a host that is not on the list; nothing was sent. No OSError, so that no library takes it for a bad line."""


def allowed_hosts(*, urls: Collection[str] = (), named: Collection[str] = (), live: bool = False) -> frozenset[str]:
    """What a trader may speak to: Alpaca's paper and data service, the hosts of `urls` and those `named`; the live host if `live`.

    This machine is always allowed. Raises InputError where a URL or a name would let the live host in by the back door.
    """
    live_host = _host(LIVE_URL)
    others = {_host(url) for url in urls} | {_plain(name) for name in named}
    if live_host in others:
        raise InputError(f"{live_host} trades real money; it is no host for notifications, and live=true is how it is allowed")
    return frozenset({_host(PAPER_URL), _host(DATA_URL), *others, *({live_host} if live else ())} - {""})


def install(hosts: Collection[str]) -> None:
    """From now on this process reaches only `hosts` and this machine. It cannot be taken off; a later list replaces an earlier.

    A refused name or address raises HostRefused in whoever asked, on any thread.
    """
    _guard.install(hosts)


class _Guard:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hosts: frozenset[str] | None = None
        self._addresses: OrderedDict[str, str] = OrderedDict()
        self._connect, self._connect_ex = socket.socket.connect, socket.socket.connect_ex
        self._resolve = socket.getaddrinfo

    def install(self, hosts: Collection[str]) -> None:
        with self._lock:
            is_first = self._hosts is None
            self._hosts = frozenset(map(_plain, hosts))
            self._addresses.clear()
        if not is_first:
            return
        guard = self

        def resolve(host: Any, *args: Any, **options: Any) -> Any:
            found = guard._resolve(host, *args, **options)
            guard._remember(host, found)
            return found

        # The event of a connection by name comes after C has resolved it: these look before.
        def connect(sock: socket.socket, address: Any) -> None:
            guard._check_address(sock, address)
            return guard._connect(sock, address)

        def connect_ex(sock: socket.socket, address: Any) -> int:
            guard._check_address(sock, address)
            return guard._connect_ex(sock, address)

        socket.getaddrinfo, socket.socket.connect, socket.socket.connect_ex = resolve, connect, connect_ex
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not event.startswith("socket."):
            return
        if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
            self._check_name(args[0], by_address=event == "socket.gethostbyaddr")
        elif event == "socket.getnameinfo":
            self._check_name(args[0][0], by_address=True)
        elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and args[1] is not None:
            self._check_address(args[0], args[1])

    def _check_name(self, host: Any, *, by_address: bool) -> None:
        name = _plain(host)
        address = _address(name)
        if name in ("", "localhost") or name in (self._hosts or ()):
            return
        if address is not None and (address.is_loopback or not by_address):
            return  # writing an address as an address asks nobody
        raise HostRefused(_message(name))

    def _check_address(self, sock: Any, address: Any) -> None:
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple) or not address:
            return
        name = _plain(address[0])
        parsed = _address(name)
        if parsed is None:
            self._check_name(name, by_address=False)
            return
        with self._lock:
            known = str(parsed) in self._addresses
        if parsed.is_loopback or known or str(parsed) in (self._hosts or ()):
            return
        raise HostRefused(_message(name))

    def _remember(self, host: Any, found: Any) -> None:
        name = _plain(host)
        if name not in (self._hosts or ()):
            return
        with self._lock:
            for entry in found:
                parsed = _address(_plain(entry[4][0]))
                if parsed is not None:
                    self._addresses[str(parsed)] = name
                    self._addresses.move_to_end(str(parsed))
            while len(self._addresses) > KEPT_ADDRESSES:
                self._addresses.popitem(last=False)


def _message(name: str) -> str:
    return (
        f"connection to {name} refused: this process speaks to this machine, Alpaca's paper and data service and the hosts of its "
        f"notifications only; what else is needed is named in watch.hosts"
    )


def _host(url: str) -> str:
    return _plain(urllib.parse.urlsplit(url).hostname or "")


def _plain(host: Any) -> str:
    """A host as it is compared: text, lower case, without the root's dot."""
    if host is None:
        return ""
    text = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)
    return text.lower().rstrip(".")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `name` is, an IPv4 one written as IPv6 as what it is; None for a name."""
    try:
        parsed = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed


_guard = _Guard()
