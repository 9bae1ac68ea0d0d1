"""Which hosts a broker may speak to, and where its keys come from."""

from __future__ import annotations

import ipaddress
import os
import urllib.parse
from collections.abc import Sequence

from cappuccino.errors import InputError, Refusal

PAPER_URL = "https://paper-api.alpaca.markets"
LIVE_URL = "https://api.alpaca.markets"
DATA_URL = "https://data.alpaca.markets"


def keys_from_environment() -> tuple[str, str]:
    """Key and secret from APCA_API_KEY_ID and APCA_API_SECRET_KEY. Raises InputError if one is missing."""
    names = ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise InputError(f"{' and '.join(missing)} not set: Alpaca's key and its secret are read from the environment")
    return os.environ[names[0]], os.environ[names[1]]


def is_loopback(url: str) -> bool:
    """Whether `url` names this machine."""
    host = urllib.parse.urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_url(url: str, allowed: Sequence[str], *, live: bool) -> str:
    """`url` without a slash at its end. Raises Refusal for a host that is neither this machine nor in `allowed`."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    if "@" in url or "\\" in url or any(letter.isspace() for letter in url):
        raise Refusal("a broker's URL holds no user name, backslash or space: it could be read as another host")
    if is_loopback(url) and parts.scheme in ("http", "https"):
        return url.rstrip("/")
    if host == urllib.parse.urlsplit(LIVE_URL).hostname and not live:
        raise Refusal(f"{host} trades real money: refused unless live trading was asked for")
    if parts.scheme != "https" or url.rstrip("/") not in allowed:
        raise Refusal(f"orders and keys go to {', '.join(allowed)} or this machine only, not to {parts.scheme}://{host}")
    return url.rstrip("/")
