"""Does anything in an artifact's decision look ahead? The future is replaced, and what moved is named; no JAX.

Two proofs, on the code with which the trader decides (`FeatureSet.compute` and the artifact's `decide`):
- behind cuts, all bars are replaced (`cappuccino.features.futures`); every feature of every asset, and the target weights, must stay
  what they were at every row up to the cut, to the bit;
- from its declared warm-up on every feature must be what all bars give, and the decision that of the trader, who knows the warm-up and
  the look-back only, as in freqtrade's recursive analysis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, Int

from cappuccino.artifact.findings import POLICY, Causality, Finding, Move
from cappuccino.artifact.manifest import Manifest
from cappuccino.bars.table import BarTable
from cappuccino.errors import InputError
from cappuccino.features.futures import FUTURES
from cappuccino.features.registry import FeatureSet, check_features, valid_rows
from cappuccino.features.warmup import TOLERANCE, bars_before, needed_warmup, stream_error

Decide = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""window (L, A, F), weights (A,) -> target weights (A,), float64, as `artifact.runtime.Artifact.decide`."""

ASKED = 16
"""Rows up to a cut, and behind it, at which the policy is asked."""

TARGET_ROUNDING = 1e-6
"""Of equity: by how much a target weight may differ where features may differ by `futures.ROUNDING`. The policy reckons in float32."""


def check_causality(
    manifest: Manifest, decide: Decide, bars: BarTable, *, cuts: int = 20, rows: int = 100, seed: int = 0
) -> Causality:
    """Both proofs for the features and the policy of an artifact over bars of its assets, at random cuts and rows.

    The look-back is that of the policy's graph, which `load_artifact` holds against the manifest.

    Raises InputError for bars of other assets, for too few of them, and where a feature is not finite, constant or a duplicate.
    """
    if bars.assets != manifest.assets:
        raise InputError(f"the artifact decides on {', '.join(manifest.assets)}; the bars are of {', '.join(bars.assets)}")
    rng = np.random.default_rng(seed)
    features = FeatureSet(manifest.features, manifest.bar_seconds)
    batch = features.compute(bars)
    valid = valid_rows(bars, features.warmup)
    check_features(batch, features.names, bars.assets, valid)
    possible = _possible_rows(bars, features.warmup, manifest.lookback)
    chosen_cuts, chosen_rows = (np.sort(rng.permutation(possible)[:number]) for number in (cuts, rows))
    proof = _Proof(manifest, decide, features, bars, batch, batch[valid].std(axis=(0, 1)), rng)
    moves = list(proof.moves(chosen_cuts))
    window_error, target_error = proof.trader_errors(chosen_rows)
    return Causality(
        bars=bars,
        cuts=tuple(chosen_cuts.tolist()),
        rows=tuple(chosen_rows.tolist()),
        features=tuple(
            proof.finding(index, tuple(move for name, move in moves if name == feature), chosen_rows)
            for index, feature in enumerate(features.names)
        ),
        policy=tuple(move for name, move in moves if name == POLICY),
        warmup=(manifest.warmup, features.warmup),
        lookback=manifest.lookback,
        window_error=window_error,
        target_error=target_error,
    )


def _possible_rows(bars: BarTable, warmup: int, lookback: int) -> Int[np.ndarray, "N"]:
    """Rows with more bars before them than a decision takes, and one behind them, in their segment."""
    before = bars_before(bars)
    rows = np.flatnonzero((before >= warmup + lookback) & (np.append(bars.segment[1:], -1) == bars.segment))
    if len(rows) == 0:
        raise InputError(
            f"no bar has more before it than a decision takes, a warm-up of {warmup} and a look-back of {lookback}, and one behind it: "
            f"the longest segment has {before.max() + 1} bars; give more"
        )
    return rows


