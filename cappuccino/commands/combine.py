"""`cappuccino combine`: several artifacts as one that does what they agree on."""

from __future__ import annotations

from rich.console import Console

from cappuccino.artifact.ensemble import combine
from cappuccino.artifact.runtime import load_artifact
from cappuccino.config.roots import CombineConfig
from cappuccino.registry.filling import register
from cappuccino.training.device import select_device


def run(config: CombineConfig) -> None:
    """Write the artifact and say what it is made of."""
    select_device("cpu")
    members = [load_artifact(path) for path in config.artifacts]
    whole = combine(members, config.agreement, config.out)
    register(config.runs_dir, whole.path, name=whole.path.name)
    names = ", ".join(member.checksum[:12] for member in members)
    Console().print(
        f"artifact    {whole.path}: {len(members)} artifacts ({names}) as one; an asset moves if {config.agreement:.0%} of them agree",
        soft_wrap=True,
        highlight=False,
    )
