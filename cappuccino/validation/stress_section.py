"""A validation's stress as a table of its page, and in a sentence. numbers: those of the record."""

from __future__ import annotations

import html
from typing import Any

from cappuccino.evaluation.comparison import AGENT
from cappuccino.evaluation.page import table
from cappuccino.evaluation.report import LOG_UNIT, MINUS, UNDEFINED, signed
from cappuccino.validation.drawn import counted


def stress_section(numbers: dict[str, Any]) -> str:
    """A table on the page, and how it was made; nothing where the stress was left out."""
    found, config = numbers["stress"], numbers["configuration"]["stress"]
    if found is None:
        return ""
    markets = counted(config["draws"], "market")
    dropped, restated, size, fall = (
        f"{100 * config[name]:g} %" for name in ("dropped_share", "restated_share", "restated_size", "crash_fall")
    )
    back = "come back within as many" if config["crash_recovers"] else "stay there"
    drawn = {
        "dropped": ("Missing bars", f"{markets}; {dropped} of bars are missing, asset by asset, and cannot be traded"),
        "restated": (
            "Restated bars",
            f"{markets}; {restated} of bars are seen with another close and volume than those that are traded and marked at, off by "
            f"{size} as a rule",
        ),
        "bootstrapped": (
            "Other orders of history",
            f"{markets}; each group's own bars in blocks of {config['block_bars']:g} on average",
        ),
        "crashed": (
            "Crashes",
            f"{markets}; {counted(config['crashes'], 'time')} all prices fall by {fall} in {counted(config['crash_bars'], 'bar')}, and "
            f"{back}",
        ),
        "by_start": (
            "Other starts",
            f"{counted(len(found['by_start']), 'start')} from cash, {counted(found['horizon'], 'bar')} from each",
        ),
    }
    rows = [["As it was", grown(found["plain"]), "", "own costs, orders on time, the market as it was"]]
    for late, growth in enumerate(found["by_delay"]):
        if late:
            bars = counted(late, "bar")
            rows.append(
                [f"Orders {bars} late", grown(growth), "", f"what is decided at a close reaches the venue {bars} after"]
            )
    for name, (title, how) in drawn.items():
        low, median, high = found["spread"][name]
        rows.append([title, grown(median), f"{grown(low)} to {grown(high)}", how])
    cost = UNDEFINED if found["break_even"] is None else f"{1e4 * found['break_even']:,.1f} bps"
    rows.append(["Break-even cost", cost, "", f"{break_even_said(numbers)}; fee, half-spread and slippage scaled together"])
    caption = (
        f"Growth over the first out-of-sample path with seed {numbers['seeds'][0]}: every group by the policy of the fold that tests it "
        f"there, from cash; over all paths and seeds it is {grown(numbers['growth'][AGENT])}. Policies stay as they were trained; "
        "features are computed anew for every market. Of several markets or starts the median, and from the 5 % to the 95 % quantile. "
        f"In place of a growth, {UNDEFINED} says that all was lost."
    )
    header = ["", f"growth, {LOG_UNIT}", "5 % to 95 %", "how"]
    cells = [[html.escape(cell) for cell in row] for row in rows]
    body = table(header, cells, highlight=1)
    return f"<section class='stress'><h2>Under stress</h2>{body}<p class='caption'>{caption}</p></section>"


def stress_sentence(numbers: dict[str, Any]) -> str:
    """The main numbers of a record's stress in a sentence, for people."""
    found = numbers["stress"]
    own, late, crashed = (grown(value) for value in (found["plain"], found["by_delay"][1], found["spread"]["crashed"][1]))
    return (
        f"growth is {own} of 1e{MINUS}4 a bar on the first path with seed {numbers['seeds'][0]}, {late} with orders a bar late, "
        f"{crashed} with crashes; {break_even_said(numbers)}"
    )


def break_even_said(numbers: dict[str, Any]) -> str:
    """At which cost nothing is left, beside the configuration's own."""
    found, costs = numbers["stress"], numbers["configuration"]["costs"]
    own = f"its own are {total_bps(costs):g}"
    if found["break_even"] is not None:
        return f"growth ends at costs of {1e4 * found['break_even']:.1f} bps of notional, {own}"
    if (found["plain"] or 0) > 0:
        return f"growth ends nowhere up to costs of {numbers['configuration']['stress']['highest_cost_bps']:g} bps of notional, {own}"
    return f"there is no growth even without costs, {own} bps of notional"


def total_bps(costs: dict[str, Any]) -> float:
    """What a fill costs, in basis points of the notional."""
    return costs["taker_fee_bps"] + costs["half_spread_bps"] + costs["slippage_bps"]


def grown(growth: float | None) -> str:
    """Log growth per bar in units of 1e-4; a dash where all was lost."""
    return UNDEFINED if growth is None else signed(f"{1e4 * growth:,.3f}")
