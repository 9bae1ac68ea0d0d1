"""Bad artifacts and bad configuration, eight of each and more: the message, the exit code, and no order at the venue."""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from loopback import serving
from small_artifact import SMALL

from cappuccino.artifact.manifest import MANIFEST_NAME, POLICY_NAME
from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.venue import Venue
from cappuccino.cli import INPUT_ERROR, REFUSED, main
from cappuccino.config import compose
from cappuccino.sources import load_bars, opening_row


def start(terminal: pytest.CaptureFixture[str], folder: pathlib.Path, *words: str) -> tuple[int, str, int]:
    """`cappuccino trade <words>` beside a running exchange: exit code, standard error, orders at the venue."""
    data = compose("train", list(SMALL)).data
    bars = load_bars(data)
    venue = Venue(bars, opening_row(bars, data, None), ExchangeConfig())
    with serving(venue) as url:
        status = main(["trade", f"broker.url={url}", f"runs_dir={folder}", "trade.bars=2", *words])
    return status, terminal.readouterr().err, len(venue.ledger.orders)


def manifest(**changes: Any) -> Callable[[pathlib.Path], None]:
    def change(folder: pathlib.Path) -> None:
        path = folder / MANIFEST_NAME
        values = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in (values | changes).items() if v is not None}))

    return change


def text(name: str, content: str) -> Callable[[pathlib.Path], None]:
    def change(folder: pathlib.Path) -> None:
        (folder / name).write_text(content)

    return change


def cut(folder: pathlib.Path) -> None:
    path = folder / POLICY_NAME
    path.write_bytes(path.read_bytes()[:100])


def flip(folder: pathlib.Path) -> None:
    path = folder / POLICY_NAME
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


ARTIFACTS: dict[str, Callable[[pathlib.Path], Any]] = {
    "no folder": shutil.rmtree,
    "no manifest": lambda folder: (folder / MANIFEST_NAME).unlink(),
    "no policy": lambda folder: (folder / POLICY_NAME).unlink(),
    "a manifest that is not JSON": text(MANIFEST_NAME, "{"),
    "a manifest that is a list": text(MANIFEST_NAME, "[]"),
    "another format": manifest(format_version=99),
    "no assets": manifest(assets=None),
    "a field that nobody knows": manifest(surprise=1),
    "a policy that is cut": cut,
    "a policy with one bit flipped": flip,
    "a policy that is not ONNX": text(POLICY_NAME, "buy low, sell high"),
    "a feature that there is not": manifest(features=["astrology_12", "return_1"]),
    "another warm-up": manifest(warmup=3),
    "another length of bars": manifest(bar_seconds=77),
}


@pytest.mark.parametrize("what", ARTIFACTS)
def test_bad_artifacts(what: str, artifact: pathlib.Path, tmp_path: pathlib.Path, terminal: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "artifact"
    shutil.copytree(artifact, folder)
    ARTIFACTS[what](folder)
    status, said, orders = start(terminal, tmp_path / "runs", f"artifact={folder}")
    assert status in (INPUT_ERROR, REFUSED)
    assert orders == 0
    assert said.strip()
    assert "Traceback" not in said


CONFIGURATIONS = {
    "trade.capital=-5": "trade.capital is -5",
    "trade.capital=much": "trade.capital",
    "trade.bars=0": "trade.bars is 0",
    "trade.bar=7": "did you mean trade.bars",
    "trade.name=../b": "trade.name is '../b'",
    "trade.foreign=steal": "trade.foreign is 'steal'",
    "trade.fee_bps=nan": "trade.fee_bps is nan",
    "broker=kraken": "broker is 'kraken'",
    "broker.deadline_s=0": "broker.deadline_s is 0",
    "broker.clock=sundial": "broker.clock is 'sundial'",
    "watch.port=70000": "watch.port is 70000",
    "watch.hosts=[*.example.com]": "watch.hosts has '*.example.com'",
    "risk.max_weight=1.5": "risk.max_weight is 1.5",
    "risk.cooldown_bars=0": "risk.cooldown_bars is 0",
    "risk=reckless": "risk is 'reckless'",
    "faults=random": "faults go wrong at the trader's own local exchange",
}


@pytest.mark.parametrize("word", CONFIGURATIONS)
def test_bad_configuration(
    word: str, artifact: pathlib.Path, tmp_path: pathlib.Path, terminal: pytest.CaptureFixture[str]
) -> None:
    status, said, orders = start(terminal, tmp_path, f"artifact={artifact}", word)
    assert (status, orders) == (INPUT_ERROR, 0), said
    assert CONFIGURATIONS[word] in " ".join(said.split())
