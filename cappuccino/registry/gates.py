"""What an artifact must show, gate by gate, from the figures that are known of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cappuccino.bars.clock import utc
from cappuccino.config.gates import GatesConfig
from cappuccino.registry.confidence_sequence import normal_mixture_bound

Figures = Mapping[str, Mapping[str, Any]]
"""Of an artifact, the latest of each kind, as `registry.Entry.figures`."""


@dataclasses.dataclass(frozen=True)
class Gate:
    """A gate. statistical: whether it says that nothing was found, and not that something is broken or unknown."""

    name: str
    holds: bool
    found: str
    asked: str
    is_statistical: bool = False


def validation_gates(figures: Figures, config: GatesConfig) -> list[Gate]:
    """From candidate to validated."""
    known, proof, limits = (figures.get(kind) for kind in ("validation", "causality", "limits"))
    gates = [_deflated(known, config.deflated), _pbo(known, config.pbo)]
    gates += [_information(known, config.information), _dearer(known, config.fee_factor)]
    if config.causality:
        said = (
            "not proved: `cappuccino validate causality artifact=...`"
            if proof is None
            else "nothing does"
            if proof["passed"]
            else str(proof["said"])
        )
        gates.append(Gate("causality", proof is not None and bool(proof["passed"]), said, "that nothing looks ahead"))
    if config.decide_ms is not None:
        took = None if limits is None else float(limits["decide_ms"])
        said = "not measured" if took is None else f"{took:.2f} ms"
        gates.append(Gate("decide_ms", took is not None and took <= config.decide_ms, said, f"at most {config.decide_ms:g} ms"))
    return [gate for gate in gates if gate is not None]


_UNKNOWN = "not known: `cappuccino validate` makes it"


def _judged(
    name: str, known: Mapping[str, Any] | None, asked: str, judge: Callable[[Mapping[str, Any]], tuple[bool, str]]
) -> Gate:
    """A gate that speaks of chance where its figure is known."""
    if known is None:
        return Gate(name, False, _UNKNOWN, asked)
    holds, found = judge(known)
    return Gate(name, holds, found, asked, is_statistical=True)


def _deflated(known: Mapping[str, Any] | None, least: float | None) -> Gate | None:
    def judge(figures: Mapping[str, Any]) -> tuple[bool, str]:
        return figures["deflated"] >= least, f"{figures['deflated']:.3f} over {figures['trials']} trials"

    return None if least is None else _judged("deflated", known, f"at least {least:g}", judge)


def _pbo(known: Mapping[str, Any] | None, most: float | None) -> Gate | None:
    def judge(figures: Mapping[str, Any]) -> tuple[bool, str]:
        if figures["pbo"] is None:
            is_one = figures["trials"] <= 1
            return is_one, "one trial: nothing was chosen" if is_one else "not known: too few bars or trials"
        return figures["pbo"] <= most, f"{figures['pbo']:.3f}"

    return None if most is None else _judged("pbo", known, f"at most {most:g}", judge)


def _information(known: Mapping[str, Any] | None, above: float | None) -> Gate | None:
    def judge(figures: Mapping[str, Any]) -> tuple[bool, str]:
        low = figures["information_low"]
        return (
            low is not None and low > above,
            "it does what equal weight does" if low is None else f"{low:+.2f} a year at the lower end",
        )

    return None if above is None else _judged("information", known, f"above {above:g}", judge)


def _dearer(known: Mapping[str, Any] | None, factor: float | None) -> Gate | None:
    def judge(figures: Mapping[str, Any]) -> tuple[bool, str]:
        growth = figures["growth_by_fees"].get(f"{factor:g}")
        if growth is None:
            return False, f"known at {', '.join(figures['growth_by_fees'])} times only"
        return growth > 0, f"{1e4 * growth:+.3f}e-4 a bar"

    return None if factor is None else _judged("fees", known, f"growth above zero at {factor:g} times the fees", judge)


def shadow_gates(figures: Figures, config: GatesConfig) -> list[Gate]:
    """From shadow to champion, but for the comparison with today's."""
    seen, known = figures.get("shadow"), figures.get("validation")
    if seen is None:
        return [Gate("shadow", False, "it has not traded on paper", "a trader of it beside the champion's")]
    days = (seen["last_bar"] - seen["first_bar"]) / 86_400
    gates = [
        Gate("shadow_days", days >= config.shadow_days, f"{days:.1f} days", f"at least {config.shadow_days:g}"),
        Gate(
            "shadow_decisions",
            seen["decisions"] >= config.shadow_decisions,
            f"{seen['decisions']}",
            f"at least {config.shadow_decisions}",
        ),
        Gate(
            "unexplained",
            seen["bars_unexplained"] == 0,
            f"{seen['bars_unexplained']} bars",
            "at every bar at most 0.1 % of the causes and a cent an order",
        ),
    ]
    if config.shadow_stops is not None:
        holds = seen["stops"] <= config.shadow_stops
        gates.append(Gate("shadow_stops", holds, f"{seen['stops']}", f"at most {config.shadow_stops}"))
    if known is None:
        return [*gates, Gate("fresh_bars", False, _UNKNOWN, "bars that no earlier step has read")]
    is_fresh = seen["first_bar"] > known["last_bar"]
    said = f"from {utc(int(seen['first_bar']))}, validated to {utc(int(known['last_bar']))}"
    return [*gates, Gate("fresh_bars", is_fresh, said, "bars that no earlier step has read")]


