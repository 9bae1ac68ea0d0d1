"""Which device JAX computes on, and where it keeps what it has compiled."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib

from cappuccino.errors import InputError

LEVEL_FLAG = "--xla_backend_optimization_level"
MOST_CPU_DEVICES = 8
"""Devices made of a CPU's cores where the number of lanes is left to us: more would ask a search for many trials at once."""


def select_device(name: str, cpu_devices: int = 1) -> str:
    """Set JAX up for `auto`, `cpu` or `cuda` and return the device's name, like "cpu (2 cores)" or "NVIDIA H100".

    Call it before anything has computed with JAX. `auto` takes what JAX finds. cpu_devices: how many JAX makes of a CPU's cores,
    where it computes on a CPU; each training's own computations still use them all. Compiled programs are kept on disk, in
    JAX_COMPILATION_CACHE_DIR if that is set and in the user's cache folder otherwise. Raises InputError where CUDA is asked for
    and JAX finds none.
    """
    import jax

    compile_quickly(name)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_dir()))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # Small programs too: there are dozens before the first update, and JAX leaves out what compiles in less than a second.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if name != "auto":
        jax.config.update("jax_platforms", name)
    if cpu_devices > 1:
        jax.config.update("jax_num_cpu_devices", cpu_devices)
    try:
        device = jax.devices()[0]
    except (RuntimeError, AssertionError) as error:  # the latter where JAX knows no backend of that name
        raise InputError(
            f"device is {name}, but JAX finds none here; take device=cpu, or install cappuccino[cuda] on a machine with an "
            "NVIDIA GPU"
        ) from error
    if name != "auto" and device.platform not in (name, {"cuda": "gpu"}.get(name)):
        raise InputError(f"device is {name}, but JAX has already started on {device.platform}; select the device first")
    return device.device_kind if device.platform != "cpu" else f"cpu ({os.cpu_count()} cores)"


def cpu_devices(lanes: int | None) -> int:
    """As many devices as there are cores, so that each trains lanes of its own; a divisor of `lanes` where that is given."""
    cores = _cores()
    most = min(cores, MOST_CPU_DEVICES) if lanes is None else min(cores, lanes)
    return most if lanes is None else next(number for number in range(most, 0, -1) if lanes % number == 0)


def _cores() -> int:
    """Cores for this process: NPROC, from which XLA takes the size of its thread pools too, or those that it may run on."""
    said = os.environ.get("NPROC")
    if said is not None:
        if not said.isdecimal() or int(said) < 1:
            raise InputError(f"NPROC is {said!r} in the environment; it must be a number of cores, or not set")
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compile_quickly(name: str = "auto") -> None:
    """Set XLA to LLVM's first level of optimisation where the device will be a CPU: programs compile in about two thirds of the
    time and run about as fast (docs/design.md has the figures). A level that XLA_FLAGS names is left alone.

    Call it before anything has computed with JAX: XLA reads its flags once.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    other_devices = importlib.metadata.entry_points(group="jax_plugins")
    if LEVEL_FLAG in flags or name not in ("auto", "cpu") or (name == "auto" and other_devices):
        return
    os.environ["XLA_FLAGS"] = f"{flags} {LEVEL_FLAG}=1".strip()


def cache_dir() -> pathlib.Path:
    """Folder of compiled programs: `cappuccino/jax` in XDG_CACHE_HOME, or in ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (pathlib.Path(root) if root else pathlib.Path.home() / ".cache") / "cappuccino" / "jax"
