"""One command from a study to a champion on paper, honest about chance, killed at any moment, and taking back what fails.

    python experiments/proofs/pipeline.py [--seeds 5] [--kills 10] [--parts road kills roll-back] [--env-steps 3000000]
        [--trainings 3] [--held-out 500] [--seed 0] [--turn 1700] [--speed 21600] [--spread 15]

road       `cappuccino pipeline run` on markets with something to learn (planted) and with nothing (martingale), `--seeds` of each: a
           study of 16 trials, its best one validated and proved, held against the gates as they are shipped, traded as a shadow, and as
           champion until the bars end. All planted ones must be promoted within 15 minutes, no martingale, and each of those must
           be refused by gates that speak of chance alone. A champion that a live gate retires before the bars end, as for the day's
           loss at which its trader's risk rules sell, was promoted nevertheless; it is told.
kills      the first planted run again, the pipeline killed with SIGKILL `--kills` times at random moments and started again: changes,
           traders, orders and equity must be those of the run that was left alone, each trader started once, no process left.
roll-back  a champion is succeeded by a better one, whose market then turns: what it earned by it loses. It must be rolled back, each
           trader going on from what the one before it held. This is about what follows a failure of the live gates, which are those
           that are shipped: the gates before them are set wide, and its trainings are of a million steps, one for each artifact.

The exit code is 0 if all of it holds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cappuccino.bars.synthetic import planted_drift, synthetic_bars
from cappuccino.registry.registry import Entry, Registry
from cappuccino.trading.journal_reading import read_decisions, read_marks, read_orders, read_progress

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = "import sys; from cappuccino.cli import main; sys.exit(main(sys.argv[1:]))"
PARTS = ("road", "kills", "roll-back")
ASSETS = ("ONE", "TWO", "THREE")
MINUTES = 15
BEFORE, SHADOW, COMPARED = 16_000, 240, 1_200
"""Bars before the cut, those that a shadow trades, and those that one trades that has a champion to beat."""
STATISTICAL = {"deflated", "pbo", "information", "fees", "champion", "live_growth"}
LIVE = {"live_drawdown", "live_stops", "live_growth", "live_unexplained"}
SMALL = ("agent=apg", "space=apg", "validation=kfold_purged", f"shadow_bars={SHADOW}")


class Run(NamedTuple):
    """A run of the pipeline to its end. state: of the registry and the traders, without what is a time."""

    runs: pathlib.Path
    code: int
    seconds: float
    printed: str
    state: dict[str, Any]


def command(runs: pathlib.Path, words: Sequence[str]) -> list[str]:
    return [sys.executable, "-c", PROGRAM, "pipeline", "run", *words, f"runs_dir={runs}", "poll_s=0.5"]


def of_trainings(options: argparse.Namespace) -> list[str]:
    return [f"training.env_steps={options.env_steps}", f"seeds={options.trainings}"]


def of_market(kind: str, seed: int, options: argparse.Namespace) -> list[str]:
    size = [*of_trainings(options), f"data.bars={BEFORE + options.held_out}"]
    return ["experiment=planted", f"data.kind={kind}", f"data.seed={seed}", f"seed={seed}", *SMALL, *size]


def start(runs: pathlib.Path, words: Sequence[str]) -> subprocess.Popen[bytes]:
    """Its output goes below the folder of runs, as one that is killed would leave a pipe to its children."""
    runs.mkdir(parents=True, exist_ok=True)
    with (runs / "pipeline.txt").open("ab") as output:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command(runs, words), stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)


def finish(runs: pathlib.Path, words: Sequence[str], begun: float) -> Run:
    """Run it to its end."""
    code = start(runs, words).wait()
    return Run(runs, code, time.monotonic() - begun, (runs / "pipeline.txt").read_text(), state_of(runs))


def state_of(runs: pathlib.Path) -> dict[str, Any]:
    """Artifacts by the order in which they came, changes, deployments, and what every trader did, to the last digit. (An artifact's
    checksum is also one of where it lies and when it was made.)"""
    with contextlib.closing(Registry(runs)) as registry:
        numbers = {entry.checksum[:12]: str(number) for number, entry in enumerate(registry.entries())}

        def named(text: str) -> str:
            for checksum, number in numbers.items():
                text = text.replace(checksum, number)
            return text

        traders: dict[str, Any] = {}
        for folder in sorted((runs / "traders").glob("*-*")):
            orders = read_orders(folder / "journal.sqlite")
            traders[named(folder.name)] = {
                "equity": {mark["bar"]: mark["equity"] for mark in read_marks(folder / "journal.sqlite")},
                "orders": [(order["bar"], order["asset"], order["side"], order["filled_quantity"]) for order in orders],
            }
        return {
            "studies": registry.studies(),
            "artifacts": [entry.state for entry in registry.entries()],
            "changes": [(numbers[one.checksum[:12]], one.before, one.after) for one in registry.changes()],
            "deployments": [(named(one.trader), one.exit_code) for one in registry.deployments()],
            "traders": traders,
        }


def entries(runs: pathlib.Path) -> list[Entry]:
    with contextlib.closing(Registry(runs)) as registry:
        return registry.entries()


def left_running(runs: pathlib.Path) -> list[str]:
    """Processes of which a word names the folder of runs."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if int(folder.name) != os.getpid() and any(str(runs) in word for word in words):
                found.append(f"{folder.name}: {' '.join(words[3:6])}")
    return found


