"""The site is built without a warning, and whoever reads it asks no other host for anything."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "zensical.toml", folder)
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    words = [pathlib.Path(sys.executable).parent / "zensical", "build", "--strict"]
    built = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "build" / "site"


def test_every_page_of_the_guide_is_in_the_site(site: pathlib.Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in site.glob("*.html")}
    menu = (site / "index.html").read_text()
    assert [page for page in pages if f'href="./{page}.html"' not in menu and page != "index"] == []


def test_nothing_is_loaded_from_another_host(site: pathlib.Path) -> None:
    address = r"""["']?(?:https?:)?//"""
    loaded = re.compile(rf"<(?:script|img|iframe|source)\b[^>]*\bsrc={address}|<link\b(?![^>]*canonical)[^>]*\bhref={address}")
    assert [path.name for path in site.rglob("*.html") if loaded.search(path.read_text())] == []
    styles = [
        path for path in site.rglob("*.css") if re.search(r"""(?:@import|url\()\s*["']?(?:https?:)?//""", path.read_text())
    ]
    assert styles == []
