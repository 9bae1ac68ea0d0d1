"""The kill switch: one journaled latch, thrown by a command, by a file, or by the trader itself, released by a person only."""

from __future__ import annotations

import pathlib

from cappuccino.trading.clock import Clock
from cappuccino.trading.journal import Journal
from cappuccino.trading.records import Halt

HALT_FILE = "HALT"
"""A file of this name in the trader's folder throws the switch; if it holds the word `flatten`, everything is sold too."""


class KillSwitch:
    """The latch of the trader whose journal this is. `folder` is where the file is looked for."""

    def __init__(self, journal: Journal, folder: pathlib.Path, clock: Clock) -> None:
        self._journal, self._file, self._clock = journal, folder / HALT_FILE, clock

    def thrown(self) -> Halt | None:
        """The halt that is in force; None if orders may be sent. A file that is there is journaled first."""
        halt = self._journal.halt()
        current = halt if halt is not None and halt.is_halted else None
        if self._file.exists():
            flatten = "flatten" in self._file.read_text(errors="replace").split()
            if current is None or (flatten and not current.flatten):
                return self.throw(f"the file {self._file.name} is there", "file", flatten=flatten)
        return current

    def throw(self, reason: str, source: str, *, flatten: bool = False) -> Halt:
        """Halt. Of a trader that is halted only what is wanted more, the flattening, is written down again."""
        halt = self._journal.halt()
        if halt is not None and halt.is_halted and (halt.flatten or not flatten):
            return halt
        halt = Halt(self._clock.now(), True, reason, source, flatten)
        self._journal.set_halt(halt)
        return halt

    def flattened(self, said: str) -> None:
        """Everything is sold: still halted, with nothing more to sell."""
        halt = self._journal.halt()
        assert halt is not None
        if self._file.exists():
            self._file.write_text("flattened\n")
        self._journal.set_halt(Halt(halt.at, True, said, halt.source))

    def release(self, reason: str, source: str) -> None:
        """Let orders be sent again, and take the file away if it is there."""
        self._file.unlink(missing_ok=True)
        self._journal.set_halt(Halt(self._clock.now(), False, reason, source))
