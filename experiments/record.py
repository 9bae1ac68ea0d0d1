"""Run a proof or a study and keep what it printed: `python experiments/record.py proof NAME [ARGUMENTS]` (or `make proof NAME`).

A proof is `experiments/proofs/NAME.py`, a study `experiments/studies/NAME.py`; the output goes to the terminal and, below a head with
command, commit and machine, to `NAME.txt` beside it. The exit code is the script's.
"""

from __future__ import annotations

import datetime
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]
FOLDERS = {"proof": ROOT / "experiments" / "proofs", "study": ROOT / "experiments" / "studies"}


def head(kind: str, name: str, arguments: list[str]) -> str:
    """What was run, on what."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.rstrip()

    outputs = [
        f"{script.relative_to(ROOT).with_suffix('.txt')}" for folder in FOLDERS.values() for script in folder.glob("*.py")
    ]
    changed = [path for line in git("status", "--porcelain").splitlines() if (path := line[3:].strip()) not in outputs]
    state = f" with uncommitted changes in {', '.join(changed)}" if changed else ""
    models = [line for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = models[0].split(":", 1)[1].strip() if models else platform.processor()
    return (
        f"command  make {kind} {' '.join([name, *arguments])}\n"
        f"commit   {git('rev-parse', '--short=12', 'HEAD')}{state}\n"
        f"machine  {os.cpu_count()} cores of {processor}, {platform.system()}, Python {platform.python_version()}\n"
        f"begun    {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC\n"
    )


def main(kind: str, name: str = "", *arguments: str) -> int:
    """Run and record; the script's exit code."""
    script = FOLDERS[kind] / f"{name}.py"
    if not script.is_file():
        known = ", ".join(sorted(path.stem for path in FOLDERS[kind].glob("*.py")))
        print(f"there is no {kind} {name!r}; there are {known}", file=sys.stderr)
        return 2
    lines = [head(kind, name, list(arguments)), "\n"]
    print("".join(lines), end="", flush=True)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "120"}
    with subprocess.Popen(
        [sys.executable, str(script), *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment
    ) as proof:
        assert proof.stdout is not None
        for line in proof.stdout:
            print(line, end="", flush=True)
            lines.append(line.replace(str(ROOT), ".").replace(f"{tempfile.gettempdir()}/", "$TMPDIR/"))
    lines.append(f"\nexit code {proof.returncode}\n")
    script.with_suffix(".txt").write_text("".join(lines))
    return proof.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
