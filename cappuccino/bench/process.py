"""One benchmark in this process: `python -m cappuccino.bench.process FILE OUT [--small]` writes what it measured to OUT as JSON."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import pathlib
import sys
from typing import Any

from cappuccino.bench.interface import Benchmark, Row
from cappuccino.training.device import compile_quickly


def load(path: pathlib.Path) -> Benchmark:
    """The file's BENCHMARK; modules beside it can be imported from here on."""
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module.BENCHMARK


def measured(benchmark: Benchmark, *, small: bool) -> dict[str, Any]:
    """Its question and rows, or the packages that it misses."""
    missing = [name for name in benchmark.requires if importlib.util.find_spec(name) is None]
    rows = [] if missing else [as_json(row) for row in benchmark.measure(small)]
    return {"question": benchmark.question, "missing": missing, "rows": rows}


def as_json(row: Row) -> dict[str, Any]:
    """A row's fields, and what follows from them."""
    fields = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    spread = [min(row.repeats), max(row.repeats)]
    reaches_aim = None if row.aim is None else row.reaches(row.aim)
    return fields | {"median": row.figure, "spread": spread, "verdict": row.verdict, "reaches_aim": reaches_aim}


def main(file: str, out: str, *flags: str) -> int:
    compile_quickly()
    found = measured(load(pathlib.Path(file)), small="--small" in flags)
    pathlib.Path(out).write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
