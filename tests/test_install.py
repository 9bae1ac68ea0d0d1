"""The shipped configuration is found however the package was installed, and a wheel has all that it needs."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import zipfile

import pytest

import cappuccino as cappuccino_package
from cappuccino.version import revision

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
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "train.py", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@localhost")
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message", "All")):
        run(*git, *words, cwd=folder)
    return folder


def wheel_of(source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The wheel built from a folder or an sdist."""
    run(*PIP, "wheel", *OFFLINE, "--wheel-dir", folder, source, cwd=folder)
    (wheel,) = folder.glob("cappuccino-*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(source: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return wheel_of(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def site(wheel: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The wheel installed in a folder, with a `cappuccino` in its bin."""
    target = tmp_path_factory.mktemp("site")
    run(*PIP, "install", *OFFLINE, "--target", target, wheel, cwd=target)
    return target


def revision_of(source: pathlib.Path) -> str:
    return run("git", "rev-parse", "--short=12", "HEAD", cwd=source).strip()


def test_a_checkout_finds_its_configuration(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    package, conf = run(sys.executable, "-c", FIND_CONF, cwd=tmp_path, path=source).splitlines()
    assert pathlib.Path(package) == source / "cappuccino" / "__init__.py"
    assert pathlib.Path(conf) == source / "conf"


@pytest.mark.slow
def test_a_wheel_holds_its_configuration_and_finds_it(site: pathlib.Path, tmp_path: pathlib.Path) -> None:
    package, conf = run(sys.executable, "-c", FIND_CONF, cwd=tmp_path, path=site).splitlines()
    assert pathlib.Path(package) == site / "cappuccino" / "__init__.py"
    assert pathlib.Path(conf) == site / "cappuccino" / "conf"


@pytest.mark.slow
def test_an_installed_wheel_tells_the_revision_that_it_was_built_from_and_composes_without_network(
    source: pathlib.Path, site: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    def cappuccino(*words: str) -> str:
        alone = ["unshare", "-rn"] if shutil.which("unshare") and os.geteuid() == 0 else []
        return run(*alone, str(site / "bin" / "cappuccino"), *words, cwd=tmp_path, path=site)

    begin = time.perf_counter()
    assert cappuccino("--version") == f"cappuccino {cappuccino_package.__version__}+{revision_of(source)}\n"
    assert time.perf_counter() - begin < 0.5
    assert "usage: cappuccino" in cappuccino("--help")
    for command in ("train", "validate", "trade"):
        assert "runs_dir: runs" in cappuccino(command, "--cfg", "job")
    assert list(tmp_path.iterdir()) == []


def test_a_checkout_says_whether_it_was_changed_and_a_copy_that_it_cannot_know(
    source: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", str(source), str(clone), cwd=tmp_path)
    assert revision(clone) == revision_of(source)
    (clone / "cappuccino" / "__init__.py").write_text('__version__ = "0.1.0"  # changed\n')
    assert revision(clone) == f"{revision_of(source)}.dirty"
    shutil.copytree(clone / "cappuccino", clone / "copy" / "cappuccino")
    assert revision(clone / "copy") == "unknown"


@pytest.mark.slow
def test_an_sdist_and_its_wheel_tell_the_revision_of_the_sources(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path), cwd=source)
    (sdist,) = tmp_path.glob("cappuccino-*.tar.gz")
    with zipfile.ZipFile(wheel_of(sdist, tmp_path)) as archive:
        assert archive.read("cappuccino/revision.txt").decode() == revision_of(source)


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
