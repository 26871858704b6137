"""`dwf rules`: recovery rules shown, explained, and tried on the past.

Owns: the screens and documents of the three commands.
Must never: write, or decide about a run that lives.
Read next: `../../recovery/backtesting.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import assert_never

import click

from durable_wf.cli.commands.run import load_target
from durable_wf.cli.context import (
    Settings,
    examples,
    json_option,
    pass_settings,
    run_argument,
    say,
)
from durable_wf.cli.decisions import conclusion_words
from durable_wf.cli.documents import Document, dumps
from durable_wf.cli.kin import note_newer
from durable_wf.cli.names import task_or_raise
from durable_wf.cli.picking import pick
from durable_wf.cli.terminal import one_line
from durable_wf.cli.times import clock, iso, parse_since, span
from durable_wf.core import events as e
from durable_wf.core.compensation import SUFFIX
from durable_wf.core.definition import Task, Workflow
from durable_wf.core.status import InDoubt
from durable_wf.core.wording import count_of
from durable_wf.engine.view import load_definition
from durable_wf.recovery.backtesting import Backtest, Stream, backtest
from durable_wf.recovery.explaining import By, Explained, explained
from durable_wf.recovery.rule import NamedRule
from durable_wf.store.port import Log

_SHOWN = 20


@click.group("rules")
def rules() -> None:
    """Show recovery rules, explain their decisions, try them on the past.

    A rule decides what becomes of a task that failed. It sees recorded facts only, so it can be
    asked about the past as well: dwf rules backtest.
    """


# --- show ---------------------------------------------------------------------------------------


@rules.command(
    "show",
    short_help="Show which rules a workflow has.",
    epilog=examples(("dwf rules show pipeline.py:workflow", "")),
)
@click.argument("target", metavar="TARGET")
@json_option()
@pass_settings
def show(settings: Settings, *, target: str, as_json: bool) -> None:  # noqa: ARG001
    """Show which rules each task of a workflow has, in the order in which they are asked."""
    workflow = load_target(target)
    if as_json:
        say(dumps(_rules_document(workflow)))
        return
    for task in workflow.tasks:
        if task.rules or task.in_doubt is not InDoubt.RERUN:
            say(f"task {task.name}")
            for label in (*_declared(task), *task.rules):
                say(f"  {label}")
        if task.undo is not None:
            say(f"task {task.name}{SUFFIX}, which takes back what {task.name} did")
            for label in (*task.undo.rules, "the default: a person is asked"):
                say(f"  {label}")
    say("every task" + ", after its own" * any(task.rules for task in workflow.tasks))
    for label in workflow.rules:
        say(f"  {label}")
    say("  those of the engine, then the default: what failed has failed, and an attempt whose")
    say("  engine died is run again")


def _declared(task: Task) -> Iterator[str]:
    """What the task says of doubt, which comes before all rules."""
    match task.in_doubt:
        case InDoubt.RERUN:
            pass
        case InDoubt.PROBE:
            yield f"in doubt: probe with {task.probe}"
        case _:
            yield f"in doubt: {task.in_doubt.value}"


def _rules_document(workflow: Workflow) -> Document:
    names = [task.name for task in workflow.tasks]
    names += [task.name + SUFFIX for task in workflow.tasks if task.undo is not None]
    tasks = {
        name: [_rule_document(rule) for rule in workflow.recovery.get(name, ())] for name in names
    }
    own = [_rule_document(rule) for rule in workflow.recovery.get("", ())]
    return {"workflow": workflow.name, "rules": own, "tasks": tasks}


def _rule_document(rule: NamedRule) -> Document:
    return {"name": rule.name, "version": rule.version}


# --- explain ------------------------------------------------------------------------------------


@rules.command(
    "explain",
    short_help="Say which rule decided what about a task, and why.",
    epilog=examples(("dwf rules explain @last load", "")),
)
@run_argument
@click.argument("task", metavar="TASK")
@json_option()
@pass_settings
def explain(settings: Settings, *, run: str, task: str, as_json: bool) -> None:
    """Say which rule decided what about a task, on which facts, and why, as it was recorded.

    What its own definition, a person, a signal or the time decided is told, too. What it waits for
    now: dwf why.
    """
    with settings.reading() as store:
        row = pick(store.log, run)
        note_newer(store.log, row)
        history = list(store.log.history(row.run))
        task_or_raise(row.run_id, task, _names(load_definition(store.log, row), history))
        told = list(explained(history, task))
    if as_json:
        decisions = [_explained_document(one) for one in told]
        say(dumps({"run_id": row.run_id, "task": task, "decisions": decisions}))
        return
    if not told:
        say(f"nothing was decided about task {task} in run {row.run_id}")
    for one in told:
        for line in _explained_lines(one):
            say(line)


def _names(workflow: Workflow, history: Iterable[e.Recorded]) -> Iterator[str]:
    """The tasks of a run: those of its definition, and those that came later."""
    yield from (task.name for task in workflow.tasks)
    for recorded in history:
        if isinstance(recorded.event, e.TasksAdded):
            yield from (name for name, _ in recorded.event.tasks)


def _explained_lines(one: Explained) -> Iterator[str]:
    attempt = f"attempt {one.attempt}: " if one.attempt else ""
    yield f"{one.n:>6}  {clock(one.at)}  {attempt}{_fault(one)}"
    yield f"        {one_line(f'{conclusion_words(one)}, by {_by(one)}')}"
    if one.reason:
        yield f"        {one_line(one.reason)}"
    if one.comment and one.comment not in one.reason:
        yield f"        {one_line(one.comment)}"
    if one.facts:
        yield "        " + one_line(", ".join(f"{name} {n}" for name, n in one.facts))


def _fault(one: Explained) -> str:
    """What it was about, in a line."""
    fault = one.fault
    if fault is None:
        return "nothing had failed"
    what = f"{fault.kind.value} {fault.exception}".strip()
    return one_line(f"{what}: {fault.message}" if fault.message else what)


def _by(one: Explained) -> str:
    """Who decided."""
    match one.by:
        case By.RULE | By.DEFAULT | By.ENGINE:
            return one.rule + (f" (version {one.version})" if one.version else "")
        case By.TASK:
            return f"what the task declares ({one.rule})"
        case By.PERSON:
            return one.actor
        case By.TIME:
            return "the time that has passed"
        case By.SIGNAL:
            return "a signal"
        case By.PROBE:
            return "the probe"
        case _:
            assert_never(one.by)


def _explained_document(one: Explained) -> Document:
    return {
        "n": one.n,
        "at": iso(one.at),
        "at_us": one.at,
        "attempt": one.attempt,
        "fault": _fault(one),
        "decision": conclusion_words(one),
        "by": one.by.value,
        "rule": one.rule,
        "version": one.version,
        "reason": one.reason,
        "facts": dict(one.facts),
        "actor": one.actor,
        "comment": one.comment,
    }


# --- backtest -----------------------------------------------------------------------------------


@rules.command(
    "backtest",
    short_help="Ask other rules about the failures of the past.",
    epilog=examples(
        ("dwf rules backtest pipeline.py:workflow --since 30d", ""),
        ("dwf rules backtest new_rules.py:workflow --workflow etl --json", "for programs"),
    ),
)
@click.argument("target", metavar="TARGET")
@click.option("--since", metavar="WHEN", help="Only runs created since: 30d, 12h, 2026-11-01.")
@click.option(
    "--workflow", "name", metavar="NAME", help="Runs of this workflow. Default: TARGET's own name."
)
@json_option()
@pass_settings
def run_backtest(
    settings: Settings, *, target: str, since: str | None, name: str | None, as_json: bool
) -> None:
    """Ask the rules of TARGET about every recorded failure, and compare with what was decided.

    Nothing is run and nothing is written. Where the other branch never happened, it says so.
    """
    workflow = load_target(target)
    now = time.time_ns() // 1000
    try:
        start = None if since is None else parse_since(since, now)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None
    with settings.reading() as store:
        found = backtest(workflow, _streams(store.log, name or workflow.name, start))
    if as_json:
        say(dumps({"workflow": name or workflow.name, **found.to_dict()}))
        return
    for line in _screen(found):
        say(line)


def _streams(log: Log, workflow: str, since: int | None) -> Iterator[Stream]:
    for row in log.rows(workflow=workflow, since=since):
        yield row.run_id, log.history(row.run)


def _screen(found: Backtest) -> Iterator[str]:
    yield f"runs        {found.runs}"
    yield f"faults      {found.faults}"
    yield f"the same    {found.same}"
    yield f"different   {len(found.differences)}"
    yield f"not reached {found.not_reached}   (the rules would have left the path before)"
    saved = count_of(found.attempts_saved, "attempt")
    added = count_of(found.attempts_added, "attempt")
    lost = "1 later success" if found.lost == 1 else f"{found.lost} later successes"
    yield f"saved       {saved}, {span(found.seconds_saved * 1e6)}; {lost} would have been lost"
    yield f"added       {added} at least, {span(found.seconds_added * 1e6)}"
    yield f"unknown     {found.unknown}   (the other branch never happened)"
    for one in found.differences[:_SHOWN]:
        yield ""
        yield f"{one.run_id} {one_line(one.task)}, event {one.n}: {one.outcome.value}"
        yield f"  was   {one.recorded}, by {one.recorded_rule}"
        yield f"  would {one.candidate}, by {one.rule}: {one_line(one.reason)}"
    if len(found.differences) > _SHOWN:
        yield f"\nand {len(found.differences) - _SHOWN} more (--json)"
