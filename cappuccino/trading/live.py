"""The confirmation that trading with real money takes: typed once, stored, and good for exactly what was confirmed."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

CONFIRMATION_NAME = "live.json"


def fingerprint(key: str, artifact: str, limits: Mapping[str, Any]) -> str:
    """What is confirmed: the account (by a hash of its key's id, which names it), the artifact's checksum, the limits."""
    account = hashlib.sha256(key.encode()).hexdigest()
    return hashlib.sha256(json.dumps([account, artifact, dict(limits)], sort_keys=True).encode()).hexdigest()


def is_confirmed(folder: pathlib.Path, wanted: str) -> bool:
    """Whether the stored confirmation is of this fingerprint."""
    path = folder / CONFIRMATION_NAME
    if not path.is_file():
        return False
    try:
        stored = json.loads(path.read_text())
    except ValueError:
        return False
    return isinstance(stored, dict) and stored.get("fingerprint") == wanted


def confirm(folder: pathlib.Path, confirmed: str, phrase: str) -> None:
    """Store that a person typed the phrase."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{CONFIRMATION_NAME}.draft"
    draft.write_text(json.dumps({"fingerprint": confirmed, "phrase": phrase}) + "\n")
    draft.replace(folder / CONFIRMATION_NAME)
