"""The exchange's values in Alpaca's JSON: money as strings, times as RFC 3339 with nanoseconds."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from cappuccino.broker.exchange.arithmetic import QUANTUM, plain
from cappuccino.broker.exchange.ledger import Ledger
from cappuccino.broker.exchange.market import BookTop, ServedBar
from cappuccino.broker.exchange.orders import Fill, LedgerOrder
from cappuccino.broker.exchange.venue import Venue, asset_id

Json = dict[str, Any]


def time_of(stamp: int) -> str:
    """Nanoseconds since 1970 as RFC 3339."""
    whole, rest = divmod(stamp, 1_000_000_000)
    return f"{datetime.datetime.fromtimestamp(whole, datetime.UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _time(stamp: int | None) -> str | None:
    return None if stamp is None else time_of(stamp)


def order(found: LedgerOrder, *, just_sent: bool = False) -> Json:
    """An order; as Alpaca does, the answer to sending one does not tell of its fill yet (`just_sent`)."""
    ticket = found.ticket
    hide = just_sent and found.status == "filled"
    return {
        "id": found.id,
        "client_order_id": ticket.client_order_id,
        "created_at": time_of(found.submitted),
        "updated_at": time_of(found.submitted if hide else found.updated),
        "submitted_at": time_of(found.submitted),
        "filled_at": None if hide else _time(found.filled_at),
        "expired_at": None,
        "canceled_at": _time(found.canceled_at),
        "failed_at": None,
        "replaced_at": None,
        "replaced_by": None,
        "replaces": None,
        "asset_id": asset_id(ticket.asset),
        "symbol": f"{ticket.asset}/USD",
        "asset_class": "crypto",
        "notional": None if ticket.notional is None else plain(ticket.notional),
        "qty": None if ticket.quantity is None else plain(ticket.quantity),
        "filled_qty": "0" if hide else plain(found.filled),
        "filled_avg_price": None if hide or found.average_price is None else plain(found.average_price),
        "order_class": "",
        "order_type": ticket.type,
        "type": ticket.type,
        "side": ticket.side,
        "time_in_force": ticket.time_in_force,
        "limit_price": None if ticket.limit_price is None else plain(ticket.limit_price),
        "stop_price": None,
        "status": "pending_new" if hide else found.status,
        "extended_hours": False,
        "legs": None,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
        "position_intent": "buy_to_open" if ticket.side == "buy" else "sell_to_close",
        "subtag": None,
        "source": None,
    }


def position(ledger: Ledger, asset: str, mark: Decimal) -> Json:
    """A holding that is not zero, at `mark`."""
    holding = ledger.holdings[asset]
    value, gain = holding.quantity * mark, holding.quantity * mark - holding.cost
    return {
        "asset_id": asset_id(asset),
        "symbol": f"{asset}USD",
        "exchange": "CRYPTO",
        "asset_class": "crypto",
        "asset_marginable": False,
        "avg_entry_price": plain(holding.cost / holding.quantity),
        "qty": plain(holding.quantity),
        "qty_available": plain(ledger.available(asset)),
        "side": "long",
        "market_value": plain(value),
        "cost_basis": plain(holding.cost),
        "unrealized_pl": plain(gain),
        "unrealized_plpc": plain(gain / holding.cost) if holding.cost else "0",
        "unrealized_intraday_pl": "0",
        "unrealized_intraday_plpc": "0",
        "current_price": plain(mark),
        "lastday_price": plain(mark),
        "change_today": "0",
    }


def account(venue: Venue, now: float) -> Json:
    """The account, marked at the last complete closes."""
    ledger = venue.ledger
    equity, power = plain(ledger.equity(venue.market.marks(now))), plain(ledger.buying_power())
    return {
        "id": venue.account_id,
        "account_number": "PA0LOCAL",
        "status": "ACTIVE",
        "crypto_status": "ACTIVE",
        "currency": "USD",
        "cash": plain(ledger.cash),
        "portfolio_value": equity,
        "equity": equity,
        "last_equity": equity,
        "buying_power": power,
        "regt_buying_power": power,
        "daytrading_buying_power": "0",
        "non_marginable_buying_power": power,
        "accrued_fees": plain(ledger.owed_cash()),
        "trading_blocked": False,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": False,
        "multiplier": "1",
        "shorting_enabled": False,
        "long_market_value": plain(ledger.equity(venue.market.marks(now)) - ledger.cash),
        "short_market_value": "0",
        "initial_margin": "0",
        "maintenance_margin": "0",
        "last_maintenance_margin": "0",
        "sma": "0",
        "created_at": time_of(venue.started),
    }


def asset(venue: Venue, name: str) -> Json:
    """An asset. Where any quantity goes, the increment is "0"."""
    increment = venue.increment(name)
    return {
        "id": asset_id(name),
        "class": "crypto",
        "exchange": "CRYPTO",
        "symbol": f"{name}/USD",
        "name": f"{name} / US Dollar",
        "status": "active",
        "tradable": not venue.faults.is_halted(name, venue.clock.now()),
        "marginable": False,
        "maintenance_margin_requirement": 100,
        "margin_requirement_long": "100",
        "margin_requirement_short": "100",
        "shortable": False,
        "easy_to_borrow": False,
        "fractionable": True,
        "attributes": [],
        "min_order_size": plain(increment if increment > 0 else QUANTUM),
        "min_trade_increment": plain(increment),
        "price_increment": plain(QUANTUM),
    }


def fill(found: Fill) -> Json:
    """A FILL activity; the fee is not in it, as it is not at Alpaca."""
    return {
        "id": found.id,
        "activity_type": "FILL",
        "transaction_time": time_of(found.at),
        "type": "fill" if found.left == 0 else "partial_fill",
        "price": plain(found.price),
        "qty": plain(found.quantity),
        "side": found.side,
        "symbol": f"{found.asset}/USD",
        "leaves_qty": plain(found.left),
        "order_id": found.order_id,
        "cum_qty": plain(found.filled),
        "order_status": "filled" if found.left == 0 else "partially_filled",
    }


def bar(found: ServedBar) -> Json:
    """A bar. How many trades made it, and their mean price, are not recorded: null, but for a bar without volume."""
    idle = 0 if found.volume == 0 else None
    return {
        "t": time_of(found.at * 1_000_000_000)[:19] + "Z",
        "o": found.open,
        "h": found.high,
        "l": found.low,
        "c": found.close,
        "v": found.volume,
        "n": idle,
        "vw": idle,
    }


def quote(book: BookTop, now: float) -> Json:
    """A quote; sizes are not simulated."""
    return {"t": time_of(Venue.stamp_at(now)), "bp": float(book.bid), "bs": 0, "ap": float(book.ask), "as": 0}