def clear_away(runs: pathlib.Path) -> None:
    """End what a run that fell short has left."""
    for line in left_running(runs):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(line.partition(":")[0]), signal.SIGTERM)


def figures_said(entry: Entry) -> str:
    known = entry.figures["validation"]
    pbo = "none" if known["pbo"] is None else f"{known['pbo']:.3f}"
    information = "none" if known["information_low"] is None else f"{known['information_low']:+.2f}"
    fees = known["growth_by_fees"]["1.5"]
    said = f"deflated {known['deflated']:.3f}, pbo {pbo}, information {information}, growth at 1.5 times the fees {1e4 * fees:+.2f}e-4"
    for kind in ("shadow", "live"):
        if kind in entry.figures:
            seen = entry.figures[kind]
            values = list(seen["equity"].values())
            said += f"; {kind}: {seen['decisions']} decisions, {seen['bars_unexplained']} bars unexplained, "
            said += f"equity {values[-1] / values[0] - 1:+.1%}"
    return said


def failing(runs: pathlib.Path) -> tuple[set[str], str]:
    """Names of the gates that refused the artifact of a run, and what is said of them."""
    with contextlib.closing(Registry(runs)) as registry:
        changes = [one for one in registry.changes() if one.after == "retired"]
    names = {name for one in changes for name, gate in one.figures.items() if not gate["holds"]}
    return names, "; ".join(one.reason for one in changes)


def one_road(kind: str, seed: int, folder: pathlib.Path, options: argparse.Namespace) -> tuple[bool, Run]:
    """A market's run, told; whether it ended as it must."""
    run = finish(folder / f"{kind}-{seed}", of_market(kind, seed, options), time.monotonic())
    found = entries(run.runs)
    champions = [entry for entry in found if entry.state == "champion"]
    holds = run.code == 0 and not left_running(run.runs)
    if kind == "planted":
        folders = list((run.runs / "traders").glob("champion-*"))
        holds &= len(folders) == 1 and run.seconds < MINUTES * 60
        if champions:
            holds &= len(champions) == 1 and read_progress(folders[0] / "journal.sqlite").is_over
            said = "promoted"
        else:
            names, why = failing(run.runs)
            holds &= bool(names) and names <= LIVE
            said = f"promoted, then retired: {why}" if folders else f"REFUSED: {why}"
    else:
        names, _ = failing(run.runs)
        found_nothing = "found nothing" in run.printed
        holds &= not champions and (found_nothing or (bool(names) and names <= STATISTICAL))
        said = "PROMOTED" if champions else f"refused by {', '.join(sorted(names)) or 'the study, which found nothing'}"
    print(f"{kind} {seed}: {said}, {run.seconds:.0f} s")
    for entry in found:
        print(f"  {entry.checksum[:12]} {figures_said(entry)}", flush=True)
    if not holds:
        print(run.printed[-3000:])
        clear_away(run.runs)
    return holds, run


ONE_ROAD = {
    "studies": {"pipeline": 16},
    "artifacts": ["champion"],
    "changes": [
        ("0", None, "candidate"),
        ("0", "candidate", "validated"),
        ("0", "validated", "shadow"),
        ("0", "shadow", "champion"),
    ],
    "deployments": [("shadow-0-1", 0), ("champion-1-1-0", 0)],
}
"""What must be there once a planted market has been through: everything once."""


