"""Which bars an artifact has seen is told from its manifest, and never guessed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from artifact_scenarios import fields

from cappuccino.artifact.manifest import FORMAT_VERSION, Manifest
from cappuccino.artifact.seen import Seen, is_other_market, seen_spans, spans_of, steps_in
from cappuccino.config import compose
from cappuccino.errors import InputError
from cappuccino.evaluation.splits import Span

CLOCK = 1_577_836_800 + 3600 * np.arange(100)
SPLIT = (Span("train", 0, 60), Span("valid", 60, 80), Span("test", 80, 100))


def manifest(**validation: object) -> Manifest:
    return Manifest(format_version=FORMAT_VERSION, files={"policy.onnx": "0" * 64}, **fields(validation=validation))


def test_spans_survive_the_manifest_and_the_test_span_was_used_for_nothing():
    seen = seen_spans(manifest(spans=spans_of(CLOCK, SPLIT)))
    assert seen == (Seen("trained", CLOCK[0], CLOCK[59]), Seen("selected", CLOCK[60], CLOCK[79]))
    assert seen_spans(manifest()) is None


@pytest.mark.parametrize("said", [["train"], {"train": "2020"}, {"train": ["2020-01-01", "2021-01-01"]}, {"valid": [1, 2]}])
def test_spans_that_cannot_be_read_are_refused(said):
    with pytest.raises(InputError, match=r"validation\.spans is"):
        seen_spans(manifest(spans=said))


def test_a_step_is_in_the_span_whose_bar_marks_it():
    span = Seen("trained", int(CLOCK[10]), int(CLOCK[19]))
    assert [steps_in(span, CLOCK[rows]) for rows in (slice(0, 10), slice(0, 11), slice(0, 100), slice(19, 40))] == [0, 1, 10, 1]


def data(*words: str) -> dict:
    return dataclasses.asdict(compose("train", list(words)).data)


def test_real_bars_of_one_time_are_one_market_and_made_ones_that_of_their_seed():
    files, alpaca = data("data=files", "data.path=x"), data("data=alpaca", "data.path=y")
    made = data("data=synthetic", "data.seed=1")
    assert not is_other_market(files, alpaca)
    assert is_other_market(files, made)
    assert is_other_market(made, alpaca)
    assert not is_other_market(made, data("data=synthetic", "data.seed=1", "data.bars=500"))
    for word in ("data.seed=2", "data.kind=martingale", "data.assets=[BTC]", "data.start=2021-01-01"):
        assert is_other_market(made, data("data=synthetic", "data.seed=1", word)), word
