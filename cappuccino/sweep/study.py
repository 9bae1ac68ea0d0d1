"""A study in Optuna's storage that several processes share, and that goes on after any of them is killed at any moment.

`places` says which trials may be claimed and which are retries of others.

A trial may be what kills its process, for want of memory say, and its retries would do so for ever: when a place is lost for
the last of MOST_LOSSES times, its trial has failed and is not tried again. All that run beside such a trial die with it,
without being at fault: therefore a last try is claimed after all others, and runs alone in its process.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from sqlalchemy import exc

from cappuccino.errors import InputError
from cappuccino.sweep.identity import Identity, content_of, difference, digest_of
from cappuccino.sweep.leases import Lease, read_lease, this_process, why_over
from cappuccino.sweep.places import (
    FAILED,
    LOST,
    MOST_LOSSES,
    RETRY_OF,
    SURPLUS,
    filled,
    is_last_try,
    is_lost,
    is_surplus,
    losses_before,
    places_of,
)
from cappuccino.sweep.storage import one_transaction, open_storage, shown_url, unusable

IDENTITY, CLAIM, LEASE, LOST_WHY, LOST_BY = "identity", "claim", "lease", "lost_why", "lost_by"
"""User attributes of trials beside those of `places`: the digest of the study's identity, on its first trial; who is about to run it;
who runs it; why and by whom it was found without a process."""

Direction = Literal["minimize", "maximize"]

_FIXED = "fixed_params"


class SharedStudy:
    """This process's hold on a study: claims trials, keeps and tells them, takes over those of processes that died."""

    def __init__(
        self,
        study: optuna.Study,
        storage: optuna.storages.BaseStorage,
        *,
        n_trials: int,
        lease_seconds: float,
        points: Sequence[Mapping[str, Any]] | None = None,
        sampler_of: Callable[[int], optuna.samplers.BaseSampler] | None = None,
    ) -> None:
        self.study = study
        self._sampler_of = sampler_of
        self.n_trials = n_trials if points is None else min(n_trials, len(points))
        self._storage, self._lease_seconds, self._points = storage, lease_seconds, points
        self._owner = this_process()

    def claim(self) -> Trial | None:
        """A trial that from now on is this process's to run; None if all are counted or in other hands.

        Also None while this process runs others and only last tries are left, and while it runs a last try: ask again after them.
        """
        while True:
            trials = self._trials()
            places = places_of(trials)
            if self._end_surplus(trials, places):
                continue
            mine = [trial for trial in trials if self._runs_here(trial)]
            if filled(trials, places) >= self.n_trials or any(is_last_try(trial, trials) for trial in mine):
                return None
            full = len(set(places.values())) >= self.n_trials
            waiting = [one for one in trials if one.state == TrialState.WAITING]
            usual = [one for one in waiting if not is_last_try(one, trials)]
            last = [one for one in waiting if is_last_try(one, trials)] if full and not mine else []
            if trial := next(iter(usual + last), None):
                if self._take(trial, places[trial.number]):
                    return Trial(self._study_for(trial.number), trial._trial_id)
            elif full:
                return None
            else:
                self._add({CLAIM: self._lease().to_json()})

    def renew(self, trials: Iterable[Trial]) -> list[Trial]:
        """Extend the leases of trials that this process runs. Those that another took over meanwhile: drop them."""
        gone, until = [], self._lease().to_json()
        for trial in trials:
            try:
                trial.set_user_attr(LEASE, until)
            except UpdateFinishedTrialError:
                gone.append(trial)
        return gone

    def tell(self, trial: Trial, value: float | None, state: TrialState, attributes: Mapping[str, Any]) -> bool:
        """Finish a trial with its attributes; False if it had ended before, taken over by another: its result is dropped.

        value: given if and only if `state` is COMPLETE; of a pruned trial Optuna keeps the last value that was reported.
        """
        try:
            with one_transaction(self._storage) as set_attributes:
                if attributes := ({FAILED: True} if state == TrialState.FAIL else {}) | dict(attributes):
                    set_attributes(trial._trial_id, attributes)
                self.study.tell(trial, value, state)
        except (UpdateFinishedTrialError, ValueError):
            if self._storage.get_trial(trial._trial_id).state.is_finished():
                return False
            raise
        return True

    def take_over(self) -> list[int]:
        """Declare the trials of dead processes lost and add retries where these are left; the numbers of those lost just now.

        Also adds the retry of a trial that was declared lost by a process which died before it could.
        """
        now = time.time()
        trials = self._trials()
        places = places_of(trials)
        wanted = {number for number, place in places.items() if place < self.n_trials}
        taken = [
            trial.number
            for trial in trials
            if self._declare_lost(trial, losses_before(trial, trials), now, retry=trial.number in wanted)
        ]
        trials = self._trials()
        retried = {trial.user_attrs.get(RETRY_OF) for trial in trials if not is_surplus(trial)}
        for trial in trials:
            if is_lost(trial) and trial.number in wanted and trial.number not in retried:
                taker = read_lease(trial.user_attrs.get(LOST_BY))
                if trial.number in taken or taker is None or why_over(taker, now) is not None or now > taker.until:
                    self._retry(trial)
        return taken

    def counted(self) -> int:
        """Trials that run or have ended, but for the lost ones."""
        trials = self._trials()
        return filled(trials, places_of(trials))

    def failed(self) -> int:
        """Trials that have failed, those of other processes included, and those that killed theirs for the last time; no lost ones."""
        return sum(trial.state == TrialState.FAIL and FAILED in trial.user_attrs for trial in self._trials())

    def waiting(self) -> int:
        """How many may still be claimed, by this process or others."""
        return max(0, self.n_trials - self.counted())

    def best(self) -> FrozenTrial | None:
        """The complete trial with the best value, if there is one."""
        return self.study.best_trial if self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) else None

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _study_for(self, number: int) -> optuna.Study:
        """With a fresh cache: samplers read the trials once in the life of a `Study` object, between `ask` and `tell`, neither of
        which a claim is."""
        study = self.study
        sampler = study.sampler if self._sampler_of is None else self._sampler_of(number)
        return optuna.Study(study.study_name, self._storage, sampler=sampler, pruner=study.pruner)

    def _lease(self) -> Lease:
        return Lease(self._owner, time.time() + self._lease_seconds)

    def _add(self, user_attrs: Mapping[str, Any]) -> None:
        self.study.add_trial(create_trial(state=TrialState.WAITING, user_attrs=dict(user_attrs)))

    def _take(self, trial: FrozenTrial, place: int) -> bool:
        """Make a waiting trial this process's; False if another was faster.

        The state is the atomic step. The claim before it says whose the trial is if this process dies before the lease.
        """
        number, claim = trial._trial_id, read_lease(trial.user_attrs.get(CLAIM))
        try:
            with one_transaction(self._storage):
                if claim is None or claim.owner != self._owner:
                    self._storage.set_trial_user_attr(number, CLAIM, self._lease().to_json())
                if not self._storage.set_trial_state_values(number, TrialState.RUNNING):
                    return False
                self._storage.set_trial_user_attr(number, LEASE, self._lease().to_json())
                if self._points is not None and _FIXED not in trial.system_attrs:
                    self._storage.set_trial_system_attr(number, _FIXED, dict(self._points[place]))
        except UpdateFinishedTrialError:
            return False
        return True

    def _end_surplus(self, trials: Iterable[FrozenTrial], places: Mapping[int, int]) -> bool:
        """End the waiting trials that are too many; whether there were any.

        Only the state is sure to find that nobody else has one, so it comes before the attribute.
        """
        surplus = [
            one for one in trials if one.state == TrialState.WAITING and places.get(one.number, self.n_trials) >= self.n_trials
        ]
        for trial in surplus:
            with contextlib.suppress(UpdateFinishedTrialError), one_transaction(self._storage):
                if self._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                    self._storage.set_trial_user_attr(trial._trial_id, SURPLUS, True)
                    self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        return bool(surplus)

    def _runs_here(self, trial: FrozenTrial) -> bool:
        lease = read_lease(trial.user_attrs.get(LEASE))
        return trial.state == TrialState.RUNNING and lease is not None and lease.owner == self._owner

    def _why_abandoned(self, trial: FrozenTrial, now: float) -> str | None:
        """Why nobody runs a trial that counts as running, in words; None if somebody does."""
        lease = read_lease(trial.user_attrs.get(LEASE))
        if lease is not None:
            return why_over(lease, now)
        claim = read_lease(trial.user_attrs.get(CLAIM))
        started = trial.datetime_start.timestamp() if trial.datetime_start is not None else now
        until = claim.until if claim is not None else started + self._lease_seconds
        if claim is not None and (reason := why_over(claim, now)) is not None:
            return reason
        return "no process said in time that it runs it" if now > until else None

    def _declare_lost(self, trial: FrozenTrial, losses_before: int, now: float, *, retry: bool) -> bool:
        """Fail a running trial if nobody runs it; False if somebody does, or if another process did so first.

        retry: whether this process will add its retry; otherwise any that wants one may.
        Attributes cannot be set once it has failed, so they come first; without the state they mean nothing.
        """
        reason = self._why_abandoned(trial, now) if trial.state == TrialState.RUNNING else None
        if reason is None:
            return False
        attributes: dict[str, Any] = {LOST_BY: self._lease().to_json()} if retry else {}
        attributes |= {LOST_WHY: reason, LOST: True}
        if (losses := losses_before + 1) >= MOST_LOSSES:
            attributes |= {FAILED: True, "reason": f"its process died {losses} times"}
        try:
            with one_transaction(self._storage) as set_attributes:
                set_attributes(trial._trial_id, attributes)
                return self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return False

    def _retry(self, trial: FrozenTrial) -> None:
        params = {**trial.system_attrs.get(_FIXED, {}), **trial.params}
        if params:
            self.study.enqueue_trial(params, user_attrs={RETRY_OF: trial.number})
        else:
            self._add({RETRY_OF: trial.number})


