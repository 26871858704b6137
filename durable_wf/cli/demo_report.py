"""The demo's report: what was counted, as one HTML page and as a CSV file.

Owns: the page (self-contained: no script, no font, no address is loaded) and its two charts.
Must never: count anything, or write a file that could be seen half written.
Read next: `demo_survey.py`, where the figures come from; `demo_style.css` holds the looks.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from pathlib import Path

from durable_wf.cli.demo_survey import Part, Survey

COLUMNS = (
    "package", "modules", "lines", "code", "comments", "functions", "classes", "branching",
    "documented",
)  # fmt: skip
"""The columns of the CSV file: fields of `Part`."""


def write_csv(survey: Survey, out: str) -> str:
    """One row per package, largest first. Returns the file's path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([dict(part)[column] for column in COLUMNS] for part in survey["parts"])
    return replace(Path(out) / "report.csv", text.getvalue())


def write_html(survey: Survey, out: str) -> str:
    """The report as a page. Returns the file's path."""
    return replace(Path(out) / "report.html", page(survey))


def replace(path: Path, text: str) -> str:
    """Write a whole file or nothing: a task that is run again leaves the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).chmod(0o644)
    Path(name).replace(path)
    return str(path)


# --- the page -----------------------------------------------------------------------------------


def page(survey: Survey) -> str:
    """The whole page."""
    total = survey["total"]
    style = resources.files("durable_wf.cli").joinpath("demo_style.css").read_text("utf-8")
    shares = [(part["package"], part["code"]) for part in survey["parts"]]
    asked = list(total["imports"].items())[:15]
    return "\n".join([
        "<!doctype html>",
        '<html lang="en">',
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        "<title>The standard library, counted</title>",
        f"<style>\n{style}</style>",
        "<main>",
        header(survey),
        tiles(total),
        '<div class="pair">',
        figure(
            "Largest packages", "lines of code, without blank lines and comments", bars(shares[:15])
        ),
        figure("Most imported modules", "number of modules that import them", bars(asked)),
        "</div>",
        figure(
            "How functions branch",
            "number of functions by the paths that lead through them (cyclomatic complexity)",
            columns(list(total["histogram"].items())),
        ),
        worst_table(total),
        package_table(survey["parts"]),
        unreadable(total),
        "</main>",
        "</html>",
        "",
    ])  # fmt: skip


def header(survey: Survey) -> str:
    """Title and one sentence of origin."""
    return (
        "<header><h1>The standard library, counted</h1>"
        f"<p>Python {escape(survey['python'])}, <code>{escape(survey['root'])}</code>. "
        f"{len(survey['parts'])} top-level modules and packages, each read by a task of its own; "
        "tests are left out.</p></header>"
    )


def tiles(total: Part) -> str:
    """The sums, as large figures."""
    functions = max(total["functions"], 1)
    things = max(total["functions"] + total["classes"], 1)
    facts = [
        (number(total["modules"]), "modules"),
        (number(total["lines"]), "lines"),
        (number(total["code"]), "lines of code"),
        (number(total["functions"]), "functions"),
        (number(total["classes"]), "classes"),
        (f"{total['branching'] / functions:.1f}", "paths per function"),
        (f"{100 * total['documented'] / things:.0f} %", "with a docstring"),
    ]
    cells = "".join(f"<div><b>{value}</b><span>{label}</span></div>" for value, label in facts)
    return f'<section class="tiles">{cells}</section>'


def figure(title: str, caption: str, drawing: str) -> str:
    """A chart with its title; the caption says what is measured."""
    drawing = drawing.replace('role="img"', f'role="img" aria-label="{title}"', 1)
    return f"<figure><h2>{title}</h2><p>{caption}</p>{drawing}</figure>"


def number(value: int) -> str:
    """1234567 -> "1 234 567", with thin spaces."""
    return f"{value:,}".replace(",", "\N{THIN SPACE}")


# --- charts -------------------------------------------------------------------------------------


def bars(items: Sequence[tuple[str, int]], *, width: int = 520, row: int = 24) -> str:
    """Horizontal bars: name on the left, figure at the end of each bar."""
    if not items:
        return "<p>nothing to show</p>"
    left, right = 150, 64
    most = max(value for _, value in items) or 1
    drawn = []
    for at, (name, value) in enumerate(items):
        y = at * row
        length = max(2.0, (width - left - right) * value / most)
        drawn.append(
            f'<text class="name" x="{left - 10}" y="{y + 16}">{escape(name)}</text>'
            f'<rect x="{left}" y="{y + 4}" width="{length:.1f}" height="{row - 8}" rx="3">'
            f"<title>{escape(name)}: {number(value)}</title></rect>"
            f'<text class="value" x="{left + length + 7:.1f}" y="{y + 16}">{number(value)}</text>'
        )
    return svg(width, row * len(items) + 4, drawn)


def columns(items: Sequence[tuple[str, int]], *, width: int = 1080, height: int = 220) -> str:
    """Vertical bars with the figure above and the label below each."""
    most = max((value for _, value in items), default=0) or 1
    step = width / max(len(items), 1)
    floor = height - 26
    drawn = []
    for at, (label, value) in enumerate(items):
        tall = max(2.0, (floor - 26) * value / most)
        middle = step * (at + 0.5)
        drawn.append(
            f'<rect x="{middle - step * 0.36:.1f}" y="{floor - tall:.1f}"'
            f' width="{step * 0.72:.1f}" height="{tall:.1f}" rx="4">'
            f"<title>{escape(label)}: {number(value)}</title></rect>"
            f'<text class="top" x="{middle:.1f}" y="{floor - tall - 8:.1f}">{number(value)}</text>'
            f'<text class="label" x="{middle:.1f}" y="{height - 6}">{escape(label)}</text>'
        )
    drawn.append(f'<line x1="0" x2="{width}" y1="{floor}" y2="{floor}"/>')
    return svg(width, height, drawn)


def svg(width: int, height: int, drawn: Iterable[str]) -> str:
    """An inline drawing that scales with the page."""
    body = "".join(drawn)
    return f'<svg viewBox="0 0 {width} {height}" role="img">{body}</svg>'


# --- tables -------------------------------------------------------------------------------------


def table(heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> str:
    """A table; each head is (text, class), and the class holds for its column ("n": figures)."""
    top = "".join(f'<th class="{kind}">{text}</th>' for text, kind in heads)
    body = "\n".join(
        "<tr>"
        + "".join(f'<td class="{heads[i][1]}">{cell}</td>' for i, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def worst_table(total: Part) -> str:
    """The functions with the most paths."""
    rows = (
        [
            f"<code>{escape(f['name'])}</code>",
            escape(f["module"]),
            str(f["line"]),
            str(f["branching"]),
        ]
        for f in total["worst"]
    )
    heads = [("function", ""), ("module", ""), ("line", "n"), ("paths", "n")]
    return f"<section><h2>Most branching functions</h2>{table(heads, rows)}</section>"


def package_table(parts: Sequence[Part]) -> str:
    """Every package with its figures."""
    heads = [
        ("package", ""), ("modules", "n"), ("lines", "n"), ("code", "n"), ("comments", "n"),
        ("functions", "n"), ("classes", "n"), ("paths per function", "n"), ("documented", "n"),
    ]  # fmt: skip
    return f"<section><h2>All packages</h2>{table(heads, map(_row, parts))}</section>"


def _row(part: Part) -> list[str]:
    functions, things = part["functions"], part["functions"] + part["classes"]
    return [
        f"<code>{escape(part['package'])}</code>",
        *(number(part[key]) for key in ("modules", "lines", "code", "comments")),
        number(functions),
        number(part["classes"]),
        f"{part['branching'] / functions:.1f}" if functions else "",
        f"{100 * part['documented'] / things:.0f} %" if things else "",
    ]


def unreadable(total: Part) -> str:
    """The files that this Python cannot parse, if there are any."""
    if not total["unreadable"]:
        return ""
    names = ", ".join(f"<code>{escape(name)}</code>" for name in total["unreadable"])
    return f"<section><h2>Not readable</h2><p>{names}</p></section>"
