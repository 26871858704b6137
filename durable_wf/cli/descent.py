"""What a retry or a fork takes over and what it runs again, told.

Owns: the sentences, the screen and the document of a plan.
Must never: read a store.
Read next: `commands/retry.py`; `../engine/descending.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from durable_wf.cli.documents import Document
from durable_wf.cli.onward import in_doubt
from durable_wf.cli.terminal import Look, one_line
from durable_wf.core.descent import Again
from durable_wf.core.status import TaskStatus
from durable_wf.core.wording import count_of
from durable_wf.engine.descending import Kind, Plan

_SHOWN = 5


def kind_of(plan: Plan) -> Kind:
    """Whether it is a retry or a fork."""
    return plan.wish.kind


def sentence(plan: Plan) -> str:
    """`retry of nightly: 18 results are taken over, 2 tasks run again: load, report`."""
    old = plan.old
    what = f"retry of {old.row.run_id}"
    if kind_of(plan) is Kind.FORK:
        what = f"fork of {old.row.run_id} after event {old.at}"
    taken, again = len(plan.descent.imports), list(plan.descent.again)
    results = f"{count_of(taken, 'result')} {'is' if taken == 1 else 'are'}"
    tasks = f"{count_of(len(again), 'task')} {'runs' if len(again) == 1 else 'run'}"
    tasks += " again" * (kind_of(plan) is Kind.RETRY)
    return f"{what}: {results} taken over, {tasks}" + (f": {_few(again)}" if again else "")


def remarks(plan: Plan) -> Iterator[str]:
    """What somebody may not expect."""
    if doubtful := _in_doubt(plan):
        key = "the same idempotency key" if kind_of(plan) is Kind.RETRY else "a new idempotency key"
        yield f"may have had its effect already: {_few(doubtful)} (it runs again, under {key})"
    for change in plan.values:
        before = f"{_short(change.before)} -> " if change.before else ""
        yield f"{change.place} is set: {before}{_short(change.after)}"
    if plan.kept:
        yield (
            f"as recorded, though the code gives another value today: {_few(plan.kept)} "
            "(--set changes it)"
        )
    if plan.stale:
        yield (
            f"taken over, though the code has changed since: {_few(plan.stale)} "
            f"(--from {plan.stale[0]} runs it again)"
        )


def _in_doubt(plan: Plan) -> list[str]:
    """Tasks that run again though nobody knows whether they had their effect."""
    state = plan.old.ancestor.state
    faults = {
        state.graph.names[index]: fault
        for index, fault in state.faults.items()
        if state.tasks[index] is not TaskStatus.SUCCEEDED
    }
    return [one for one in in_doubt(state.workflow.tasks, faults) if one in plan.descent.again]


def _short(text: str) -> str:
    return one_line(text if len(text) <= 60 else f"{text[:57]}...")


def screen(plan: Plan, refused: Sequence[str], look: Look) -> Iterator[str]:
    """The lines that tell a rehearsal."""
    verb = {Kind.RETRY: "retried", Kind.FORK: "forked"}[kind_of(plan)]
    would = "would not be" if refused else "would be"
    head = f"run {plan.old.row.run_id} {would} {verb} as {plan.new_id}; nothing was written"
    yield look.paint(head, "bold")
    for text in refused:
        first, *more = text.splitlines()
        yield _row("refused", one_line(first), look)
        yield from (f"{'':13}  {one_line(line)}" for line in more)
    taken = [one.task for one in plan.descent.imports]
    yield _row("taken over", _counted(taken), look)
    yield _row("runs again", _counted(list(plan.descent.again)), look)
    for why, tasks in _by_reason(plan.descent.again).items():
        yield _row("", f"{why.value}: {_few(tasks)}", look)
    for task, why_lost in plan.old.lost.items():
        if task in plan.descent.again:
            yield _row("lost", one_line(f"{task}: {why_lost}"), look)
    if plan.changed:
        yield _row("changed code", _few([*plan.changed.tasks, *plan.changed.beside]), look)
    for remark in remarks(plan):
        yield _row("note", remark, look)


def _by_reason(again: Mapping[str, Again]) -> dict[Again, list[str]]:
    found: dict[Again, list[str]] = {}
    for task, why in again.items():
        found.setdefault(why, []).append(task)
    return found


def _row(name: str, text: str, look: Look) -> str:
    return f"  {look.paint(f'{name:11}', 'dim')}  {text}"


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)}: {_few(names)}" if names else "0"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return one_line(", ".join(names[:_SHOWN])) + more


def document(plan: Plan, refused: Sequence[str]) -> Document:
    """A rehearsal as JSON."""
    return {
        "run_id": plan.old.row.run_id,
        "action": kind_of(plan).value,
        "event": plan.old.at if kind_of(plan) is Kind.FORK else None,
        "new_run_id": plan.new_id,
        "refused": list(refused),
        "taken_over": [one.task for one in plan.descent.imports],
        "again": [
            {"task": task, "why": why.name.lower()} for task, why in plan.descent.again.items()
        ],
        "lost": dict(plan.old.lost),
        "changed": list(plan.changed.tasks),
        "changed_beside": list(plan.changed.beside),
        "differences": list(plan.differences),
        "stale": list(plan.stale),
        "kept": list(plan.kept),
        "values": [
            {"parameter": str(one.place), "before": one.before or None, "after": one.after}
            for one in plan.values
        ],
    }
