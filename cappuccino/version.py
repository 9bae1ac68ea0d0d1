"""Which code this is: the version, and the revision that a wheel carries or git knows. Only the standard library."""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess

REVISION_NAME = "revision.txt"
"""Beside this file in a wheel and an sdist, where the build puts it (`hatch_build.py`); a checkout has none."""

UNKNOWN = "unknown"


@functools.cache
def code_version() -> str:
    """Version and revision like `0.1.0+1a2b3c4d5e6f`; `.dirty` follows where the code is not what was committed."""
    from cappuccino import __version__

    return f"{__version__}+{revision(pathlib.Path(__file__).parents[1])}"


def revision(root: pathlib.Path) -> str:
    """The revision of the code in `root`, the folder that holds the package: 12 digits, `.dirty` with uncommitted changes.

    UNKNOWN in a folder that is no checkout and was not built, like a copy of the sources.
    """
    built = root / "cappuccino" / REVISION_NAME
    if built.is_file():
        return built.read_text().strip()
    # Only a repository that begins here: one around an environment that this is installed in says nothing of it.
    ours = {**os.environ, "GIT_CEILING_DIRECTORIES": str(root.parent)}
    words = ["git", "describe", "--always", "--dirty=.dirty", "--abbrev=12", "--exclude=*"]
    try:
        asked = subprocess.run(words, cwd=root, env=ours, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return UNKNOWN
    return asked.stdout.strip() if asked.returncode == 0 else UNKNOWN
