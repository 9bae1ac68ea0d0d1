"""What a session earned against what the backtest would have, bar by bar, every difference with its cause.

For each bar the backtest's step (`cappuccino.env.account.trade`, here in NumPy) starts from what the account really held. What the
account then did differently is taken apart at the model's prices: V(s, b) is what sales s and buys b are worth at the next close,

    V(s, b) = sum_a s_a (open_a (1 - k) (1 - f) - close_a) + b_a (close_a (1 - f) - open_a (1 + k)),

k half-spread plus slippage, f the fee, and the quantities change step by step from the model's to those that filled:

    bars      the policy on the bars as they are known now -> on what was known then (restated, late and missing bars)
    risk      -> with the risk rules
    sizing    -> the quantities that were ordered (increments, buying power)
    no_decision  the same from the model to nothing, at a bar at which nothing was decided
    unfilled  -> what filled (rejections, cancellations, orders given up)
    price     the fills' prices against the model's
    fees      the fees against the model's, as if they were taken at the fill: marks are net of what is due
    delays    fills that were learnt of after the bar that they were meant for, whole
    halt      sales of a flattening, whole

What is left between the account's next mark and the sum of all that is unexplained: nothing but the venue's own figures shows it.
`carried` is how far the model's step from the actual account and the uninterrupted backtest differ, because earlier differences
changed what is held.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from cappuccino.plan import OrderRules, fit_buys, plan_orders

CAUSES: tuple[str, ...] = ("bars", "risk", "sizing", "no_decision", "unfilled", "price", "fees", "delays", "halt")


class Costs(NamedTuple):
    """The model's: fee and half-spread plus slippage as fractions, minimum notional, margin of the buying power."""

    fee: float
    friction: float
    min_notional: float
    margin: float


class Holdings(NamedTuple):
    """Cash and base units, float64."""

    cash: float
    quantities: Float[np.ndarray, "A"]

    def equity(self, closes: Float[np.ndarray, "A"]) -> float:
        """At closes, in quote currency."""
        return self.cash + float(self.quantities @ closes)


class BarPrices(NamedTuple):
    """What a step from the close of bar t to the close of bar t+1 reads."""

    close: Float[np.ndarray, "A"]
    tradable: Bool[np.ndarray, "A"]
    next_open: Float[np.ndarray, "A"]
    next_close: Float[np.ndarray, "A"]
    next_tradable: Bool[np.ndarray, "A"]


class Traded(NamedTuple):
    """Base units sold and bought, (A,)."""

    sold: Float[np.ndarray, "A"]
    bought: Float[np.ndarray, "A"]


@dataclasses.dataclass(frozen=True)
class OrderFill:
    """What a journaled order filled: gross quantity and average price, in the bar that `at` lies in. Column of its asset."""

    column: int
    side: str
    ordered: float
    filled: float
    price: float
    decided: int
    learnt: float
    sequence: int


@dataclasses.dataclass(frozen=True)
class ReviewedBar:
    """bar: opening of t+1, at whose close all equities are marked. orders: that filled between the two marks.

    actual: the account's mark. model: the backtest's step from the mark before. backtest: uninterrupted from the first mark on.
    causes: by name, in quote currency; they and `unexplained` add up to actual - model. carried: see the module.
    """

    bar: int
    orders: int
    actual: float
    model: float
    backtest: float
    causes: dict[str, float]
    unexplained: float
    carried: float

    @property
    def is_explained(self) -> bool:
        """Whether at most 0.1 % of the causes and a cent an order is left."""
        causes = sum(map(abs, self.causes.values()))
        return abs(self.unexplained) <= 0.001 * causes + 0.01 * max(1, self.orders)


def model_trades(
    holdings: Holdings, targets: Float[np.ndarray, "A"], prices: BarPrices, rules: OrderRules, costs: Costs
) -> Traded:
    """The quantities that `cappuccino.env.account.trade` sells and buys."""
    plan = plan_orders(targets, holdings.quantities, np.float64(holdings.cash), prices.close, prices.tradable, rules, xp=np)
    sold = np.where(prices.next_tradable, plan.sells, 0.0)
    cash = holdings.cash + _proceeds(sold, prices, costs)
    wanted = fit_buys(plan.buys, np.float64(cash), prices.close, prices.tradable, rules, xp=np)
    bought = np.zeros_like(sold)
    for a in range(len(sold)):
        cost = wanted[a] * prices.next_open[a] * (1 + costs.friction)
        if prices.next_tradable[a] and cost <= cash:
            bought[a], cash = wanted[a], cash - cost
    return Traded(sold, bought)


