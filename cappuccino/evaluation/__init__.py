"""Evaluation: spans, backtests of agents and baselines, what they were worth, and the report that says so."""

from cappuccino.evaluation.backtest import (
    Path,
    Record,
    Rule,
    Strategy,
    backtest_span,
    policy_strategy,
    table_strategy,
)
from cappuccino.evaluation.comparison import Evaluation, evaluate_run, verdict
from cappuccino.evaluation.definitions import METRICS
from cappuccino.evaluation.folds import Fold, Folds, folds_of
from cappuccino.evaluation.metrics import measure
from cappuccino.evaluation.splits import Holdout, Span, holdout

__all__ = [
    "METRICS",
    "Evaluation",
    "Fold",
    "Folds",
    "Holdout",
    "Path",
    "Record",
    "Rule",
    "Span",
    "Strategy",
    "backtest_span",
    "evaluate_run",
    "folds_of",
    "holdout",
    "measure",
    "policy_strategy",
    "table_strategy",
    "verdict",
]
