"""`cappuccino bench`: run the benchmarks of a checkout, each in a process of its own, and say which bars they reach."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from rich.console import Console

from cappuccino.bench.results import circumstances, read_results, terminal_table, write_page
from cappuccino.errors import InputError

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "experiments" / "benchmarks"
CRASHED = 1


class Crash(Exception):
    """A benchmark ended with an exception; carries what it printed."""


def run(words: Sequence[str]) -> int:
    """The exit code: 1 if a benchmark crashed, else 0, whether or not a bar is reached.

    Raises InputError for a name that is none of a benchmark and where there is no checkout.
    """
    arguments = _arguments(words)
    if not FOLDER.is_dir():
        raise InputError(
            f"there are no benchmarks at {FOLDER}: they are not installed, run this in a checkout of the repository"
        )
    known = names(FOLDER)
    unknown = [name for name in arguments.name if name not in known]
    if unknown:
        raise InputError(f"there is no benchmark {unknown[0]!r}; it must be one of {', '.join(known)}")
    kept = FOLDER / "results"
    out = pathlib.Path(arguments.out) if arguments.out else ROOT / "runs" / "small-benchmarks" if arguments.small else kept
    out.mkdir(parents=True, exist_ok=True)

    console = Console()
    done, crashed = [], []
    for name in arguments.name or known:
        console.print(f"{name} ...", highlight=False)
        try:
            result = measure(FOLDER / f"{name}.py", small=arguments.small)
        except Crash as crash:
            console.print(f"{name} crashed:\n{crash}", markup=False, highlight=False, soft_wrap=True)
            crashed.append(name)
            continue
        if result["missing"]:
            missing = ", ".join(result["missing"])
            console.print(f"{name} skipped: it needs {missing}; pip install -e '.[bench]'", markup=False, highlight=False)
            continue
        (out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        done.append(result)
    if done:
        console.print(terminal_table(done))
        console.print(f"results     {out}", highlight=False, soft_wrap=True)
    if out == kept and not arguments.small:
        write_page(FOLDER / "README.md", read_results(kept))
    if crashed:
        console.print(f"crashed     {', '.join(crashed)}", highlight=False)
    return CRASHED if crashed else 0


def names(folder: pathlib.Path) -> list[str]:
    """The files that define a BENCHMARK, found without running them."""
    files = sorted(folder.glob("*.py"))
    return [path.stem for path in files if any(line.startswith("BENCHMARK =") for line in path.read_text().splitlines())]


def measure(file: pathlib.Path, *, small: bool) -> dict[str, Any]:
    """Run one benchmark in a new process group; its result as it is kept. Raises Crash."""
    command = " ".join(["cappuccino", "bench", file.stem, *(["--small"] if small else [])])
    result: dict[str, Any] = {"benchmark": file.stem, "small": small, **circumstances(ROOT, command)}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out, log = pathlib.Path(folder) / "out.json", pathlib.Path(folder) / "log"
        program = [sys.executable, "-m", "cappuccino.bench.process", str(file), str(out), *(["--small"] if small else [])]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with log.open("w") as printed:
            process = subprocess.Popen(
                program,
                stdout=printed,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,
            )
            try:
                code = process.wait()
            finally:
                _end(process)
        if code != 0 or not out.is_file():
            raise Crash(f"{log.read_text().rstrip()}\nexit code {code}")
        return result | json.loads(out.read_text()) | {"seconds": round(time.monotonic() - began, 1)}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Nothing of the benchmark outlives it, what it started included, also when we are interrupted."""
    with contextlib.suppress(ProcessLookupError):  # the usual case: nothing is left of the group
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; cappuccino bench --help says what there is")


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog="cappuccino bench", add_help=False, allow_abbrev=False)
    parser.add_argument("name", nargs="*")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out")
    return parser.parse_intermixed_args(list(words))
