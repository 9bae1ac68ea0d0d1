"""Two processes share a study: on one SQLite file, on one PostgreSQL server, and as workers on a local Ray cluster.

    python experiments/proofs/shared_studies.py [--trials 40] [--env-steps 65536] [--storages sqlite postgresql ray]

Both are given the same command, with the same seed of the sampler. They must run `--trials` trials between them, each of them some,
none in both and none with another's parameters, and say nothing of a lock. Needs PostgreSQL's server and the extra `ray`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from cappuccino.sweep.storage import open_storage

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "sweep"))
from postgres import Server
from ray_cluster import LOOPBACK, local_cluster
from sweep_cases import STUDY, begin, search

SAME = ("hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1")
Ended = Mapping[str, list[int]]
"""By process, the trials of which it said that they had ended."""


def by_processes(words: Sequence[str], folder: pathlib.Path) -> tuple[Ended, list[str]]:
    """Two processes with the same command; what they ended, and what went wrong."""
    both = [begin(folder, *words) for _ in range(2)]
    said = [process.communicate() for process in both]
    wrong = [f"exit code {one.returncode}: {err[-500:]}" for one, (_, err) in zip(both, said, strict=True) if one.returncode]
    wrong += [line for out, err in said for line in (out + err).splitlines() if re.search(r"\block", line)]
    ended = {
        str(number): [int(line.split()[1]) for line in out.splitlines() if line.startswith("trial ")]
        for number, (out, _) in enumerate(said)
    }
    return ended, wrong


def by_workers(words: Sequence[str], folder: pathlib.Path, address: str) -> tuple[Ended, list[str]]:
    """One command that starts two workers on the cluster at `address`."""
    process = begin(folder, *words, "hydra/launcher=ray", f"hydra.launcher.address={address}", "hydra.launcher.workers=2")
    out, err = process.communicate()
    wrong = [f"exit code {process.returncode}: {err[-500:]}"] if process.returncode else []
    wrong += [line for line in (out + err).splitlines() if re.search(r"\block", line)]
    found = [(match[1], int(match[2])) for match in re.finditer(r"^worker (\d+)\s+trial (\d+)", out, re.MULTILINE)]
    return {worker: [trial for name, trial in found if name == worker] for worker, _ in found}, wrong


def faults(trials: Sequence[FrozenTrial], ended: Ended, n_trials: int) -> list[str]:
    """What is wrong with a shared study, in words. trials: those that were begun."""
    found = []
    over = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    if len(over) != len(trials) or len(over) != n_trials:
        found.append(f"{len(over)} of {n_trials} are complete or pruned, {len(trials)} were begun")
    if sum(map(len, ended.values())) != n_trials or {one for mine in ended.values() for one in mine} != set(range(n_trials)):
        found.append(f"ended by process: {dict(ended)}")
    if len(ended) != 2 or not all(ended.values()):
        found.append("one of the two did nothing")
    drawn = Counter(tuple(trial.params.items()) for trial in trials)
    return found + [f"{count} trials have {dict(params)}" for params, count in drawn.items() if count > 1]


@contextlib.contextmanager
def place_of(kind: str, folder: pathlib.Path) -> Iterator[tuple[str, str]]:
    """The URL of a storage, and the address of a cluster or nothing, while they are there."""
    with contextlib.ExitStack() as stack:
        url, address = f"sqlite:///{folder / 'studies.db'}", ""
        if kind == "postgresql":
            url = stack.enter_context(contextlib.closing(Server())).new_database()
        elif kind == "ray":
            os.environ |= LOOPBACK
            address = stack.enter_context(local_cluster())
        yield url, address


def main(argv: Sequence[str]) -> int:
    """0 if every study was shared without a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--env-steps", type=int, default=65_536)
    parser.add_argument(
        "--storages", nargs="+", choices=("sqlite", "postgresql", "ray"), default=["sqlite", "postgresql", "ray"]
    )
    given = parser.parse_args(argv)
    words = search("sweep=ppo", "experiment=planted", f"training.env_steps={given.env_steps}", *SAME, n_trials=given.trials)
    print(f"python train.py {' '.join(words)}", flush=True)
    good = True
    for kind in given.storages:
        with tempfile.TemporaryDirectory() as base, place_of(kind, pathlib.Path(base)) as (url, address):
            folder, begun = pathlib.Path(base), time.monotonic()
            mine = [*words, f"hydra.sweeper.storage={url}"]
            ended, wrong = by_workers(mine, folder, address) if address else by_processes(mine, folder)
            seconds = time.monotonic() - begun
            storage = open_storage(url)
            trials = optuna.load_study(study_name=STUDY, storage=storage).get_trials()
            # Two that look for a trial at once may both add one: the last is never claimed.
            wrong += faults([trial for trial in trials if trial.state != TrialState.WAITING], ended, given.trials)
            shares = " and ".join(str(len(one)) for one in ended.values())
            who = "two workers on a Ray cluster" if address else f"two processes on one {kind} storage"
            print(
                f"  {who}: {shares} trials in {seconds:.0f} s: {'; '.join(wrong) or 'holds'}{' FAILS' * bool(wrong)}",
                flush=True,
            )
            good &= not wrong
            storage.remove_session()
    print(f"{given.trials} trials shared without a duplicate or a lock error: {'holds' if good else 'FAILS'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
