"""`python -m cappuccino.broker.exchange SETTINGS`: the child that `start_exchange` starts. Settings are its JSON file."""

from __future__ import annotations

import os
import pathlib
import sys
import threading
import time

from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.faults import FaultsConfig
from cappuccino.broker.exchange.process import read_settings
from cappuccino.broker.exchange.server import serve
from cappuccino.broker.exchange.venue import Venue
from cappuccino.errors import InputError

POLL_S = 0.5


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(1)


def main(path: pathlib.Path) -> None:
    """Serve as the settings say, until told to stop or the parent is gone."""
    table, settings = read_settings(path)
    threading.Thread(target=_end_with, args=(settings["parent"],), daemon=True).start()
    config = {**settings["config"], "faults": FaultsConfig(**settings["config"]["faults"])}
    venue = Venue(table, settings["start"], ExchangeConfig(**config), clock_factor=settings["clock_factor"])
    ready = pathlib.Path(settings["ready"])

    def announce(line: str) -> None:
        print(line, flush=True)
        draft = ready.with_suffix(".draft")
        draft.write_text(line)
        draft.rename(ready)

    serve(venue, host=settings["host"], port=settings["port"], ready=announce)


if __name__ == "__main__":
    try:
        main(pathlib.Path(sys.argv[1]))
    except InputError as error:
        sys.exit(str(error))
