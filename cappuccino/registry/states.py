"""What an artifact may become, and from what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

State = Literal["candidate", "validated", "shadow", "champion", "retired"]

NEXT: Mapping[State, frozenset[State]] = {
    "candidate": frozenset({"validated", "retired"}),
    "validated": frozenset({"shadow", "retired"}),
    "shadow": frozenset({"champion", "retired"}),
    "champion": frozenset({"retired"}),
    "retired": frozenset({"champion"}),
}
"""candidate: known. validated: it passed the gates of validation. shadow: it trades on paper beside the champion. champion: the one
that trades; there is one at most. From `retired` to `champion` only a roll-back leads, for one that was champion before."""

STATES: tuple[State, ...] = tuple(NEXT)
