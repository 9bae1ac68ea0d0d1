"""Documents that are made from the code are the code's."""

from __future__ import annotations

import importlib.util
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]


def test_the_reference_of_the_configuration_is_made_from_conf() -> None:
    spec = importlib.util.spec_from_file_location("make_configuration", ROOT / "docs" / "make_configuration.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "configuration.md").read_text() == module.render(), "run: python docs/make_configuration.py"


def test_every_key_in_conf_says_what_it_means() -> None:
    rows = [line for line in (ROOT / "docs" / "configuration.md").read_text().splitlines() if line.startswith("| `")]
    explained = {row.split("`")[1] for row in rows if not row.endswith("|  |")}
    bare = {row.split("`")[1] for row in rows if row.endswith("|  |")} - explained
    assert len(explained) > 70
    assert bare == set()


def test_links_between_documents_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
