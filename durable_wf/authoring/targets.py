"""Targets: what a person types to name a workflow.

Owns: the forms `file.py:name`, `file.py`, `module:name` and `file.json`, and what may stand under
the name: a workflow, a builder, or a function without required parameters that returns one.
Must never: run a workflow.
Read next: `loading.py`, `wfformat.py`.
"""

from __future__ import annotations

import os
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from durable_wf.authoring.builder import WorkflowBuilder
from durable_wf.authoring.candidates import chosen
from durable_wf.authoring.loading import (
    capturing,
    execute,
    failure,
    imported,
    load_script,
    module_level,
    workflows_of,
    wrong,
)
from durable_wf.authoring.wfformat import Replay, from_wfformat, is_wfformat, read_json_file
from durable_wf.core import soundness
from durable_wf.core.definition import Workflow
from durable_wf.core.resolver import nearest
from durable_wf.errors import DefinitionError, DurableWorkflowError, NotFound

_FORMS = "give file.py:name, module:name, or a .json file"
_NAMES = 5
"""So many files of a folder are named."""
_PYTHON = re.compile(r"(.+\.py)(?::([^:/]*))?")


def lasting(target: str) -> str:
    """The target as it can be typed in any folder: files with their absolute path. What names a
    module is found again from the folder where it was typed.
    """
    found = _PYTHON.fullmatch(target)
    file = found[1] if found else target if target.endswith(".json") else ""
    return os.path.abspath(file) + target[len(file) :] if file else target  # noqa: PTH100


def names_code(target: str) -> bool:
    """Whether a target names Python code, which gives the functions too."""
    return bool(target) and not target.endswith(".json")


OnStop = Callable[[Workflow], None]
"""Is told of a script or function that would have run this workflow and has been left there."""


def untold(_workflow: Workflow) -> None:
    """For those who only look at the workflow."""


def load(
    target: str, replay: Replay | None = None, *, code: bool = True, on_stop: OnStop = untold
) -> Workflow:
    """The workflow that `target` names; `replay` says how recorded (WfFormat) tasks are replayed.

    Without `code`, the scripts that a definition in a .json file names are not executed: it is only
    to be looked at. Without a name, a script gives the workflow that it would run first, or its
    only one. `on_stop` is told where a script or a function would have run it.
    Raises NotFound when a file, module or name is not there (with the nearest name that is), and
    DefinitionError when what is there is no workflow.
    """
    if found := _PYTHON.fullmatch(target):
        file, name = found.groups()
        return _from_file(Path(file), name, on_stop)
    if target.endswith(".json"):
        return _from_json(Path(target), replay or Replay(), code=code)
    module, colon, name = target.partition(":")
    if colon and name and re.fullmatch(r"\w+(\.\w+)*", module):
        return _from_module(module, name, on_stop)
    file = f"{module}.py"
    meant = f"{file}:{name}" if name else file
    guess = f"did you mean {meant}? " if module and Path(file).is_file() else ""
    raise NotFound(f"{target!r} names no workflow", hint=f"{guess}{_FORMS}")


def _from_file(file: Path, name: str | None, on_stop: OnStop) -> Workflow:
    if not file.is_file():
        raise NotFound(f"there is no file {file}", hint=_near(file))
    if name:
        module, _ = execute(file, [str(file)], None, guarded=False)
        return _named(module, name, str(file), on_stop)
    module, capture = execute(file, [str(file)], None, guarded=True)
    found = workflows_of(module, capture)
    if len({workflow.name for workflow in found}) == 1:
        if capture.workflows:
            on_stop(found[0])
        return found[0]
    names = [name for name, _ in module_level(sys.modules["__main__"])]
    raise NotFound(
        f"{file} has {'several workflows' if found else 'no workflow'}; give {file}:NAME",
        hint=f"names there: {', '.join(names)}" if names else "build one at module level",
    )


def _near(file: Path) -> str:
    """Where was looked for the file, and what is there that may have been meant."""
    if file.exists():
        return f"{file} is a folder"
    folder = file.parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    names = sorted(path.name for path in folder.glob(f"*{file.suffix}") if path.is_file())
    if guess := nearest(file.name, names):
        return f"did you mean {folder / guess}? (looked in {folder.absolute()})"
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    there = ", ".join(names[:_NAMES]) + more if names else f"no {file.suffix} file"
    return f"looked in {folder.absolute()}, where there is {there}"


