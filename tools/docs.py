"""Checks the documentation: links, anchors, reachable pages, code that parses, one sentence a line.

Owns: what can be judged without running anything; `tests/e2e/test_examples.py` runs the examples.
Must never: reach for the network; addresses outside are not followed.
Read next: docs/contributing.md.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
START = ("README.md", "docs/index.md")

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
_INLINE = re.compile(r"`[^`]*`")
_SENTENCES = re.compile(r"[a-z)`][.!?] +[A-Z`]")


def pages() -> list[Path]:
    """Every Markdown page of the project."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def prose(text: str) -> str:
    """The text without fenced code, with its line numbers kept."""
    return _FENCE.sub(lambda m: "\n" * m.group().count("\n"), text)


def anchors(text: str) -> set[str]:
    """The anchors that headings make."""
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in _HEADING.findall(prose(text)))
    return {title.strip().replace(" ", "-") for title in plain}


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Every link with its line."""
    for at, line in enumerate(prose(page.read_text()).splitlines(), 1):
        for target in _LINK.findall(_INLINE.sub("", line)) or _LINK.findall(line):
            yield at, target


def broken_links(page: Path) -> Iterator[str]:
    """Links to files or headings that are not there."""
    for at, target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        name = page.relative_to(ROOT)
        if not file.exists():
            yield f"{name}:{at}: {target} does not exist"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text()):
            yield f"{name}:{at}: {target} has no such heading"


def unreachable() -> Iterator[str]:
    """Pages that no link leads to."""
    seen: set[Path] = set()
    waiting = [ROOT / name for name in START]
    while waiting:
        page = waiting.pop()
        if page in seen or not page.exists():
            continue
        seen.add(page)
        targets = (target.partition("#")[0] for _, target in links(page))
        waiting += [
            (page.parent / target).resolve()
            for target in targets
            if target.endswith(".md") and ":" not in target
        ]
    yield from (
        f"{page.relative_to(ROOT)}: no link leads here" for page in pages() if page not in seen
    )


def bad_code(page: Path) -> Iterator[str]:
    """Python blocks that do not parse."""
    for match in _FENCE.finditer(page.read_text()):
        if match.group(1) != "python":
            continue
        try:
            ast.parse(textwrap.dedent(match.group(2)))
        except SyntaxError as error:
            yield f"{page.relative_to(ROOT)}: {error.msg} in: {(error.text or '').strip()}"


def crowded_lines(page: Path) -> Iterator[str]:
    """Lines of prose with more than one sentence."""
    if page.read_text().startswith("<!-- Generated"):
        return
    for at, line in enumerate(prose(page.read_text()).splitlines(), 1):
        if not line.startswith("|") and _SENTENCES.search(_INLINE.sub("`x`", line)):
            yield f"{page.relative_to(ROOT)}:{at}: more than one sentence on a line"


def problems() -> list[str]:
    """All problems of all pages."""
    found = list(unreachable())
    for page in pages():
        for check in (broken_links, bad_code, crowded_lines):
            found += check(page)
    return found


def main() -> int:
    """Print the problems; 1 when there are any."""
    found = problems()
    print("\n".join(found) or f"{len(pages())} pages hold")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
