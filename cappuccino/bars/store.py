"""A folder of downloaded bars: one Parquet file an asset, and a manifest that says what they are and that they are whole."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cappuccino.bars.clock import utc
from cappuccino.bars.formats import read_frame
from cappuccino.bars.frames import COLUMNS, check_frame, restated
from cappuccino.bars.table import Origin
from cappuccino.errors import InputError

MANIFEST = "manifest.json"
FORMAT = "cappuccino-bars-1"


@dataclasses.dataclass(frozen=True)
class Appended:
    """What an append did to one asset: bars `added`, bars already there, and the time stamps of those `restated`."""

    added: int
    unchanged: int
    restated: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class BarStore:
    """Bars of one source, venue, quote currency and bar length in the folder `path`.

    Each asset has one Parquet file, named after the asset and the first digits of its SHA-256. `manifest.json` names the
    files and gives source, venue, quote, bar_seconds, `start` (the time stamp the download was asked to begin at), and for
    each asset its file, sha256, first and last time stamp, number of bars and of bars restated so far. New files are written
    beside the old ones, and replacing the manifest is the one step that counts: whatever happens, a reader finds the store
    before an append or after it. One process may append at a time.
    """

    path: pathlib.Path

    def exists(self) -> bool:
        """Whether the folder holds a store."""
        return (self.path / MANIFEST).is_file()

    def manifest(self) -> dict[str, Any]:
        """The manifest. Raises InputError if there is none or it is not one of ours."""
        file = self.path / MANIFEST
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{self.path} is no bar store: it has no {MANIFEST}") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{file} cannot be read: {error}") from error
        _check_manifest(file, manifest)
        return manifest

    def origin(self) -> Origin:
        """Source, venue and quote of the bars."""
        manifest = self.manifest()
        return Origin(manifest["source"], manifest["venue"], manifest["quote"])

    def last(self, asset: str) -> int | None:
        """Time stamp of the asset's newest bar; None where the store has none. A download resumes here."""
        if not self.exists():
            return None
        entry = self.manifest()["assets"].get(asset)
        return None if entry is None else int(entry["last"])

    def read(self, assets: Sequence[str] | None = None) -> dict[str, pd.DataFrame]:
        """Frames of the named assets (of all, in alphabetical order), sorted by time.

        Raises InputError for an asset that is not there, and for a file that is missing or not as the manifest has it.
        """
        entries = self.manifest()["assets"]
        wanted = sorted(entries) if assets is None else list(assets)
        missing = [asset for asset in wanted if asset not in entries]
        if missing:
            raise InputError(f"{self.path} has no {', '.join(missing)}; it has {', '.join(sorted(entries))}")
        return {asset: self._read_one(entries[asset]) for asset in wanted}

    def _read_one(self, entry: Mapping[str, Any]) -> pd.DataFrame:
        file = self.path / entry["file"]
        try:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror}") from error
        if digest != entry["sha256"]:
            raise InputError(f"{file} is corrupt: its SHA-256 is {digest[:12]}..., the manifest has {entry['sha256'][:12]}...")
        return read_frame(file)

    def append(
        self, frames: Mapping[str, pd.DataFrame], *, bar_seconds: int, origin: Origin, start: int
    ) -> dict[str, Appended]:
        """Adds bars to the store, creating it if need be, all assets in one step; says what changed.

        A bar that is already there with other values was restated by its source: the new one replaces it and is reported.
        `start` is kept by the first append.

        Raises InputError for frames that `frames.check_frame` refuses, if the store is of another bar length or origin, if
        it is corrupt, or while another process is appending.
        """
        for asset, frame in frames.items():
            check_frame(asset, frame, bar_seconds)
            if not asset.isalnum():
                raise InputError(f"asset {asset!r} cannot name a file; assets are letters and digits")
        identity = {"format": FORMAT, **dataclasses.asdict(origin), "bar_seconds": bar_seconds}
        with self._alone():
            manifest = self.manifest() if self.exists() else {**identity, "start": start, "assets": {}}
            for name, value in identity.items():
                if manifest[name] != value:
                    raise InputError(f"{self.path} holds bars of {name} {manifest[name]}, not {value}; use another folder")
            report = {}
            for asset, frame in frames.items():
                entry = manifest["assets"].get(asset)
                whole, report[asset] = _merge(None if entry is None else self._read_one(entry), frame)
                count = len(report[asset].restated) + (0 if entry is None else entry["restated"])
                if report[asset].added or report[asset].restated:
                    manifest["assets"][asset] = self._write(asset, whole, count)
            _replace(self.path / MANIFEST, json.dumps(manifest, indent=2).encode())
            self._remove_old(manifest)
        return report

    def _write(self, asset: str, frame: pd.DataFrame, restated_so_far: int) -> dict[str, Any]:
        content = io.BytesIO()
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), content, compression="zstd")
        digest = hashlib.sha256(content.getvalue()).hexdigest()
        file = f"{asset}.{digest[:12]}.parquet"
        _replace(self.path / file, content.getvalue())
        return {
            "file": file,
            "sha256": digest,
            "bars": len(frame),
            "first": int(frame["timestamp"].iloc[0]),
            "last": int(frame["timestamp"].iloc[-1]),
            "restated": restated_so_far,
        }

    def _remove_old(self, manifest: Mapping[str, Any]) -> None:
        named = {entry["file"] for entry in manifest["assets"].values()}
        for file in self.path.glob("*.parquet"):
            if file.name not in named:
                file.unlink()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = open(self.path / ".lock", "wb")  # noqa: SIM115 - closed below
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"{self.path} is being written by another process; wait for it to end") from None
            yield


