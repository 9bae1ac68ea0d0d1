"""Training on the real hourly bars: one command, its time, and what it leaves behind."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
DATES = ("data.train_end=2023-01-01", "data.valid_end=2023-09-01")
LIMIT_S = 180.0
LEFT = ("checkpoints", "tensorboard", "metrics.jsonl", "report.html", "summary.json", "config.yaml")


def main() -> int:
    """0 if the training ends within LIMIT_S, compilation included (with an empty compilation cache), and leaves all of LEFT."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["data=files", "data.path=../shared/data/binance_1h", *DATES, "training.env_steps=2000000"]
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "train.py", *words, f"runs_dir={folder}", "name=real"],
            cwd=ROOT,
            check=True,
            env={"XDG_CACHE_HOME": f"{folder}/cache", "PATH": "/usr/bin:/bin", "COLUMNS": "120"},
        )
        seconds = time.monotonic() - began
        missing = [name for name in LEFT if not (pathlib.Path(folder) / "real" / name).exists()]
    print(
        f"\npython train.py {' '.join(words)}: {seconds:.0f} s, start to end, of {LIMIT_S:.0f} s; left out: {missing or 'nothing'}"
    )
    return 0 if seconds < LIMIT_S and not missing else 1


if __name__ == "__main__":
    sys.exit(main())
