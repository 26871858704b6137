"""`dwf show`: one run on one screen.

Owns: the screen: state and why, counts, tasks, the last failures, where the output lies, what to
type next.
Must never: claim or change anything.
Read next: `events.py`.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import click

from durable_wf.cli.asked import asked_lines
from durable_wf.cli.beating import heartbeat_line
from durable_wf.cli.context import (
    Settings,
    examples,
    json_option,
    out,
    pass_settings,
    run_argument,
    say,
    typed,
)
from durable_wf.cli.documents import dumps, facts_document
from durable_wf.cli.facts import RunFacts, TaskFacts, taken_back, why
from durable_wf.cli.keeping import kept_lines
from durable_wf.cli.kin import Kin, kin_document, kin_lines, kin_of
from durable_wf.cli.names import task_or_raise
from durable_wf.cli.onward import caution, next_step
from durable_wf.cli.picking import pick
from durable_wf.cli.render import fault_line, held_line, row_counts_text, state_text, task_table
from durable_wf.cli.states import INTERRUPTED, MARKS
from durable_wf.cli.stores import is_known
from durable_wf.cli.terminal import Look, one_line, shorten
from durable_wf.cli.times import ago, local, span
from durable_wf.cli.watched import facts_of
from durable_wf.core.circuit import sentence as held_sentence
from durable_wf.core.wording import count_of

_FAILURES = 3
_TRACEBACK_LINES = 6


@click.command(
    "show",
    epilog=examples(
        ("dwf show @last", "the newest run"),
        ("dwf show etl-2026", "the run whose id begins like this"),
        ("dwf show @last --json", "with the state of every task"),
        ("dwf show @last --task load", "one task: fault and traceback in full"),
    ),
)
@run_argument
@click.option("-t", "--task", metavar="NAME", help="Show one task in full.")
@json_option("Print one JSON document, with task_states.")
@pass_settings
def show(settings: Settings, *, run: str, task: str | None, as_json: bool) -> None:
    """Show one run: its state, its tasks, what failed, and what to do next.

    More than 40 tasks are shown in groups by name. With --json: run_id, workflow, status,
    recorded_status, created_at, started_at, ended_at, tasks {total, by_status}, task_states {name:
    {status, attempts, started_at, ended_at, fault, kept, heartbeat, breaker, waits_for}} and more;
    times are ISO-8601 in UTC.
    """
    with settings.reading() as store:
        facts = facts_of(store, pick(store.log, run))
        kin = kin_of(store, facts.row)
        output = store.folder.output
        trusted = is_known(store) and not facts.row.imported
    if as_json:
        say(dumps(facts_document(facts) | kin_document(kin)))
        return
    look = out()
    now = time.time_ns() // 1000
    if task is None:
        lines = _screen(facts, kin, output, look, now)
    else:
        lines = _task_screen(facts, task, look, now)
        lines += _kept(facts.tasks[task], output, look, trusted=trusted)
    for line in lines:
        say(line)


def _screen(facts: RunFacts, kin: Kin, output: Path, look: Look, now: int) -> list[str]:
    head = _head(facts, kin, look, now)
    wide = max(len(name) for name, _ in head)
    lines = [f"{look.paint(f'{name:{wide}}', 'dim')}  {text}" for name, text in head]
    lines += ["", *task_table(facts, look, now)]
    if facts.awaited and facts.row.ended_at is None:
        store = Settings.named_store()
        asked = asked_lines(facts.row.run_id, facts.awaited, look, now, store)
        lines += ["", look.paint("Waits", "bold"), *asked]
    failed = [(name, task) for name, task in facts.tasks.items() if task.fault is not None]
    failed.sort(key=lambda pair: pair[1].ended_at or 0)
    if failed:
        lines += ["", look.paint("Last failures", "bold")]
        for name, task in failed[-_FAILURES:]:
            lines += _failure(name, task, look)
        if len(failed) > _FAILURES:
            more = typed("show", facts.row.run_id, "--json")
            lines.append(f"  and {len(failed) - _FAILURES} more: {more}")
    if any(task.outputs for task in facts.tasks.values()):
        logs = typed("logs", facts.row.run_id)
        lines += ["", f"{look.paint('output', 'dim')}  {output}   ({logs})"]
    if kin.retries:
        step = typed("show", kin.retries[-1][0]) + "   (the newest retry)"
    else:
        step = next_step(facts.row, facts.shown, facts.awaited, now, alive=facts.alive)
    if step:
        careful = [] if kin.retries else [caution(facts.doubtful)]
        lines += ["", *filter(None, careful), f"{look.paint('next', 'bold')}    {step}"]
    return lines


def _head(facts: RunFacts, kin: Kin, look: Look, now: int) -> list[tuple[str, str]]:
    row, shown = facts.row, facts.shown
    mark = MARKS[shown]
    state = look.paint(state_text(shown, look), mark.colour, "bold")
    reason = one_line(why(facts))
    started = row.started_at
    took = ""
    if started is not None:
        ended = row.ended_at
        if ended is not None:
            took = f", took {span(ended - started)}"
        elif shown is not INTERRUPTED:
            took = f", for {span(now - started)}"
    head = [
        ("run", row.run_id),
        ("workflow", one_line(row.workflow)),
        ("state", f"{state}{': ' if reason else ''}{reason}"),
        ("created", f"{local(row.created_at)} ({ago(row.created_at, now)}){took}"),
        ("tasks", f"{row.total}: {row_counts_text(row.counts, look, alive=facts.alive)}"),
    ]
    head += [("held", text) for text in _held(facts, now)]
    deadline = facts.created.deadline_at
    if deadline is not None and row.ended_at is None:
        away = f"in {span(deadline - now)}" if deadline > now else f"{span(now - deadline)} ago"
        head.append(("deadline", f"{local(deadline)} ({away})"))
    if text := taken_back(facts):
        head.append(("taken back", one_line(text)))
    head += kin_lines(row, kin)
    if row.tags:
        head.append(("tags", one_line(", ".join(row.tags))))
    for key, value in facts.created.metadata:
        head.append((one_line(key), one_line(value)))
    if row.imported:
        head.append(("imported", "from another store; it can be looked at, not continued"))
    return head


def _held(facts: RunFacts, now: int) -> list[str]:
    """One line for each circuit breaker that holds tasks."""
    counts = Counter(task.held for task in facts.tasks.values() if task.held is not None)
    return [
        f"{count_of(count, 'task')}: {one_line(held_line(circuit, now))}"
        for circuit, count in counts.items()
    ]


def _failure(name: str, task: TaskFacts, look: Look) -> list[str]:
    room = (look.width or 100) - 4
    head = f"  {look.paint(name, 'red')} (attempt {task.attempts})"
    return [head, f"    {shorten(fault_line(task), room, symbols=look.symbols)}"]


def _task_screen(facts: RunFacts, name: str, look: Look, now: int) -> list[str]:
    task_or_raise(facts.row.run_id, name, facts.tasks)
    task = facts.tasks[name]
    shown = facts.task_shown(task)
    lines = [
        f"{look.paint('task', 'dim')}      {name}  of run {facts.row.run_id}",
        f"{look.paint('state', 'dim')}     "
        + look.paint(state_text(shown, look), MARKS[shown].colour, "bold")
        + (f": {one_line(task.reason)}" if task.reason else ""),
        f"{look.paint('attempts', 'dim')}  {task.attempts}",
    ]
    if task.started_at is not None:
        took = f", took {span(task.wall_us)}" if task.wall_us else ""
        lines.append(f"{look.paint('began', 'dim')}     {local(task.started_at)}{took}")
    if task.awaited is not None:
        run_id, store = facts.row.run_id, Settings.named_store()
        lines += ["", *asked_lines(run_id, [task.awaited], look, now, store)]
    if task.beaten is not None:
        of = f" (attempt {task.beaten.attempt})" * (task.beaten.attempt != task.attempts)
        lines.append(f"{look.paint('last', 'dim')}      {heartbeat_line(task, now)}{of}")
    if task.held is not None:
        lines.append(f"{look.paint('held', 'dim')}      {one_line(held_sentence(task.held))}")
    if task.fault is not None:
        lines += ["", look.paint(fault_line(task), "red")]
        text = task.fault.traceback.rstrip()
        lines += [f"  {look.clean(line)}" for line in text.splitlines()]
    if task.outputs:
        lines += ["", typed("logs", facts.row.run_id, "--task", name)]
    return lines


def _kept(task: TaskFacts, output: Path, look: Look, *, trusted: bool) -> list[str]:
    if task.kept is None:
        return []
    first, *more = kept_lines(task.kept, output, trusted=trusted)
    return ["", f"{look.paint('kept', 'dim')}      {first}", *(" " * 10 + line for line in more)]
