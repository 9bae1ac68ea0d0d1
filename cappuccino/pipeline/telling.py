"""What the pipeline tells: on the console, in its log of JSON lines, and to the places that the environment names."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import structlog
from rich.console import Console

from cappuccino.trading.log import Log, json_log
from cappuccino.trading.watch import notify
from cappuccino.trading.watch.background import Background

LOG_NAME = "pipeline.log"
_CLOSE_S = 5.0


class Teller:
    """told: keys of what a person was told, by this pipeline and those before it."""

    def __init__(self, console: Console, log: Log, told: set[str], lines: list[tuple[notify.Target, Background]]) -> None:
        self._console, self.log, self.told, self._lines = console, log, told, lines

    def say(self, text: str, **values: Any) -> None:
        """On the console and in the log."""
        self._console.print(text, highlight=False, soft_wrap=True)
        self.log.info(text, **values)

    def report(self, key: str, text: str, **values: Any) -> None:
        """To a person too, once."""
        if key in self.told:
            return
        self.say(text, told=key, **values)
        self.told.add(key)
        for target, line in self._lines:
            line.put(lambda send=target.send: _deliver(send("cappuccino pipeline", text)))


def _deliver(was_taken: bool) -> None:
    if not was_taken:
        raise RuntimeError("the other side did not take it")


@contextlib.contextmanager
def teller(folder: pathlib.Path, console: Console, environment: Mapping[str, str] = os.environ) -> Iterator[Teller]:
    """For as long as the block lasts; at its end what waits is sent. Raises InputError for a URL in the environment that is none."""
    path = folder / LOG_NAME
    told = {line["told"] for line in _lines(path) if "told" in line}
    targets = notify.targets(environment)
    with path.open("a", encoding="utf-8", buffering=1) as file, contextlib.ExitStack() as stack:
        log = json_log(structlog.WriteLogger(file))
        lines = [(target, Background(target.label, log, lambda: None)) for target in targets]
        for _, line in lines:
            stack.callback(line.close, _CLOSE_S)
        yield Teller(console, log, told, lines)


def _lines(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """Those that were written whole."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with contextlib.suppress(json.JSONDecodeError):
            yield json.loads(line)
