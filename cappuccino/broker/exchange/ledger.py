"""One account at the exchange: cash, holdings and orders, matched in exact decimals.

A fill takes its fee out of what it receives: base of a buy, quote of a sell, at once or at the end of its UTC day; until then
what is owed is kept back. Cash and holdings never go below zero, because an order is refused, with Alpaca's status and code, before
it could take them there. Nothing here knows of the network or a clock: stamps (nanoseconds) and books come with each call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from cappuccino.broker.exchange.arithmetic import QUANTUM, exact, exactly, plain
from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.fates import FILLS, Fate
from cappuccino.broker.exchange.market import BookTop
from cappuccino.broker.exchange.orders import Fill, Holding, LedgerOrder, Ticket
from cappuccino.broker.exchange.refusals import Refused, check_wording, insufficient_balance, validation
from cappuccino.broker.protocol import Side
from cappuccino.errors import InputError

DAY_NS = 86_400 * 1_000_000_000


class Ledger:
    """The account. `new_id` makes ids of orders and fills.

    Raises InputError if `config` names an asset that is not traded. A refused order leaves no trace, not even of its id.
    """

    def __init__(self, config: ExchangeConfig, assets: tuple[str, ...], new_id: Callable[[], str]) -> None:
        self.config = config
        self.assets = assets
        self.cash = exact(config.cash)
        self.holdings: dict[str, Holding] = {asset: Holding() for asset in assets}
        for asset in (*config.holdings, *config.increments):
            if asset not in assets:
                raise InputError(f"the exchange has no {asset}; it trades {', '.join(assets)}")
        for asset, text in config.holdings.items():
            self.holdings[asset] = Holding(exact(text))
        self.orders: dict[str, LedgerOrder] = {}
        self.fills: list[Fill] = []
        self._owed: list[Fill] = []
        self._by_client_id: dict[str, LedgerOrder] = {}
        self._resting: dict[str, LedgerOrder] = {}
        self._new_id = new_id

    def by_client_id(self, client_order_id: str) -> LedgerOrder | None:
        """The order with this id, whatever became of it."""
        return self._by_client_id.get(client_order_id)

    @exactly
    def held_cash(self) -> Decimal:
        """What open buys reserve."""
        return sum((self._cost(o.size - o.filled, o.ticket.limit_price or o.reserved) for o in self._open("buy")), Decimal(0))

    @exactly
    def held(self, asset: str) -> Decimal:
        """What open sells of `asset` reserve."""
        return sum((o.size - o.filled for o in self._open("sell") if o.ticket.asset == asset), Decimal(0))

    @exactly
    def owed(self, asset: str) -> Decimal:
        """Fees in `asset` that are not taken yet."""
        return sum((fill.fee for fill in self._owed if fill.asset == asset and fill.fee_in == "base"), Decimal(0))

    @exactly
    def owed_cash(self) -> Decimal:
        """Fees in quote currency that are not taken yet."""
        return sum((fill.fee for fill in self._owed if fill.fee_in == "quote"), Decimal(0))

    @exactly
    def available(self, asset: str) -> Decimal:
        """What of a holding can be sold."""
        return self.holdings[asset].quantity - self.held(asset) - self.owed(asset)

    @exactly
    def buying_power(self) -> Decimal:
        """Cash that no open buy reserves and no fee is owed of."""
        return self.cash - self.held_cash() - self.owed_cash()

    @exactly
    def equity(self, marks: Mapping[str, Decimal]) -> Decimal:
        """Cash and holdings at `marks`."""
        return self.cash + sum((h.quantity * marks[a] for a, h in self.holdings.items() if h.quantity), Decimal(0))

    @exactly
    def submit(
        self,
        ticket: Ticket,
        book: BookTop | None,
        stamp: int,
        *,
        is_closing: bool = False,
        fate: Fate = FILLS,
        increment: Decimal | None = None,
    ) -> LedgerOrder:
        """Check an order, store it, and fill what can be filled at once.

        `is_closing`: the sale of a whole holding, which need not be a multiple of the increment. `fate`: what becomes of a market
        order. `increment`: the step of a quantity now, None for the configured one. Raises Refused.
        """
        step = self.config.increment(ticket.asset) if increment is None else increment
        size = self._checked(ticket, book, step, is_closing=is_closing)
        assert book is not None
        order = LedgerOrder(self._new_id(), ticket, size, submitted=stamp, updated=stamp)
        if ticket.type == "market":
            fate.give(order, step, stamp, self._fill_price(ticket, book))
        self.orders[order.id] = order
        self._by_client_id[ticket.client_order_id] = order
        self._resting[order.id] = order
        self._match(order, book, stamp)
        if order.is_open and ticket.time_in_force == "ioc":
            self._end(order, stamp)
        return order

    def events(self, after: int, to: int) -> list[int]:
        """Stamps in after < t <= to at which something becomes of an order, or of the fees that are owed, by itself."""
        times = {at for order in self._resting.values() for at in (order.rests_until, order.ends_at) if at is not None}
        times |= {(fill.at // DAY_NS + 1) * DAY_NS for fill in self._owed}
        return sorted(at for at in times if after < at <= to)

    @exactly
    def match(self, books: Mapping[str, BookTop], stamp: int) -> None:
        """Take the fees of the days before, then fill resting orders that `books` make marketable, the oldest first."""
        self._take_fees(stamp)
        for order in list(self._resting.values()):
            if order.ends_at is not None and stamp >= order.ends_at:
                self._end(order, stamp, order.ends_as)
            elif order.ticket.asset in books:
                self._match(order, books[order.ticket.asset], stamp)

    @exactly
    def cancel(self, order_id: str, stamp: int, book: BookTop | None = None) -> LedgerOrder:
        """Cancel an open order, or begin to where its fate is to stick. `book`: at which one fills whose fate that is.

        Raises Refused: 404 if there is none of this id, 422 if it is over.
        """
        order = self.orders.get(order_id)
        if order is None:
            raise Refused(404, 40410000, f"order not found for {order_id}")
        if not order.is_open:
            raise Refused(422, 42210000, f'order is already in "{order.status}" state')
        if order.fills_on_cancel and book is not None:
            order.rests_until = 0
            self._match(order, book, stamp)
        elif order.sticks_ns > 0:
            if order.ends_at is None:
                order.ends_at = stamp + order.sticks_ns
            order.status, order.updated = "pending_cancel", stamp
        else:
            self._end(order, stamp)
        return order

    def _open(self, side: Side) -> list[LedgerOrder]:
        return [order for order in self._resting.values() if order.ticket.side == side]

    @exactly
    def _cost(self, quantity: Decimal, price: Decimal | None) -> Decimal:
        return Decimal(0) if price is None else quantity * price * (1 + exact(self.config.buying_power_margin))

    def _fill_price(self, ticket: Ticket, book: BookTop) -> Decimal:
        """The mid that the book was made from, moved by half-spread and slippage together; never beyond the limit."""
        mid = (book.bid + book.ask) / 2
        move = self.config.half_spread + self.config.slippage
        if ticket.side == "buy":
            price = mid * (1 + move)
            return price if ticket.limit_price is None else min(price, ticket.limit_price)
        price = mid * (1 - move)
        return price if ticket.limit_price is None else max(price, ticket.limit_price)

    def _checked(self, ticket: Ticket, book: BookTop | None, increment: Decimal, *, is_closing: bool) -> Decimal:
        """The quantity to fill."""
        config = self.config
        check_wording(ticket, self.assets)
        if ticket.client_order_id in self._by_client_id:
            raise validation("client_order_id must be unique", 40010001)
        if book is None:
            raise Refused(422, 40310000, f"asset {ticket.asset}/USD is not tradable now: no bar at this time")
        price = self._fill_price(ticket, book)
        limit = ticket.limit_price
        if ticket.quantity is not None:
            size = ticket.quantity
            if increment > 0 and size % increment != 0 and not is_closing:
                raise validation(f"qty must be a multiple of {plain(increment)}, got {plain(size)}")
        else:
            assert ticket.notional is not None
            step = increment if increment > 0 else QUANTUM
            size = ticket.notional / (limit if limit is not None else price) // step * step
        if size <= 0:
            raise validation("qty must be > 0", 40010001)
        touch = book.ask if ticket.side == "buy" else book.bid
        worth = ticket.notional if ticket.notional is not None else size * (limit if limit is not None else touch)
        if worth < exact(config.min_notional):
            raise Refused(403, 40310000, f"cost basis must be >= minimal amount of order {plain(exact(config.min_notional))}")
        if worth > exact(config.max_notional):
            raise Refused(403, 40310000, f"cost basis must be <= maximal amount of order {plain(exact(config.max_notional))}")
        if ticket.side == "sell":
            available = self.available(ticket.asset)
            if size > available:
                raise insufficient_balance(ticket.asset, size, available, self.holdings[ticket.asset].quantity)
            return size
        cost = self._cost(size, limit if limit is not None else price)
        if cost > self.buying_power():
            more = {"buying_power": plain(self.buying_power()), "cost_basis": plain(cost)}
            raise Refused(403, 40310000, "insufficient buying power", more)
        return size

    def _match(self, order: LedgerOrder, book: BookTop, stamp: int) -> None:
        ticket, limit = order.ticket, order.ticket.limit_price
        is_buy = ticket.side == "buy"
        if stamp < order.rests_until or (limit is not None and (book.ask > limit if is_buy else book.bid < limit)):
            return
        price, left, fee = self._fill_price(ticket, book), order.size - order.filled, self.config.fee
        quantity = left if order.part is None else order.part
        holding = self.holdings[ticket.asset]
        if is_buy and quantity * price > self.cash - self.owed_cash():
            self._end(order, stamp)  # the price has run away from the cash while the order rested
            return
        if is_buy:
            self.cash -= quantity * price
            holding.cost += quantity * price
            holding.quantity += quantity
        else:
            holding.cost -= holding.cost * quantity / holding.quantity
            holding.quantity -= quantity
            self.cash += quantity * price
        before = Decimal(0) if order.average_price is None else order.average_price * order.filled
        order.filled += quantity
        order.average_price = price if before == 0 else (before + quantity * price) / order.filled
        order.filled_at = order.updated = stamp
        if order.filled == order.size:
            order.status = "filled"
            del self._resting[order.id]
        else:
            order.status, order.part, order.rests_until = "partially_filled", None, order.next_rest
        made = Fill(
            id=self._new_id(),
            order_id=order.id,
            asset=ticket.asset,
            side=ticket.side,
            quantity=quantity,
            filled=order.filled,
            left=order.size - order.filled,
            price=price,
            fee=quantity * fee if is_buy else quantity * price * fee,
            fee_in="base" if is_buy else "quote",
            at=stamp,
        )
        self.fills.append(made)
        if self.config.fees == "fill":
            self._take_fee(made)
        else:
            self._owed.append(made)

    def _take_fees(self, stamp: int) -> None:
        """All that are owed of days before the stamp's."""
        for fill in [fill for fill in self._owed if fill.at // DAY_NS < stamp // DAY_NS]:
            self._owed.remove(fill)
            self._take_fee(fill)

    def _take_fee(self, fill: Fill) -> None:
        holding = self.holdings[fill.asset]
        if fill.fee_in == "base":
            holding.quantity -= fill.fee
            holding.cost = holding.cost if holding.quantity else Decimal(0)
        else:
            self.cash -= fill.fee
        assert self.cash >= 0
        assert holding.quantity >= 0

    def _end(self, order: LedgerOrder, stamp: int, status: str = "canceled") -> None:
        order.status, order.canceled_at, order.updated = status, stamp, stamp
        del self._resting[order.id]
