"""The wheel in an empty environment of Python 3.11 and of 3.13, outside the repository and without network: every command of README,
and the whole path from training to trading.

The wheel is built from a clone; installing takes the network, or with `--wheels FOLDER` what `make wheels` put there (of one Python).
`--python 3.11` takes one version only. Without network is an empty network namespace: it needs Linux's unshare and the right to use it.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

import pandas as pd

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "docs"))

from blocks import blocks, commands, small  # noqa: E402

from cappuccino.bars.synthetic import synthetic_bars  # noqa: E402

VERSIONS = ("3.11", "3.13")
PATH = (
    "validate experiment=planted name=planted validation=holdout seeds=1 stress=none training.env_steps=524288",
    "train experiment=planted name=first training.env_steps=524288",
    "backtest run=first span=test",
    "export run=first",
    "validate causality artifact=runs/first/artifact",
    "registry list",
    "trade artifact=runs/first/artifact trade.name=first trade.bars=24",
    "trade status trade.name=first",
    "trade review trade.name=first",
)


def interpreter(version: str) -> str:
    """A Python of this version that runs. Raises SystemExit where there is none."""
    kept = sorted(pathlib.Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for found in (shutil.which(f"python{version}"), *map(str, kept)):
        said = found and subprocess.run(
            [found, "-c", "import sys, venv; print(*sys.version_info[:2], sep='.')"], capture_output=True
        )
        if found and said and said.stdout.decode().strip() == version:
            return found
    raise SystemExit(f"there is no Python {version}")


def built(folder: pathlib.Path) -> pathlib.Path:
    """The wheel of the commit that is checked out."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(clone)], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["git", "checkout", "--quiet", head], cwd=clone, check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(clone)], check=True)
    shutil.rmtree(clone)
    (wheel,) = folder.glob("cappuccino-*.whl")
    print(f"wheel       {wheel.name}, {wheel.stat().st_size / 1e3:,.0f} kB", flush=True)
    return wheel


def installed(version: str, wheel: pathlib.Path, folder: pathlib.Path, wheels: str | None) -> pathlib.Path:
    """`cappuccino` in an environment that has nothing else."""
    environment = folder / f"python-{version}"
    subprocess.run([interpreter(version), "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin" / "pip"), "--disable-pip-version-check"]
    source = ["--no-index", "--find-links", wheels] if wheels else []
    begin = time.monotonic()
    subprocess.run([*pip, "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), *source, str(wheel)], check=True)
    subprocess.run([*pip, "check"], check=True, stdout=subprocess.DEVNULL)
    listed = subprocess.run([*pip, "list", "--format=freeze"], check=True, capture_output=True, text=True).stdout
    print(f"installed   Python {version}: {len(listed.splitlines())} packages in {time.monotonic() - begin:.0f} s", flush=True)
    return environment / "bin" / "cappuccino"


def bars(folder: pathlib.Path) -> None:
    """Files of bars as README asks for them."""
    folder.mkdir()
    table = synthetic_bars("realistic", assets=("BTC", "ETH", "LTC"), bars=3_600, seed=3, start=1_664_582_400)
    for column, asset in enumerate(table.assets):
        columns = {name: getattr(table, name)[:, column] for name in ("open", "high", "low", "close", "volume")}
        frame = pd.DataFrame({"date": pd.to_datetime(table.timestamps, unit="s", utc=True), **columns})
        frame.to_feather(folder / f"{asset}_USDT-1h.feather")


def run(command: pathlib.Path, words: list[str], folder: pathlib.Path) -> str:
    """Standard output of a command in a namespace whose only network is its own loopback. Raises CalledProcessError."""
    line = f"ip link set lo up && exec {shlex.join([str(command), *words])}"
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "COLUMNS") if name in os.environ}
    begin = time.monotonic()
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", line],
        cwd=folder,
        env={**kept, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
    )
    ended = "" if done.returncode == 0 else f": exit code {done.returncode}"
    print(f"{time.monotonic() - begin:7.1f} s   cappuccino {shlex.join(words)}{ended}", flush=True)
    if done.returncode:
        print(done.stdout, done.stderr)
        done.check_returncode()
    return done.stdout


def main() -> int:
    """0 if everything ran and said what it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", choices=VERSIONS, action="append")
    parser.add_argument("--wheels")
    given = parser.parse_args()
    readme = [words for block in blocks("README.md") if block.reason is None for words in commands(block.code)]
    with tempfile.TemporaryDirectory() as temporary:
        place = pathlib.Path(temporary)
        wheel = built(place)
        revision = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
        for version in given.python or VERSIONS:
            command = installed(version, wheel, place, given.wheels)
            folder = place / f"folder-{version}"
            folder.mkdir()
            bars(folder / "bars")
            assert run(command, ["--version"], folder).strip().endswith(f"+{revision.strip()}")
            assert "usage: cappuccino" in run(command, ["--help"], folder)
            for words in [small(words) for words in readme] + [line.split() for line in PATH]:
                run(command, words, folder)
            traded = (folder / "runs" / "traders" / "first" / "journal.sqlite").stat().st_size
            print(
                f"passed      Python {version}: {len(readme)} commands of README, {len(PATH)} more; a journal of {traded:,} bytes",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
