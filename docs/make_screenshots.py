"""Writes docs/dashboard-trader.png and docs/dashboard-registry.png: `python docs/make_screenshots.py [RUNS_DIR]`, some minutes.

The folder of runs is made by the project's own commands on synthetic bars, if it is not there: a policy that learns a planted market and
passes the gates, one on a martingale that they refuse, and a trader of the first for two weeks on the local exchange while things go
wrong there. Needs Chromium and Playwright, as the tests of the page do.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from playwright.sync_api import sync_playwright

from cappuccino.cli import REFUSED
from cappuccino.registry.registry import Registry

ROOT = pathlib.Path(__file__).parents[1]
PROGRAM = [sys.executable, "-c", "import sys; from cappuccino.cli import main; sys.exit(main(sys.argv[1:]))"]
MARKET = ("experiment=planted", "data.assets=[BTC,ETH,LTC]", "data.bars=12000", "data.train_end=null", "data.valid_end=null")
TRAINING = ("network.lookback=4", "training.env_steps=1000000", "stress=none")
TWO_WEEKS = 14 * 24
WIDTH, HEIGHT = 1280, 1260
TO_AN_ORDER_THAT_FAILED = """() => {
  const row = document.querySelector("#orders .badge.rejected").closest("tr");
  document.getElementById("orders-scroll").scrollTop = row.offsetTop - 130;
}"""


def cappuccino(*words: str, code: int = 0) -> None:
    """A command that has to end with this exit code."""
    print("cappuccino", *words, flush=True)
    ended = subprocess.run([*PROGRAM, *words], cwd=ROOT).returncode
    if ended != code:
        sys.exit(f"it ended with {ended}, not {code}")


def make_runs(runs: pathlib.Path) -> None:
    """See the module."""
    below = f"runs_dir={runs}"
    cappuccino(
        "validate", *MARKET, *TRAINING, "validation=walk_forward", "validation.folds=3", "seeds=1", "name=planted", below
    )
    cappuccino(
        *("validate", *MARKET, *TRAINING, "data.kind=martingale", "costs=alpaca"),
        *("validation=walk_forward", "validation.folds=3", "seeds=1", "name=martingale", below),
    )
    for name in ("planted", "martingale"):
        cappuccino("validate", "causality", f"artifact={runs / name / 'artifact'}", below)
    with contextlib.closing(Registry(runs, read_only=True)) as registry:
        checksums = {entry.name: entry.checksum for entry in registry.entries()}
    cappuccino("registry", "promote", f"artifact={checksums['planted']}", below)
    cappuccino("registry", "promote", f"artifact={checksums['martingale']}", below, code=REFUSED)
    cappuccino(
        "trade", f"artifact={runs / 'planted' / 'artifact'}", "trade.name=paper", f"trade.bars={TWO_WEEKS}", *rough(), below
    )


def rough() -> list[str]:
    """What goes wrong at the exchange: more orders stick and are refused than usual; no price is absurd."""
    rates = {"reject": 0.06, "stick": 0.06, "absurd_bar": 0}
    rules = ["risk.max_weight=0.8", "risk.stop_loss=0.15", "trade.fee_bps=10"]
    return ["faults=random", *(f"faults.rates.{name}={rate}" for name, rate in rates.items()), *rules]


def main(runs: pathlib.Path) -> None:
    """Make what is not there, and take the pictures."""
    if not runs.exists():
        make_runs(runs)
    words = ["dashboard", "port=0", f"runs_dir={runs}"]
    with subprocess.Popen([*PROGRAM, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True) as page:
        assert page.stdout is not None
        address = page.stdout.readline().split()[1]
        try:
            photograph(address)
        finally:
            page.terminate()


def photograph(address: str) -> None:
    """The trader's page and the registry's."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=sandbox)
        tab = browser.new_page(base_url=address, viewport={"width": WIDTH, "height": HEIGHT})
        tab.goto("/traders/paper")
        tab.locator("#equity-lines tr").nth(4).wait_for()
        tab.evaluate(TO_AN_ORDER_THAT_FAILED)
        tab.wait_for_timeout(1000)
        tab.screenshot(path=ROOT / "docs" / "dashboard-trader.png")
        tab.goto("/registry")
        tab.set_viewport_size({"width": WIDTH, "height": 300})
        tab.screenshot(path=ROOT / "docs" / "dashboard-registry.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(pathlib.Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(pathlib.Path(folder) / "runs")
