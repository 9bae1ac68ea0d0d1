"""A policy made by hand, a trader of it, an exchange whose clock is let go by hand, and the page as a command."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from loopback import FIRST, HOUR, serving_app, walk
from onnx import TensorProto, helper, numpy_helper
from starlette.types import Message, Receive, Scope, Send
from trading_scenarios import LOOKBACK, manifest_of

from cappuccino.artifact.manifest import MANIFEST_NAME, POLICY_NAME, sha256_of_file, write_manifest
from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.server import create_app
from cappuccino.broker.exchange.venue import Venue
from cappuccino.config import compose
from cappuccino.errors import InputError
from cappuccino.trading.folder import JOURNAL_NAME
from cappuccino.trading.journal_reading import read_decisions, read_orders

ROWS, START = 1200, 700
TOKEN = "a-token-of-the-tests"
PATIENCE_S = 30.0
PROGRAM = "import sys; from cappuccino.cli import main; sys.exit(main(sys.argv[1:]))"
ROOT = pathlib.Path(__file__).parents[2]


def make_artifact(folder: pathlib.Path) -> pathlib.Path:
    """Of a policy that puts most into what rose last: it trades at every bar."""
    table = walk(ROWS)
    assets, features = len(table.assets), len(manifest_of(table).features)
    constants = {
        "last": np.array(LOOKBACK - 1, np.int64),
        "first": np.array(0, np.int64),
        "sharp": np.array(150.0, np.float32),
        "cash": np.zeros(1, np.float32),
        "begin": np.array([0], np.int64),
        "end": np.array([assets], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["window", "last"], ["row"], axis=0),
        helper.make_node("Gather", ["row", "first"], ["returns"], axis=1),
        helper.make_node("Mul", ["returns", "sharp"], ["scores"]),
        helper.make_node("Concat", ["scores", "cash"], ["all"], axis=0),
        helper.make_node("Softmax", ["all"], ["shares"], axis=0),
        helper.make_node("Slice", ["shares", "begin", "end"], ["targets"]),
    ]
    inputs = [
        helper.make_tensor_value_info("window", TensorProto.FLOAT, [LOOKBACK, assets, features]),
        helper.make_tensor_value_info("weights", TensorProto.FLOAT, [assets]),
    ]
    outputs = [helper.make_tensor_value_info("targets", TensorProto.FLOAT, [assets])]
    values = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "restless", inputs, outputs, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / POLICY_NAME))
    files = {POLICY_NAME: sha256_of_file(folder / POLICY_NAME)}
    config = {"data": dataclasses.asdict(compose("train").data)}
    write_manifest(manifest_of(table, files=files, config=config), folder / MANIFEST_NAME)
    return folder


class Paced:
    """The exchange, whose clock no trader moves beyond `until` (Unix seconds)."""

    def __init__(self, venue: Venue) -> None:
        self._app, self.until = create_app(venue), venue.clock.now()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/control/advance":
            content = b""
            while (message := await receive())["type"] == "http.request":
                content += message.get("body", b"")
                if not message.get("more_body"):
                    break
            wanted = json.loads(content)["to"]
            if wanted > self.until:
                await asyncio.sleep(0.02)
            body = json.dumps({"to": min(wanted, self.until)}).encode()

            async def receive() -> Message:
                return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive, send)


@dataclasses.dataclass
class Session:
    """A trader below `runs`, its exchange, and the hand on the exchange's clock."""

    runs: pathlib.Path
    name: str
    venue: Venue
    pace: Paced
    start: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes]
    closes: int

    @property
    def folder(self) -> pathlib.Path:
        return self.runs / "traders" / self.name

    @property
    def journal(self) -> pathlib.Path:
        return self.folder / JOURNAL_NAME

    def orders(self) -> list[dict[str, Any]]:
        return read_orders(self.journal)

    def pass_bars(self, number: int) -> None:
        """Let so many bars close, and the trader be done with each."""
        for _ in range(number):
            bar = self.let_close(HOUR / 2)
            await_that(lambda bar=bar: self._is_done(bar), "the bar to be decided on", self.process)

    def let_close(self, seconds: float) -> int:
        """Let time go on until so long after the close of the next bar; the bar's opening."""
        self.closes += HOUR
        self.pace.until = self.closes + seconds
        return self.closes - HOUR

    def _is_done(self, bar: int) -> bool:
        with contextlib.suppress(InputError):  # of a journal that is being made
            return any(one["bar"] == bar and one["phase"] in ("done", "none") for one in read_decisions(self.journal))
        return False


def await_that(holds: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Until something holds."""
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert process is None or process.poll() is None, (
            f"the trader ended with {process and process.returncode} before {what}"
        )
        assert time.monotonic() < until, f"{what} took longer than {PATIENCE_S} s"
        time.sleep(0.02)


@contextlib.contextmanager
def trading(artifact: pathlib.Path, runs: pathlib.Path, name: str) -> Iterator[Session]:
    """`cappuccino trade` in a process of its own, on an exchange in this one."""
    venue = Venue(walk(ROWS), START, ExchangeConfig())
    pace = Paced(venue)
    with serving_app(pace) as url, (runs / f"{name}.txt").open("wb") as said:
        words = ["trade", f"artifact={artifact}", f"broker.url={url}", "broker.clock=stepped", f"trade.name={name}"]
        words += [f"runs_dir={runs}", "risk.max_weight=0.9", "risk.stop_loss=0.2"]

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen([sys.executable, "-c", PROGRAM, *words], cwd=ROOT, stdout=said, stderr=said)

        process = start()
        session = Session(runs, name, venue, pace, start, process, FIRST + HOUR * (START + 1))
        try:
            yield session
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def page_on(runs: pathlib.Path, *words: str, **environment: str) -> Iterator[str]:
    """The address of `cappuccino dashboard` in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, "dashboard", "port=0", f"runs_dir={runs}", *words]
    env = {**os.environ, "CAPPUCCINO_TOKEN": TOKEN, **environment}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("dashboard"), line
            process.stdout.readline()
            yield line.split()[1]
        finally:
            process.terminate()
            process.wait(10)
