"""The agent set beside everything it could have been replaced by: same bars, same costs, and a verdict in one sentence."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from cappuccino.agents.networks import Policy
from cappuccino.bars import Origin
from cappuccino.bootstrap import FEWEST, bootstrap_interval, sharpe_ratio
from cappuccino.env import EnvParams
from cappuccino.evaluation.backtest import Path, Strategy, backtest_span, policy_strategy
from cappuccino.evaluation.baselines import EQUAL_REBALANCED, RANDOM, baselines, held_name, random_strategy
from cappuccino.evaluation.metrics import Benchmarks, bars_a_year, measure
from cappuccino.evaluation.splits import Span, iso
from cappuccino.market import Market, MarketSpec

AGENT = "agent"
UNTRAINED = "untrained network"
ORACLE = "oracle"
RULED = (AGENT, UNTRAINED, RANDOM)
"""What risk rules bind: the agent, and what stands for it without learning."""
CHANCE_T = 2.0
"""A lead whose t-value is below this is called within chance."""


class Lead(NamedTuple):
    """The agent's lead over another path. t: mean over standard error of the difference in log growth per bar, taking bars
    as independent; None where the two paths never differ or a single bar was traded."""

    total_return: float
    mean_log_growth: float
    t: float | None


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """One evaluated span. paths and metrics have the same names: AGENT first, the baselines, UNTRAINED, and ORACLE if any.

    costs: fractions and quote currency as in `cappuccino.env.Costs`, with the capital.
    """

    paths: dict[str, Path]
    metrics: dict[str, dict[str, float | None]]
    span: Span
    origin: Origin
    costs: dict[str, float]

    @property
    def agent(self) -> Path:
        return self.paths[AGENT]

    @property
    def baseline_names(self) -> tuple[str, ...]:
        """What the agent has to beat: every path but its own and the oracle's, which sees what nobody can."""
        return tuple(name for name in self.paths if name not in (AGENT, ORACLE))


def evaluate_run(
    policy: Policy | Strategy,
    untrained_policy: Policy,
    market: Market,
    spec: MarketSpec,
    span: Span,
    params: EnvParams,
    lookback: int,
    *,
    seed: int = 0,
    oracle: Strategy | None = None,
) -> Evaluation:
    """Run the policy, the baselines, the untrained network and the oracle, if there is one, over a span and measure them.

    Risk rules bind the policy, the untrained network and the random one; what else it is compared with knows none.

    policy: where JAX does not run it, the strategy that stands for it. seed: of the random baseline and the bootstrap. Raises InputError
    for a span too short to decide.
    """
    strategy = policy if isinstance(policy, Strategy) else policy_strategy(policy, lookback)
    agent = backtest_span(strategy, market, spec, span, lookback, params)
    strategies: dict[str, Strategy] = {
        **baselines(market, spec),
        RANDOM: random_strategy(agent, spec, market.close.dtype, rng=np.random.default_rng(seed)),
        UNTRAINED: policy_strategy(untrained_policy, lookback),
    }
    if oracle is not None:
        strategies[ORACLE] = oracle
    paths = {AGENT: agent} | {
        name: backtest_span(one, market, spec, span, lookback, params if name in RULED else params._replace(risk=None))
        for name, one in strategies.items()
    }
    benchmarks = Benchmarks(paths[EQUAL_REBALANCED], paths[held_name(spec.assets)])
    return Evaluation(
        paths=paths,
        metrics={name: figures_of(path, benchmarks, rng=np.random.default_rng(seed)) for name, path in paths.items()},
        span=span,
        origin=spec.origin,
        costs=_costs(params),
    )


def figures_of(path: Path, benchmarks: Benchmarks | None, *, rng: np.random.Generator) -> dict[str, float | None]:
    """`measure`, and the ends of the Sharpe ratio's 95 % interval; None for fewer than FEWEST bars and where it has no end."""
    figures = measure(path, benchmarks)
    if figures["sharpe"] is None or len(path) < FEWEST:
        return figures
    found = bootstrap_interval(path.returns, sharpe_ratio, rng=rng)
    year = math.sqrt(bars_a_year(path.bar_seconds))
    ends = {"sharpe_low": found.low, "sharpe_high": found.high}
    return figures | {name: end * year if math.isfinite(end) else None for name, end in ends.items()}


def _costs(params: EnvParams) -> dict[str, float]:
    scalars: dict[str, Any] = {
        "capital": params.capital,
        "taker_fee": params.costs.taker_fee,
        "half_spread": params.costs.half_spread,
        "slippage": params.costs.slippage,
        "min_notional": params.costs.rules.min_notional,
        "buying_power_margin": params.costs.rules.buying_power_margin,
    }
    return {name: float(value) for name, value in scalars.items()}


def lead(agent: Path, other: Path) -> Lead:
    """How far the agent came out ahead of another path over the same rows. Raises ValueError if the rows differ."""
    if not np.array_equal(agent.rows, other.rows):
        raise ValueError("the paths cover different rows")
    total = [float(path.equity[-1] / path.equity[0]) for path in (agent, other)]
    ahead = np.log1p(agent.returns) - np.log1p(other.returns)
    error = float(ahead.std(ddof=1)) / math.sqrt(len(ahead)) if len(ahead) > 1 else 0.0
    mean = float(ahead.mean())
    return Lead(total[0] - total[1], mean, mean / error if error > 1e-15 else None)


def leads(evaluation: Evaluation) -> dict[str, Lead]:
    """The agent's lead over every other path, by name."""
    return {name: lead(evaluation.agent, path) for name, path in evaluation.paths.items() if name != AGENT}


def verdict(evaluation: Evaluation) -> str:
    """One sentence: which baselines the agent beats in total return after costs, over which data, and what may be chance."""
    ahead = leads(evaluation)
    beaten = [name for name in evaluation.baseline_names if ahead[name].total_return > 0]
    others = [name for name in evaluation.baseline_names if name not in beaten]
    doubtful = [name for name in beaten if (ahead[name].t or 0.0) < CHANCE_T]

    def with_return(name: str) -> str:
        return f"{name} ({evaluation.metrics[name]['total_return']:+.1%})"

    path, origin = evaluation.agent, evaluation.origin
    sentence = (
        f"After costs, over the {evaluation.span.name} span {iso(path.timestamps[0])[:10]} to {iso(path.timestamps[-1])[:10]} "
        f"of {origin.source} data ({origin.venue}), the agent ({evaluation.metrics[AGENT]['total_return']:+.1%}) beats "
    )
    if not beaten:
        return sentence + f"none of the baselines: {listed([with_return(name) for name in others])}."
    sentence += listed([with_return(name) for name in beaten]) if others else f"all {len(beaten)} baselines"
    if others:
        sentence += f", but not {listed([with_return(name) for name in others])}"
    if doubtful:
        which = "every lead" if 1 < len(doubtful) == len(beaten) else f"its lead over {listed(doubtful)}"
        sentence += f"; {which} is within chance (t below {CHANCE_T:.0f})"
    return sentence + "."


def listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
