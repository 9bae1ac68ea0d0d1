"""Kill a trader with SIGKILL in every window around an order, start it again, and compare with one that was left alone.

    python experiments/proofs/trader_kills.py [--sessions 50] [--kills 20] [--bars 336] [--seed 0] [--at-least 100] [--faults 0.05]
        [--at-once 8]

Sessions run side by side: a trader mostly waits. Each is `cappuccino trade` on a local exchange with a stepped clock, so that no time
passes while the trader is down, and which lets a share of its answers and orders go wrong. The first runs undisturbed; each of the
others is the same two weeks with `--kills` kills, the process itself sending SIGKILL to itself

    before     when a decision is about to be committed to the journal
    committed  when the decision is committed and its order is about to be sent
    stored     when the exchange has stored the order and its answer is not read
    answered   when the answer is read and not yet journaled
    recovery   while it starts, in the middle of finishing what an earlier process left

Orders, fills, positions and cash must be those of the undisturbed session, to the last digit. Then one more session lets time pass
while the trader is down, and its review must explain every difference to the backtest. The exit code is 0 if all of it holds, and if
each window was killed in at least `--at-least` times.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import csv
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
WINDOWS = ("before", "committed", "stored", "answered", "recovery")
ASSETS = "data.assets=[BTC,ETH,SOL]"
MARKET = (
    "data=synthetic",
    ASSETS,
    "data.bars=1500",
    "data.train_end=null",
    "data.valid_end=null",
    "features.names=[relative_volume_168,volatility_24_168]",
    "network=mlp",
    "network.lookback=3",
    "network.hidden=[8]",
    "network.head=[8]",
    "costs=alpaca",
)
FAULTS = ("drop_before", "drop_after", "timeout_before", "timeout_after", "busy", "html")
"""Of answers: `--faults` of all requests have one, evenly."""
FATES = ("stale", "partial", "rest", "stick", "reject", "race")
"""Of orders: `--faults` of them have one, evenly."""

ACCOUNT = "the-same-in-every-session"
"""It is part of the ids of orders, by which their faults are drawn."""

KEYS = {"APCA-API-KEY-ID": "local", "APCA-API-SECRET-KEY": "local"}
KILLED = -signal.SIGKILL


def worker(words: list[str]) -> int:
    """`cappuccino trade`, which kills itself in the window and at the passage that KILL_IN and KILL_AT name."""
    from cappuccino.broker.alpaca import AlpacaBroker
    from cappuccino.cli import main
    from cappuccino.trading import step
    from cappuccino.trading.journal import Journal

    window, left = os.environ.get("KILL_IN", ""), int(os.environ.get("KILL_AT", "0"))
    pending = threading.Event()

    def passing(name: str) -> None:
        nonlocal left
        if name == window:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(owner: Any, name: str, before: str | None, after: str | None) -> None:
        kept = getattr(owner, name)

        def called(self: Any, *args: Any, **options: Any) -> Any:
            if before is not None:
                passing(before)
            answer = kept(self, *args, **options)
            if after is not None:
                passing(after)
            return answer

        setattr(owner, name, called)

    around(Journal, "add_decision", "before", None)
    around(Journal, "add_buys", "before", None)
    around(AlpacaBroker, "submit", "committed", "answered")
    if window == "stored":
        import http.client

        kept = http.client.HTTPConnection.getresponse

        def getresponse(self: Any, *args: Any, **options: Any) -> Any:
            if pending.is_set():
                time.sleep(0.05)  # the exchange on the other end has the request, and answers within milliseconds
                passing("stored")
            return kept(self, *args, **options)

        http.client.HTTPConnection.getresponse = getresponse
        kept_submit = AlpacaBroker.submit

        def submit(self: Any, order: Any) -> Any:
            pending.set()
            try:
                return kept_submit(self, order)
            finally:
                pending.clear()

        AlpacaBroker.submit = submit
    if window == "recovery":
        for name in ("account", "positions", "open_orders", "order", "orders_since", "assets", "submit"):
            around(AlpacaBroker, name, "recovery", None)
        kept_begin = step.begin

        def begin(*args: Any) -> Any:
            nonlocal window
            found = kept_begin(*args)
            window = ""  # the start is over
            return found

        step.begin = begin
    return main(["trade", *words])


class Exchange:
    """The exchange of one session, asked over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **query: Any) -> Any:
        import requests

        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"{self.url}{path}", params=query, headers=KEYS, timeout=30)
            answer.raise_for_status()
            return answer.json()

    def outcome(self) -> dict[str, Any]:
        """Everything the venue knows at the end, without what is random in it: ids of orders, fills and the account."""
        from cappuccino.broker.exchange.faults import FaultsConfig
        from cappuccino.broker.exchange.process import ExchangeControl

        ExchangeControl(self.url).go_wrong(FaultsConfig())
        orders: list[Any] = []
        after = "2000-01-01T00:00:00Z"
        while True:
            page = self.get("/v2/orders", status="all", direction="asc", limit=500, after=after)
            orders += page
            if len(page) < 500:
                break
            after = page[-1]["submitted_at"]
            orders = [order for order in orders if order["submitted_at"] != after]
            after = max((order["submitted_at"] for order in orders), default=after)
        kept = [
            {name: order[name] for name in ("symbol", "side", "qty", "filled_qty", "filled_avg_price", "status")}
            | {"bar": order["client_order_id"].split("-")[1]}
            for order in {order["id"]: order for order in orders}.values()
        ]
        positions = {position["symbol"]: position["qty"] for position in self.get("/v2/positions")}
        return {
            "orders": sorted(kept, key=lambda order: (order["bar"], order["symbol"], order["side"])),
            "positions": positions,
            "cash": self.get("/v2/account")["cash"],
        }


