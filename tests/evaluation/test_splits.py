"""Hold-out spans: in order, disjoint, whole, and refused with the range where they cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_markets import LOOKBACK, START, made_market

from cappuccino.errors import InputError
from cappuccino.evaluation.splits import Span, holdout, iso


@given(bars=st.integers(60, 400))
@settings(max_examples=15)
def test_without_dates_the_split_is_70_15_15(bars):
    _, spec = made_market((bars,))
    train, valid, test = holdout(spec, None, None, LOOKBACK)
    assert (train.start, train.stop, valid.stop, test.stop) == (0, valid.start, test.start, bars)
    for span, share in ((train, 0.70), (valid, 0.15), (test, 0.15)):
        assert abs((span.stop - span.start) - share * bars) <= 1


def test_dates_are_utc_and_begin_the_next_span():
    _, spec = made_market((100,))
    split = holdout(spec, "2020-01-02", "2020-01-03T01:00+01:00", LOOKBACK)
    assert split == (Span("train", 0, 24), Span("valid", 24, 48), Span("test", 48, 100))


@pytest.mark.parametrize(
    ("train_end", "valid_end", "message"),
    [
        ("yesterday", None, "data.train_end is 'yesterday'; it must be an ISO date"),
        (
            "2019-12-31",
            None,
            "data.train_end is 2019-12-31, outside the data: the bars run from 2020-01-01T00:00Z to 2020-01-05T03",
        ),
        ("2020-01-02", "2020-02-01", "data.valid_end is 2020-02-01, outside the data"),
        ("2020-01-03", "2020-01-02", "the valid span is empty"),
        ("2020-01-02", "2020-01-02", "the valid span is empty"),
        ("2020-01-01T05:00", None, "the train span, 2020-01-01T00:00Z to 2020-01-01T04:00Z, is too short: its 5 bars"),
        ("2020-01-02", "2020-01-05T03:00", "the test span, 2020-01-05T03:00Z to 2020-01-05T03:00Z, is too short: its 1 bars"),
    ],
)
def test_impossible_splits_are_refused_with_the_range(train_end, valid_end, message):
    _, spec = made_market((100,))
    with pytest.raises(InputError) as raised:
        holdout(spec, train_end, valid_end, LOOKBACK)
    assert message in str(raised.value)
    assert "the bars run from 2020-01-01T00:00Z to 2020-01-05T03:00Z" in str(raised.value)


def test_time_stamps_are_written_in_utc():
    assert iso(START) == "2020-01-01T00:00Z"
    assert iso(START + 61) == "2020-01-01T00:01:01Z"