def _from_module(name: str, attribute: str, on_stop: OnStop) -> Workflow:
    if str(Path.cwd()) not in sys.path:  # "" there would mean another folder later
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = imported(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise NotFound(
                f"there is no module {error.name!r}", hint="run from the folder that holds it"
            ) from None
        raise wrong(name, error) from error
    except DefinitionError:
        raise
    except Exception as error:
        raise wrong(name, error) from error
    return _named(module, attribute, name, on_stop)


def _named(module: types.ModuleType, name: str, where: str, on_stop: OnStop) -> Workflow:
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            workflows = [found for found, _ in module_level(module, build=False)]
            guess = nearest(name, workflows) or nearest(name, vars(module))
            known = f"workflows there: {', '.join(workflows)}" if workflows else None
            raise NotFound(
                f"{where} has no {name!r}",
                hint=f"did you mean {where}:{guess}?" if guess else known,
            )
        value = getattr(value, part)
    return _as_workflow(value, f"{where}:{name}", on_stop)


def _as_workflow(value: object, where: str, on_stop: OnStop) -> Workflow:
    if callable(value) and not isinstance(value, type):
        value = _call(value, where, on_stop)
    if isinstance(value, WorkflowBuilder):
        value = value.build()
    if not isinstance(value, Workflow):
        raise DefinitionError(
            f"{where} is no workflow but {type(value).__name__!r}",
            hint="name a Workflow, a WorkflowBuilder, or a function that returns one",
        )
    soundness.check(value)  # it may be made by hand
    return value


def _call(function: Any, where: str, on_stop: OnStop) -> object:
    """What a function returns, or the workflow that it wanted to run."""
    result: object = None
    try:
        with capturing() as capture:
            result = function()
    except DurableWorkflowError:
        raise
    except Exception as error:
        code = getattr(function, "__code__", None)
        words = failure(code.co_filename if code else where, error)
        raise DefinitionError(f"{where}(): {words}") from error
    if not capture.workflows:
        return result
    on_stop(capture.workflows[0])
    return capture.workflows[0]


def _from_json(file: Path, replay: Replay, *, code: bool) -> Workflow:
    if not file.exists():
        raise NotFound(f"there is no file {file}", hint=_near(file))
    text = read_json_file(file)
    if is_wfformat(text):
        return from_wfformat(text, replay, source=str(file))
    if '"workflow"' in text and '"durable_wf"' not in text:
        raise DefinitionError(
            f'{file} is neither a definition (it has no "durable_wf") nor a recorded execution '
            '(WfFormat has a "schemaVersion")'
        )
    try:
        workflow = Workflow.from_json(text)
    except DefinitionError as error:
        raise DefinitionError(f"{file}: {error.message}", hint=error.hint) from None
    return with_functions(workflow) if code else workflow


def with_functions(workflow: Workflow) -> Workflow:
    """The workflow with the functions of the scripts that its tasks name.

    Those of importable modules are left to the engine. Raises NotFound when a script does not make
    this workflow any more, or when the code of a task is in no file at all.
    """
    scripts: dict[str, list[str]] = {}
    for task in workflow.tasks:
        if task.function.module or task.wait is not None:
            continue
        if not task.function.file:
            raise NotFound(
                f"the code of task {task.name!r} ({task.function.qualname}) is in no file",
                hint="a definition from a notebook or a prompt has to be built there again",
            )
        scripts.setdefault(task.function.file, []).append(task.name)
    functions = dict(workflow.functions)
    for file, tasks in scripts.items():
        found = load_script(Path(file), [file], None)
        try:
            same = chosen(workflow, found, file)
        except NotFound as error:
            raise NotFound(error.message, hint="restore it, or write the definition anew") from None
        missing = [name for name in tasks if name not in same.functions]
        if missing:
            raise NotFound(f"{file} does not give the code of task {missing[0]!r} any more")
        functions.update((name, same.functions[name]) for name in tasks)
    return attrs.evolve(workflow, functions=functions)
