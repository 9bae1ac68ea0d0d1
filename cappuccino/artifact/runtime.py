"""Runs an artifact: NumPy and ONNX Runtime, no JAX. Under 100 MB and a second from process start to the first decision."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import onnxruntime

# ONNX Runtime's errors have no common base but Exception.
from onnxruntime.capi.onnxruntime_pybind11_state import (  # pyright: ignore[reportMissingImports]
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NotImplemented,
    RuntimeException,
)

from cappuccino.artifact.manifest import (
    MANIFEST_NAME,
    POLICY_NAME,
    SUM_SLACK,
    Manifest,
    check_files,
    checksum,
    read_manifest,
)
from cappuccino.errors import InputError

_SESSION_ERRORS = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException)


@dataclasses.dataclass(frozen=True, eq=False)
class Artifact:
    """A loaded artifact: its folder, its manifest, and the checksum that names it."""

    path: pathlib.Path
    manifest: Manifest
    checksum: str
    session: onnxruntime.InferenceSession

    def decide(self, window: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Target weights (A,), float64, not negative, of sum at most 1 + SUM_SLACK; the rest is cash.

        window (L, A, F): raw features, oldest row first; weights (A,): the account's asset weights. Any float type.
        Raises InputError if a shape differs, a value is not finite, or weights are negative or sum to more than one.
        """
        manifest = self.manifest
        shape = (manifest.lookback, len(manifest.assets), len(manifest.features))
        if window.shape != shape:
            raise InputError(f"the window has shape {window.shape}; the artifact expects (look-back, assets, features) {shape}")
        if not np.isfinite(window).all():
            row, asset, feature = (int(i) for i in np.argwhere(~np.isfinite(window))[0])
            place = f"{manifest.features[feature]} of {manifest.assets[asset]}, row {row}"
            raise InputError(f"the window must be finite; {place} is {window[row, asset, feature]}")
        _check_weights(weights, manifest.assets, "the account's weights")
        (targets,) = self.session.run(["targets"], {"window": window.astype(np.float32), "weights": weights.astype(np.float32)})
        targets = np.asarray(targets, np.float64)
        _check_weights(targets, manifest.assets, "the policy's target weights")
        return targets


def load_artifact(
    path: pathlib.Path | str, *, assets: Sequence[str] | None = None, features: Sequence[str] | None = None
) -> Artifact:
    """Load the artifact in folder `path` and check all of it.

    assets, features: the order in which the caller will give them; None to take the artifact's own.
    Raises InputError, in one line, for a missing, changed or truncated file, another format version, an ONNX graph whose
    inputs or outputs are not those of the manifest, and any difference in assets or features or their order.
    """
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; an artifact is a folder with {MANIFEST_NAME} and {POLICY_NAME}")
    manifest = read_manifest(folder / MANIFEST_NAME)
    check_files(folder, manifest)
    _same_order("assets", manifest.assets, assets)
    _same_order("features", manifest.features, features)
    session = _open_session(folder / POLICY_NAME)
    _check_graph(session, manifest, folder / POLICY_NAME)
    return Artifact(path=folder, manifest=manifest, checksum=checksum(manifest), session=session)


def _open_session(path: pathlib.Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _SESSION_ERRORS as error:
        raise InputError(f"{path} is not an ONNX model that can be run: {str(error).splitlines()[0]}") from None


def _check_graph(session: onnxruntime.InferenceSession, manifest: Manifest, path: pathlib.Path) -> None:
    A = len(manifest.assets)
    expected = {"window": [manifest.lookback, A, len(manifest.features)], "weights": [A], "targets": [A]}
    found = {node.name: node for node in (*session.get_inputs(), *session.get_outputs())}
    if found.keys() != expected.keys() or len(session.get_outputs()) != 1:
        raise InputError(f"{path} has inputs and outputs {', '.join(found)}; expected {', '.join(expected)}")
    for name, shape in expected.items():
        if list(found[name].shape) != shape or found[name].type != "tensor(float)":
            raise InputError(
                f"{path}: {name} is {found[name].type} {list(found[name].shape)}; by the manifest tensor(float) {shape}"
            )


def _same_order(what: str, expected: Sequence[str], got: Sequence[str] | None) -> None:
    if got is not None and tuple(got) != tuple(expected):
        raise InputError(f"the artifact's {what} differ: expected {', '.join(expected)}; got {', '.join(got)}")


def _check_weights(weights: np.ndarray, assets: Sequence[str], what: str) -> None:
    if weights.shape != (len(assets),):
        raise InputError(f"{what} have shape {weights.shape}; expected one of each of {', '.join(assets)}")
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        asset = int(np.argmax(bad))
        raise InputError(f"{what} must be finite and not negative; {assets[asset]} is {weights[asset]}")
    total = float(np.sum(weights, dtype=np.float64))
    if total > 1 + SUM_SLACK:
        raise InputError(f"{what} sum to {total:.9f}; at most 1 + {SUM_SLACK:g}, the rest is cash")
