"""The manifest of an artifact: what the exported policy expects and where it comes from. Standard library only.

On disk it is one JSON object with exactly the keys of `Manifest` and a `checksum` over all of them; reading is strict.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import pathlib
import typing
from typing import Any

from cappuccino.errors import InputError

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
POLICY_NAME = "policy.onnx"

SUM_SLACK = 1e-6
"""How far above one a sum of asset weights may be, going in or coming out: float32 rounding, no leverage."""


@dataclasses.dataclass(frozen=True)
class NormaliserValues:
    """The normaliser inside the policy, for the record: mean and std per feature (F,), clip in standard deviations."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    clip: float


@dataclasses.dataclass(frozen=True)
class TrainedCosts:
    """Costs the policy was trained with: basis points, quote currency, and base units per asset (A,)."""

    taker_fee_bps: float
    half_spread_bps: float
    slippage_bps: float
    min_notional: float
    buying_power_margin: float
    increment: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class FeatureRange:
    """The 0.1 % and 99.9 % quantiles of each (asset, feature) over the training bars, both (A, F)."""

    low: tuple[tuple[float, ...], ...]
    high: tuple[tuple[float, ...], ...]


@dataclasses.dataclass(frozen=True)
class BarOrigin:
    """Where the training bars came from: source, venue and quote currency."""

    source: str
    venue: str
    quote: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What the policy expects and where it comes from.

    Orders of `assets` (A) and `features` (F) are those of the policy's inputs. `lookback` L, `warmup` in bars; `created`
    is an ISO time in UTC; `files` maps each file of the folder to its SHA-256. `config` and `validation` are plain JSON.
    Raises InputError where the parts disagree in length or a number is out of range.
    """

    format_version: int
    assets: tuple[str, ...]
    features: tuple[str, ...]
    lookback: int
    warmup: int
    bar_seconds: int
    normaliser: NormaliserValues
    costs: TrainedCosts
    config: dict[str, Any]
    config_hash: str
    market_fingerprint: str
    training_range: FeatureRange
    validation: dict[str, Any]
    origin: BarOrigin
    code_version: str
    files: dict[str, str]
    created: str

    def __post_init__(self) -> None:
        if self.format_version != FORMAT_VERSION:
            raise InputError(f"the artifact has format {self.format_version}; this version reads format {FORMAT_VERSION}")
        for name in ("assets", "features"):
            names = getattr(self, name)
            if not names or len(set(names)) != len(names):
                raise InputError(f"manifest: {name} must be distinct and not empty, got {', '.join(names) or 'none'}")
        for name, least in (("lookback", 1), ("warmup", 0), ("bar_seconds", 1)):
            if getattr(self, name) < least:
                raise InputError(f"manifest: {name} is {getattr(self, name)}; it must be at least {least}")
        A, F = len(self.assets), len(self.features)
        for name, values in (("mean", self.normaliser.mean), ("std", self.normaliser.std)):
            if len(values) != F:
                raise InputError(f"manifest: normaliser.{name} has {len(values)} values for {F} features")
        if len(self.costs.increment) != A:
            raise InputError(f"manifest: costs.increment has {len(self.costs.increment)} values for {A} assets")
        for name, table in (("low", self.training_range.low), ("high", self.training_range.high)):
            if len(table) != A or any(len(row) != F for row in table):
                raise InputError(f"manifest: training_range.{name} must be a table of {A} assets by {F} features")
        if POLICY_NAME not in self.files:
            raise InputError(f"manifest: files does not name {POLICY_NAME}")


def sha256_of_file(path: pathlib.Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_files(folder: pathlib.Path, manifest: Manifest) -> None:
    """Raises InputError unless the files in the artifact's folder are those of its manifest."""
    for name, expected in manifest.files.items():
        if pathlib.PurePath(name).name != name:
            raise InputError(f"the artifact {folder} names the file {name!r}; files lie in the folder itself")
        if not (folder / name).is_file():
            raise InputError(f"the artifact {folder} has no file {name}")
        found = sha256_of_file(folder / name)
        if found != expected:
            raise InputError(f"{folder / name} does not match its checksum: expected {expected[:12]}, got {found[:12]}")


def checksum(manifest: Manifest) -> str:
    """SHA-256 over the canonical JSON of all fields; as it covers the files' own sums, it names the artifact."""
    return _checksum(dataclasses.asdict(manifest))


def write_manifest(manifest: Manifest, path: pathlib.Path) -> None:
    """Write the manifest as JSON. Raises InputError for a value that JSON cannot hold, such as NaN."""
    document = {**dataclasses.asdict(manifest), "checksum": checksum(manifest)}
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_manifest(path: pathlib.Path) -> Manifest:
    """Read and check a manifest.

    Raises InputError, in one line, for a missing or unreadable file, a key too many or too few, a value of the wrong
    type, a number that is not finite, another format version, or a checksum that does not match.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; an artifact is a folder with {MANIFEST_NAME} and {POLICY_NAME}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(document, dict):
        raise InputError(f"{path} must hold one JSON object, got {type(document).__name__}")
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        raise InputError(f"{path} has format {version!r}; this version reads format {FORMAT_VERSION}")
    claimed = document.pop("checksum", None)
    manifest = _decode(Manifest, document, "manifest")
    if claimed != _checksum(document):
        raise InputError(f"{path} does not match its checksum: it was changed after it was written")
    return manifest


def _checksum(document: dict[str, Any]) -> str:
    try:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"manifest: a value cannot be written as JSON: {error}") from None
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse_constant(text: str) -> float:
    raise InputError(f"manifest: {text} is not a number that JSON knows")


def _decode(kind: Any, value: Any, where: str) -> Any:
    """`value` from JSON as the annotated `kind`. Raises InputError naming the place."""
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _decode_object(kind, value, where)
    origin = typing.get_origin(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise InputError(f"{where} must be a list, got {value!r}")
        item = typing.get_args(kind)[0]
        return tuple(_decode(item, one, f"{where}[{i}]") for i, one in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise InputError(f"{where} must be an object, got {value!r}")
        item = typing.get_args(kind)[1]
        return {key: _decode(item, one, f"{where}.{key}") for key, one in value.items()}
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise InputError(f"{where} must be {kind.__name__}, got {value!r}")
    if kind is float and not math.isfinite(value):
        raise InputError(f"{where} must be finite, got {value!r}")
    return value


def _decode_object(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise InputError(f"{where} must be an object, got {value!r}")
    kinds = typing.get_type_hints(kind)
    for problem, names in (("unknown", value.keys() - kinds.keys()), ("missing", kinds.keys() - value.keys())):
        if names:
            raise InputError(f"{where}: {problem} {'keys' if len(names) > 1 else 'key'} {', '.join(sorted(names))}")
    return kind(**{name: _decode(of, value[name], f"{where}.{name}") for name, of in kinds.items()})
