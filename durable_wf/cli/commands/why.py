"""`dwf why`: why a task did not start, or could not at an event of the past.

Owns: the screen and the document of the answer.
Must never: claim or change anything.
Read next: `../reasons.py`, `../../core/why.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import click

from durable_wf.cli.around import around, lived
from durable_wf.cli.asked import command_lines
from durable_wf.cli.context import (
    Number,
    Settings,
    examples,
    json_option,
    out,
    pass_settings,
    run_argument,
    say,
    typed,
)
from durable_wf.cli.documents import dumps
from durable_wf.cli.kin import note_newer
from durable_wf.cli.names import task_or_raise
from durable_wf.cli.picking import pick
from durable_wf.cli.reasons import answer_document, sentence, shown_status
from durable_wf.cli.terminal import Look, one_line
from durable_wf.cli.times import clock, iso
from durable_wf.core.awaited import asked
from durable_wf.core.reason import Answer, Cause
from durable_wf.core.summary import RunRow
from durable_wf.core.why import at_bottom
from durable_wf.core.why import why as explain
from durable_wf.core.witness import Witness
from durable_wf.core.wording import stands
from durable_wf.engine.view import load_definition
from durable_wf.store.opening import Store

_REASONS = 10
_ROOTS = 5
_STEPS = 6


@click.command(
    "why",
    epilog=examples(
        ("dwf why @last load", "what holds it back now"),
        ("dwf why etl-2026 load --at 120", "what held it back when event 120 was recorded"),
        ("dwf events etl-2026", "the numbers of the events"),
    ),
)
@run_argument
@click.argument("task", metavar="TASK")
@click.option(
    "--at",
    type=Number(1),
    metavar="N",
    help="Answer as of event N of the run. Default: the newest.",
)
@json_option("Print one JSON document: may_start, reasons, roots.")
@pass_settings
def why(settings: Settings, *, run: str, task: str, at: int | None, as_json: bool) -> None:
    """Say why a task does not start, or did not at some event: all that held it back.

    What it waits for (tasks before it, a timer, resources that others hold, a paused run, an
    engine), why that has not come, and the tasks at the bottom of it. Of an ended task: what ended
    it, by which rule.
    """
    with settings.reading() as store:
        row = pick(store.log, run)
        note_newer(store.log, row)
        answer, witness = _ask(store, row, task, at, most=None if as_json else _REASONS)
    if as_json:
        last = witness.last
        head = {"run_id": row.run_id, "n": witness.state.n, "at": iso(last.at if last else None)}
        say(dumps(head | answer_document(answer)))
        return
    for line in _screen(row, answer, witness, out(), settings.store):
        say(line)


def _ask(
    store: Store, row: RunRow, task: str, at: int | None, *, most: int | None
) -> tuple[Answer, Witness]:
    if at is not None and at > row.n:
        raise click.BadParameter(f"run {row.run_id} has {row.n} events", param_hint="--at")
    upto = row.n if at is None else at
    # Asked before the events are read: an engine that ends in between has said so in them.
    alive = lived(store, row, upto)
    workflow = load_definition(store.log, row)
    witness = Witness.of(row.run_id, workflow, store.log.history(row.run), upto)
    task_or_raise(row.run_id, task, witness.state.graph.names)
    index = witness.state.graph.index[task]
    known = around(store, row, witness, alive=alive)
    return explain(witness, index, known, most=most), witness


def _screen(
    row: RunRow, answer: Answer, witness: Witness, look: Look, store: str | None
) -> Iterator[str]:
    state = witness.state
    now = time.time_ns() // 1000 if state.n == row.n else None
    when = f" at event {state.n}, {clock(witness.last.at)}" if now is None and witness.last else ""
    task = one_line(answer.task)
    state_word = shown_status(answer.status, answer.reasons)
    verdict = "could start" if not answer.reasons else stands(state_word)
    yield look.paint(f"task {task} of run {row.run_id} {verdict}{when}", "bold")
    if not answer.reasons:
        yield from _may_start(answer)
    for reason in answer.reasons[:_REASONS]:
        yield f"  - {sentence(reason, now)}"
    if more := answer.more + max(0, len(answer.reasons) - _REASONS):
        yield f"  and {more} more (--json)"
    if answer.roots:
        yield look.paint("at the bottom of it", "bold")
    for root in answer.roots[:_ROOTS]:
        words = (
            "; ".join(sentence(one, now) for one in root.because) or "it waits for no other task"
        )
        status = stands(shown_status(root.status, root.because))
        yield f"  - {one_line(root.task)} {status}: {words}"
    if more := answer.more_roots + max(0, len(answer.roots) - _ROOTS):
        yield f"  and {more} more (--json)"
    if now is not None:
        steps = list(_next(row, answer, witness, store))
        yield from (f"{look.paint('next', 'bold')}  {step}" for step in steps[:_STEPS])


def _next(row: RunRow, answer: Answer, witness: Witness, store: str | None) -> Iterator[str]:
    """What to type to get on with it, where somebody has to do something."""
    if row.imported:
        return
    names = witness.state.graph.names
    index = witness.state.graph.index[answer.task]
    if asked_ones := [*asked(witness.state)]:
        concerned = {answer.task, *(names[one] for one in at_bottom(witness, index))}
        for one in asked_ones:
            if one.task in concerned:
                yield from command_lines(row.run_id, one, store)
    if any(reason.cause in {Cause.NO_ENGINE, Cause.PAUSED} for reason in answer.reasons):
        yield typed("resume", row.run_id)


def _may_start(answer: Answer) -> Iterator[str]:
    since = f" since event {answer.since.n}, {clock(answer.since.at)}" if answer.since else ""
    yield f"  nothing that is known holds it back{since}"
    if answer.ahead:
        yield f"  tasks that could start too and come before it: {answer.ahead}"
    if answer.crashes:
        died = "an engine has" if answer.crashes == 1 else f"{answer.crashes} engines in a row have"
        yield f"  {died} died over its run, which may have to wait for its turn"