def _merge(old: pd.DataFrame | None, new: pd.DataFrame) -> tuple[pd.DataFrame, Appended]:
    new = pd.DataFrame({name: new[name].to_numpy() for name in COLUMNS})
    if old is None:
        return new, Appended(added=len(new), unchanged=0, restated=())
    changed = tuple(restated(old, new).tolist())
    known = int(np.isin(new["timestamp"], old["timestamp"]).sum())
    whole = pd.concat([old, new]).drop_duplicates("timestamp", keep="last").sort_values("timestamp", ignore_index=True)
    return whole, Appended(added=len(new) - known, unchanged=known - len(changed), restated=changed)


def _replace(file: pathlib.Path, content: bytes) -> None:
    """Puts the content in the file's place in one step, on the disk before it is visible."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as temporary:
            temporary.write(content)
            temporary.flush()
            os.fsync(temporary.fileno())
        os.replace(name, file)
    except BaseException:
        pathlib.Path(name).unlink(missing_ok=True)
        raise


_MANIFEST_TYPES = {"source": str, "venue": str, "quote": str, "bar_seconds": int, "start": int, "assets": dict}
_ENTRY_TYPES = {"file": str, "sha256": str, "bars": int, "first": int, "last": int, "restated": int}


def _check_manifest(file: pathlib.Path, manifest: Any) -> None:
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{file} is no manifest of a bar store; its format should be {FORMAT}")
    _check_types(file, manifest, _MANIFEST_TYPES)
    for asset, entry in manifest["assets"].items():
        if not isinstance(entry, dict):
            raise InputError(f"{file}: {asset} is {entry!r}, not an object")
        _check_types(file, entry, _ENTRY_TYPES)
        if pathlib.PurePath(entry["file"]).name != entry["file"]:
            raise InputError(f"{file}: {asset} names the file {entry['file']}, which is outside the store")


def _check_types(file: pathlib.Path, values: Mapping[str, Any], types: Mapping[str, type]) -> None:
    for name, kind in types.items():
        if not isinstance(values.get(name), kind):
            raise InputError(f"{file}: {name} is {values.get(name)!r}, not {kind.__name__}")


def describe(store: BarStore) -> str:
    """One line: origin, bar length, assets and range, as the manifest has them."""
    manifest = store.manifest()
    entries = manifest["assets"].values()
    span = f"{utc(min(e['first'] for e in entries))} to {utc(max(e['last'] for e in entries))}" if entries else "no bars"
    assets = ", ".join(sorted(manifest["assets"]))
    return (
        f"{manifest['source']} {manifest['venue']}, {assets} in {manifest['quote']}, {manifest['bar_seconds']} s bars, {span}"
    )
