"""`dwf rules`: recovery rules shown, explained, and tried on the past.

Owns: the screens and documents of the three commands.
Must never: write, or decide about a run that lives.
Read next: `../../recovery/backtesting.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

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
from durable_wf.cli.documents import Document, dumps
from durable_wf.cli.kin import note_newer
from durable_wf.cli.names import task_or_raise
from durable_wf.cli.picking import pick
from durable_wf.cli.terminal import one_line
from durable_wf.cli.times import clock, iso, parse_since, span
from durable_wf.core import events as e
from durable_wf.core.definition import Workflow
from durable_wf.engine.view import load_definition
from durable_wf.recovery.backtesting import Backtest, Stream, backtest
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
        if task.rules:
            say(f"task {task.name}")
            for label in task.rules:
                say(f"  {label}")
    say("every task" + ", after its own" * any(task.rules for task in workflow.tasks))
    for label in workflow.rules:
        say(f"  {label}")
    say("  those of the engine, then the default: what failed has failed, and an attempt whose")
    say("  engine died is run again")


def _rules_document(workflow: Workflow) -> Document:
    tasks = {
        task.name: [_rule_document(rule) for rule in workflow.recovery.get(task.name, ())]
        for task in workflow.tasks
    }
    own = [_rule_document(rule) for rule in workflow.recovery.get("", ())]
    return {"workflow": workflow.name, "rules": own, "tasks": tasks}


def _rule_document(rule: NamedRule) -> Document:
    return {"name": rule.name, "version": rule.version}


# --- explain ------------------------------------------------------------------------------------

_DECISIONS = (
    e.TaskRetryScheduled | e.TaskFailed | e.TaskSkipped | e.TaskFellBack | e.TaskFallbackScheduled
)


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
    """Say which rule decided what about a task, on which facts, and why, as it was recorded."""
    with settings.reading() as store:
        row = pick(store.log, run)
        note_newer(store.log, row)
        names = [one.name for one in load_definition(store.log, row).tasks]
        task_or_raise(row.run_id, task, names)
        told = list(_told(store.log.history(row.run), task))
    if as_json:
        say(dumps({"run_id": row.run_id, "task": task, "decisions": told}))
        return
    if not told:
        say(f"no rule has decided about task {task} in run {row.run_id}")
    for one in told:
        say(f"{one['n']:>6}  {clock(one['at_us'])}  attempt {one['attempt']}: {one['fault']}")
        said = f" (version {one['version']})" if one["version"] else ""
        say(f"        {one['decision']}, by {one['rule']}{said}")
        say(f"        {one_line(one['reason'])}")
        if one["facts"]:
            say("        " + ", ".join(f"{name} {n}" for name, n in one["facts"].items()))


def _told(history: Iterator[e.Recorded], task: str) -> Iterator[Document]:
    failed: e.AttemptFailed | None = None
    for recorded in history:
        event = recorded.event
        if not isinstance(event, e.TaskEvent) or event.task != task:
            continue
        if isinstance(event, e.AttemptFailed):
            failed = event
        elif isinstance(event, _DECISIONS):
            fault = failed.fault if failed is not None else None
            what = "never started" if fault is None else f"{fault.kind.value} {fault.exception}"
            words = fault.message if fault is not None else ""
            yield {
                "n": recorded.n,
                "at": iso(recorded.at),
                "at_us": recorded.at,
                "attempt": failed.attempt if failed is not None else 0,
                "fault": one_line(f"{what.strip()}: {words}" if words else what.strip()),
                "decision": _decision(event, recorded.at),
                "rule": event.rule,
                "version": event.version,
                "reason": event.reason,
                "facts": dict(event.facts),
            }


def _decision(event: _DECISIONS, at: int) -> str:
    match event:
        case e.TaskRetryScheduled():
            return f"try again in {span(max(0, event.until - at))}"
        case e.TaskFailed():
            return "the task has failed" + ", the run goes on" * event.keep_going
        case e.TaskSkipped():
            return "go on without it"
        case e.TaskFellBack():
            return f"take {one_line(event.value)[:60]} for the result"
        case e.TaskFallbackScheduled():
            return f"call {event.function} instead"


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
    yield (
        f"saved       {found.attempts_saved} attempts, {span(found.seconds_saved * 1e6)};"
        f" {found.lost} later successes would have been lost"
    )
    yield f"added       {found.attempts_added} attempts at least, {span(found.seconds_added * 1e6)}"
    yield f"unknown     {found.unknown}   (the other branch never happened)"
    for one in found.differences[:_SHOWN]:
        yield ""
        yield f"{one.run_id} {one_line(one.task)}, event {one.n}: {one.outcome.value}"
        yield f"  was   {one.recorded}, by {one.recorded_rule}"
        yield f"  would {one.candidate}, by {one.rule}: {one_line(one.reason)}"
    if len(found.differences) > _SHOWN:
        yield f"\nand {len(found.differences) - _SHOWN} more (--json)"