def open_study(
    name: str,
    storage_url: str,
    *,
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner,
    direction: Direction,
    identity: Identity,
    n_trials: int,
    lease_seconds: float,
    points: Sequence[Mapping[str, Any]] | None = None,
    sampler_of: Callable[[int], optuna.samplers.BaseSampler] | None = None,
) -> SharedStudy:
    """The study of that name, created if need be, after the trials of dead processes have been taken over.

    n_trials: of the whole study, those of other processes and earlier runs included. lease_seconds: for how long a process on
    another machine counts as alive after it last renewed. points: the values of each trial, for a grid. sampler_of: a
    sampler for the trial of a number, in place of the study's.
    Raises InputError for a storage that cannot be opened, and a study with another direction, identity or grid; nothing has
    changed then.
    """
    content = content_of(identity, points)
    digest = digest_of(content)
    where = f"study {name} in {shown_url(storage_url)}"
    try:
        storage = open_storage(storage_url)
        study = _load_or_create(name, storage, sampler, pruner, direction)
        found = study.directions[0].name.lower()
        if len(study.directions) != 1 or found != direction:
            raise InputError(f"{where} is to {found} its objective, not to {direction} it; give this one another name")
        if not study.get_trials(deepcopy=False):
            study.set_user_attr(f"{IDENTITY} {digest}", content)
            study.add_trial(create_trial(state=TrialState.WAITING, user_attrs={IDENTITY: digest}))
        # Of several processes that create a study at once, the one whose trial got number 0 has said what it is.
        first = study.get_trials(deepcopy=False)[0].user_attrs.get(IDENTITY)
        if first is None:
            raise InputError(f"{where} was not made by a sweep; give this one another name")
        if first != digest:
            was = study.user_attrs[f"{IDENTITY} {first}"]
            raise InputError(f"{where} is another search: {difference(was, content)}; give this one another name")
        shared = SharedStudy(
            study, storage, n_trials=n_trials, lease_seconds=lease_seconds, points=points, sampler_of=sampler_of
        )
        shared.take_over()
    except (StorageInternalError, exc.SQLAlchemyError, OSError) as error:
        raise InputError(unusable(storage_url, error)) from error
    return shared


def _load_or_create(
    name: str,
    storage: optuna.storages.BaseStorage,
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner,
    direction: Direction,
) -> optuna.Study:
    try:
        return optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner)
    except KeyError:
        return optuna.create_study(
            study_name=name, storage=storage, sampler=sampler, pruner=pruner, direction=direction, load_if_exists=True
        )
