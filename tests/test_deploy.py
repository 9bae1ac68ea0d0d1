"""The files for a trader's supervision: what systemd says of the unit, and that restarts and exit codes belong together."""

from __future__ import annotations

import configparser
import pathlib
import shutil
import subprocess

import pytest

from cappuccino import cli

DEPLOY = pathlib.Path(__file__).parents[1] / "docs" / "deploy"
UNIT = DEPLOY / "cappuccino-trader@.service"


def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    unit.read(UNIT)
    return unit["Service"]


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
    codes = {int(code) for code in service()["RestartPreventExitStatus"].split()}
    assert codes == {cli.INPUT_ERROR, cli.REFUSED, cli.HALTED}
    assert service()["Restart"] == "on-failure"


def test_no_key_is_in_what_is_shipped() -> None:
    assert service()["EnvironmentFile"] == "/etc/cappuccino/%i.env"
    assert "Environment" not in service()
    lines = [line for line in (DEPLOY / "Containerfile").read_text().splitlines() if not line.startswith("#")]
    assert not any(line.startswith(("ARG", "ENV")) and "KEY" in line.upper() for line in lines)
    assert lines.index("USER trader") < next(i for i, line in enumerate(lines) if line.startswith("ENTRYPOINT"))
