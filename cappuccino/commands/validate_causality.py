"""`cappuccino validate causality`: proof that nothing in an artifact's decision looks ahead. Imports no JAX."""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table

from cappuccino.artifact.causality import check_causality
from cappuccino.artifact.findings import POLICY, Causality, Move, reach_of
from cappuccino.artifact.runtime import load_artifact
from cappuccino.bars.clock import utc
from cappuccino.config.roots import ValidateCausalityConfig
from cappuccino.errors import InputError
from cappuccino.registry.filling import register
from cappuccino.sources import artifact_bars, validation_folder


def run(config: ValidateCausalityConfig) -> None:
    """Print what was found of each feature and of the policy, and write `causality.json`. Raises InputError naming what leaks."""
    console = Console()
    artifact = load_artifact(config.artifact)
    bars = artifact_bars(artifact.manifest, config.data)
    found = check_causality(artifact.manifest, artifact.decide, bars, cuts=config.cuts, rows=config.rows, seed=config.seed)
    folder = validation_folder(config.out, config.runs_dir, artifact.checksum)
    folder.mkdir(parents=True, exist_ok=True)
    about = {"artifact": {"folder": str(artifact.path), "checksum": artifact.checksum}, "seed": config.seed}
    (folder / "causality.json").write_text(json.dumps(about | found.document(), indent=2, allow_nan=False) + "\n")
    console.print(
        f"bars        {len(bars):,} of {', '.join(bars.assets)} from {bars.origin.venue} ({bars.origin.source}), "
        f"{utc(bars.timestamps[0])} to {utc(bars.timestamps[-1])}"
    )
    console.print(table(found))
    proof = {"passed": not found.problems(), "said": found.verdict()}
    register(config.runs_dir, artifact.path, name=artifact.path.parent.name, figures={"causality": proof})
    console.print(f"numbers     {folder / 'causality.json'}", soft_wrap=True)
    if found.problems():
        raise InputError(found.verdict())
    console.print(found.verdict())


def table(found: Causality) -> Table:
    """One line for each feature and one for the policy."""
    shown = Table(title="standard deviations of a feature, shares of equity of the policy", title_justify="left")
    shown.add_column("", no_wrap=True)
    for heading in ("looks ahead, bars", "moved by", "warm-up", "error there", "needs"):
        shown.add_column(heading, justify="right")
    for one in found.features:
        # What an indicator that reads ahead is short of is not known.
        needs = "" if not one.is_short else "more than there are" if one.needed is None else f"{one.needed:,}"
        cells = (f"{one.warmup:,}", f"{one.error:.1g}", needs)
        shown.add_row(one.feature, *_moved(one.moves), *cells, style="bold red" if one.moves or one.is_short else None)
    cells = (f"{found.warmup[1]:,}", f"{found.target_error:.1g}", "")
    shown.add_row(POLICY, *_moved(found.policy), *cells, style="bold red" if found.policy else None)
    return shown


def _moved(moves: tuple[Move, ...]) -> tuple[str, str]:
    if not moves:
        return "no", ""
    return f"{reach_of(moves):,} or more", f"{max(move.size for move in moves):.2g}"
