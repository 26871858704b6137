"""Candidates: which of the workflows that a file gives is the one that was recorded.

Owns: the choice where it is not known which call made a run: by structure, inputs and code.
Must never: guess between workflows that differ in code.
Read next: `loading.py`, which finds them; `engine/recall.py`, for runs whose call is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import FunctionType, MethodType

from durable_wf.core.definition import Workflow
from durable_wf.core.digests import code_digest, inputs_digest, structure_digest
from durable_wf.errors import NotFound


def chosen(
    recorded: Workflow,
    found: Sequence[Workflow],
    where: str,
    *,
    ran: Sequence[Workflow] = (),
    exact: bool = False,
) -> Workflow:
    """The one that `recorded` is, of those that were run in `where` and those `found` there beside.

    That of the same code is taken; else, unless it has to be `exact`, the only one of the same
    structure, or else of the same name: whoever asked judges what has changed. Raises NotFound.
    """
    structure, code = structure_digest(recorded), code_digest(recorded)
    found = [*ran, *found]
    alike = [workflow for workflow in found if structure_digest(workflow) == structure]
    same = [workflow for workflow in alike if code_digest(workflow) == code]
    if same:
        inputs = inputs_digest(recorded)
        same = [workflow for workflow in same if inputs_digest(workflow) == inputs] or same
        same = [workflow for workflow in same if _beside(workflow) == _beside(recorded)] or same
        first = [workflow for workflow in ran if workflow in same]
        return _one_of(first or same, recorded, where)
    named = [workflow for workflow in found if workflow.name == recorded.name]
    if exact or not (alike or named):
        raise _nowhere(recorded, found, where)
    close = alike or named
    if len({(structure_digest(workflow), code_digest(workflow)) for workflow in close}) > 1:
        raise NotFound(
            f"{where} makes several workflows {recorded.name!r}, and none has the code that was "
            "recorded: which of them is meant cannot be told",
            hint="restore the code, or bring the workflow along: "
            "engine.resume(run_id, workflow=workflow)",
        )
    return close[0]


def _one_of(same: Sequence[Workflow], recorded: Workflow, where: str) -> Workflow:
    """The first of those that cannot be told apart by what is seen of their code. What is not seen
    may still differ, but where they call the very same functions.
    """
    first, *others = same
    if all(_call_the_same(first, other) for other in others):
        return first
    raise NotFound(
        f"{where} makes several workflows {recorded.name!r} whose code looks the same: which of "
        "them is meant cannot be told",
        hint="give each a name of its own, or bring the workflow along: "
        "engine.resume(run_id, workflow=workflow)",
    )


def _beside(workflow: Workflow) -> list[object]:
    """The code that stands beside the tasks' own."""
    return [workflow.beside, *sorted((task.name, task.beside) for task in workflow.tasks)]


def _call_the_same(one: Workflow, other: Workflow) -> bool:
    own = all(
        are_same(function, other.functions.get(name)) for name, function in one.functions.items()
    )
    return own and all(
        are_same(function, other.companions.get(place))
        for place, function in one.companions.items()
    )


def are_same(one: object, other: object, depth: int = 0) -> bool:
    """Whether two functions certainly do the same: they are one, or methods of one object, or made
    by the same code with the very same things around them.
    """
    if one is other or (type(one) is type(other) and type(one) in _PLAIN and one == other):
        return True
    if isinstance(one, MethodType) and isinstance(other, MethodType):
        return one.__func__ is other.__func__ and one.__self__ is other.__self__
    if not (isinstance(one, FunctionType) and isinstance(other, FunctionType)):
        return False
    if depth > _MAX_DEPTH:  # one may have captured itself
        return False
    if one.__code__ is not other.__code__ or one.__globals__ is not other.__globals__:
        return False
    around, there = _around(one), _around(other)
    pairs = zip(around, there, strict=False)
    return len(around) == len(there) and all(are_same(a, b, depth + 1) for a, b in pairs)


_MAX_DEPTH = 12
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})


def _around(function: FunctionType) -> list[object]:
    """What a function has captured, and its defaults."""
    found: list[object] = [*(function.__defaults__ or ())]
    found += [part for pair in sorted((function.__kwdefaults__ or {}).items()) for part in pair]
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not filled yet
            found.append(cell)
    return found


def _nowhere(recorded: Workflow, found: Iterable[Workflow], where: str) -> NotFound:
    names = ", ".join(repr(workflow.name) for workflow in found) or "none"
    return NotFound(
        f"{where} does not define workflow {recorded.name!r} any more (it has: {names})",
        hint="restore the script, or run it with the same run_id",
    )
