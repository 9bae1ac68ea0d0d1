"""A local exchange: a market replayed from a bar table, served in Alpaca's wire format on this machine."""

from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.process import ExchangeControl, ExchangeProcess, ExchangeState, start_exchange

__all__ = ["ExchangeConfig", "ExchangeControl", "ExchangeProcess", "ExchangeState", "start_exchange"]
