"""Artifacts by their content: a folder for each, named by its checksum, written once."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile

from cappuccino.artifact.manifest import MANIFEST_NAME, Manifest, check_files, checksum, read_manifest
from cappuccino.errors import InputError


class ArtifactStore:
    """The folders below `root`, which is made with the first."""

    def __init__(self, root: pathlib.Path) -> None:
        self._root = root

    def folder(self, name: str) -> pathlib.Path:
        """Where the artifact of a checksum lies. Raises InputError if it is not there."""
        folder = self._root / name
        if not folder.is_dir():
            raise InputError(f"artifact {name[:12]} is not in {self._root}: it was pruned, or its folder was moved")
        return folder

    def put(self, folder: pathlib.Path) -> str:
        """Copy an artifact in, if it is not there, complete or not at all; its checksum. Raises InputError if it is damaged."""
        manifest = checked(folder)
        name = checksum(manifest)
        kept = self._root / name
        if kept.is_dir():
            checked(kept)
            return name
        self._root.mkdir(parents=True, exist_ok=True)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{name[:12]}.", dir=self._root))
        try:
            for file in (MANIFEST_NAME, *manifest.files):
                shutil.copyfile(folder / file, temporary / file)
                _to_disk(temporary / file)
            checked(temporary)
            temporary.chmod(0o755)
            try:
                temporary.rename(kept)
            except OSError:
                if not kept.is_dir():
                    raise
                shutil.rmtree(temporary)  # another process was faster; it is the same to the bit
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return name

    def remove(self, name: str) -> int:
        """Delete an artifact's folder; its bytes, 0 where there was none."""
        folder = self._root / name
        if not folder.is_dir():
            return 0
        size = sum(file.stat().st_size for file in folder.iterdir())
        shutil.rmtree(folder)
        return size


def checked(folder: pathlib.Path) -> Manifest:
    """The manifest of the artifact in a folder, all of whose files are as it says. Raises InputError naming the one that is not."""
    manifest = read_manifest(folder / MANIFEST_NAME)
    check_files(folder, manifest)
    return manifest


def _to_disk(path: pathlib.Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
