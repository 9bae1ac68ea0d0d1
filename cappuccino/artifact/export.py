"""Writes an artifact: the whole decision graph of a policy as ONNX, and the manifest beside it. The JAX side.

The folder appears complete or not at all, and only once ONNX Runtime has been seen to decide what JAX decides.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from jax2onnx import to_onnx
from jaxtyping import Array, Float

from cappuccino.agents.networks import Policy, decide
from cappuccino.artifact.agreement import agreed
from cappuccino.artifact.combine import OPSET, combined
from cappuccino.artifact.manifest import FORMAT_VERSION, MANIFEST_NAME, POLICY_NAME, Manifest, sha256_of_file, write_manifest
from cappuccino.artifact.observations import random_observations
from cappuccino.artifact.runtime import Artifact, load_artifact
from cappuccino.errors import InputError

TOLERANCE = 1e-5
"""Largest difference allowed between a target weight of ONNX Runtime and of JAX."""

_UNWRITTEN = {"format_version": FORMAT_VERSION, "files": {POLICY_NAME: ""}}


def export_artifact(
    *policies: Policy, out: pathlib.Path | str, agreement: float = 0.0, observations: int = 256, seed: int = 0, **fields
) -> Artifact:
    """Export policies, which decide together as `agreed` says, to the new folder `out` and load it from there.

    fields: every field of `Manifest` but `format_version` and `files`. The graph of one is `agents.networks.decide` with the
    policy's arrays inside: `window` (L, A, F) and `weights` (A,) to `targets` (A,), all float32. It is then compared with
    JAX on `observations` random ones.

    Raises InputError if `out` exists, a field is missing or wrong, or the two disagree by more than TOLERANCE; nothing is
    left behind then.
    """
    names = {field.name for field in dataclasses.fields(Manifest)} - _UNWRITTEN.keys()
    if fields.keys() != names:
        raise InputError(f"manifest fields: missing {sorted(names - fields.keys())}, unknown {sorted(fields.keys() - names)}")
    manifest = Manifest(**_UNWRITTEN, **fields)

    def check(artifact: Artifact) -> None:
        windows, weights = random_observations(manifest, observations, np.random.default_rng(seed))
        gap = largest_difference(policies, artifact, windows, weights, agreement)
        if gap > TOLERANCE:
            raise InputError(f"ONNX Runtime and JAX differ by {gap:.2g} in a target weight; at most {TOLERANCE:g} is allowed")

    model = combined([_graph(policy, manifest) for policy in policies], agreement)
    return write_artifact(model, manifest, pathlib.Path(out), check)


def write_artifact(
    model: onnx.ModelProto, manifest: Manifest, out: pathlib.Path, check: Callable[[Artifact], None]
) -> Artifact:
    """Write graph and manifest (its `files` are filled in) to the new folder `out` and load them from there.

    check: given the artifact before it has its name; what it raises leaves nothing behind. Raises InputError if `out` exists.
    """
    if out.exists():
        raise InputError(f"{out} exists already; name a folder that does not, an artifact is never overwritten")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        _write_durably(folder / POLICY_NAME, model.SerializeToString())
        files = {POLICY_NAME: sha256_of_file(folder / POLICY_NAME)}
        write_manifest(dataclasses.replace(manifest, files=files), folder / MANIFEST_NAME)
        check(load_artifact(folder))
        folder.chmod(0o755)
        folder.rename(out)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return load_artifact(out)


def largest_difference(
    policies: Sequence[Policy],
    artifact: Artifact,
    windows: Float[np.ndarray, "N L A F"],
    weights: Float[np.ndarray, "N A"],
    agreement: float = 0.0,
) -> float:
    """Largest absolute difference of a target weight between JAX and the artifact over N observations."""

    @jax.jit
    @jax.vmap
    def in_jax(window: Float[Array, "L A F"], held: Float[Array, "A"]) -> Float[Array, "A"]:
        return agreed(jnp.stack([decide(policy, window, held) for policy in policies]), held, agreement, xp=jnp)

    ours = np.asarray(in_jax(jnp.asarray(windows, jnp.float32), jnp.asarray(weights, jnp.float32)), np.float64)
    theirs = np.stack([artifact.decide(window, held) for window, held in zip(windows, weights, strict=True)])
    return float(np.max(np.abs(ours - theirs)))


def _graph(policy: Policy, manifest: Manifest) -> onnx.ModelProto:
    A = len(manifest.assets)
    inputs = [
        jax.ShapeDtypeStruct((manifest.lookback, A, len(manifest.features)), jnp.float32),
        jax.ShapeDtypeStruct((A,), jnp.float32),
    ]
    return to_onnx(
        lambda window, weights: decide(policy, window, weights),
        inputs,
        model_name="cappuccino",
        opset=OPSET,
        input_names=["window", "weights"],
        output_names=["targets"],
    )


def _write_durably(path: pathlib.Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
