"""Checkpoints of everything a training needs to go on bit for bit, written by Orbax, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from cappuccino.errors import InputError

Tree = TypeVar("Tree")
KEPT = 2
"""Latest checkpoints kept, beside the best: should the last one be unreadable, the one before it is there."""

DELETED = "deleted"
"""Where a checkpoint is moved, in one step, before its files are deleted one by one."""


class Restored(NamedTuple):
    """update: number of updates done. arrays: by path, as `flatten` names them. meta: what was saved with them."""

    update: int
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def flatten(tree: Any) -> dict[str, np.ndarray]:
    """The leaves of a pytree by path, as host arrays; random keys as their data."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    data = [(jax.tree_util.keystr(path), jax.random.key_data(leaf) if _is_key(leaf) else leaf) for path, leaf in leaves]
    return {path: np.asarray(leaf) for path, leaf in data}


def unflatten(like: Tree, arrays: dict[str, np.ndarray]) -> Tree:
    """A pytree of the structure of `like` from `flatten`ed arrays.

    Raises InputError where a path is missing or a shape or dtype differs: the checkpoint is of another configuration.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    restored = []
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path)
        if name not in arrays:
            raise InputError(f"the checkpoint has no {name}: it was written with another configuration")
        data = jax.random.key_data(leaf) if _is_key(leaf) else leaf
        found = arrays[name]
        if found.shape != data.shape or found.dtype != data.dtype:
            raise InputError(
                f"{name} is {found.dtype}{list(found.shape)} in the checkpoint and {data.dtype}{list(data.shape)} here: "
                "it was written with another configuration"
            )
        restored.append(jax.random.wrap_key_data(jnp.asarray(found)) if _is_key(leaf) else jnp.asarray(found))
    return jax.tree_util.tree_unflatten(structure, restored)


def digest(arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any] | None = None) -> str:
    """SHA-256 over names, dtypes, shapes and values, and over what else is saved with them, in hexadecimal."""
    total = hashlib.sha256(b"" if meta is None else json.dumps(meta, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


class Checkpoints:
    """The checkpoints of one run: the latest ones and the one with the highest score.

    A checkpoint appears under its number only when it is complete, and disappears from there before it is deleted: a kill at
    any moment leaves whole ones. What it holds is checked against its SHA-256 when it is read, its score when this is opened.

    Raises InputError for a checkpoint without a readable score.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self._clear_deleted()
        self._check_scores()
        keep = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(KEPT),
                preservation_policy.BestN(get_metric_fn=lambda metrics: metrics["score"], n=1),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            enable_async_checkpointing=False,
            cleanup_tmp_directories=True,
            preservation_policy=keep,
            todelete_subdir=DELETED,
            best_fn=lambda metrics: metrics["score"],
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *error: object) -> None:
        self._manager.close()

    def latest(self) -> int | None:
        """Number of the latest checkpoint, None if there is none."""
        return self._manager.latest_step()

    def best(self) -> int | None:
        """Number of the checkpoint with the highest score, None if there is none."""
        return self._manager.best_step()

    def save(self, update: int, tree: Any, score: float, meta: dict[str, Any]) -> None:
        """Write a pytree as checkpoint `update`; returns when it is complete on disk."""
        arrays = flatten(tree)
        self._manager.save(
            update,
            args=ocp.args.Composite(
                arrays=ocp.args.StandardSave(arrays), meta=ocp.args.JsonSave({**meta, "sha256": digest(arrays, meta)})
            ),
            metrics={"score": score, "sha256": _score_digest(score)},
        )
        self._manager.wait_until_finished()
        self._clear_deleted()

    def restore(self, update: int) -> Restored:
        """Read checkpoint `update`. Raises InputError if it cannot be read or is not what was written."""
        try:
            found = self._manager.restore(
                update, args=ocp.args.Composite(arrays=ocp.args.StandardRestore(), meta=ocp.args.JsonRestore())
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"checkpoint {self.folder / str(update)} cannot be read ({_first_line(error)}); delete that folder to go on "
                "from the one before it"
            ) from error
        arrays = {name: np.asarray(array) for name, array in found["arrays"].items()}
        meta = dict(found["meta"])
        expected = meta.pop("sha256", None)
        if digest(arrays, meta) != expected:
            raise InputError(
                f"checkpoint {self.folder / str(update)} does not match its SHA-256; delete that folder to go on from the one "
                "before it"
            )
        return Restored(update=update, arrays=arrays, meta=meta)

    def _clear_deleted(self) -> None:
        if (self.folder / DELETED).exists():
            shutil.rmtree(self.folder / DELETED)

    def _check_scores(self) -> None:
        # Orbax compares the scores of all checkpoints, and would take a damaged one for what it says, or fail with a traceback.
        for checkpoint in self.folder.glob("[0-9]*"):
            if not checkpoint.name.isdecimal():
                continue
            try:
                found = json.loads((checkpoint / "metrics" / "metrics").read_bytes())
                intact = found["sha256"] == _score_digest(found["score"])
            except (OSError, ValueError, KeyError, TypeError):
                intact = False
            if not intact:
                raise InputError(f"checkpoint {checkpoint} has no readable score; delete that folder to go on from another one")


def _score_digest(score: float) -> str:
    return hashlib.sha256(repr(float(score)).encode()).hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
