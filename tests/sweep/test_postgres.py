"""What of a study is particular to PostgreSQL: its server answers, refuses, restarts, and lets transactions run side by side."""

from __future__ import annotations

import subprocess
import sys
import threading

import optuna
import pytest
import sqlalchemy
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from postgres import Server
from sqlalchemy import event
from study_cases import assert_done, finish, start, trials_of
from study_worker import open_at

from cappuccino.errors import InputError
from cappuccino.sweep.places import places_of
from cappuccino.sweep.storage import failures_said


@pytest.mark.parametrize("wrong", ["password", "user", "database", "port"])
def test_what_the_server_refuses_is_said_in_one_line_without_the_password(postgres: Server, wrong: str) -> None:
    given = "not the p@ss:word" if wrong == "password" else postgres.password
    url, said = {
        "password": (postgres.url("postgres", password=given), "password authentication failed"),
        "user": (postgres.url("postgres", user="nobody"), "password authentication failed"),
        "database": (postgres.url("nothing"), 'database "nothing" does not exist'),
        "port": (postgres.url("postgres").replace(f":{postgres.port}/", ":1/"), "Connection refused"),
    }[wrong]
    with pytest.raises(InputError) as refused:
        open_at(url, 2)
    message = str(refused.value)
    assert said in message
    assert message.startswith("the storage postgresql+psycopg://")
    assert ":***@127.0.0.1:" in message
    assert "\n" not in message
    assert given not in message
    assert url.split(":")[2].partition("@")[0] not in message


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_processes_share_a_study_whatever_the_servers_isolation(postgres: Server, isolation: str) -> None:
    url = postgres.new_database()
    name = url.rpartition("/")[2]
    postgres.execute("postgres", f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
    claimed = [line for process in [start("run", url, 12, 3) for _ in range(3)] for line in finish(process)]
    assert sorted(places_of(trials_of(open_at(url, 12)))[int(line.split()[1])] for line in claimed) == list(range(12))


def test_a_study_goes_on_after_the_server_was_restarted(postgres: Server) -> None:
    study = open_at(postgres.new_database(), 3)
    first = study.claim()
    assert first is not None
    postgres.stop()
    later = threading.Timer(1.0, postgres.start)
    later.start()
    try:
        assert study.tell(first, 1.0, TrialState.COMPLETE, {"figure": 1})
    finally:
        later.join()
    second = study.claim()
    postgres.stop()
    postgres.start()
    third = study.claim()
    assert second is not None
    assert third is not None
    assert study.renew([second, third]) == []
    for trial in (second, third):
        assert study.tell(trial, 0.0, TrialState.COMPLETE, {})
    assert_done(study, 3)


def test_an_attribute_is_there_before_the_trial_ends_or_never(postgres: Server) -> None:
    """Another process ends the trial just when this one, which has read that it runs, is about to write the attribute."""
    url = postgres.new_database()
    study, other = open_at(url, 1), open_at(url, 1)
    trial = study.claim()
    assert trial is not None
    ended: list[optuna.trial.FrozenTrial] = []

    def end() -> None:
        other.study.tell(trial.number, state=TrialState.FAIL)
        ended.extend(trials_of(other))

    ending = threading.Thread(target=end)

    def on_statement(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        about_to = statement.startswith("INSERT INTO trial_user_attributes")
        if about_to and threading.current_thread() is not ending and ending.ident is None:
            ending.start()
            ending.join(0.5)

    event.listen(sqlalchemy.Engine, "before_cursor_execute", on_statement)
    try:
        trial.set_user_attr("late", True)
    except UpdateFinishedTrialError:
        assert "late" not in ended[0].user_attrs
    finally:
        ending.join()
        event.remove(sqlalchemy.Engine, "before_cursor_execute", on_statement)
    assert trials_of(open_at(url, 1))[0].user_attrs == ended[0].user_attrs


def test_a_connection_cut_within_a_transaction_is_said_in_one_line_and_the_study_goes_on(postgres: Server) -> None:
    url = postgres.new_database()
    study = open_at(url, 1)
    trial = study.claim()
    assert trial is not None
    cut: list[str] = []

    def on_statement(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT INTO trial_user_attributes") and not cut:
            cut.append(statement)
            postgres.disconnect_all()

    event.listen(sqlalchemy.Engine, "before_cursor_execute", on_statement)
    try:
        with pytest.raises(InputError, match="give the command again") as refused, failures_said(url):
            trial.set_user_attr("figure", 1)
    finally:
        event.remove(sqlalchemy.Engine, "before_cursor_execute", on_statement)
    assert "\n" not in str(refused.value)
    assert postgres.password not in str(refused.value)
    assert study.tell(trial, 1.0, TrialState.COMPLETE, {"figure": 2})
    assert_done(study, 1)


def test_without_the_driver_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from cappuccino.sweep.storage import open_storage\n"
        "open_storage('postgresql+psycopg://me:secret@127.0.0.1/db')"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == (
        "cappuccino.errors.InputError: postgresql+psycopg://me:***@127.0.0.1/db needs a driver that is not installed: "
        "pip install 'cappuccino[postgres]'"
    )
