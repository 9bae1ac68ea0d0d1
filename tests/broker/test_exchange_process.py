"""The exchange as a child: it comes up, serves what it was given, and does not outlive its parent."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap
import time
from decimal import Decimal

import pytest
from loopback import FIRST, HOUR, walk

from cappuccino.broker import OrderRequest
from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.broker.exchange import ExchangeConfig, ExchangeControl, start_exchange
from cappuccino.errors import InputError


def is_gone(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        stat = pathlib.Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_child_serves_the_table_it_was_given_and_ends_with_the_block() -> None:
    config = ExchangeConfig(cash=5_000.0, increments={"BTC": "0.001"}, holdings={"ETH": "1.5"})
    with start_exchange(walk(20), 10, config) as exchange:
        broker = AlpacaBroker("k", "s", trading_url=exchange.url)
        assert broker.account().cash == 5_000
        assert broker.positions()["ETH"].quantity == Decimal("1.5")
        assert broker.assets(["BTC"])["BTC"].increment == Decimal("0.001")
        broker.submit(OrderRequest("BTC", "buy", Decimal("0.1"), "a"))
        ExchangeControl(exchange.url).advance(FIRST + 12 * HOUR)
        bars = broker.bars(["BTC"], FIRST, FIRST + 12 * HOUR, bar_seconds=HOUR)["BTC"]
        assert bars.close.tolist() == walk(20).close[:12, 0].tolist()
    assert is_gone(exchange.pid, 2)


def test_a_running_clock_runs_at_its_factor() -> None:
    with start_exchange(walk(20), 10, ExchangeConfig(), clock_factor=3600.0) as exchange:
        control = ExchangeControl(exchange.url)
        first = control.state().now
        time.sleep(0.3)
        assert 0.29 * 3600 < control.state().now - first < 9 * 3600
        with pytest.raises(InputError, match="by itself"):
            control.advance(first + 10 * HOUR)


def test_a_child_that_cannot_start_says_why() -> None:
    with pytest.raises(InputError, match="row 19"), start_exchange(walk(20), 19, ExchangeConfig()):
        pass
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with (
            pytest.raises(InputError, match=f"port {port}"),
            start_exchange(walk(20), 10, ExchangeConfig(), port=port),
        ):
            pass


@pytest.mark.skipif(not pathlib.Path("/proc/self/stat").exists(), reason="reads the state of processes from /proc")
def test_the_child_of_a_killed_parent_ends() -> None:
    program = textwrap.dedent(
        """
        import sys, time
        sys.path.insert(0, sys.argv[1])
        from loopback import walk
        from cappuccino.broker.exchange import ExchangeConfig, start_exchange
        with start_exchange(walk(20), 10, ExchangeConfig()) as exchange:
            print(exchange.pid, flush=True)
            time.sleep(60)
        """
    )
    command = [sys.executable, "-c", program, str(pathlib.Path(__file__).parents[1])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
    assert is_gone(child, 3)
