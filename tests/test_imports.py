"""Dependencies point one way, and what trades needs no JAX."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys
from collections.abc import Iterable

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "cappuccino"

# Lower layers first; a module may import its own layer and those below.
LAYERS = (
    ("errors", "deadline", "write_ahead", "version", "process", "bootstrap", "holding", "thinning", "listening", "extensions"),
    ("bars",),
    ("features", "plan"),
    ("market", "mesh", "risk"),
    ("env",),
    ("agents",),
    ("evaluation",),
    ("training",),
    ("artifact",),
    ("registry",),
    ("broker",),
    ("trading",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
APART = {"trading": {"registry"}, "broker": {"artifact", "registry", "training", "evaluation", "agents", "env", "market"}}
"""Within what the layers allow, what these nevertheless do not import."""
COMPOSED = {
    "config",
    "commands",
    "dashboard",
    "cli",
    "help",
    "assemble",
    "assess",
    "sources",
    "adapters",
    "bench",
    "lanes",
    "sweep",
    "validation",
    "publish",
    "deployment",
    "pipeline",
}
"""What puts the layers together: no layer imports it, but for the shape of the configuration (`config`)."""

WITHOUT_JAX = (
    "bars.table",
    "bars.align",
    "bars.files",
    "features",
    "features.normaliser",
    "plan",
    "risk",
    "artifact.manifest",
    "artifact.runtime",
    "artifact.causality",
    "artifact.seen",
    "sources",
    "commands.trade",
    "commands.exchange",
    "commands.validate_causality",
    "commands.registry",
    "commands.dashboard",
    "commands.pipeline",
    *(
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        for name in ("config", "broker", "trading", "registry", "pipeline", "dashboard")
        for path in sorted((PACKAGE / name).rglob("*.py"))
        if path.name != "__main__.py"
    ),
)
HEAVY = ("jax", "jaxlib", "flax", "optax", "orbax")


def imported_by(path: pathlib.Path) -> set[str]:
    """First-level names of the package that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            names |= {module} if module != "cappuccino" else {f"cappuccino.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("cappuccino.")}


@pytest.mark.parametrize(("below", "above"), [("lanes", ("validation", "sweep")), ("validation", ("sweep",))])
def test_what_trains_side_by_side_is_below_validation_and_that_below_search(below: str, above: tuple[str, ...]) -> None:
    for path in (PACKAGE / below).rglob("*.py"):
        assert not imported_by(path) & set(above), path


@pytest.mark.parametrize("layer", RANK)
def test_no_import_points_backwards(layer: str) -> None:
    folder = PACKAGE / layer
    backwards = []
    for path in [folder.with_suffix(".py")] if not folder.is_dir() else sorted(folder.rglob("*.py")):
        for name in sorted(imported_by(path) - {layer, "config", "__version__"}):
            if name in COMPOSED or RANK[name] > RANK[layer] or name in APART.get(layer, ()):
                backwards.append(f"{path.relative_to(ROOT)} imports {name}")
    assert backwards == []


def test_every_module_has_a_place() -> None:
    names = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert names - {"__init__"} - set(RANK) <= COMPOSED


def first_to_bring(modules: Iterable[str], unwanted: Iterable[str]) -> str:
    """Of the package's modules, imported in turn by one new process, the first with which an unwanted one comes; or nothing."""
    program = (
        "import importlib, sys\n"
        f"for module in {list(modules)}:\n"
        "    importlib.import_module(f'cappuccino.{module}')\n"
        f"    came = [name for name in {list(unwanted)} if name in sys.modules]\n"
        "    if came:\n"
        "        sys.exit(print(f'{module} brings {came}'))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_what_trades_imports_no_jax() -> None:
    assert first_to_bring(WITHOUT_JAX, HEAVY) == ""


@pytest.mark.parametrize("module", ["artifact.runtime", "features", "plan"])
def test_what_a_decision_takes_imports_no_jax_by_itself(module: str) -> None:
    assert first_to_bring([module], (*HEAVY, "hydra", "omegaconf")) == ""


def test_the_environment_imports_no_agent() -> None:
    assert first_to_bring(["env", "env.environment"], ("cappuccino.agents", "cappuccino.training")) == ""


def test_only_the_adapter_for_it_imports_gymnasium() -> None:
    """It is an extra: whatever else imported it would fail where it is not installed."""
    importers = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "gymnasium" for name in names):
                importers.add(path.relative_to(PACKAGE).as_posix())
    assert importers == {"adapters/gymnasium_envs.py"}
