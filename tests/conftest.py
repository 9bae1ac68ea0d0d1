"""Strict JAX, shapes checked at run time, and where the shared bars are."""

from __future__ import annotations

import gc
import os
import pathlib
import sys
from collections.abc import Iterator

import absl.logging
import hypothesis
import jax
import pytest
from jaxtyping import install_import_hook

ROOT = pathlib.Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"

CACHE = str(ROOT / ".pytest_cache" / "jax")

# For this process, and for those that tests start.
# The level of optimisation is that of `cappuccino.training.device`, which cannot be imported before the hook below.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=1"
jax.config.update("jax_platforms", os.environ.setdefault("JAX_PLATFORMS", "cpu"))
jax.config.update("jax_compilation_cache_dir", os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", CACHE))
jax.config.update("jax_numpy_dtype_promotion", "strict")

# From here on every annotation in the package is checked when it is called; a proof of very many examples does without.
if os.environ.get("TYPECHECK") != "off":
    install_import_hook("cappuccino", "typechecking.check")

hypothesis.settings.register_profile("suite", deadline=None, derandomize="CI" in os.environ, print_blob=True)
hypothesis.settings.load_profile("suite")


MOST_MAPPINGS = 20_000
"""Compiled programs are mapped piece by piece, and Linux gives a process 65,530 mappings: XLA crashes where there are no more."""


@pytest.fixture(scope="module", autouse=True)
def _few_compiled_programs() -> Iterator[None]:
    """Programs of the modules before are dropped where they have become many."""
    yield
    mappings = pathlib.Path("/proc/self/maps")
    if mappings.exists() and mappings.read_bytes().count(b"\n") > MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real bars beside the repository; a test that asks for it is skipped where there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real bars: {SHARED_DATA} is not there")
    return SHARED_DATA


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> pytest.CaptureFixture[str]:
    """What a command prints that is run by `main` in this process.

    Hydra closes all log handlers when it sets up its own, and Abseil's closes its stream with it unless that is the standard one:
    here it would be pytest's.
    """
    monkeypatch.setattr(absl.logging.get_absl_handler().python_handler, "stream", sys.stderr)
    return capsys
