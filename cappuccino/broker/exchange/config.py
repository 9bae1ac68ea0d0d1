"""What the local exchange charges and accepts, and what its account starts with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from decimal import Decimal

from cappuccino.broker.exchange.arithmetic import exact
from cappuccino.broker.exchange.faults import FaultsConfig
from cappuccino.errors import InputError

FEES_TAKEN = ("fill", "day")
"""When a venue takes a fill's fee: both are documented of Alpaca."""

DEFAULT_INCREMENT = "0.000000001"
"""Step of a quantity where none is named: Alpaca's, nine decimals."""


@dataclasses.dataclass(frozen=True)
class ExchangeConfig:
    """Costs in basis points, sizes in base units, money in quote currency.

    taker_fee_bps: taken out of what an order receives, resting limit orders included; fees: at the `fill`, or at the end of its
    UTC `day`, until when it cannot be spent or sold.
    half_spread_bps: distance of bid and ask from the bar's open. slippage_bps: on top, for every fill.
    min_notional, max_notional: cost of an order, at the quote. buying_power_margin: a buy is judged at this fraction
    above its cost. increments: step of a quantity per asset, as decimal strings ("0" takes any), else DEFAULT_INCREMENT.
    holdings: what the account starts with beside the cash, as decimal strings.
    account: its id; empty makes one up. key, secret: what the trading API asks for; empty takes any that are not empty.
    requests_per_minute: of exchange time, over both APIs; then 429. faults: what goes wrong on request.
    """

    taker_fee_bps: float | int = 25.0
    half_spread_bps: float | int = 2.0
    slippage_bps: float | int = 1.0
    fees: str = "fill"
    min_notional: float | int = 10.0
    max_notional: float | int = 200_000.0
    buying_power_margin: float | int = 0.0
    increments: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cash: float | int = 100_000.0
    holdings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    account: str = ""
    key: str = ""
    secret: str = ""
    requests_per_minute: int = 10_000
    faults: FaultsConfig = dataclasses.field(default_factory=FaultsConfig)

    def __post_init__(self) -> None:
        for name in ("taker_fee_bps", "half_spread_bps", "slippage_bps"):
            if not 0 <= getattr(self, name) < 5_000:
                raise InputError(f"{name} is {getattr(self, name)}; basis points from 0 to below 5000 are right")
        for name in ("min_notional", "buying_power_margin", "cash"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name)}; a finite number from 0 on is right")
        if not self.max_notional > self.min_notional:
            raise InputError(f"max_notional is {self.max_notional}; more than min_notional, {self.min_notional}, is right")
        if self.fees not in FEES_TAKEN:
            raise InputError(f"fees is {self.fees!r}; {' or '.join(FEES_TAKEN)} is right")
        if self.requests_per_minute < 1:
            raise InputError(f"requests_per_minute is {self.requests_per_minute}; 1 or more is right")
        for name in ("increments", "holdings"):
            for asset, text in getattr(self, name).items():
                if exact(text) < 0:
                    raise InputError(f"{name} of {asset} is {text}; a number from 0 on is right")
        if bool(self.key) != bool(self.secret):
            raise InputError("the exchange takes a key with a secret, or neither")

    def increment(self, asset: str) -> Decimal:
        """Step of a quantity of `asset`."""
        return exact(self.increments.get(asset, DEFAULT_INCREMENT))

    @property
    def fee(self) -> Decimal:
        """The fee as a fraction."""
        return exact(self.taker_fee_bps) / 10_000

    @property
    def half_spread(self) -> Decimal:
        """The half-spread as a fraction."""
        return exact(self.half_spread_bps) / 10_000

    @property
    def slippage(self) -> Decimal:
        """The slippage as a fraction."""
        return exact(self.slippage_bps) / 10_000
