"""The shipped configuration is found however the package was installed, and a wheel has all that it needs."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
OFFLINE = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
FIND_CONF = """
import cappuccino, sys
from cappuccino.config import compose, conf_dir
print(cappuccino.__file__)
print(conf_dir())
compose("train")
"""


def run(*words: str | pathlib.Path, cwd: pathlib.Path, path: pathlib.Path | None = None) -> str:
    """Standard output of a command that has to succeed; `path` goes first in the interpreter's search path."""
    env = {**os.environ, "PYTHONPATH": str(path) if path else ""}
    result = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A copy of the sources to build from, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("cappuccino", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "train.py"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", *OFFLINE, "--wheel-dir", folder, source, cwd=folder)
    (wheel,) = folder.glob("cappuccino-*.whl")
    return wheel


def test_a_checkout_finds_its_configuration(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    package, conf = run(sys.executable, "-c", FIND_CONF, cwd=tmp_path, path=source).splitlines()
    assert pathlib.Path(package) == source / "cappuccino" / "__init__.py"
    assert pathlib.Path(conf) == source / "conf"


@pytest.mark.slow
def test_a_wheel_holds_its_configuration_and_finds_it(wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    target = tmp_path / "site"
    run(*PIP, "install", *OFFLINE, "--target", target, wheel, cwd=tmp_path)
    package, conf = run(sys.executable, "-c", FIND_CONF, cwd=tmp_path, path=target).splitlines()
    assert pathlib.Path(package) == target / "cappuccino" / "__init__.py"
    assert pathlib.Path(conf) == target / "cappuccino" / "conf"


@pytest.mark.slow
def test_an_editable_install_finds_the_configuration_of_the_checkout(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run(*PIP, "install", *OFFLINE, "--target", tmp_path / "site", "--editable", source, cwd=tmp_path)
    # A target is no site folder, so its .pth file has to be read by hand.
    program = f"import site; site.addsitedir({str(tmp_path / 'site')!r}); import sys; sys.path.reverse()\n{FIND_CONF}"
    package, conf = run(sys.executable, "-c", program, cwd=tmp_path).splitlines()
    assert pathlib.Path(package) == source / "cappuccino" / "__init__.py"
    assert pathlib.Path(conf) == source / "conf"


@pytest.mark.slow
def test_a_wheel_has_the_same_configuration_as_the_checkout(wheel: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    shipped = {path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
    assert {name.removeprefix("cappuccino/") for name in names if name.startswith("cappuccino/conf/")} == shipped
    page = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "cappuccino" / "dashboard").glob("*/*") if path.suffix != ".pyc"
    }
    assert {"cappuccino/dashboard/static/htmx.LICENSE", "cappuccino/dashboard/templates/base.html"} <= page <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "experiments/")) for name in names)


def test_constraints_are_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", line)] == []
    names = [line.partition("==")[0].lower().replace("_", "-") for line in lines]
    assert names == sorted(set(names))