@dataclasses.dataclass(frozen=True, eq=False)
class _Proof:
    """What both proofs compare with: the features of all bars as they are, their standard deviations (F,)."""

    manifest: Manifest
    decide: Decide
    features: FeatureSet
    bars: BarTable
    batch: Float[np.ndarray, "T A F"]
    spread: Float[np.ndarray, "F"]
    rng: np.random.Generator

    def moves(self, cuts: Int[np.ndarray, "C"]) -> Iterator[tuple[str, Move]]:
        """What moved behind which cut, by the name of the feature, or POLICY."""
        for cut in cuts.tolist():
            rows = np.arange(cut + 1)
            asked = self._asked(cut, len(self.bars))
            held = self._portfolios(asked)
            targets = self._targets(self.batch, asked, held)
            for name, future in FUTURES.items():
                other = self.features.compute(future.replace(self.bars, cut, self.rng))
                gap = np.abs(other[: cut + 1] - self.batch[: cut + 1]) / self.spread
                gap = np.where(np.isnan(self.batch[: cut + 1]), 0, np.where(np.isnan(gap), np.inf, gap))
                for index in np.flatnonzero((gap > future.rounding).any(axis=(0, 1))):
                    yield self.features.names[index], self._move(name, cut, rows, gap[..., index], future.rounding)
                known = asked <= cut
                there = asked < len(other)
                change = np.abs(self._targets(other, asked[there], held[there]) - targets[there])[known[there]]
                rounding = TARGET_ROUNDING if future.rounding else 0.0
                if (change > rounding).any():
                    yield POLICY, self._move(name, cut, asked[known], change, rounding)

    def finding(self, index: int, moves: tuple[Move, ...], rows: Int[np.ndarray, "N"]) -> Finding:
        """What is found of a feature, its warm-up judged at `rows`."""
        name, batch, spread = self.features.names[index], self.batch[..., index], float(self.spread[index])
        indicator = self.features.indicators[index]
        error = stream_error(indicator, self.bars, batch, rows, indicator.warmup)
        found = Finding(name, moves, indicator.warmup, error / spread, None)
        if not found.is_short:
            return found
        return found._replace(needed=needed_warmup(indicator, self.bars, batch, rows, TOLERANCE * spread))

    def trader_errors(self, rows: Int[np.ndarray, "N"]) -> tuple[float, float]:
        """Largest differences of the trader's window, in standard deviations, and of its targets, from those of all bars."""
        lookback, held = self.manifest.lookback, self._portfolios(rows)
        targets = self._targets(self.batch, rows, held)
        window_error = target_error = 0.0
        for row, weights, target in zip(rows.tolist(), held, targets, strict=True):
            known = self.bars.rows(row + 1 - self.features.warmup - lookback, row + 1)
            window = self.features.compute(known)[-lookback:]
            gap = np.abs(window - self.batch[row + 1 - lookback : row + 1]) / self.spread
            window_error = max(window_error, float(np.where(np.isnan(gap), np.inf, gap).max()))
            target_error = max(target_error, float(np.abs(self.decide(window, weights) - target).max()))
        return window_error, target_error

    def _asked(self, cut: int, stop: int) -> Int[np.ndarray, "N"]:
        """Rows around a cut at which one can decide, latest first: a policy that keeps what it saw is asked behind the cut before."""
        rows = np.arange(min(cut + ASKED, stop - 1), max(cut - ASKED, -1), -1)
        return rows[bars_before(self.bars)[rows] >= self.features.warmup + self.manifest.lookback - 1]

    def _portfolios(self, rows: Int[np.ndarray, "N"]) -> Float[np.ndarray, "N A"]:
        """Weights to hold at the rows, drawn evenly from all portfolios of the assets and cash."""
        assets = len(self.bars.assets)
        return self.rng.dirichlet(np.ones(assets + 1), len(rows))[:, :assets]

    def _targets(
        self, values: Float[np.ndarray, "t A F"], rows: Int[np.ndarray, "N"], held: Float[np.ndarray, "N A"]
    ) -> Float[np.ndarray, "N A"]:
        lookback = self.manifest.lookback
        return np.stack(
            [self.decide(values[row + 1 - lookback : row + 1], weights) for row, weights in zip(rows, held, strict=True)]
        )

    def _move(self, future: str, cut: int, rows: Int[np.ndarray, "n"], gap: Float[np.ndarray, "n A"], rounding: float) -> Move:
        moved = gap > rounding
        where = rows[moved.any(axis=1)]
        return Move(
            future=future,
            cut=cut,
            first=int(where.min()),
            last=int(where.max()),
            values=int(moved.sum()),
            size=float(gap.max()),
            asset=self.bars.assets[int(np.argmax(gap.max(axis=0)))],
        )
