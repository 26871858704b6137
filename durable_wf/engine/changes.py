"""Changes: whether the code that is at hand is the code that a run knows.

Owns: which tasks have other code, or other companions (a probe, a compensation, a fallback), as far
as that code may still be called; and the refusal to go on with it unasked.
Must never: load anything; `code.py` has.
Read next: `entering.py` and `descending.py`, which ask; `authoring/fingerprint.py`.

A run that was recorded without the fingerprint of a companion is not asked about it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import attrs

from durable_wf.authoring.companions import COMPENSATION, PROBE
from durable_wf.core.definition import Task, Undo, Workflow
from durable_wf.core.state import RunState
from durable_wf.core.status import TASK_FINAL
from durable_wf.engine.companions import may_be_taken_back
from durable_wf.errors import CodeChanged, changed_code


@attrs.frozen
class Changes:
    """`tasks` have other code of their own; `beside` says which companions have, as "the probe of
    task 'x'"; `concerned` are the tasks of both.
    """

    tasks: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    concerned: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tasks or self.beside)

    @property
    def sentence(self) -> str:
        """What has changed."""
        return changed_code(self.tasks, self.beside)

    def refuse(self, run_id: str, verb: str = "resume", *, accepted: bool) -> None:
        """Raise CodeChanged unless nothing changed or somebody accepted it."""
        if self and not accepted:
            raise CodeChanged(run_id, self.tasks, verb, beside=self.beside)


def of_resumed(state: RunState, recorded: Workflow, given: Workflow) -> Changes:
    """What of the given code differs from what the run was created with, or last accepted. What
    has ended is of no concern, but for a compensation that may yet be called.
    """
    forward = state.tasks[: state.forward]
    unended = [status not in TASK_FINAL for status in forward]
    fresh = {task.name: task for task in given.tasks}
    tasks: list[str] = []
    beside: dict[str, list[str]] = {}
    for index, old in enumerate(recorded.tasks):
        new = fresh.get(old.name, old)
        if unended[index] and new.function.fingerprint != old.function.fingerprint:
            tasks.append(old.name)
        if _has_companions(old):
            parts = list(_of_companions(
                old, new, runs=unended[index], undoes=may_be_taken_back(state, index)
            ))  # fmt: skip
            if parts:
                beside[old.name] = parts
    return _changes(tasks, beside, _of_workflow(recorded, given) if any(unended) else ())


def of_descent(recorded: Workflow, given: Workflow, again: Collection[str]) -> Changes:
    """The same of a new run that takes over all but the tasks `again`. It takes back, if need be,
    what the old one did, so that all compensations are of concern.
    """
    before = {task.name: task for task in recorded.tasks}
    tasks: list[str] = []
    beside: dict[str, list[str]] = {}
    for new in given.tasks:
        old = before.get(new.name, new)
        if new.name in again and new.function.fingerprint != old.function.fingerprint:
            tasks.append(new.name)
        if _has_companions(old):
            parts = list(_of_companions(old, new, runs=new.name in again, undoes=True))
            if parts:
                beside[new.name] = parts
    return _changes(tasks, beside, _of_workflow(recorded, given) if again else ())


def _changes(
    tasks: list[str], beside: dict[str, list[str]], of_workflow: Collection[str]
) -> Changes:
    told = [f"the {part} of task {name!r}" for name, parts in beside.items() for part in parts]
    told += [f"the {part} of the workflow" for part in of_workflow]
    return Changes(tuple(tasks), tuple(told), tuple(dict.fromkeys([*tasks, *beside])))


def _has_companions(task: Task) -> bool:
    return bool(task.beside or task.probe or task.undo)


def _of_workflow(recorded: Workflow, given: Workflow) -> tuple[str, ...]:
    return tuple(_others(recorded.beside, given.beside))


def _of_companions(old: Task, new: Task, *, runs: bool, undoes: bool) -> Iterator[str]:
    """What the companions of a task are called that are other ones: those of a task that `runs`,
    and those that take it back where it `undoes`.
    """
    others = dict.fromkeys(_others(old.beside, new.beside))
    if old.probe and new.probe and _name(old.probe) != _name(new.probe):
        others[PROBE] = None
    if old.undo is not None and new.undo is not None and _call(old.undo) != _call(new.undo):
        others[COMPENSATION] = None
    for part in others:
        if undoes if part.startswith(COMPENSATION) else runs:
            yield part


def _others(old: tuple[tuple[str, str], ...], new: tuple[tuple[str, str], ...]) -> Iterator[str]:
    known = dict(old)
    return (part for part, fingerprint in new if known.get(part, fingerprint) != fingerprint)


def _call(undo: Undo) -> tuple[object, ...]:
    return _name(undo.function), undo.args, undo.kwargs


def _name(label: str) -> str:
    """The same function may come from a script or be imported."""
    return label.partition(":")[2]
