"""Memory of a training's process after many chunks against few: whole chunks, with validation, log and checkpoint.

The training is small, so that what would pile up is not hidden behind arrays. Counted are resident pages of the process's own
(`RssAnon`, Linux): pages of mapped files are the system's to take back, which would hide a leak. A CPU's arrays are among them.
"""

from __future__ import annotations

import io
import pathlib
import tempfile
from collections.abc import Iterator

from rich.console import Console

from cappuccino.assemble import load_market, training_of
from cappuccino.bench.interface import Benchmark, Row
from cappuccino.commands.train import validator
from cappuccino.config.composition import compose
from cappuccino.training.checkpoints import Checkpoints
from cappuccino.training.loop import Schedule, train
from cappuccino.training.metrics_log import MetricsLog

FIRST, LAST = 10, 1000
WORDS = (
    "experiment=planted",
    "data.bars=3000",
    "data.train_end=null",
    "data.valid_end=null",
    "env.clocks=8",
    "env.accounts=4",
    "training.updates_per_chunk=1",
)


def memory_by_chunk(chunks: int, folder: pathlib.Path) -> list[int]:
    """Anonymous resident bytes of this process after each chunk."""
    config = compose("train", list(WORDS))
    training = training_of(config, load_market(config.data, tuple(config.features.names), config.network.lookback))
    validate = validator(training, config.network.lookback)
    resident: list[int] = []

    def measured(weights):
        resident.append(_resident())
        return validate(weights)

    with Checkpoints(folder / "checkpoints") as checkpoints, MetricsLog(folder, 0) as log:
        train(
            training.learner,
            training.begin(),
            training.frozen,
            training.data.market,
            training.starts,
            training.params,
            schedule=Schedule(chunks, 1),
            validate=measured,
            checkpoints=checkpoints,
            log=log,
            meta={},
            console=Console(file=io.StringIO()),
        )
    return resident


def _resident() -> int:
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(status["RssAnon"].split()[0])


def measure(small: bool) -> Iterator[Row]:
    first, last = (2, 6) if small else (FIRST, LAST)
    with tempfile.TemporaryDirectory() as folder:
        resident = memory_by_chunk(last, pathlib.Path(folder))
    yield Row(
        f"memory at chunk {last:,} over chunk {first}",
        (resident[last - 1] / resident[first - 1],),
        must=1.02,
        aim=1.0,
        higher_is_better=False,
        unit="x",
        exact=True,
        details={"MiB by chunk": {k: round(resident[k - 1] / 2**20, 1) for k in (1, first, last // 2, last)}},
    )


BENCHMARK = Benchmark(
    question="Does the memory of a training's process grow with the chunks that it has trained?",
    measure=measure,
)