def _proceeds(sold: Float[np.ndarray, "A"], prices: BarPrices, costs: Costs) -> float:
    value = float(np.sum(sold * prices.next_open))
    value -= value * costs.friction
    return value - value * costs.fee


def after(holdings: Holdings, traded: Traded, prices: BarPrices, costs: Costs) -> Holdings:
    """Holdings after the trades, at the model's prices and fees."""
    cash = holdings.cash + _proceeds(traded.sold, prices, costs)
    cash -= float(np.sum(traded.bought * prices.next_open)) * (1 + costs.friction)
    return Holdings(cash, holdings.quantities - traded.sold + traded.bought * (1 - costs.fee))


def value(traded: Traded, prices: BarPrices, costs: Costs) -> float:
    """V of the module: what the trades change equity by, at the next close."""
    gained = traded.sold * (prices.next_open * (1 - costs.friction) * (1 - costs.fee) - prices.next_close)
    gained += traded.bought * (prices.next_close * (1 - costs.fee) - prices.next_open * (1 + costs.friction))
    return float(np.sum(gained))


@dataclasses.dataclass(frozen=True)
class Session:
    """What a review needs, of T consecutive bars and A assets.

    openings (T,); prices: of the step from each bar to the next, T - 1; decisions: by opening, as journaled; marks: cash and
    quantities by opening; replayed: target weights of the policy on the bars as they are known now, given the account's
    weights, or None where it has no window. fills: all orders that filled. venue_fee: as a fraction.
    """

    openings: Sequence[int]
    bar_seconds: int
    prices: Sequence[BarPrices]
    decisions: Mapping[int, Mapping[str, Any]]
    marks: Mapping[int, Holdings]
    replayed: Callable[[int, Float[np.ndarray, "A"]], Float[np.ndarray, "A"] | None]
    orders: Sequence[OrderFill]
    costs: Costs
    venue_fee: float


def review(session: Session) -> list[ReviewedBar]:
    """Explain every bar after the first. The session begins at a bar with a mark; bars without one are marked from the fills."""
    backtest = actual = session.marks[session.openings[0]]
    increments: Sequence[float] = np.zeros(len(actual.quantities)).tolist()
    rows = []
    for t, prices in enumerate(session.prices):
        bar, following = session.openings[t], session.openings[t + 1]
        costs, decision = session.costs, session.decisions.get(bar)
        if decision is not None and decision["increments"]:
            increments = decision["increments"]
        rules = _rules(increments, costs)
        mine = [order for order in session.orders if _step_of(order, session.bar_seconds) == following]
        model_traded = _replayed(session, bar, actual, prices, rules)
        causes = dict.fromkeys(CAUSES, 0.0)
        now = [order for order in mine if order.decided == bar and order.sequence == 0]
        filled = _quantities(now, "filled", len(actual.quantities))
        chain: list[tuple[str, Traded]] = [("", model_traded)]
        if decision is None or decision["phase"] == "none":
            chain.append(("no_decision", _nothing(actual)))
        else:
            told, asked = np.array(decision["targets"]), np.array(decision["asked"] or decision["targets"])
            chain.append(("bars", model_trades(actual, asked, prices, rules, costs)))
            chain.append(("risk", model_trades(actual, told, prices, rules, costs)))
            ordered = [order for order in session.orders if order.decided == bar and order.sequence == 0]
            chain.append(("sizing", _quantities(ordered, "ordered", len(actual.quantities))))
        chain.append(("unfilled", filled))
        for (_, before), (name, then) in itertools.pairwise(chain):
            causes[name] += value(then, prices, costs) - value(before, prices, costs)
        moved = _apply(actual, mine, session.venue_fee)
        causes["price"] += sum(_price_difference(order, prices, costs) for order in now)
        causes["fees"] += _fee_difference(now, prices, session)
        for order in mine:
            if order.sequence > 0 or order.decided != bar:
                causes["halt" if order.sequence > 0 else "delays"] += _whole(order, prices, session.venue_fee)
        expected = moved.equity(prices.next_close)
        marked = session.marks.get(following, moved)
        model = after(actual, model_traded, prices, costs).equity(prices.next_close)
        before_backtest = backtest.equity(prices.close)
        backtest = after(backtest, _replayed(session, bar, backtest, prices, rules), prices, costs)
        grown = backtest.equity(prices.next_close) - before_backtest
        rows.append(
            ReviewedBar(
                bar=following,
                orders=len(mine),
                actual=marked.equity(prices.next_close),
                model=model,
                backtest=backtest.equity(prices.next_close),
                causes=causes,
                unexplained=marked.equity(prices.next_close) - expected,
                carried=(model - actual.equity(prices.close)) - grown,
            )
        )
        actual = marked
    return rows