def live_gates(figures: Figures, config: GatesConfig) -> list[Gate]:
    """What a champion must keep showing; nothing is asked of one that has not traded yet."""
    seen = figures.get("live")
    if seen is None:
        return []
    gates = [
        Gate(
            "live_unexplained",
            seen["bars_unexplained"] == 0,
            f"{seen['bars_unexplained']} bars",
            "at every bar at most 0.1 % of the causes and a cent an order",
        )
    ]
    if config.live_drawdown is not None:
        said = f"{seen['drawdown']:.2%} from its highest"
        gates.append(
            Gate("live_drawdown", seen["drawdown"] <= config.live_drawdown, said, f"at most {config.live_drawdown:.1%}")
        )
    if config.live_stops is not None:
        gates.append(Gate("live_stops", seen["stops"] <= config.live_stops, f"{seen['stops']}", f"at most {config.live_stops}"))
    promised = figures.get("validation", {}).get("growth")
    if config.live_confidence is not None and promised is not None and len(seen["equity"]) > config.live_bars:
        gates.append(_live_growth(seen["equity"], promised, config.live_confidence, config.live_bars))
    return gates


def _live_growth(equity: Mapping[str, float], promised: Mapping[str, float], confidence: float, first: int) -> Gate:
    """Whether log growth can still be what validation found at its lower end, judged as often as one likes from bar `first` on.

    How far growth strays by chance is what validation found as well: a few days of a strategy that is mostly out of the market tell
    nothing of how it does when it is in.
    """
    bars, low = len(equity) - 1, promised["low"]
    growth = math.log(equity[max(equity, key=int)] / equity[min(equity, key=int)]) / bars
    variance = promised["deviation"] ** 2
    high = growth + normal_mixture_bound(bars * variance, 1 - confidence, tightest=first * variance) / bars
    said = f"{1e4 * growth:+.3f}e-4 a bar, at most {1e4 * high:+.3f}e-4, over {bars} bars"
    asked = f"not below {1e4 * low:+.3f}e-4 a bar, the lower end of its validation, with {confidence:.0%} confidence"
    return Gate("live_growth", high >= low, said, asked, is_statistical=True)


def failed(gates: Sequence[Gate]) -> list[Gate]:
    """Those that do not hold."""
    return [gate for gate in gates if not gate.holds]


def as_figures(gates: Sequence[Gate]) -> dict[str, Any]:
    """Plain data for the record of a change."""
    return {gate.name: {"holds": gate.holds, "found": gate.found, "asked": gate.asked} for gate in gates}
