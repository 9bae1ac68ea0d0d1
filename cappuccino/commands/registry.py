"""`cappuccino registry`: what there is of artifacts, what is known of them, and what a person makes of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from cappuccino.bars.clock import utc
from cappuccino.config.roots import RegistryConfig
from cappuccino.errors import InputError, Refusal
from cappuccino.registry.gates import Gate, failed, live_gates, shadow_gates, validation_gates
from cappuccino.registry.promotion import promote, said
from cappuccino.registry.registry import Registry

SHOWN = 12
"""Characters of a checksum on the screen."""


def run(config: RegistryConfig) -> None:
    """Do what `config.action` says. Raises Refusal, with the gates that do not hold, where a promotion is refused."""
    console = Console()
    with contextlib.closing(Registry(config.runs_dir)) as registry:
        {
            "list": _list,
            "show": _show,
            "compare": _compare,
            "promote": _promote,
            "rollback": _roll_back,
            "prune": _prune,
        }[config.action](registry, config, console)


def _list(registry: Registry, config: RegistryConfig, console: Console) -> None:
    entries = registry.entries()
    if not entries:
        console.print(
            f"registry    {registry.path}: no artifact yet; `cappuccino validate` and `export` put theirs in", soft_wrap=True
        )
        return
    last = {change.checksum: change for change in registry.changes()}
    table = _table("artifact", "state", "since", "name", "study", "gates")
    for entry in entries:
        gates = validation_gates(entry.figures, config.gates)
        study = "" if entry.study is None else f"{entry.study} {'' if entry.trial is None else entry.trial}".strip()
        held = f"{len(gates) - len(failed(gates))} of {len(gates)}"
        style = {"champion": "bold", "retired": "dim"}.get(entry.state)
        since = utc(int(last[entry.checksum].at))[:16]
        table.add_row(entry.checksum[:SHOWN], entry.state, since, entry.name, study, held, style=style)
    console.print(table)
    for study, trials in registry.studies().items():
        console.print(f"study       {study}: {trials} trials", highlight=False)


def _show(registry: Registry, config: RegistryConfig, console: Console) -> None:
    entry = registry.entry(registry.find(_given(config.artifact, "artifact=CHECKSUM")))
    console.print(f"artifact    {entry.checksum}", soft_wrap=True, highlight=False)
    console.print(f"from        {entry.name}{'' if entry.study is None else f', study {entry.study}'}", highlight=False)
    console.print(f"state       {entry.state}", highlight=False)
    with contextlib.suppress(InputError):  # what was pruned has none
        console.print(f"folder      {registry.store.folder(entry.checksum)}", soft_wrap=True, highlight=False)
    console.print(_gates_table("validation", validation_gates(entry.figures, config.gates)))
    if "shadow" in entry.figures:
        console.print(_gates_table("on paper", shadow_gates(entry.figures, config.gates)))
    if "live" in entry.figures:
        console.print(_gates_table("as champion", live_gates(entry.figures, config.gates)))
    table = _table("when", "from", "to", "why", title="changes")
    for change in registry.changes(entry.checksum):
        table.add_row(utc(int(change.at))[:16], change.before or "", change.after, change.reason)
    console.print(table)
    deployments = registry.deployments(entry.checksum)
    if deployments:
        table = _table("trader", "began", "ended", "exit code", title="traders")
        for one in deployments:
            ended = "" if one.ended is None else utc(int(one.ended))[:16]
            table.add_row(one.trader, utc(int(one.began))[:16], ended, "" if one.exit_code is None else str(one.exit_code))
        console.print(table)


def _compare(registry: Registry, config: RegistryConfig, console: Console) -> None:
    if len(config.artifacts) < 2:
        raise InputError("compare takes two artifacts or more: artifacts=[CHECKSUM,CHECKSUM]")
    entries = [registry.entry(registry.find(name)) for name in config.artifacts]
    table = _table("", *(entry.checksum[:SHOWN] for entry in entries))
    table.add_row("state", *(entry.state for entry in entries))
    table.add_row("from", *(entry.name for entry in entries))
    for title, of in (("", validation_gates), ("paper ", shadow_gates)):
        by_entry = [{gate.name: gate for gate in of(entry.figures, config.gates)} for entry in entries]
        for name in dict.fromkeys(name for gates in by_entry for name in gates):
            table.add_row(f"{title}{name}", *(_said(gates.get(name)) for gates in by_entry))
    console.print(table)


def _promote(registry: Registry, config: RegistryConfig, console: Console) -> None:
    """One state further, if the gates before it hold."""
    checksum = registry.find(_given(config.artifact, "artifact=CHECKSUM"))
    judged = promote(registry, checksum, config.gates, config.reason)
    if judged.gates:
        console.print(_gates_table(f"from {judged.before} to {judged.after}", judged.gates))
    if judged.refused:
        raise Refusal(f"artifact {checksum[:SHOWN]} stays {judged.before}: {said(judged.refused)}")
    console.print(f"{judged.after:<11} {checksum[:SHOWN]}", highlight=False)


def _roll_back(registry: Registry, config: RegistryConfig, console: Console) -> None:
    old, new = registry.roll_back(config.reason)
    console.print(f"retired     {old[:SHOWN]}\nchampion    {new[:SHOWN]} again", highlight=False)


def _prune(registry: Registry, config: RegistryConfig, console: Console) -> None:
    sizes = registry.prune(keep=config.keep)
    for checksum, size in sizes.items():
        console.print(f"deleted     {checksum[:SHOWN]}: {size / 1e6:.1f} MB", highlight=False)
    console.print(
        f"pruned      {len(sizes)} artifacts, {sum(sizes.values()) / 1e6:.1f} MB; their records stay", highlight=False
    )


def _said(gate: Gate | None) -> str:
    return "" if gate is None else f"{'+' if gate.holds else '-'} {gate.found}"


def _given(name: str | None, how: str) -> str:
    if name is None:
        raise InputError(f"say which artifact: {how}")
    return name


def _gates_table(title: str, gates: Sequence[Gate]) -> Table:
    table = _table("gate", "", "found", "asked", title=title)
    for gate in gates:
        mark = "holds" if gate.holds else "fails"
        table.add_row(gate.name, mark, gate.found, gate.asked, style=None if gate.holds else "bold red")
    return table


def _table(*columns: str, title: str | None = None) -> Table:
    options: dict[str, Any] = {"box": None, "padding": (0, 2, 0, 0), "header_style": "", "title_justify": "left"}
    table = Table(title=title, **options)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
