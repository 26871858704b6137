"""`dwf run`: run a workflow and show its progress.

Owns: the options of a run, and the options that `resume` and `recover` share with it.
Must never: know how runs are driven; the engine does.
Read next: `resume.py`, `../outcome.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, Unpack

import click

from durable_wf.authoring.targets import OnStop, lasting, load, untold
from durable_wf.authoring.wfformat import Replay
from durable_wf.cli.context import (
    Settings,
    examples,
    json_option,
    note,
    out,
    pass_settings,
    trust_option,
)
from durable_wf.cli.limits import Limits, capacity, limit_options
from durable_wf.cli.outcome import tell_outcomes
from durable_wf.cli.progress import teller
from durable_wf.core.definition import Workflow
from durable_wf.core.units import parse_delay, parse_limit
from durable_wf.engine.facade import WorkflowEngine
from durable_wf.engine.origin import started_by
from durable_wf.engine.settings import ExecutorType, machine_memory, usable_cpus
from durable_wf.errors import DefinitionError
from durable_wf.store.folder import default_store, find_store

F = TypeVar("F", bound=Callable[..., Any])


def _time(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    try:
        return None if value is None else parse_delay(value)
    except DefinitionError as error:
        raise click.BadParameter(error.message) from None


def engine_options(command: F) -> F:
    """The options of all commands that run tasks."""
    options = (
        click.option(
            "-e",
            "--executor",
            type=click.Choice([kind.value for kind in ExecutorType]),
            default=ExecutorType.PARALLEL.value,
            show_default=True,
            help="Where tasks run: in worker processes, or one after the other in this one.",
        ),
        click.option(
            "-j",
            "--workers",
            type=click.IntRange(min=1),
            metavar="N",
            help="Worker processes. Default: one for each core.",
        ),
        limit_options,
        click.option(
            "--accept-changes",
            is_flag=True,
            help="Go on although the code of unfinished tasks has changed.",
        ),
        click.option(
            "--wait",
            metavar="TIME",
            callback=_time,
            help="Go when nothing runs and no timer is due within this time, as in 0 or 10m. "
            "Default: wait for any timer; not for people or signals.",
        ),
        trust_option,
        json_option("Print one JSON document at the end, and no progress."),
        click.option("-q", "--quiet", is_flag=True, help="Show no progress."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _limit(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    try:
        return None if value is None else parse_limit(value)
    except DefinitionError as error:
        raise click.BadParameter(error.message) from None


@click.command(
    "run",
    epilog=examples(
        ("dwf run pipeline.py:workflow", "a workflow, builder or function in a file"),
        ("dwf run etl.flows:nightly --id etl-2026-11-23", "typed twice, it runs once"),
        ("dwf run recorded.json --time-scale 0.001", "a recorded execution (WfFormat)"),
        ("dwf run pipeline.py --json | jq .status", "for a program"),
    ),
)
@click.argument("target", metavar="TARGET")
@click.option(
    "--id",
    "run_id",
    metavar="ID",
    help="The run's id. A run of this id that exists "
    "is continued; one that has ended gives its recorded outcome.",
)
@click.option(
    "--deadline",
    callback=_limit,
    metavar="TIME",
    help="A new run that has not ended after this time, such as 2h, fails. Default: the "
    "workflow's own deadline.",
)
@click.option("--tag", multiple=True, metavar="TAG", help="Put a tag on the run; repeatable.")
@click.option(
    "--time-scale",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="WfFormat: run each recorded task for X times its recorded time.  [default: 1]",
)
@click.option(
    "--work",
    type=click.Choice(["sleep", "cpu"]),
    help="WfFormat: spend that time sleeping or computing.  [default: sleep]",
)
@engine_options
@pass_settings
def run(
    settings: Settings,
    *,
    target: str,
    run_id: str | None,
    deadline: float | None,
    tag: tuple[str, ...],
    time_scale: float | None,
    work: str | None,
    executor: str,
    workers: int | None,
    accept_changes: bool,
    wait: float | None,
    trust: bool,
    as_json: bool,
    quiet: bool,
    **limits: Unpack[Limits],
) -> int:
    """Run a workflow and show its progress until it ends.

    Or until it waits for people or signals alone; then the lines to type that answer it are shown.

    TARGET is file.py:name, module:name, or a .json file: a definition, or a recorded execution in
    WfFormat. The name may be a workflow, a builder, or a function that returns one.

    Every step is recorded first, so the run survives whatever happens to this process: dwf resume
    continues it. Ctrl-C lets running tasks finish for some seconds; a second one kills them.

    Exit code: 0 succeeded, 1 failed, 7 waiting or paused, 8 cancelled, 130 interrupted.
    """
    memory = limits["memory"] or machine_memory()
    workflow = load_target(
        target, time_scale, work, limits["cpus"] or workers, memory, on_stop=_say_where(target)
    )
    if "wfformat" in workflow.tags:
        limits["memory"] = memory
    store = settings.store or find_store()
    if store is None:
        store = default_store()
        note(f"making a store in {Path(store).absolute()}")
    place = Path(store).absolute()  # a workflow may go to another folder
    began = time.time_ns() // 1000
    with (
        teller(quiet=as_json or quiet) as on_progress,
        WorkflowEngine(
            place, executor_type=executor, workers=workers, trust=trust, **capacity(limits)
        ) as engine,
        started_by(lasting(target)),
    ):
        result = engine.run(
            workflow,
            run_id=run_id,
            check=False,
            deadline=deadline,
            accept_changes=accept_changes,
            wait=wait,
            tags=tag,
            on_progress=on_progress,
        )
    ended = result.ended_at
    if ended is not None and ended < began:
        note(f"run {result.run_id} had ended before; this is its recorded outcome")
    return max(tell_outcomes([result], place, out(), as_json=as_json))


def _say_where(target: str) -> OnStop:
    """Who runs workflows in a script may expect that all of them are run, and what follows."""

    def say(workflow: Workflow) -> None:
        rest = f"; for all of it: python {target}" if target.endswith(".py") else ""
        note(
            f"{target} stopped at its first engine.run, of workflow {workflow.name!r}: "
            f"that is run, and nothing that would follow{rest}"
        )

    return say


def load_target(
    target: str,
    time_scale: float | None = None,
    work: str | None = None,
    cpus: float | None = None,
    memory: int | None = None,
    *,
    code: bool = True,
    on_stop: OnStop = untold,
) -> Workflow:
    """The workflow that TARGET names. Recorded tasks ask for no more than these cores and this
    memory; by default those of the machine. Without `code`, a .json definition is read and nothing
    that it names is executed. `on_stop` is told where code was left at its first run.
    """
    wfformat = target.endswith(".json")
    if not wfformat and (time_scale is not None or work is not None):
        raise click.UsageError("--time-scale and --work are for recorded executions (.json)")
    replay = Replay(
        time_scale=1.0 if time_scale is None else time_scale,
        work=work or "sleep",
        cores=float(cpus or usable_cpus()),
        memory=memory or machine_memory(),
    )
    return load(target, replay, code=code, on_stop=on_stop)
