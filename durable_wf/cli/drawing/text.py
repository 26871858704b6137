"""Mermaid and DOT: text that other programs draw.

Owns: their escaping, and how a state looks there: outline, word and colour.
Must never: use a name as an identifier; boxes are called n0, n1, ...
Read next: `svg.py`.
"""

from __future__ import annotations

import json
import re

from durable_wf.cli.drawing.picture import Picture, PictureNode
from durable_wf.cli.states import MARKS, Mark

_MERMAID_SHAPES = {
    "box": ("[", "]"),
    "round": ("(", ")"),
    "stadium": ("([", "])"),
    "hexagon": ("{{", "}}"),
    "slant": ("[/", "/]"),
}
_DOT_SHAPES = {
    "box": 'shape=box, style="filled"',
    "round": 'shape=box, style="filled,rounded"',
    "stadium": 'shape=box, style="filled,rounded,bold"',
    "hexagon": 'shape=hexagon, style="filled"',
    "slant": 'shape=parallelogram, style="filled"',
}
_MERMAID_SPECIAL = re.compile(r"[^\w .,:+\-/()=]")


def mermaid(picture: Picture) -> str:
    """A Mermaid flowchart."""
    lines = ["---", f"title: {_yaml(picture.title)}", "---", "flowchart TD"]
    for number, node in enumerate(picture.nodes):
        mark = _mark(node)
        opening, closing = _MERMAID_SHAPES[mark.shape if mark else "box"]
        label = _mermaid_text(node.label)
        if mark:
            label += f"<br/>{mark.symbol} {_mermaid_text(node.detail)}"
        suffix = f":::{mark.word}" if mark else ""
        lines.append(f'    n{number}{opening}"{label}"{closing}{suffix}')
    lines += [f"    n{source} --> n{target}" for source, target in picture.edges]
    for mark in _marks(picture):
        lines.append(
            f"    classDef {mark.word} fill:{mark.fill},stroke:{mark.line},color:{mark.text}"
        )
    return "\n".join(lines)


def dot(picture: Picture) -> str:
    """A Graphviz digraph."""
    lines = [
        f"digraph {_dot_text(picture.title)} {{",
        "    rankdir=TB;",
        '    node [fontname="Helvetica,Arial,sans-serif", fontsize=11, shape=box];',
    ]
    for number, node in enumerate(picture.nodes):
        mark = _mark(node)
        label = _dot_text(node.label + (f"\n{mark.symbol} {node.detail}" if mark else ""))
        look = ""
        if mark:
            look = (
                f', {_DOT_SHAPES[mark.shape]}, fillcolor="{mark.fill}", color="{mark.line}", '
                f'fontcolor="{mark.text}"'
            )
        lines.append(f"    n{number} [label={label}{look}];")
    lines += [f"    n{source} -> n{target};" for source, target in picture.edges]
    return "\n".join([*lines, "}"])


def _mark(node: PictureNode) -> Mark | None:
    return None if node.state is None else MARKS[node.state]


def _marks(picture: Picture) -> list[Mark]:
    return list(dict.fromkeys(mark for node in picture.nodes if (mark := _mark(node))))


def _mermaid_text(text: str) -> str:
    """Everything that Mermaid, Markdown or HTML could read as a sign, as a numbered entity."""
    return _MERMAID_SPECIAL.sub(lambda found: f"#{ord(found[0])};", text)


def _yaml(text: str) -> str:
    return json.dumps(text)  # which YAML reads too


def _dot_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
