"""The files for a trader's supervision: what systemd says of the unit, that restarts and exit codes belong together, and that what
the container file copies is enough to build from."""

from __future__ import annotations

import configparser
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

from cappuccino import cli
from cappuccino.trading.timing import Timing

ROOT = pathlib.Path(__file__).parents[1]
DEPLOY = ROOT / "docs" / "deploy"
UNIT = DEPLOY / "cappuccino-trader@.service"


def section(name: str = "Service") -> configparser.SectionProxy:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    unit.read(UNIT)
    return unit[name]


def test_systemd_accepts_the_unit(tmp_path: pathlib.Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / "cappuccino"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name.replace("@", "@paper")
    unit.write_text(UNIT.read_text().replace("/opt/cappuccino/bin/cappuccino", str(program)))
    ran = subprocess.run([verify, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60)
    about_ours = [line for line in ran.stderr.splitlines() if unit.name in line or "cappuccino" in line]
    assert about_ours == []
    assert ran.returncode == 0, ran.stderr


def test_what_needs_a_person_is_not_restarted() -> None:
    codes = {int(code) for code in section()["RestartPreventExitStatus"].split()}
    assert codes == {cli.INPUT_ERROR, cli.REFUSED, cli.HALTED}
    assert section()["Restart"] == "on-failure"


def test_a_venue_that_is_away_for_long_is_no_loop_of_crashes() -> None:
    """systemd gives up after so many starts within so long; a trader that finds no venue asks for a minute before it ends."""
    limits, rest = section("Unit"), int(section()["RestartSec"].removesuffix("s"))
    interval = 60 * int(limits["StartLimitIntervalSec"].removesuffix("min"))
    assert int(limits["StartLimitBurst"]) * (Timing.for_bars(3600).start + rest) > interval
    assert int(limits["StartLimitBurst"]) * rest < interval  # one that crashes at once is given up


def test_no_key_is_in_what_is_shipped() -> None:
    assert section()["EnvironmentFile"] == "/etc/cappuccino/%i.env"
    assert "Environment" not in section()
    lines = [line for line in (DEPLOY / "Containerfile").read_text().splitlines() if not line.startswith("#")]
    assert not any(line.startswith(("ARG", "ENV")) and "KEY" in line.upper() for line in lines)
    assert lines.index("USER trader") < next(i for i, line in enumerate(lines) if line.startswith("ENTRYPOINT"))


def instructions() -> list[list[str]]:
    """The container file's lines, continued ones joined, as words."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_the_container_file_has_known_instructions_and_copies_what_is_there() -> None:
    known = {"FROM", "RUN", "COPY", "ARG", "USER", "WORKDIR", "VOLUME", "ENV", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    assert {words[0] for words in instructions()} == known
    assert instructions()[0][0] == "FROM"
    for command in (words[1:] for words in instructions() if words[0] == "RUN"):
        assert subprocess.run(["sh", "-n", "-c", " ".join(command)]).returncode == 0, command
    assert all((ROOT / name).exists() for words in instructions() if words[0] == "COPY" for name in words[1:-1])


@pytest.mark.slow
def test_what_the_container_file_copies_is_all_that_an_installation_takes(tmp_path: pathlib.Path) -> None:
    for _, *names, target in (words for words in instructions() if words[0] == "COPY"):
        for name in names:
            place = tmp_path / target.strip("/")
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.mkdir(exist_ok=True)
                shutil.copy(ROOT / name, place)
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    said = {**os.environ, "CAPPUCCINO_REVISION": "0123456789ab"}
    built = subprocess.run([*words, "--wheel-dir", tmp_path, tmp_path / "src"], env=said, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(*tmp_path.glob("cappuccino-*.whl")) as archive:
        assert archive.read("cappuccino/revision.txt").decode() == "0123456789ab"
        assert {"cappuccino/conf/train.yaml", "hydra_plugins/cappuccino_sweeper.py"} <= set(archive.namelist())
