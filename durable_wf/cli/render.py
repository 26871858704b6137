"""Parts of the screens: a state, counts, a run's tasks line by line.

Owns: how these look in `list`, `show` and `watch`, so that they look the same everywhere.
Must never: read a store; `now` is an argument.
Read next: `commands/show.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durable_wf.cli.asked import until_words, what_words
from durable_wf.cli.beating import heartbeat_line
from durable_wf.cli.facts import RunFacts, TaskFacts, counted
from durable_wf.cli.names import stem
from durable_wf.cli.states import MARKS, WEIGHT, RunShown, TaskShown
from durable_wf.cli.tables import Cell, Column, table
from durable_wf.cli.terminal import Look, one_line
from durable_wf.cli.times import local, span
from durable_wf.core.circuit import Circuit, CircuitState, parts_of
from durable_wf.core.status import WaitKind
from durable_wf.core.summary import Counts

MOST_TASKS = 40
"""More tasks than this are shown in groups."""

_TASK_COLUMNS = (
    Column("TASK", flexible=True, least=16),
    Column("STATUS"),
    Column("ATTEMPTS", right=True),
    Column("TOOK", right=True),
    Column("WHY", flexible=True, least=10),
)
_GROUP_COLUMNS = (
    Column("TASKS", flexible=True, least=16),
    Column("DONE", right=True),
    Column("STATES", flexible=True, least=20),
)


def symbol(state: RunShown | TaskShown, look: Look) -> str:
    """The symbol of a state, as the stream can show it."""
    mark = MARKS[state]
    return mark.symbol if look.symbols else mark.plain


def state_text(state: RunShown | TaskShown, look: Look) -> str:
    """Symbol and word."""
    return f"{symbol(state, look)} {MARKS[state].word}"


def state_cell(state: RunShown | TaskShown, look: Look) -> Cell:
    """Symbol and word, in the state's colour."""
    return Cell(state_text(state, look), MARKS[state].colour)


def counts_text(counts: Mapping[TaskShown, int], look: Look) -> str:
    """`812 succeeded, 3 failed`: what there is, in colour."""
    parts = [
        look.paint(f"{count} {MARKS[state].word}", MARKS[state].colour)
        for state, count in counts.items()
        if count
    ]
    return ", ".join(parts)


def row_counts_text(counts: Counts, look: Look, *, alive: bool) -> str:
    """The same, from the read model."""
    return counts_text(counted(counts, alive=alive), look)


def task_table(facts: RunFacts, look: Look, now: int, most: int = MOST_TASKS) -> list[str]:
    """One line for each task; for each group of tasks where there are more than `most`."""
    if len(facts.tasks) > most:
        return _group_table(facts, look)
    rows = [
        (
            name,
            state_cell(facts.task_shown(task), look),
            str(task.attempts) if task.attempts else "",
            _took(task, now, alive=facts.alive),
            Cell(_why(task, now), "dim"),
        )
        for name, task in facts.tasks.items()
    ]
    return table(_TASK_COLUMNS, rows, look)


def _took(task: TaskFacts, now: int, *, alive: bool) -> str:
    if task.wall_us:
        return span(task.wall_us)
    if alive and task.running is not None and task.started_at is not None:
        return span(now - task.started_at)
    return ""


def _why(task: TaskFacts, now: int) -> str:
    if task.running is not None and (beat := heartbeat_line(task, now)):
        return beat
    if task.awaited is not None and task.awaited.is_asked:
        ends = until_words(task.awaited, now)
        return what_words(task.awaited) + f", {ends}" * bool(ends)
    if task.held is not None:
        return held_line(task.held, now)
    if task.awaited is not None and task.awaited.what == WaitKind.SLEEP.value:
        return f"sleeps {until_words(task.awaited, now)}"
    if task.fault is not None:
        return fault_line(task)
    return task.reason


def held_line(circuit: Circuit, now: int) -> str:
    """`breaker pay is open until 14:50:00 UTC, for 12 s more`."""
    if circuit.state is CircuitState.OPEN:
        left = max(0, circuit.until - now)
        return f"breaker {circuit.key} is open until {local(circuit.until)}, for {span(left)} more"
    run_id, task, _ = parts_of(circuit.probe)
    return f"breaker {circuit.key} is half-open; task {task} of run {run_id} probes"


def fault_line(task: TaskFacts) -> str:
    """What went wrong, on one line."""
    fault = task.fault
    if fault is None:
        return task.reason
    name = fault.exception.rpartition(".")[2] or fault.kind.value
    return one_line(f"{name}: {fault.message}" if fault.message else name)


def groups_of(facts: RunFacts) -> dict[str, list[TaskFacts]]:
    """Tasks by the stem of their names, in the order of the definition."""
    groups: dict[str, list[TaskFacts]] = {}
    for name, task in facts.tasks.items():
        groups.setdefault(stem(name), []).append(task)
    return groups


def tally(facts: RunFacts, tasks: Sequence[TaskFacts]) -> dict[TaskShown, int]:
    """Tasks by shown state, the gravest first."""
    counts: dict[TaskShown, int] = {}
    for task in tasks:
        shown = facts.task_shown(task)
        counts[shown] = counts.get(shown, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: -WEIGHT[pair[0]]))


def _group_table(facts: RunFacts, look: Look) -> list[str]:
    groups = groups_of(facts)
    rows = []
    for name, tasks in list(groups.items())[:MOST_TASKS]:
        counts = tally(facts, tasks)
        gravest = next(iter(counts))
        done = sum(1 for task in tasks if task.ended_at is not None and task.running is None)
        words = ", ".join(f"{count} {MARKS[state].word}" for state, count in counts.items())
        rows.append(
            (
                f"{name} x {len(tasks)}" if len(tasks) > 1 else name,
                f"{done}/{len(tasks)}",
                Cell(f"{symbol(gravest, look)} {words}", MARKS[gravest].colour),
            )
        )
    lines = table(_GROUP_COLUMNS, rows, look)
    if len(groups) > MOST_TASKS:
        lines.append(look.paint(f"... and {len(groups) - MOST_TASKS} more groups", "dim"))
    return lines
