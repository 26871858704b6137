"""Loading: a user's script as it was started, up to the workflow that it is loaded for.

Owns: executing a script as `__main__` in this process, and the hook by which an engine that is
asked for a run meanwhile ends the loading, or gives an answer in place of running anything.
Must never: run a workflow.
Read next: `targets.py`, which loads what the command line is given; `engine/recall.py`, which
answers for runs that exist.

What stands before the call that ends the loading is executed again each time, and so is what
handles its end: `finally`, `except BaseException`, the exits of context managers. A script that
removes files there asks `is_loading()` first.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final, NoReturn

import attrs

from durable_wf.authoring.builder import WorkflowBuilder
from durable_wf.authoring.fingerprint import function_ref
from durable_wf.core.definition import Workflow
from durable_wf.errors import DefinitionError, DurableWorkflowError, NotFound

reference = function_ref
"""FunctionRef of a callable: where it is found now, and its fingerprint."""


class LoadingEnded(BaseException):
    """Raised out of `run` or `submit` while a script is being loaded.

    Derives from BaseException so that a script's `except Exception` does not swallow it. `why` is
    given where the loading cannot come to what it is for.
    """

    def __init__(self, why: DurableWorkflowError | None = None) -> None:
        super().__init__()
        self.why = why


class Does(Enum):
    """What an engine is asked for by a call that is intercepted."""

    RUN = "run"
    RESUME = "resume"
    RETRY = "retry"
    FORK = "fork"


@attrs.frozen(eq=False)
class Call:
    """A call of an engine that would run something. `run_id` is the run that it names, "" where a
    new one gets an id of its own; `new_id` what a retry or a fork is to be called. `store` is the
    folder of the engine.
    """

    does: Does
    workflow: Workflow | None
    run_id: str = ""
    new_id: str = ""
    store: Path | None = None


Answer = Callable[[Call], Any]
"""What a call gives while a script is loaded; None: it is the one that ends the loading. Raises a
DurableWorkflowError to end it without a workflow."""


def _other_threads() -> frozenset[threading.Thread]:
    return frozenset(threading.enumerate()) - {threading.current_thread()}


@attrs.define(eq=False)
class Capture:
    """What an engine was asked for while something was being loaded.

    `answer` is asked about each call; without it the first one ends the loading. `workflows` holds
    the one that it ended with, if it has, and `refusal` says why it had to end before that. A
    script may catch the end and go on: then every further call ends it again. `answered` counts
    the calls before the end. `others` are the threads that were there before: their calls are not
    those of what is loaded.
    """

    answer: Answer | None = None
    workflows: list[Workflow] = attrs.field(factory=list)
    refusal: DurableWorkflowError | None = None
    ended: bool = False
    answered: int = 0
    others: frozenset[threading.Thread] = attrs.field(factory=_other_threads)
    _one_at_a_time: threading.RLock = attrs.field(factory=threading.RLock)

    def take(self, call: Call) -> Any:
        """The answer to a call. Raises LoadingEnded."""
        with self._one_at_a_time:
            told = None
            if self.answer is not None and not self.ended:
                try:
                    told = self.answer(call)
                except DurableWorkflowError as error:
                    self.end(refusal=error)
            if told is None:
                self.end(call.workflow)
            self.answered += 1
            return told

    def end(
        self, workflow: Workflow | None = None, refusal: DurableWorkflowError | None = None
    ) -> NoReturn:
        """End the loading; the first end stands."""
        with self._one_at_a_time:
            if not self.ended:
                self.ended, self.refusal = True, refusal
                self.workflows += [] if workflow is None else [workflow]
        raise LoadingEnded


_captures: Final[list[Capture]] = []
"""Not a ContextVar: a script may call the engine from a thread of its own."""


def _current() -> Capture | None:
    """What the calling thread belongs to. An engine may load a script in its own thread while the
    program that it serves goes on in others.
    """
    if not _captures:
        return None
    thread = threading.current_thread()
    return next((one for one in reversed(_captures) if thread not in one.others), None)


_mains: Final[list[types.ModuleType]] = []
"""Loaded scripts, kept alive: their functions are called long after another one was loaded."""


@contextlib.contextmanager
def capturing(answer: Answer | None = None) -> Iterator[Capture]:
    """While this is open, `intercept` ends what is being loaded, by an exception that ends here."""
    capture = Capture(answer)
    _captures.append(capture)
    try:
        yield capture
    except LoadingEnded as end:
        capture.refusal = capture.refusal or (None if capture.workflows else end.why)
    finally:
        _captures.remove(capture)


def intercept(call: Call) -> Any:
    """To be called first by everything that would make a run or continue one. Gives None, but while
    a script is being loaded; then the script ends here, with the workflow that it was loaded for,
    or this gives what the call is to give without doing anything.
    """
    capture = _current()
    return None if capture is None else capture.take(call)


def end(refusal: DurableWorkflowError) -> NoReturn:
    """End the loading that is going on, since it cannot come to what it is for; outside of one,
    raise the refusal.
    """
    capture = _current()
    if capture is None:
        raise refusal
    capture.end(refusal=refusal)


def is_loading() -> bool:
    """Whether this script is being loaded by durable_wf, to continue or look at one of its runs,
    and not run by its user.

    Then everything up to the call that made the run is executed, but no engine runs anything, and
    the script ends at that call. Ask this before what must not be done twice, such as cleaning up
    in a `finally:`.
    """
    return _current() is not None


def load_script(
    file: Path, argv: Sequence[str], cwd: Path | None, module: str = ""
) -> list[Workflow]:
    """The workflows of a script, that which it wanted to run first.

    The script runs as `__main__`, with `argv` (as `sys.argv`; empty: the file alone) and in the
    folder `cwd` where there is one, up to its first call of an engine that would run something, or
    to its end.
    Module-level workflows and builders follow. What it prints goes to standard error. It stays
    `__main__` afterwards; arguments and folder are restored. `module` is its name where it was
    started as `python -m module`.
    Raises NotFound when there is no such file, DefinitionError when the script fails.
    """
    return workflows_of(*execute(file, argv, cwd, guarded=True, module=module))


def workflows_of(main: types.ModuleType, capture: Capture) -> list[Workflow]:
    """The workflows of a script that was executed, that which it wanted to run first."""
    found = capture.workflows
    return found + [workflow for _, workflow in module_level(main, skip=found)]


def execute(
    file: Path,
    argv: Sequence[str],
    cwd: Path | None,
    *,
    guarded: bool,
    module: str = "",
    answer: Answer | None = None,
) -> tuple[types.ModuleType, Capture]:
    """Execute a script as `__main__`; returns its module and what it asked an engine for.

    `guarded` says whether the blocks under `if __name__ == "__main__"` are executed too, `answer`
    what calls give before the one that the script is loaded for. What the script does with its end
    there, an exit or another exception, does not matter any more.
    Raises the refusal of `answer`, NotFound, DefinitionError.
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
    with circumstances([*argv] or [str(path)], cwd), capturing(answer) as capture:
        try:
            exec(code, vars(main))  # noqa: S102 - this is what loading a script is
        except SystemExit as error:
            if not (capture.ended or any(module_level(main, build=False))):
                _restore(before)
                raise DefinitionError(
                    f"{path} ended itself with exit({error.code!r}) before it made a workflow"
                ) from None
        except Exception as error:
            if not capture.ended:
                _restore(before)
                raise wrong(path, error, _AGAIN if capture.answered else None) from error
    if capture.refusal is not None:
        _restore(before)
        raise capture.refusal
    return main, capture


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


_AGAIN: Final = (
    "what stands between the runs of a script is done again when it is loaded for a later one; "
    "what must not be: if not wf.is_loading(): ..."
)


def wrong(path: Path | str, error: Exception, hint: str | None = None) -> DefinitionError:
    """The error for a file that failed while it was loaded; our own errors keep their details."""
    problems = error.problems if isinstance(error, DefinitionError) else ()
    hint = (error.hint if isinstance(error, DurableWorkflowError) else None) or hint
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
