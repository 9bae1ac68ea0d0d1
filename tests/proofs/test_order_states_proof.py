"""The states of orders: a small instance of the proof `order_states`."""

from __future__ import annotations

import pytest
from small_proof import run


@pytest.mark.slow
def test_orders_survive_whatever_is_done_to_them() -> None:
    assert run("order_states", "--examples", "2000").strip().endswith(": holds")