class Sessions:
    """Sessions of one artifact, each with an exchange and a folder of its own."""

    def __init__(self, folder: pathlib.Path, bars: int, faults: float, seed: int) -> None:
        self.folder, self.bars, self.faults, self.seed = folder, bars, faults, seed
        self.met: Counter[str] = Counter()
        self.meeting = threading.Lock()
        self.artifact = make_artifact(folder)
        self.environment = os.environ | {"PYTHONPATH": str(ROOT)}
        from cappuccino.config import compose
        from cappuccino.sources import load_bars, opening_row

        data = compose("train", list(MARKET)).data
        self.market = load_bars(data)
        row = opening_row(self.market, data, None)
        self.row = row - max(0, bars + 2 - (len(self.market) - row))

    @contextlib.contextmanager
    def exchange(self) -> Iterator[Exchange]:
        from cappuccino.broker.exchange.config import ExchangeConfig
        from cappuccino.broker.exchange.faults import FaultsConfig
        from cappuccino.broker.exchange.process import ExchangeControl, start_exchange

        rates = {fault: self.faults / len(FAULTS) for fault in FAULTS}
        fates = {fault: self.faults / len(FATES) for fault in FATES}
        faults = FaultsConfig(seed=self.seed, rates={**rates, **fates}, stale_s=4.0, rest_s=20.0, stick_s=60.0)
        with start_exchange(self.market, self.row, ExchangeConfig(faults=faults, account=ACCOUNT)) as process:
            yield Exchange(process.url)
            met = ExchangeControl(process.url).faults()
            with self.meeting:
                self.met += met

    def words(self, exchange: Exchange, name: str) -> list[str]:
        return [
            f"artifact={self.artifact}",
            f"broker.url={exchange.url}",
            f"trade.name={name}",
            "trade.allow_outside=[relative_volume_168,volatility_24_168]",
            f"runs_dir={self.folder / name}",
        ]

    def start(self, exchange: Exchange, name: str, bars: int, **environment: str) -> subprocess.Popen[bytes]:
        words = [*self.words(exchange, name), f"trade.bars={bars}"]
        with (self.folder / f"{name}.txt").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, __file__, "--worker", *words],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**self.environment, **environment},
                cwd=ROOT,
            )

    def handled(self, name: str) -> int:
        """Bars that the session's journal has a decision of."""
        from cappuccino.errors import InputError
        from cappuccino.trading.journal_reading import read_decisions

        try:
            return len(read_decisions(self.folder / name / "traders" / name / "journal.sqlite"))
        except InputError:
            return 0

    def finish(self, exchange: Exchange, name: str) -> dict[str, Any]:
        """Trade to the session's end, and what the venue knows then. Raises RuntimeError if the trader does not end well."""
        left = self.bars - self.handled(name)
        process = self.start(exchange, name, max(left, 1))
        if process.wait() != 0:
            raise RuntimeError(f"{name} ended with {process.returncode}:\n{(self.folder / f'{name}.txt').read_text()[-3000:]}")
        return exchange.outcome()


