"""Deterministic order ids: the same intent has the same id after any crash, so the venue itself refuses a second order."""

from __future__ import annotations

import hashlib

from cappuccino.broker.protocol import Side

PREFIX = "capp-"


def client_order_id(account: str, artifact: str, bar: int, asset: str, side: Side) -> str:
    """At most 48 characters: prefix, bar, side, asset and a hash over account, artifact, bar, asset and side.

    A plan holds at most one order for an asset and side, so these five name an intent.
    """
    digest = hashlib.sha256("\n".join((account, artifact, str(bar), asset, side)).encode()).hexdigest()
    return f"{PREFIX}{bar}-{side[0]}-{asset[:8]}-{digest[:20]}"
