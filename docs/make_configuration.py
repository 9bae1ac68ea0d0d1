"""Writes docs/configuration.md from the comments in conf/: `python docs/make_configuration.py`. A test keeps the two together."""

from __future__ import annotations

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
HEAD = """# Configuration

Every command takes Hydra overrides: `key=value` sets a value, `group=choice` takes another file of a group, `--cfg job` prints what
a command would run with, `-m key=a,b` runs once for each value, `--config-dir FOLDER` adds your own files (a folder with the same
group names). An unknown key or a value out of range is an error before anything runs, with and without `+`.

The tables are made from the comments in `conf/` (`python docs/make_configuration.py`); a command's own keys come first.
"""
LINE = re.compile(r"^(?P<indent> *)(?P<key>[a-z_]+): ?(?P<value>.*?)\s*(?:  #\s?(?P<comment>.*))?$")


def table(path: pathlib.Path) -> list[str]:
    """Rows of one YAML file: dotted key, value, comment. What names the choice itself is left out: its group chooses it."""
    group = path.parent.name
    prefix = {"conf": [], "sweeper": ["hydra", "sweeper"], "launcher": ["hydra", "launcher"]}.get(group, [group])
    rows, parents = [], []
    text = path.read_text()
    if text.startswith("# @package _global_"):
        prefix = []
    for line in text.splitlines():
        match = LINE.match(line)
        if line.lstrip().startswith(("#", "-")) or not match or match["key"] == "defaults":
            continue
        depth = len(match["indent"]) // 2
        parents = [*parents[:depth], match["key"]]
        value, comment = match["value"].strip(), match["comment"] or ""
        if value.startswith("#"):
            value, comment = "a list", value.lstrip("# ")
        if parents[0] == "hydra" or not value or (prefix and parents in (["name"], ["source"])):
            continue
        rows.append(f"| `{'.'.join([*prefix, *parents])}` | `{value}` | {comment} |")
    return rows


def space(path: pathlib.Path) -> list[str]:
    """Rows of a search space: what is searched, and between what."""
    pairs = [line.split(": ", 1) for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [f"| `{key}` | `{values}` |" for key, values in pairs]


def section(path: pathlib.Path) -> str:
    """A heading, the file's first comment, and its table."""
    relative = path.relative_to(ROOT / "conf").with_suffix("").as_posix()
    comments = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            comments.append(line.lstrip("# "))
    if path.parent.name == "sweep":
        body = ["| searched | space |", "|---|---|", *space(path)]
    else:
        rows = table(path)
        body = ["| key | value | meaning |", "|---|---|---|", *rows] if rows else []
    return "\n".join([f"## `{relative}`", "", " ".join(comments), "", *body, ""])


def render() -> str:
    """The whole page."""
    roots = sorted((ROOT / "conf").glob("*.yaml"))
    groups = sorted((ROOT / "conf").glob("*/*.yaml"))
    groups = [path for path in groups if path.parent.name != "hydra"]
    plugins = [ROOT / "conf" / "hydra" / name for name in ("sweeper/optuna.yaml", "launcher/ray.yaml")]
    return "\n".join([HEAD, *map(section, [*roots, *groups, *plugins])])


if __name__ == "__main__":
    (ROOT / "docs" / "configuration.md").write_text(render())
