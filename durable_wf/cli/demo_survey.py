"""The demo's work: read Python source and count what is in it.

Owns: the functions that the demo's tasks run, each from plain values to plain values.
Must never: import anything of durable_wf: this is user code, as the tutorial would write it, and
worker processes import it.
Read next: `demo_report.py`, which draws what is counted here, and `demo.py`, which runs both.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

SKIPPED = frozenset({"__pycache__", "test", "tests", "idlelib", "site-packages", "dist-packages"})
"""Folders that are not surveyed: tests, an application, and what others installed."""

WORST = 8
"""How many of its most branching functions a package reports."""


class Function(TypedDict):
    """A function, where it stands, and how many paths lead through it."""

    name: str
    module: str
    line: int
    branching: int


class Part(TypedDict):
    """What was counted in one top-level module or package."""

    package: str
    modules: int
    lines: int
    code: int
    comments: int
    functions: int
    classes: int
    branching: int
    documented: int
    histogram: dict[str, int]
    worst: list[Function]
    imports: dict[str, int]
    unreadable: list[str]


class Survey(TypedDict):
    """All parts, largest first, and what they add up to."""

    root: str
    python: str
    total: Part
    parts: list[Part]


def packages(root: str) -> list[str]:
    """The top-level modules and packages below `root`, by name."""
    found = set()
    for path in Path(root).iterdir():
        if path.is_dir() and path.name not in SKIPPED and any(path.glob("*.py")):
            found.add(path.name)
        elif path.suffix == ".py":
            found.add(path.stem)
    return sorted(name for name in found if name.isidentifier())


def list_modules(root: str) -> dict[str, list[str]]:
    """Every source file below `root`: package -> paths relative to it, both sorted."""
    return {name: sorted(_files(Path(root), name)) for name in packages(root)}


def _files(root: Path, package: str) -> Iterator[str]:
    if (single := root / f"{package}.py").is_file():
        yield single.name
    for path in (root / package).rglob("*.py"):
        inside = path.relative_to(root)
        if not SKIPPED.intersection(inside.parts):
            yield inside.as_posix()


def parse(root: str, package: str, files: list[str]) -> Part:
    """Count what stands in the files of one package."""
    part = empty(package)
    functions: list[Function] = []
    imports: Counter[str] = Counter()
    for file in files:
        text = (Path(root) / file).read_bytes()
        module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        try:
            tree = ast.parse(text)
            code, comments = count_lines(text)
        except (SyntaxError, ValueError, tokenize.TokenError):
            part["unreadable"].append(file)
            continue
        part["modules"] += 1
        part["lines"] += text.count(b"\n")
        part["code"] += code
        part["comments"] += comments
        imports.update(imported(tree))
        functions += measure(tree, module, part)
    part["functions"] = len(functions)
    part["branching"] = sum(f["branching"] for f in functions)
    part["histogram"] = histogram(functions)
    part["worst"] = worst(functions)
    part["imports"] = dict(sorted(imports.items()))
    return part


def empty(package: str) -> Part:
    """A part in which nothing has been counted yet."""
    return Part(
        package=package, modules=0, lines=0, code=0, comments=0, functions=0, classes=0,
        branching=0, documented=0, histogram={}, worst=[], imports={}, unreadable=[],
    )  # fmt: skip


_LAYOUT = frozenset({
    tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
})  # fmt: skip


def count_lines(text: bytes) -> tuple[int, int]:
    """Lines with code, and lines with a comment; a line may be both, a blank one is neither."""
    code: set[int] = set()
    comments: set[int] = set()
    for token in tokenize.tokenize(io.BytesIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in _LAYOUT:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code), len(comments)


def imported(tree: ast.Module) -> set[str]:
    """The top-level names of the modules that a module imports; relative ones are its own."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def measure(tree: ast.Module, module: str, part: Part) -> list[Function]:
    """The functions of a module; classes and docstrings are counted into `part`."""
    found: list[Function] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(
                Function(name=node.name, module=module, line=node.lineno, branching=branching(node))
            )
        elif isinstance(node, ast.ClassDef):
            part["classes"] += 1
        else:
            continue
        part["documented"] += ast.get_docstring(node, clean=False) is not None
    return found


_FORKS = (
    ast.If, ast.For, ast.AsyncFor, ast.While, ast.IfExp, ast.ExceptHandler, ast.Assert,
    ast.comprehension, ast.match_case,
)  # fmt: skip


def branching(function: ast.AST) -> int:
    """Cyclomatic complexity: 1, and 1 for each place where the way forks, nested functions too."""
    forks = 1
    for node in ast.walk(function):
        if isinstance(node, _FORKS):
            forks += 1 + len(getattr(node, "ifs", ()))
        elif isinstance(node, ast.BoolOp):
            forks += len(node.values) - 1
    return forks


BINS = ((1, "1"), (2, "2"), (4, "3-4"), (8, "5-8"), (16, "9-16"), (32, "17-32"), (1 << 30, "> 32"))
"""Upper bound and label of each column of the histogram."""


def histogram(functions: list[Function]) -> dict[str, int]:
    """Number of functions by branching."""
    counts = dict.fromkeys((label for _, label in BINS), 0)
    for function in functions:
        label = next(label for bound, label in BINS if function["branching"] <= bound)
        counts[label] += 1
    return counts


def worst(functions: list[Function], keep: int = WORST) -> list[Function]:
    """The most branching functions, most first."""
    order = sorted(functions, key=lambda f: (-f["branching"], f["module"], f["line"]))
    return order[:keep]


def merge(*parts: Part, root: str, python: str) -> Survey:
    """All parts, largest first, with their sums."""
    total = empty("all")
    imports: Counter[str] = Counter()
    counts: Counter[str] = Counter({label: 0 for _, label in BINS})
    for part in parts:
        total["modules"] += part["modules"]
        total["lines"] += part["lines"]
        total["code"] += part["code"]
        total["comments"] += part["comments"]
        total["functions"] += part["functions"]
        total["classes"] += part["classes"]
        total["branching"] += part["branching"]
        total["documented"] += part["documented"]
        total["unreadable"] += part["unreadable"]
        imports.update(part["imports"])
        counts.update(part["histogram"])
    total["histogram"] = dict(counts)
    total["imports"] = dict(sorted(imports.items(), key=lambda item: (-item[1], item[0])))
    total["worst"] = worst([function for part in parts for function in part["worst"]], 20)
    ordered = sorted(parts, key=lambda part: (-part["code"], part["package"]))
    return Survey(root=root, python=python, total=total, parts=ordered)
