"""Watching a trader: metrics and health over HTTP, notifications, a heartbeat. Nothing here is on the order path."""

from cappuccino.trading.watch.protocol import BarReport, Kind, Unwatched, Watch
from cappuccino.trading.watch.watcher import Watcher, open_watch, watch_hosts

__all__ = ["BarReport", "Kind", "Unwatched", "Watch", "Watcher", "open_watch", "watch_hosts"]
