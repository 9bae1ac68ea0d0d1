"""The blocks of commands in README and guide, and how they are run small.

As a program this file is the `cappuccino` of a shell block: its words are those of the command, made small.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).parents[2]
PAGES = (
    "README.md",
    *(
        f"docs/{name}.md"
        for name in ("index", "train", "search", "validate", "pipeline", "paper", "live", "dashboard", "extend", "operate")
    ),
)
"""In the order in which a reader meets them; later ones go on from what earlier ones left."""

REASONS = {
    "sets up an environment",
    "needs the network",
    "needs keys of Alpaca",
    "needs a cluster",
    "real money",
    "checksums are made as they come",
    "a test of its own runs it",
}
"""Why a block may be left out."""

_TRAINING = ("env.clocks=16", "env.accounts=4", "training.env_steps=16384", "network.hidden=[8]", "network.head=[8]")
SMALL: dict[str, tuple[str, ...]] = {
    "train": _TRAINING,
    "train -m": (*_TRAINING, "training.updates_per_chunk=2"),
    "train -m sweep": ("hydra.sweeper.n_trials=4",),
    "train -m sampler": ("hydra.sweeper.n_trials=4",),
    "train -m folds": ("validation.groups=2", "hydra.sweeper.n_trials=2", "hydra.sweeper.seeds=1"),
    "validate": (*_TRAINING, "seeds=1", "stress=none", "verdict.draws=100", "validation.groups=3", "validation.test_groups=1"),
    "validate best": ("seeds=1", "stress=none", "verdict.draws=100", "validation.folds=2"),
    "validate causality": ("cuts=3", "rows=5"),
    "trade": ("trade.bars=4",),
    "trade faults": ("trade.allow_outside=[relative_volume_24,volatility_6_24]",),
    "data=files": ("data.train_end=2023-01-01", "data.valid_end=2023-02-01", "data.end=2023-03-01"),
    "experiment=planted": ("data.bars=3000", "data.train_end=null", "data.valid_end=null"),
    "features": ("features.names=[relative_volume_24,volatility_6_24]",),
}
"""What is added to a command so that it takes seconds; `small` says which line is whose."""


class Block(NamedTuple):
    """page: below ROOT. line: of its first line of code. reason: why it is not run. output: the text block right behind it."""

    page: str
    line: int
    language: str
    code: str
    reason: str | None
    output: str | None


def blocks(page: str) -> list[Block]:
    """All blocks of a page that have a language other than text."""
    found: list[Block] = []
    lines = (ROOT / page).read_text().splitlines()
    fences = [number for number, line in enumerate(lines) if line.startswith("```")]
    for begin, end in zip(fences[::2], fences[1::2], strict=True):
        language, code = lines[begin][3:].split(" ")[0], "\n".join(lines[begin + 1 : end])
        before = re.fullmatch(r"<!-- not run: (.+) -->", lines[begin - 1]) if begin else None
        if language == "text":
            if found and not "".join(lines[found[-1].line + found[-1].code.count("\n") + 2 : begin]).strip():
                found[-1] = found[-1]._replace(output=code)
            continue
        found.append(Block(page, begin + 1, language, code, before[1] if before else None, None))
    return found


def commands(code: str) -> list[list[str]]:
    """The words of all commands of ours in a shell block, wherever they stand in it; those after `cappuccino`."""
    joined = code.replace("\\\n", " ")
    found = []
    for line in joined.splitlines():
        words = shlex.split(line, comments=True)
        for place, word in enumerate(words):
            ours = ["train"] if word == "train.py" else [] if re.fullmatch(r"(.*/)?cappuccino", word) else None
            if ours is None:
                continue
            rest = [*ours, *words[place + 1 :]]
            ends = [index for index, other in enumerate(rest) if other.endswith(";") or other in ("&", "&&", "|")]
            cut = rest[: ends[0] + 1] if ends else rest
            found.append([word.rstrip(";") for word in cut if word not in ("&", "&&", "|", "")])
    return found


def small(words: Sequence[str]) -> list[str]:
    """A command with what `SMALL` adds to it."""
    command, *rest = words
    form = [word for word in rest if word == "causality"]
    named = {word.partition("=")[0] for word in rest}
    keys = [" ".join([command, *form])]
    if command == "train" and "-m" in rest:
        keys = ["train -m"]
        keys += ["train -m sweep"] if "sweep" in named else []
        keys += ["train -m sampler"] if "hydra/sweeper/sampler" in named else []
        keys += ["train -m folds"] if "validation" in named else []
    elif "best" in named:
        keys = [f"{command} best"]
    elif (command == "validate" and "artifact" in named and not form) or (command == "trade" and "artifact" not in named):
        keys = []
    keys += ["trade faults"] if command == "trade" and "faults" in named else []
    keys += ["data=files"] if "data=files" in rest and command != "data" else []
    keys += ["experiment=planted"] if "experiment=planted" in rest else []
    trains = command in ("train", "validate") and not named & {"artifact", "features.names"}
    keys += ["features"] if "data=files" in rest and trains else []
    return [*words, *(word for key in keys for word in SMALL.get(key, ()))]


def is_ours(code: str) -> bool:
    """Whether a shell block is nothing but commands of ours, one a line, that this process can run.

    It cannot where devices are divided, as searches and validations do: that has to be said before JAX computes anything.
    """
    lines = [line for line in code.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    divided = [words for words in commands(code) if words[0] in ("train", "validate") and _divides(words)]
    return not divided and all(re.match(r"(cappuccino|python train\.py) [^&|;$]*$", line) for line in lines)


def _divides(words: Sequence[str]) -> bool:
    is_of_artifact = any(word == "causality" or word.startswith("artifact=") for word in words)
    return "-m" in words or any(word.startswith("best=") for word in words) or (words[0] == "validate" and not is_of_artifact)


def run(block: Block, folder: pathlib.Path, environment: Mapping[str, str], namespace: dict[str, Any]) -> str:
    """Run a block in a folder, which is the current one, and return what it printed. Raises AssertionError where it fails."""
    if block.language == "python":
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(block.code, f"{block.page}:{block.line}", "exec"), namespace)
        return printed.getvalue()
    assert block.language == "bash", f"{block.page}:{block.line}: {block.language}"
    if not is_ours(block.code):
        return _shell(block, folder, environment)
    from cappuccino.cli import main

    texts = []
    for words in commands(block.code):
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()) as complaints:
            code = main(small(words))
        assert code == 0, f"{block.page}:{block.line}: {shlex.join(words)} ended with {code}: {complaints.getvalue()}"
        texts.append(printed.getvalue())
    return "".join(texts)


def _shell(block: Block, folder: pathlib.Path, environment: Mapping[str, str]) -> str:
    """In a shell of its own, on a free port instead of the guide's."""
    shims = folder / ".bin"
    shims.mkdir(exist_ok=True)
    ours = f'"{sys.executable}" "{__file__}"'
    for name, then in (
        ("cappuccino", f'exec {ours} "$@"'),
        ("python", f'if [ "$1" = train.py ]; then shift; exec {ours} train "$@"; fi; exec "{sys.executable}" "$@"'),
    ):
        (shims / name).write_text(f"#!/bin/sh\n{then}\n")
        (shims / name).chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        code = block.code.replace("8765", str(free.getsockname()[1]))
    path = os.pathsep.join([str(shims), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["timeout", "--kill-after=5", "500", "bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env={**os.environ, **environment, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{block.page}:{block.line} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from cappuccino.cli import main

    sys.exit(main(small(sys.argv[1:])))
