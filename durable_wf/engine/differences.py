"""Differences: what tells two definitions of one run id apart, in words.

Owns: the comparison that RunConflict shows.
Must never: compare code; fingerprints have their own rule (`code.py`).
Read next: `continuing.py`.
"""

from __future__ import annotations

import attrs

from durable_wf.core.compensation import SUFFIX
from durable_wf.core.definition import Literal, Task, Undo, WaitFor, Workflow

_SHOWN = 8


def between(recorded: Workflow, given: Workflow) -> list[str]:
    """Sentences on how `given` differs from `recorded`, at most a handful."""
    old = {task.name: task for task in recorded.tasks}
    new = {task.name: task for task in given.tasks}
    found = []
    if recorded.name != given.name:
        found.append(f"the workflow was {recorded.name!r} and is {given.name!r}")
    found += [f"task {name!r} is gone" for name in old if name not in new]
    found += [f"task {name!r} is new" for name in new if name not in old]
    for name, task in new.items():
        if name in old:
            found += _of_task(old[name], task)
    if not found and list(old) != list(new):
        found.append("the tasks stand in another order")
    if len(found) > _SHOWN:
        found[_SHOWN:] = [f"and {len(found) - _SHOWN} more"]
    return found or ["details of tasks differ"]


def _of_task(old: Task, new: Task) -> list[str]:
    found = []
    for field in attrs.fields(Task):
        if field.name == "function":
            continue
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after:
            continue
        if field.name == "kwargs":
            found += _of_arguments(new.name, dict(before), dict(after))
        elif field.name == "undo":
            found += _of_undo(new.name, before, after)
        elif field.name == "wait":
            words = f"it waited for {_awaited(before)} and waits for {_awaited(after)}"
            found.append(f"task {new.name!r}: {words}")
        else:
            found.append(f"task {new.name!r}: {field.name} was {before!r} and is {after!r}")
    return found


def _of_arguments(task: str, old: dict[str, object], new: dict[str, object]) -> list[str]:
    found = []
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if before != after:
            found.append(f"task {task!r}: {name} was {_shown(before)} and is {_shown(after)}")
    return found


def _of_undo(task: str, old: Undo | None, new: Undo | None) -> list[str]:
    if old is None or new is None:
        before, after = (undo.function if undo else "none" for undo in (old, new))
        return [f"task {task!r}: its compensation was {before} and is {after}"]
    found = _of_arguments(f"{task}{SUFFIX}", dict(old.kwargs), dict(new.kwargs))
    if old.args != new.args:
        found.append(f"task {task!r}: its compensation is given other positional arguments")
    return found


def _awaited(wait: WaitFor | None) -> str:
    if wait is None:
        return "nothing"
    named = f" {wait.name!r}" if wait.name else ""
    asked = f" {wait.question!r:.60}" if wait.question else ""
    return f"{wait.kind.value}{named}{asked}"


def _shown(source: object) -> str:
    if source is None:
        return "not given"
    text = source.value if isinstance(source, Literal) else str(source)
    return text if len(text) <= 60 else text[:57] + "..."