def _step_of(order: OrderFill, bar_seconds: int) -> int:
    """The bar in which the fill was learnt of."""
    return int(order.learnt // bar_seconds) * bar_seconds


def _rules(increments: Sequence[float], costs: Costs) -> OrderRules:
    return OrderRules(min_notional=costs.min_notional, increment=np.array(increments), buying_power_margin=costs.margin)


def _replayed(session: Session, bar: int, holdings: Holdings, prices: BarPrices, rules: OrderRules) -> Traded:
    """What the policy trades on the bars as they are known now."""
    equity = holdings.equity(prices.close)
    targets = session.replayed(bar, holdings.quantities * prices.close / equity) if equity > 0 else None
    return _nothing(holdings) if targets is None else model_trades(holdings, targets, prices, rules, session.costs)


def _nothing(holdings: Holdings) -> Traded:
    return Traded(np.zeros_like(holdings.quantities), np.zeros_like(holdings.quantities))


def _quantities(orders: Sequence[OrderFill], field: Literal["ordered", "filled"], assets: int) -> Traded:
    traded = Traded(np.zeros(assets), np.zeros(assets))
    for order in orders:
        (traded.bought if order.side == "buy" else traded.sold)[order.column] += getattr(order, field)
    return traded


def _model_price(order: OrderFill, prices: BarPrices, costs: Costs) -> float:
    sign = 1 if order.side == "buy" else -1
    return float(prices.next_open[order.column]) * (1 + sign * costs.friction)


def _price_difference(order: OrderFill, prices: BarPrices, costs: Costs) -> float:
    better = _model_price(order, prices, costs) - order.price
    return order.filled * (better if order.side == "buy" else -better)


def _fee(order: OrderFill, prices: BarPrices, rate: float, price: float) -> float:
    """At a rate, of a buy in base at the next close, of a sell in cash at its price."""
    return rate * order.filled * (float(prices.next_close[order.column]) if order.side == "buy" else price)


def _fee_difference(orders: Sequence[OrderFill], prices: BarPrices, session: Session) -> float:
    """Fees of the model less the venue's."""
    costs = session.costs
    return sum(
        _fee(order, prices, costs.fee, _model_price(order, prices, costs)) - _fee(order, prices, session.venue_fee, order.price)
        for order in orders
    )


def _whole(order: OrderFill, prices: BarPrices, venue_fee: float) -> float:
    """What a fill without a counterpart in the model changes equity by."""
    gained = order.filled * (float(prices.next_close[order.column]) - order.price)
    return (gained if order.side == "buy" else -gained) - _fee(order, prices, venue_fee, order.price)


def _apply(holdings: Holdings, orders: Sequence[OrderFill], venue_fee: float) -> Holdings:
    """Holdings after the fills and their fees."""
    cash, quantities = holdings.cash, holdings.quantities.copy()
    for order in orders:
        worth = order.filled * order.price
        if order.side == "buy":
            cash -= worth
            quantities[order.column] += order.filled * (1 - venue_fee)
        else:
            cash += worth * (1 - venue_fee)
            quantities[order.column] -= order.filled
    return Holdings(cash, quantities)
