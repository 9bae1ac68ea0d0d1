"""What a trader's session would have been in the backtest, and what holding would have earned: a child process of low priority.

`python -m cappuccino.dashboard.replay RUNS_DIR NAME` prints it as one line of JSON, with `said` in the place of figures where it
cannot be had.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
from typing import Any

import numpy as np

from cappuccino.artifact.runtime import load_artifact
from cappuccino.config.composition import data_from
from cappuccino.dashboard.traders import Trader
from cappuccino.errors import InputError
from cappuccino.trading.held import baselines
from cappuccino.trading.review import CAUSES, review
from cappuccino.trading.session import load_session

NICENESS = 10


def replayed(trader: Trader) -> dict[str, Any]:
    """`closes`: Unix seconds; `lines`: equity at them, by name; `causes`: what account and backtest differ by, name, sum, and the
    largest of a bar. Raises InputError as `load_session` does, and without the artifact."""
    artifact, config = load_artifact(trader.artifact()), trader.config()
    session = load_session(
        trader.folder,
        artifact.manifest,
        artifact.decide,
        max_hole_bars=data_from(artifact.manifest.config["data"]).max_hole_bars,
        venue_fee=config.trade.fee_bps / 1e4,
    )
    rows = review(session)
    start = session.marks[session.openings[0]].equity(session.prices[0].close)
    amounts = {cause: [row.causes[cause] for row in rows] for cause in CAUSES}
    amounts |= {name: [getattr(row, name) for row in rows] for name in ("carried", "unexplained")}
    return {
        "closes": [opening + session.bar_seconds for opening in session.openings],
        "lines": {"backtest": [start, *(row.backtest for row in rows)], **baselines(session, artifact.manifest.assets)},
        "causes": [[name, float(np.sum(sums)), max(sums, key=abs)] for name, sums in amounts.items() if any(sums)],
    }


def main(runs_dir: str, name: str) -> None:
    """Print it."""
    os.nice(NICENESS)
    try:
        found = replayed(Trader(pathlib.Path(runs_dir), name))
    except InputError as error:
        found = {"said": str(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
