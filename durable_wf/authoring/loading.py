"""Loading: a user's script as it was started, up to the workflow that it would run.

Owns: executing a script as `__main__` in this process, and the hook by which an engine that is
asked to run a workflow meanwhile ends the loading instead.
Must never: run a workflow.
Read next: `targets.py`, which loads what the command line is given.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from durable_wf.authoring.builder import WorkflowBuilder
from durable_wf.authoring.fingerprint import function_ref
from durable_wf.core.definition import Workflow
from durable_wf.errors import DefinitionError, DurableWorkflowError, NotFound

reference = function_ref
"""FunctionRef of a callable: where it is found now, and its fingerprint."""


class LoadingEnded(BaseException):
    """Raised out of `run` or `submit` while a script is being loaded.

    Derives from BaseException so that a script's `except Exception` does not swallow it.
    """


@attrs.define(eq=False)
class Capture:
    """The workflows that an engine was asked to run while something was being loaded."""

    workflows: list[Workflow] = attrs.field(factory=list)


_captures: Final[list[Capture]] = []
"""Not a ContextVar: a script may call the engine from a thread of its own."""

_mains: Final[list[types.ModuleType]] = []
"""Loaded scripts, kept alive: their functions are called long after another one was loaded."""


@contextlib.contextmanager
def capturing() -> Iterator[Capture]:
    """While this is open, `intercept` ends what is being loaded, by an exception that ends here."""
    capture = Capture()
    _captures.append(capture)
    try:
        with contextlib.suppress(LoadingEnded):
            yield capture
    finally:
        _captures.remove(capture)


def intercept(workflow: Workflow | None) -> None:
    """To be called first by everything that would run a workflow, or (None) continue a run. Does
    nothing but while a script is being loaded; then the script ends here, and `workflow` is what
    it was loaded for.
    """
    if _captures:
        if workflow is not None:
            _captures[-1].workflows.append(workflow)
        raise LoadingEnded


def is_loading() -> bool:
    """Whether a script is being loaded: nothing that it makes will be used to run anything."""
    return bool(_captures)


def load_script(
    file: Path, argv: Sequence[str], cwd: Path | None, module: str = ""
) -> list[Workflow]:
    """The workflows of a script, that which it wanted to run first.

    The script runs as `__main__`, with `argv` (as `sys.argv`; empty: the file alone) and in the
    folder `cwd` where there is one, up to the first `run` or `submit` of an engine, or to its end.
    Module-level workflows and builders follow. What it prints goes to standard error. It stays
    `__main__` afterwards; arguments and folder are restored. `module` is its name where it was
    started as `python -m module`.
    Raises NotFound when there is no such file, DefinitionError when the script fails.
    """
    main, captured = execute(file, argv, cwd, guarded=True, module=module)
    return captured + [workflow for _, workflow in module_level(main, skip=captured)]


def execute(
    file: Path, argv: Sequence[str], cwd: Path | None, *, guarded: bool, module: str = ""
) -> tuple[types.ModuleType, list[Workflow]]:
    """Execute a script as `__main__`; returns its module and what it wanted to run.

    `guarded` says whether the blocks under `if __name__ == "__main__"` are executed too.
    """
    path = Path(os.path.abspath(file))  # noqa: PTH100 - symbolic links stay as they were given
    code = _compile(path, guarded=guarded)
    main = types.ModuleType("__main__")
    folder, package = _place_of(path, module)
    vars(main).update(__file__=str(path), __package__=package, __cached__=None)
    before = sys.modules.get("__main__")
    sys.modules["__main__"] = main
    _mains.append(main)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    with circumstances([*argv] or [str(path)], cwd), capturing() as capture:
        try:
            exec(code, vars(main))  # noqa: S102 - this is what loading a script is
        except SystemExit as error:
            if not any(module_level(main, build=False)):
                _restore(before)
                raise DefinitionError(
                    f"{path} ended itself with exit({error.code!r}) before it made a workflow"
                ) from None
        except Exception as error:
            _restore(before)
            raise wrong(path, error) from error
    return main, capture.workflows


def imported(name: str) -> types.ModuleType:
    """A module, which must run nothing while it is imported. Raises DefinitionError if it would,
    and whatever importing raises.
    """
    with capturing():
        return importlib.import_module(name)
    raise DefinitionError(
        f"module {name} runs a workflow while it is imported",
        hint="put that under: if __name__ == '__main__':",
    )


def _restore(main: types.ModuleType | None) -> None:
    if main is not None:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def circumstances(argv: list[str], cwd: Path | None) -> Iterator[None]:
    """The arguments and the folder of what is loaded meanwhile; its prints to stderr."""
    given = sys.argv
    sys.argv = argv
    try:
        with contextlib.ExitStack() as stack:
            if cwd is not None and cwd.is_dir():
                stack.enter_context(contextlib.chdir(cwd))
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
            yield
    finally:
        sys.argv = given


def _compile(path: Path, *, guarded: bool) -> types.CodeType:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise NotFound(f"cannot read the script {path}: {error.strerror}") from None
    try:
        tree = ast.parse(source, str(path))
        if not guarded:
            tree.body = [node for node in tree.body if not _is_guard(node)]
        return compile(tree, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        words = error.msg if isinstance(error, SyntaxError) else str(error)
        raise DefinitionError(f"{path}{where} is not Python: {words}") from None


def _is_guard(node: ast.stmt) -> bool:
    """Whether this is `if __name__ == "__main__":`, whatever way round."""
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
        return False
    sides = [ast.unparse(side) for side in (node.test.left, *node.test.comparators)]
    return sorted(sides) == ["'__main__'", "__name__"] and isinstance(node.test.ops[0], ast.Eq)


def _place_of(path: Path, module: str) -> tuple[str, str | None]:
    """The folder that imports of a script begin in, and its package."""
    if not module:
        return str(path.parent), _package_of(path)
    package = module.rpartition(".")[0]
    depth = package.count(".") + 1 if package else 0
    return str([path.parent, *path.parent.parents][depth]), package


def _package_of(path: Path) -> str | None:
    """The package that a script stands in, so that its relative imports work; None outside."""
    names: list[str] = []
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        names.insert(0, folder.name)
        folder = folder.parent
    if names and str(folder) not in sys.path:
        sys.path.append(str(folder))
    return ".".join(names) or None


def wrong(path: Path | str, error: Exception) -> DefinitionError:
    """The error for a file that failed while it was loaded; our own errors keep their details."""
    problems = error.problems if isinstance(error, DefinitionError) else ()
    hint = error.hint if isinstance(error, DurableWorkflowError) else None
    return DefinitionError(failure(path, error), problems=problems, hint=hint)


def failure(path: Path | str, error: BaseException) -> str:
    """In one line, how loading failed: the exception, and the last line of the file it came by."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f", line {line}," if line else ""
    message = str(error).partition("\n")[0]
    return f"loading {path}{where} failed: {type(error).__name__}: {message}"


def module_level(
    module: types.ModuleType, *, skip: Sequence[Workflow] = (), build: bool = True
) -> Iterator[tuple[str, Any]]:
    """Workflows that stand in a module, builders built, each once: (name, workflow)."""
    seen = {id(workflow) for workflow in skip}
    for name, value in list(vars(module).items()):
        if isinstance(value, Workflow | WorkflowBuilder) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, WorkflowBuilder) and build:
                with contextlib.suppress(DefinitionError):  # unfinished; not what is looked for
                    yield name, value.build()
            else:
                yield name, value
