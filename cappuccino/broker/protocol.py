"""What a broker is to the trader: values in exact decimals, the calls, and the four ways in which a call can fail.

Assets are base symbols (`BTC`), times are Unix seconds, quantities are base units and money is quote currency, both `Decimal`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

Side = Literal["buy", "sell"]

TERMINAL = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
"""States that an order does not leave. Every other one, known or not, may still change. All but `filled` can carry fills."""

MAX_CLIENT_ID = 48
"""Characters of a `client_order_id`, at most."""


@dataclasses.dataclass(frozen=True)
class Asset:
    """What the venue accepts of one asset: whole multiples of `increment`, from `min_order_size` on, in base units."""

    symbol: str
    tradable: bool
    min_order_size: Decimal
    increment: Decimal
    price_increment: Decimal


@dataclasses.dataclass(frozen=True)
class Position:
    """A holding, net of fees: `available` is what no open sell reserves. Another quote's or class's symbol stays whole."""

    asset: str
    quantity: Decimal
    available: Decimal
    average_price: Decimal


@dataclasses.dataclass(frozen=True)
class AccountState:
    """`buying_power` is the one crypto orders are judged by (not marginable); `blocked` says why not to trade, if so."""

    id: str
    equity: Decimal
    cash: Decimal
    buying_power: Decimal
    blocked: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Quote:
    """Best bid and ask, and when they were."""

    bid: Decimal
    ask: Decimal
    at: float


@dataclasses.dataclass(frozen=True)
class OrderRequest:
    """A market order. Raises ValueError for a quantity that is not positive and finite, or an id of a wrong length."""

    asset: str
    side: Side
    quantity: Decimal
    client_order_id: str

    def __post_init__(self) -> None:
        if not (self.quantity.is_finite() and self.quantity > 0):
            raise ValueError(f"the quantity of an order is positive, got {self.quantity} {self.asset}")
        if not 1 <= len(self.client_order_id) <= MAX_CLIENT_ID:
            raise ValueError(f"a client order id has 1 to {MAX_CLIENT_ID} characters, got {self.client_order_id!r}")


@dataclasses.dataclass(frozen=True)
class Order:
    """An order as the venue knows it.

    quantity: gross, as ordered; None where the order was placed by its cost. filled_quantity: gross, before the fee.
    status: the venue's word; one that is not known here counts as not terminal.
    """

    id: str
    client_order_id: str
    asset: str
    side: Side
    quantity: Decimal | None
    filled_quantity: Decimal
    filled_average_price: Decimal | None
    status: str
    submitted_at: float
    filled_at: float | None

    @property
    def is_terminal(self) -> bool:
        """Whether the order will not change any more."""
        return self.status in TERMINAL


class BarArrays(NamedTuple):
    """Bars of one asset, oldest first: openings in Unix seconds, then float64 prices and base volume, all (N,)."""

    timestamps: Int[np.ndarray, "N"]
    open: Float[np.ndarray, "N"]
    high: Float[np.ndarray, "N"]
    low: Float[np.ndarray, "N"]
    close: Float[np.ndarray, "N"]
    volume: Float[np.ndarray, "N"]


class BrokerError(Exception):
    """A call that did not do what was asked; which of the four subclasses says what is known."""


class OrderRejected(BrokerError):
    """The venue said no: nothing was done. `status` is HTTP's, `code` the venue's (0 where it gave none).

    Status 429 means too many requests; 401, and 403 without a code, mean keys that do not open the account.
    """

    def __init__(self, code: int, message: str, status: int) -> None:
        super().__init__(f"{message} (status {status}, code {code})")
        self.code = code
        self.message = message
        self.status = status


class DuplicateOrderId(BrokerError):
    """An order with this client order id already landed: look it up."""


class UnknownOutcome(BrokerError):
    """No answer that could be understood: the venue may have done what was asked, or may yet do it. Ask it, never guess."""


class BrokerUnavailable(BrokerError):
    """A read failed, after its retries. `status` is HTTP's where there was an answer: 401 and 403 will not mend by waiting."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@runtime_checkable
class Broker(Protocol):
    """A venue and one account there. Reads raise BrokerUnavailable; each call returns within the broker's deadline."""

    def account(self) -> AccountState:
        """The account now."""
        ...

    def assets(self, symbols: Sequence[str]) -> dict[str, Asset]:
        """What is known of the named assets; one that the venue does not list is absent."""
        ...

    def positions(self) -> dict[str, Position]:
        """All holdings that are not zero."""
        ...

    def quotes(self, assets: Sequence[str]) -> dict[str, Quote]:
        """Latest quotes; an asset without one is absent."""
        ...

    def submit(self, order: OrderRequest) -> Order:
        """Send an order, once. Raises OrderRejected, DuplicateOrderId or UnknownOutcome, and nothing else of BrokerError."""
        ...

    def order(self, client_order_id: str) -> Order | None:
        """The order with this id; None where the venue says that there is none (it may still be on its way)."""
        ...

    def open_orders(self) -> list[Order]:
        """Orders that are not terminal, oldest first."""
        ...

    def orders_since(self, at: float) -> list[Order]:
        """All orders submitted after a time (Unix seconds), whatever became of them, oldest first."""
        ...

    def cancel(self, order_id: str) -> bool:
        """Ask to cancel; False if the order is already terminal. Not yet canceled on return: look it up.

        Raises OrderRejected if the venue knows no such order, UnknownOutcome without an answer.
        """
        ...

    def bars(self, assets: Sequence[str], start: int, stop: int, *, bar_seconds: int) -> dict[str, BarArrays]:
        """Bars that open in start <= t < stop, for every asset named (empty arrays where there are none).

        The bar that is still running is among them: pass its opening as `stop` to leave it out.
        """
        ...

    def clock(self) -> float:
        """The venue's now."""
        ...
