"""A trader that goes on where another one ended: on its account, with what it holds and the fees that are due.

Nothing is sold for it: the first plan trades from what is held to its own targets. What the other had begun is brought to its end
first, in the other's journal and under the other's lock: nothing is sent any more, and what is open is canceled.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import pathlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from cappuccino.errors import Refusal
from cappuccino.trading.dealings import Dealings
from cappuccino.trading.execution import Execution
from cappuccino.trading.folder import JOURNAL_NAME, locked
from cappuccino.trading.journal import Journal
from cappuccino.trading.latch import KillSwitch
from cappuccino.trading.orders import LATE_S
from cappuccino.trading.records import CASH
from cappuccino.trading.watch import Unwatched


class Begun(NamedTuple):
    """What a trader knows of those before it on its account. orders: ids of the latest of them. decided: opening of the last bar that
    they decided at, None for none. risk: what the risk rules remembered, as `Mark.risk`."""

    orders: frozenset[str]
    decided: int | None
    risk: Mapping[str, Any] | None


def begun_with(journal: Journal) -> Begun:
    """What was taken over at a trader's first start; nothing if it was the first on its account."""
    known = json.loads(journal.meta().get("taken", "{}"))
    return Begun(frozenset(known.get("orders", ())), known.get("decided"), known.get("risk"))


def take_over(
    predecessor: pathlib.Path,
    dealings: Dealings,
    *,
    artifact: str,
    account: str,
    capital: Decimal,
    increments: Mapping[str, Decimal],
    until: float,
) -> None:
    """Begin the journal of `dealings` with the figures of the trader in the folder `predecessor`.

    Once only: afterwards the journal has an identity.

    Raises Refusal where there is no such trader, it runs or is halted, it traded another account, capital or other assets, and where
    the venue's figures are not what its journal explains; NoDecision without an answer.
    """
    path, clock, assets = predecessor / JOURNAL_NAME, dealings.clock, dealings.manifest.assets
    if not path.is_file():
        raise Refusal(f"trade.takes_over is {predecessor.name}; there is no trader in {predecessor}")
    with locked(predecessor), contextlib.closing(Journal(path)) as theirs:
        meta = theirs.meta()
        for name, value in {"account": account, "capital": f"{capital:f}"}.items():
            if meta.get(name) != value:
                raise Refusal(f"{path} has {name} {meta.get(name)}, this is {value}: only the same can be taken over")
        halt = KillSwitch(theirs, predecessor, clock).thrown()
        if halt is not None:
            raise Refusal(f"{predecessor} is halted ({halt.reason}): `cappuccino trade resume` releases it")
        their_dealings = dataclasses.replace(
            dealings, journal=theirs, watch=Unwatched(), foreign="refuse", may_send=lambda: False
        )
        execution = Execution(their_dealings, account=account, artifact=meta["artifact"])
        for decision in theirs.unfinished():
            execution.carry_out(decision.bar)
        anchor = theirs.anchor()
        if anchor is not None:
            traded = tuple(name for name in anchor.own if name != CASH)
            if traded != assets:
                raise Refusal(f"{predecessor} trades {', '.join(traded)}; the artifact {', '.join(assets)}, in this order")
            their_dealings.desk.resolve_open(until)
            anchor = their_dealings.reconciler.agree(increments, until).anchor
            dealings.journal.set_anchor(anchor)
        dealings.journal.set_meta(
            artifact=artifact,
            account=account,
            capital=f"{capital:f}",
            takes_over=predecessor.name,
            taken=json.dumps(_taken(theirs, clock.now() - LATE_S)),
            started=datetime.datetime.fromtimestamp(clock.now(), datetime.UTC).isoformat(),
        )
        dealings.log.info(
            "taken over", trader=predecessor.name, own={} if anchor is None else {k: f"{v:f}" for k, v in anchor.own.items()}
        )


def _taken(theirs: Journal, since: float) -> dict[str, Any]:
    """`Begun` as plain data: orders since a time, which the venue may still tell of."""
    before, mark = begun_with(theirs), theirs.last_mark()
    recent = [one.client_order_id for one in theirs.orders_since(since)]
    kept = [name for name in before.orders if int(name.split("-")[1]) >= since]
    decided = [bar for bar in (theirs.last_decided(), before.decided) if bar is not None]
    risk = before.risk if mark is None else mark.risk
    if risk is not None:
        # A release that its rules have not seen yet is one that ours have not either.
        risk = {**risk, "releases": 0 if risk["releases"] == theirs.releases() else -1}
    return {"orders": recent + kept, "decided": max(decided, default=None), "risk": risk}
