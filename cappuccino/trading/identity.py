"""Deterministic order ids: the same intent has the same id after any crash, so the venue itself refuses a second order."""

from __future__ import annotations

import hashlib

from cappuccino.broker.protocol import Side

PREFIX = "capp-"


def client_order_id(account: str, artifact: str, bar: int, asset: str, side: Side, sequence: int = 0) -> str:
    """At most 48 characters: prefix, bar, side, asset and a hash over account, artifact, bar, asset and sequence number.

    A plan holds at most one order for an asset, number 0; what is ordered beyond it before the next bar counts on from 1.
    """
    digest = hashlib.sha256("\n".join((account, artifact, str(bar), asset, str(sequence))).encode()).hexdigest()
    return f"{PREFIX}{bar}-{side[0]}-{asset[:8]}-{digest[:20]}"


def is_of_a_trader(client_order_id: str) -> bool:
    """Whether an order's id is one that a trader of this project, this or another, has given."""
    return client_order_id.startswith(PREFIX)