def kills(undisturbed: Run | None, folder: pathlib.Path, options: argparse.Namespace) -> bool:
    """The run with the pipeline killed again and again, in as many runs as it takes; whether each ends as one that was not."""
    chance, killed, rounds, holds = random.Random(options.seed), 0, 0, True
    spread = options.spread if undisturbed is None else undisturbed.seconds / (options.kills + 1)
    expected = ONE_ROAD if undisturbed is None else {**undisturbed.state, **ONE_ROAD}
    words = of_market("planted", options.seed, options)
    while killed < options.kills:
        rounds += 1
        runs, begun = folder / f"killed-{rounds}", time.monotonic()
        while killed < options.kills:
            process = start(runs, words)
            try:
                process.wait(chance.uniform(0.1, 2 * spread))
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                killed += 1
                steps = [line for line in (runs / "pipeline.txt").read_text().splitlines() if line[:1].isalpha()]
                print(
                    f"  killed after {time.monotonic() - begun:.0f} s; last told: {steps[-1] if steps else 'nothing'}",
                    flush=True,
                )
        run = finish(runs, words, begun)
        differing = [name for name in expected if run.state[name] != expected[name]]
        left = left_running(runs)
        ended_well = run.code == 0 and not differing and not left
        what = "everything was done once, traders, orders and equity" if undisturbed else "everything was done once, and all"
        print(f"run {rounds}, killed up to {killed} times in all, {run.seconds:.0f} s, {len(left)} processes left")
        print(f"  {what} are as where nothing is killed: {_said(ended_well)}", flush=True)
        for name in differing:
            print(f"  {name} differ:\n    {str(expected[name])[:600]}\n    {str(run.state[name])[:600]}")
        if not ended_well:
            print(run.printed[-3000:])
            clear_away(runs)
        holds &= ended_well
    return holds


def turning_market(path: pathlib.Path, bars: int, turn: int, seed: int) -> None:
    """Bars of a planted market in files, in which from row `turn` on every drift has the other sign and is twice as strong.

    Its prices move by half of what they do elsewhere, so that a champion that does well hardly ever falls by as much as the gates ask
    about.
    """
    table = synthetic_bars("planted", assets=ASSETS, bars=bars, seed=seed, start=1_577_836_800)
    drift = planted_drift(assets=ASSETS, bars=bars, seed=seed)
    expected = np.vstack([np.zeros((1, len(ASSETS))), drift[:-1]])  # of the return of a bar, known at the one before
    against = np.cumsum(np.where(np.arange(bars)[:, None] >= turn, -3 * expected, 0.0), axis=0)
    before = np.vstack([np.zeros((1, len(ASSETS))), against[:-1]])
    path.mkdir(parents=True)
    for column, asset in enumerate(ASSETS):
        opened, closed = (np.exp(shift[:, column]) for shift in (before, against))
        prices = {"open": table.open[:, column] * opened, "close": table.close[:, column] * closed}
        prices |= {
            "high": np.maximum(table.high[:, column] * closed, np.maximum(prices["open"], prices["close"])),
            "low": np.minimum(table.low[:, column] * closed, np.minimum(prices["open"], prices["close"])),
        }
        moving = {name: 10 * np.sqrt(price) for name, price in prices.items()}
        frame = pd.DataFrame({"timestamp": table.timestamps, **moving, "volume": table.volume[:, column]})
        frame.to_parquet(path / f"{asset}_USD-1h.parquet")


