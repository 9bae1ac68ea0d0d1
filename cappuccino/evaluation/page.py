"""The report's typography, and tables."""

from __future__ import annotations

STYLE = """
:root { --ink: #1d1d22; --soft: #62626b; --line: #e2e2e6; --accent: #b5179e; --tint: #fbf2fa; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 1140px; margin: 0 auto; padding: 40px 32px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 16px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 40px 0 10px; }
.kicker { margin: 0 0 4px; color: var(--soft); font-size: 13px; }
.verdict { font-size: 18px; margin: 0 0 12px; padding: 14px 18px; background: var(--tint);
  border-left: 4px solid var(--accent); }
.note { margin: 0 0 8px; }
.facts { display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px 28px; margin: 22px 0 0; padding: 16px 0;
  border-top: 1px solid var(--line); border-bottom: 1px solid var(--line); }
.facts dt { color: var(--soft); font-size: 12.5px; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 8px; text-align: right; border-bottom: 1px solid var(--line); }
th { font-weight: 600; vertical-align: bottom; line-height: 1.25; border-bottom: 1.5px solid var(--ink); }
td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.highlight { background: var(--tint); font-weight: 600; }
.unit { color: var(--soft); }
.group { color: var(--soft); font-size: 12.5px; line-height: 2.2; }
.gain { color: #00695c; }
.loss { color: #b3261e; }
.caption { color: var(--soft); font-size: 13px; margin: 8px 0 0; max-width: 120ch; }
.definitions td, .definitions th { text-align: left; white-space: normal; }
.definitions td:first-child { white-space: nowrap; }
@media (max-width: 760px) { main { padding: 24px 16px; } .facts { grid-template-columns: 1fr; } }
@media print {
  @page { margin: 14mm; }
  main { max-width: none; padding: 0; }
  body { font-size: 11px; }
  .caption { font-size: 9.5px; }
  .facts { grid-template-columns: repeat(3, 1fr); }
  table, .group { font-size: 8px; }
  th, td { padding: 2px 3px; }
  h2 { break-after: avoid; }
  .plot, table, .facts { break-inside: avoid; }
  .highlight, .verdict { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def table(header: list[str], rows: list[list[str]], *, highlight: int | None) -> str:
    """An HTML table of cells that are HTML already; `highlight` is the column to set off."""

    def line(cells: list[str], tag: str) -> str:
        return (
            "<tr>"
            + "".join(
                f"<{tag}{' class=highlight' if column == highlight else ''}>{cell}</{tag}>" for column, cell in enumerate(cells)
            )
            + "</tr>"
        )

    body = "".join(line(cells, "td") for cells in rows)
    return f"<div class='scroll'><table><thead>{line(header, 'th')}</thead><tbody>{body}</tbody></table></div>"