def make_artifact(folder: pathlib.Path, market: Sequence[str] = MARKET) -> pathlib.Path:
    """Of a policy with random opinions that nobody trained, in a process of its own, as JAX is not needed here."""
    made = f"""
import sys
from flax import nnx
from cappuccino.assemble import load_market, training_of
from cappuccino.cli import main
from cappuccino.config import compose
from cappuccino.sweep.parts import Part
from cappuccino.sweep.trial_folder import keep_training
config = compose("train", [*{list(market)!r}, "name=random", "runs_dir={folder}"])
training = training_of(config, load_market(config.data, tuple(config.features.names), config.network.lookback))
policy = training.policy(training.weights)
policy.actor.output.kernel[...] = 100 * policy.actor.output.kernel[...]
weights = nnx.split(policy, nnx.Param, ...)[1]
keep_training(Part(training, best={{"score": 1e-4, "sharpe": 1.25}}, kept=(weights, 1), config=config))
sys.exit(main(["export", "run=random", "runs_dir={folder}"]))
"""
    subprocess.run([sys.executable, "-c", made], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return folder / "random" / "artifact"


def killed_session(sessions: Sessions, name: str, kills: int, chance: random.Random) -> tuple[dict[str, Any], Counter[str]]:
    """A session with kills spread over it, and how many there were in each window."""
    counts: Counter[str] = Counter()
    with sessions.exchange() as exchange:
        while sum(counts.values()) < kills:
            window = min(WINDOWS, key=lambda one: (counts[one], chance.random()))
            left = sessions.bars - sessions.handled(name)
            spread = max(1, left // (kills - sum(counts.values()) + 1))
            # A bar passes `before` about twice and the windows of a sending about twice; a start asks six times or more.
            at = chance.randint(1, 6) if window == "recovery" else chance.randint(1, max(2, 2 * spread))
            # A start with nothing to recover goes past its window, and must not trade the session to its end.
            most = min(2, left - 1) if window == "recovery" else left - 1
            process = sessions.start(exchange, name, max(most, 1), KILL_IN=window, KILL_AT=str(at))
            status = process.wait()
            if status == KILLED:
                counts[window] += 1
            elif status != 0:
                raise RuntimeError(f"{name} ended with {status}:\n{(sessions.folder / f'{name}.txt').read_text()[-3000:]}")
            elif sessions.handled(name) >= sessions.bars:
                break
            elif window == "recovery":
                # Nothing was unfinished at that start: leave something.
                left = sessions.bars - sessions.handled(name)
                at = str(chance.randint(1, max(2, 2 * spread)))
                process = sessions.start(exchange, name, max(left - 1, 1), KILL_IN="committed", KILL_AT=at)
                counts["committed"] += process.wait() == KILLED
        return sessions.finish(exchange, name), counts


def with_pauses(sessions: Sessions, name: str, pauses: int, chance: random.Random) -> list[str]:
    """A session in which hours pass while the trader is down; what its review leaves unexplained, told."""
    from cappuccino.broker.exchange.process import ExchangeControl
    from cappuccino.cli import main

    with sessions.exchange() as exchange:
        control = ExchangeControl(exchange.url)
        for _ in range(pauses):
            at = str(chance.randint(1, max(2, sessions.bars // pauses)))
            process = sessions.start(exchange, name, sessions.bars, KILL_IN="answered", KILL_AT=at)
            if process.wait() != KILLED:
                raise RuntimeError(
                    f"{name}: the trader was not killed:\n{(sessions.folder / f'{name}.txt').read_text()[-3000:]}"
                )
            control.advance(min(control.state().now + chance.uniform(60, 6 * 3600), control.state().last - 7200))
        sessions.finish(exchange, name)
    out = sessions.folder / "review.csv"
    if main(["trade", "review", f"trade.name={name}", f"runs_dir={sessions.folder / name}", f"out={out}"]) != 0:
        return ["the review failed"]
    with out.open() as file:
        rows = list(csv.DictReader(file))
    faults = []
    for row in rows:
        causes = sum(abs(float(row[cause])) for cause in list(row)[5:-2])
        bound = 0.001 * causes + 0.01 * max(1, int(row["orders"]))
        if abs(float(row["unexplained"])) > bound:
            faults.append(f"{row['bar']}: {row['unexplained']} unexplained, at most {bound:.4f}")
    print(
        f"with pauses: {len(rows)} bars reviewed, {len(faults)} with more unexplained than 0.1 % of the causes and a cent an order"
    )
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("sessions", 52), ("kills", 20), ("bars", 336), ("seed", 0), ("at-least", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--faults", type=float, default=0.05)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    begun, holds = time.monotonic(), True
    with tempfile.TemporaryDirectory() as name:
        sessions = Sessions(pathlib.Path(name), options.bars, options.faults, options.seed)
        with sessions.exchange() as exchange:
            undisturbed = sessions.finish(exchange, "undisturbed")
        print(
            f"undisturbed: {options.bars} bars, {len(undisturbed['orders'])} orders, {time.monotonic() - begun:.0f} s",
            flush=True,
        )

        def one(number: int) -> tuple[dict[str, Any], Counter[str]]:
            return killed_session(sessions, f"killed-{number}", options.kills, random.Random(f"{options.seed} {number}"))

        with concurrent.futures.ThreadPoolExecutor(options.at_once) as side_by_side:
            outcomes = side_by_side.map(one, range(options.sessions))
        for number, (outcome, found) in enumerate(outcomes):
            counts += found
            is_same = outcome == undisturbed
            holds &= is_same
            print(f"session {number}: {sum(found.values())} kills, {'the same' if is_same else 'DIFFERS'}", flush=True)
            for mine, theirs in zip(undisturbed["orders"], outcome["orders"], strict=False):
                if mine != theirs:
                    print(f"  first difference: {mine}, when killed {theirs}")
                    break
        print(
            f"kills by window: {', '.join(f'{window} {counts[window]}' for window in WINDOWS)}; {sum(counts.values())} in all"
        )
        enough = all(counts[window] >= options.at_least for window in WINDOWS)
        print(f"at least {options.at_least} in each window: {'holds' if enough else 'FALLS SHORT'}")
        faults = with_pauses(sessions, "paused", min(options.kills, 5), random.Random(options.seed))
        for fault in faults:
            print(f"  {fault}")
    print(f"faults: {', '.join(f'{count} {fault}' for fault, count in sorted(sessions.met.items()))}")
    print(f"orders, fills, positions and cash are those of the undisturbed session: {'holds' if holds else 'DIFFERS'}")
    print(f"what differs with time passing is explained: {'holds' if not faults else 'FALLS SHORT'}")
    print(f"{time.monotonic() - begun:.0f} s")
    return 0 if holds and enough and not faults else 1


if __name__ == "__main__":
    sys.exit(worker(sys.argv[2:]) if sys.argv[1:2] == ["--worker"] else main())
