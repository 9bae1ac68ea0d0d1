"""Brokers: the protocol that the trader speaks, Alpaca behind it, and a local exchange in Alpaca's wire format."""

from cappuccino.broker.protocol import (
    AccountState,
    Asset,
    BarArrays,
    Broker,
    BrokerError,
    BrokerUnavailable,
    DuplicateOrderId,
    Order,
    OrderRejected,
    OrderRequest,
    Position,
    Quote,
    UnknownOutcome,
)

__all__ = [
    "AccountState",
    "Asset",
    "BarArrays",
    "Broker",
    "BrokerError",
    "BrokerUnavailable",
    "DuplicateOrderId",
    "Order",
    "OrderRejected",
    "OrderRequest",
    "Position",
    "Quote",
    "UnknownOutcome",
]
