"""The rules of the house, each a function from one parsed source file to the problems it has.

Owns: what is checked and the sentence that says so. The figures and lists are in pyproject.toml,
`[tool.durable_wf.house]`, the one place where the order of the layers stands.
Must never: import durable_wf; sources are read, not run.
Read next: `test_house.py`, which applies each rule to the project and to a source it must catch.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parent.parent
HOUSE = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["durable_wf"]["house"]
LAYERS: list[str] = HOUSE["layers"]
PACKAGE = "durable_wf"

Node = ast.Import | ast.ImportFrom
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@attrs.frozen
class Source:
    """One file: its path below the project's root, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def inside(self) -> str:
        """The path below the package, or "" for a file outside of it."""
        head, _, rest = self.path.partition("/")
        return rest if head == PACKAGE else ""

    @property
    def layer(self) -> str:
        """The layer a file belongs to; "" for the package root and files outside."""
        name = self.inside.split("/")[0].removesuffix(".py")
        return "" if name in {"", "__init__", "__main__", "version"} else name

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def source(path: str, text: str) -> Source:
    """A source from its text."""
    return Source(path, text, ast.parse(text))


def sources(*folders: str) -> Iterator[Source]:
    """All Python files below the given folders of the project."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield source(path.relative_to(ROOT).as_posix(), path.read_text())


# --- imports ------------------------------------------------------------------------------------


def imports(src: Source) -> Iterator[tuple[Node, str]]:
    """Every import, with the full dotted name that it asks for."""
    for node in ast.walk(src.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module == PACKAGE:
                yield from ((node, f"{module}.{alias.name}") for alias in node.names)
            else:
                yield node, module


def import_direction(src: Source) -> Iterator[str]:
    """A layer imports only itself and the layers before it, and never the package root."""
    if not src.layer:
        return
    if src.layer not in LAYERS:
        yield f"{src.path}: {src.layer} is not a layer of [tool.durable_wf.house]"
        return
    for node, name in imports(src):
        if name.startswith("."):
            yield f"{src.path}:{node.lineno}: relative import of {name}"
        if name.split(".")[0] != PACKAGE:
            continue
        target = name.split(".")[1] if "." in name else ""
        if target == "version":
            continue
        if target not in LAYERS:
            yield f"{src.path}:{node.lineno}: import from the module that defines it, not {name}"
        elif LAYERS.index(target) > LAYERS.index(src.layer):
            yield f"{src.path}:{node.lineno}: {src.layer} must not import {target}"


def type_checking(src: Source) -> Iterator[str]:
    """No TYPE_CHECKING: it hides arrows between layers."""
    for node in ast.walk(src.tree):
        name = getattr(node, "id", "") or getattr(node, "attr", "")
        if name == "TYPE_CHECKING":
            yield f"{src.path}:{node.lineno}: TYPE_CHECKING"


def imports_in_functions(src: Source) -> Iterator[str]:
    """An import inside a function has a comment, beside or above it, that says why."""
    lines = src.lines
    for function in ast.walk(src.tree):
        if not isinstance(function, FUNCTIONS):
            continue
        if src.path == f"{PACKAGE}/__init__.py" and function.name == "__getattr__":
            continue
        found = {n.lineno: n for n in ast.walk(function) if isinstance(n, Node)}
        explained: set[int] = set()
        for at in sorted(found):
            above = lines[at - 2].strip()
            comment = "#" in lines[at - 1] or above.startswith("#") or at - 1 in explained
            if comment:
                explained.add(found[at].end_lineno or at)
            else:
                yield f"{src.path}:{at}: import inside {function.name} without saying why"


def purity(src: Source) -> Iterator[str]:
    """Pure layers import only what neither reads a clock, nor draws a number, nor touches the
    machine, and name nothing that does: not even to hand it on.
    """
    if src.layer not in HOUSE["pure"]:
        return
    allowed = {PACKAGE, *HOUSE["pure_modules"], *HOUSE["pure_exceptions"].get(src.inside, ())}
    for node, name in imports(src):
        if name.split(".")[0] not in allowed:
            yield f"{src.path}:{node.lineno}: {src.layer} is pure, {name} is not"
    banned = HOUSE["pure_banned_names"]
    for node in ast.walk(src.tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            name = dotted(node)
            # An attribute of ours may be called `open`; the builtin stands alone.
            if name in banned or any("." in bad and name.endswith(f".{bad}") for bad in banned):
                yield f"{src.path}:{node.lineno}: {src.layer} is pure, {name} is not"


# --- size and words -----------------------------------------------------------------------------


def size(src: Source) -> Iterator[str]:
    """Files and functions end before a reader is lost."""
    if (n := len(src.lines)) > HOUSE["max_file_lines"]:
        yield f"{src.path}: {n} lines, more than {HOUSE['max_file_lines']}"
    for node in ast.walk(src.tree):
        if isinstance(node, FUNCTIONS):
            n = (node.end_lineno or node.lineno) - node.lineno + 1
            if n > HOUSE["max_function_lines"]:
                yield f"{src.path}:{node.lineno}: {node.name} has {n} lines"


def docstring(src: Source) -> Iterator[str]:
    """Every module says what it is; a layer also says what it must never do."""
    text = ast.get_docstring(src.tree)
    if not text:
        yield f"{src.path}:1: no module docstring"
    elif src.layer and src.path.endswith("__init__.py") and "must never" not in text.lower():
        yield f"{src.path}:1: the package does not say what it must never do"


_FOREIGN = re.compile(
    "|".join([
        r"(?<![\w.])/" + r"(?:work|root)/\w",
        r"/" + r"home/(?!(?:me|you|user|ann)\b)\w+",
        r"/" + r"tmp/\w",
        r"\b(?:FIX" + r"ME|TO" + r"DO|XX" + r"X|HA" + r"CK)\b",
        r"\bissue " + r"#?\d",
    ])
)  # fmt: skip


def words(path: str, text: str) -> Iterator[str]:
    """No paths of one machine, no leftovers, nothing about how the project came to be."""
    for at, line in enumerate(text.splitlines(), 1):
        if match := _FOREIGN.search(line):
            yield f"{path}:{at}: {match.group()!r} does not belong here"


# --- what can run or hang -----------------------------------------------------------------------

_UNSAFE_IMPORTS = {
    "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "runpy", "imp",
    "code", "codeop", "zipimport", "joblib", "yaml", "jsonpickle", "copyreg",
}  # fmt: skip
_UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "import_module", "os.system", "os.popen"}
_UNSAFE_NAMES = {
    "import_module", "eval", "exec", "compile", "__import__", "system", "popen", "exec_module",
    "find_class", "Unpickler",
}  # fmt: skip


def calls(src: Source) -> Iterator[ast.Call]:
    """Every call."""
    return (node for node in ast.walk(src.tree) if isinstance(node, ast.Call))


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or attribute; "?" stands for what is neither."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
        case _:
            return "?"


def unsafe(src: Source) -> Iterator[str]:
    """What runs stored bytes or text is used only by the modules that are listed for it."""
    allowed: set[str] = set()
    for prefix, names in HOUSE["unsafe"].items():
        if src.inside.startswith(prefix):
            allowed.update(names)
    for node, name in imports(src):
        head = name.split(".")[0]
        if head in _UNSAFE_IMPORTS - allowed:
            yield f"{src.path}:{node.lineno}: {head} may not be used here"
    for call in calls(src):
        name = dotted(call.func)
        last = name.rpartition(".")[2]
        if name.startswith("re."):
            continue
        if (name in _UNSAFE_CALLS or last in {"import_module", "exec_module"}) and (
            last not in allowed
        ):
            yield f"{src.path}:{call.lineno}: {name}() may not be used here"
        for keyword in call.keywords:
            # Anything but a plain False: numpy and subprocess would run what they are given.
            if keyword.arg in {"allow_pickle", "shell"} and ast.unparse(keyword.value) != "False":
                yield f"{src.path}:{call.lineno}: {keyword.arg}= may not be used here"
        if last in {"recv", "read_pickle"}:
            yield f"{src.path}:{call.lineno}: {name}() unpickles; send bytes"
    yield from _unsafe_under_other_names(src, allowed)


def _unsafe_under_other_names(src: Source, allowed: set[str]) -> Iterator[str]:
    """`from importlib import import_module as im`, `run = eval`, `getattr(builtins, "eval")`."""
    called = {id(call.func) for call in calls(src)}
    for node in ast.walk(src.tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name in _UNSAFE_NAMES - allowed:
                    yield f"{src.path}:{node.lineno}: {alias.name} may not be imported here"
        elif (
            isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in called
        ):
            if node.id in {"eval", "exec", "compile", "__import__"} - allowed:
                yield f"{src.path}:{node.lineno}: {node.id} may not be used here"
        elif (
            isinstance(node, ast.Constant)
            and node.value in {"eval", "exec", "__import__"} - allowed
        ):
            yield f"{src.path}:{node.lineno}: {node.value!r} may not be named here"


_WAITS = {"join", "wait", "acquire", "recv", "get", "select", "communicate", "result"}
_RUNS = {"subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output"}


def _without_deadline(call: ast.Call) -> bool:
    name = dotted(call.func)
    last = name.rpartition(".")[2]
    text = ast.unparse(call)
    given = {keyword.arg for keyword in call.keywords}
    if None in given or given & {"timeout", "timeout_s", "blocking", "block"}:
        return False
    if name in _RUNS:
        return True
    if last == "flock":
        return "LOCK_NB" not in text and "LOCK_UN" not in text and "flags" not in text
    if name == "os.waitpid":
        return "WNOHANG" not in text
    if name == "select.select":
        return len(call.args) < 4
    if name in {"wait", "connection.wait"}:
        return len(call.args) < 2
    return isinstance(call.func, ast.Attribute) and last in _WAITS and not call.args


def deadlines(src: Source) -> Iterator[str]:
    """Every call that can wait has a deadline; `# no wait: why` beside it says that it cannot."""
    lines = src.lines
    for call in calls(src):
        if _without_deadline(call) and "# no wait:" not in lines[call.lineno - 1]:
            yield f"{src.path}:{call.lineno}: {dotted(call.func)}() waits without a deadline"


_JUDGES = re.compile(r"assert|raises|warns|check|expect|verify|judge|must|fail", re.IGNORECASE)


def assertions(src: Source) -> Iterator[str]:
    """A test judges something."""
    for node in ast.walk(src.tree):
        if not isinstance(node, FUNCTIONS) or not node.name.startswith("test_"):
            continue
        judged = any(
            isinstance(inner, ast.Assert)
            or (isinstance(inner, ast.Call) and _JUDGES.search(dotted(inner.func)))
            for inner in ast.walk(node)
        )
        if not judged:
            yield f"{src.path}:{node.lineno}: {node.name} asserts nothing"
