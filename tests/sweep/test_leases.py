"""Whether the process that runs a trial still lives."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cappuccino.sweep.leases import Lease, Owner, is_alive, read_lease, this_process, why_over

owners = st.builds(Owner, host=st.text(), scope=st.text(), pid=st.integers(), started=st.text())
leases = st.builds(Lease, owner=owners, until=st.floats(allow_nan=False, allow_infinity=False))

CHILD = """
import dataclasses, json, sys
from cappuccino.sweep.leases import this_process
print(json.dumps(dataclasses.asdict(this_process())), flush=True)
sys.stdin.read()
"""


@given(leases)
def test_a_lease_survives_json(lease: Lease) -> None:
    assert read_lease(json.loads(json.dumps(lease.to_json()))) == lease


@pytest.mark.parametrize(
    "value", [None, True, "vm", [], {}, {"host": "vm", "pid": 1}, {**Lease(this_process(), 0.0).to_json(), "pid": "1"}]
)
def test_anything_else_is_no_lease(value: Any) -> None:
    assert read_lease(value) is None


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_is_alive_until_it_ends_and_not_while_it_waits_to_be_reaped(ending: signal.Signals) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        owner = Owner(**json.loads(child.stdout.readline()))
        assert owner.pid == child.pid
        assert is_alive(owner) is True
        assert why_over(Lease(owner, until=0.0), now=1.0) is None, "a process that can be seen needs no lease"
        os.kill(owner.pid, signal.SIGSTOP)
        assert is_alive(owner) is True, "it may go on"
        os.kill(owner.pid, ending)
        os.kill(owner.pid, signal.SIGCONT)
        os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
        assert is_alive(owner) is False, "ended, but its parent has not asked how"
        child.wait()
    assert is_alive(owner) is False
    assert "has ended" in str(why_over(Lease(owner, until=2.0), now=1.0))


def test_a_pid_that_is_used_again_is_another_process() -> None:
    assert is_alive(this_process()) is True
    assert is_alive(dataclasses.replace(this_process(), started="yesterday")) is False


@pytest.mark.parametrize("elsewhere", [{"host": "another"}, {"scope": "another boot or container"}])
@given(until=st.floats(0, 2e9), now=st.floats(0, 2e9))
def test_what_cannot_be_seen_counts_as_alive_until_its_lease_runs_out(
    elsewhere: dict[str, str], until: float, now: float
) -> None:
    owner = dataclasses.replace(this_process(), **elsewhere)
    assert is_alive(owner) is None
    assert (why_over(Lease(owner, until), now) is None) == (now <= until)
