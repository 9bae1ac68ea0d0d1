"""Puts the revision that a wheel or an sdist is built from into it, where `cappuccino --version` finds it.

It is git's, or, for a build from a folder without git like that of a container, what CAPPUCCINO_REVISION says.
"""

from __future__ import annotations

import os
import pathlib
import runpy
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RevisionHook(BuildHookInterface):
    """An editable install asks git when it runs; an sdist has the file already when a wheel is built from it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = pathlib.Path(self.root)
        code = runpy.run_path(str(root / "cappuccino" / "version.py"))
        name = f"cappuccino/{code['REVISION_NAME']}"
        if version == "editable" or (root / name).exists():
            return
        self._folder = tempfile.TemporaryDirectory()
        written = pathlib.Path(self._folder.name) / code["REVISION_NAME"]
        written.write_text(os.environ.get("CAPPUCCINO_REVISION") or code["revision"](root))
        build_data["force_include"][str(written)] = name

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        del version, build_data, artifact_path
        if hasattr(self, "_folder"):
            self._folder.cleanup()