def until(what: Callable[[], Any], process: subprocess.Popen[bytes], seconds: float) -> Any:
    """What is there once it is; None if the process ends or the time is over before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        if process.poll() is not None:
            return what()
        time.sleep(0.5)
    return None


def roll_back(folder: pathlib.Path, options: argparse.Namespace) -> bool:
    """Two champions one after the other, and a market that turns against the second."""
    runs, begun = folder / "roll-back", time.monotonic()
    held_out, turn = options.turn + 1_000, BEFORE + options.turn
    turning_market(folder / "bars", BEFORE + held_out, turn, options.seed)
    hour = pd.Timestamp("2020-01-01T00:00")
    cut, train_end = (f"{hour + pd.Timedelta(hours=rows):%Y-%m-%dT%H:%M}" for rows in (BEFORE, 14_000))
    market = ["data=files", f"data.path={folder / 'bars'}", f"data.train_end={train_end}", f"data.valid_end={cut}"]
    market += [
        "data.assets=[ONE,TWO,THREE]",
        "features=planted",
        "costs=free",
        "costs.taker_fee_bps=5",
        "env.reward.scale=200",
        f"seed={options.seed}",
    ]
    clock = ["broker.clock=accelerated", f"broker.speed={options.speed}"]
    wide = ["gates.deflated=0.5", "gates.pbo=0.5", "gates.confidence=0.51"]
    common = [*market, *SMALL, "training.env_steps=1000000", "seeds=1", *wide, *clock]

    def champion() -> str | None:
        return next((entry.checksum[:12] for entry in entries(runs) if entry.state == "champion"), None)

    def trader(place: int) -> pathlib.Path | None:
        return next(
            (
                path
                for path in (runs / "traders").glob(f"champion-1-{place}-*")
                if read_progress(path / "journal.sqlite").marks > 5
            ),
            None,
        )

    # The first spreads itself thin; the second is compared with it over more bars than are asked.
    process = start(runs, ["name=careful", "env.reward.concentration=0.0005", *common])
    first = until(lambda: trader(1), process, MINUTES * 60)
    process.kill()
    process.wait()
    if first is None:
        return fell_short(runs)
    careful = champion()
    print(
        f"first       {careful}, champion after {time.monotonic() - begun:.0f} s; the pipeline is killed, its trader goes on",
        flush=True,
    )
    process = start(runs, ["name=eager", *common, f"shadow_bars={COMPARED}"])
    second = until(lambda: trader(2), process, MINUTES * 60)
    if second is None:
        return fell_short(runs)
    eager = champion()
    print(f"second      {eager}, champion in its place after {time.monotonic() - begun:.0f} s", flush=True)
    third = until(lambda: trader(3), process, MINUTES * 60)
    if third is None:
        return fell_short(runs)
    again = champion()
    print(f"rolled back to {again} after {time.monotonic() - begun:.0f} s", flush=True)
    code = process.wait()
    text = (runs / "pipeline.txt").read_text()
    print(
        "\n".join(
            f"  {line}"
            for line in text.splitlines()
            if line.startswith(("promoted", "refused", "rolled", "retired", "stop", "sell"))
        )
    )
    handed = [hand_over(first, second), hand_over(second, third)]
    left = left_running(runs)
    holds = careful != eager and again == careful and all(handed) and code == 0 and not left
    print(f"  ended with {code}, {len(left)} processes left, {time.monotonic() - begun:.0f} s")
    if not holds:
        clear_away(runs)
    return holds


def fell_short(runs: pathlib.Path) -> bool:
    """Told, with nothing left running."""
    print((runs / "pipeline.txt").read_text()[-3000:])
    clear_away(runs)
    return False


def hand_over(old: pathlib.Path, new: pathlib.Path) -> bool:
    """Whether a trader began with what the one before it held, and traded no more than the way from there to its targets."""
    before, after = read_marks(old / "journal.sqlite")[-1], read_marks(new / "journal.sqlite")[0]
    filled = {asset: Decimal(0) for asset in ASSETS}
    for order in read_orders(old / "journal.sqlite"):
        if order["bar"] >= before["bar"]:
            sign = 1 if order["side"] == "buy" else -1
            filled[order["asset"]] += sign * Decimal(order["filled_quantity"])
    fee = Decimal("0.0011")
    is_same = True
    for asset in ASSETS:
        expected = Decimal(before["positions"].get(asset, "0")) + filled[asset]
        found = Decimal(after["positions"].get(asset, "0"))
        is_same &= abs(found - expected) <= fee * abs(filled[asset]) + Decimal("1e-6")
    decision = next(row for row in read_decisions(new / "journal.sqlite") if row["phase"] != "none")
    moved = sum(
        float(order["filled_quantity"]) * decision["closes"][ASSETS.index(order["asset"])]
        for order in read_orders(new / "journal.sqlite")
        if order["bar"] == decision["bar"]
    )
    way = sum(abs(target - weight) for target, weight in zip(decision["targets"], decision["weights"], strict=True))
    held = sum(decision["weights"])
    traded = moved / decision["equity"]
    holds = is_same and traded <= way * 1.01
    print(
        f"  {new.name} began {(after['bar'] - before['bar']) // 3600} h after the last bar of {old.name} with what that held, "
        f"{held:.1%} of equity in assets, and traded {traded:.1%} on a way of {way:.1%} to its targets: {_said(holds)}"
    )
    return holds


def _said(holds: bool) -> str:
    return "holds" if holds else "FALLS SHORT"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("seeds", 5),
        ("kills", 10),
        ("env-steps", 3_000_000),
        ("trainings", 3),
        ("held-out", 500),
        ("seed", 0),
        ("turn", 1_700),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--spread", type=float, default=15, help="seconds between kills, where no run was left alone before")
    parser.add_argument("--speed", type=float, default=21_600, help="of the account's exchange in the roll-back")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--markets", nargs="+", choices=("planted", "martingale"), default=["planted", "martingale"])
    options = parser.parse_args()
    begun, claims = time.monotonic(), dict[str, bool]()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        undisturbed = None
        if "road" in options.parts:
            for kind in options.markets:
                ended = []
                for seed in range(options.seed, options.seed + options.seeds):
                    holds, run = one_road(kind, seed, folder, options)
                    ended.append(holds)
                    undisturbed = run if kind == "planted" and seed == options.seed else undisturbed
                text = "promoted" if kind == "planted" else "refused, by gates of chance alone"
                claims[f"{sum(ended)} of {len(ended)} {kind} are {text}"] = all(ended)
        if "kills" in options.parts:
            claims["a pipeline that is killed ends as one that is not"] = kills(undisturbed, folder, options)
        if "roll-back" in options.parts:
            claims["a champion that fails is rolled back, and positions are handed over"] = roll_back(folder, options)
    for claim, holds in claims.items():
        print(f"{claim}: {_said(holds)}")
    print(f"{time.monotonic() - begun:.0f} s")
    return 0 if claims and all(claims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
