"""`dwf resume` and `dwf recover`: continue what was interrupted or paused.

Owns: who goes on with a run: the engine that holds it, or this process.
Must never: touch a run whose engine is alive, but through its inbox.
Read next: `control.py`.
"""

from __future__ import annotations

import click

from durable_wf.cli.commands.control import tell
from durable_wf.cli.commands.run import engine_options
from durable_wf.cli.context import (
    Settings,
    examples,
    note,
    out,
    pass_settings,
    run_argument,
)
from durable_wf.cli.exits import Exit
from durable_wf.cli.outcome import tell_outcome
from durable_wf.cli.picking import pick
from durable_wf.cli.progress import teller
from durable_wf.cli.stores import alive_in
from durable_wf.core.status import RunStatus
from durable_wf.engine.facade import WorkflowEngine
from durable_wf.store.port import Verb


@click.command(
    "resume",
    epilog=examples(
        ("dwf resume @last", "the newest run"),
        ("dwf resume etl-2026 --accept-changes", "with code that was corrected since"),
    ),
)
@run_argument
@engine_options
@pass_settings
def resume(
    settings: Settings,
    *,
    run: str,
    executor: str,
    workers: int | None,
    accept_changes: bool,
    trust: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Continue an interrupted or paused run, in this process, until it ends.

    Finished tasks are not run again. The code is loaded from the file or module that the run
    names; if the code of unfinished tasks has changed since, this says which, and asks for
    --accept-changes. A paused run whose engine is alive goes on there.

    Exit code: 0 succeeded, 1 failed, 4 cannot be resumed, 7 paused, 8 cancelled, 130 interrupted.
    """
    with settings.reading() as store:
        row = pick(store.log, run)
        alive = alive_in(store, row)
        path = store.folder.path
    if alive and row.status is RunStatus.PAUSED:
        return tell(settings, row.run_id, Verb.RESUME, "", trust=trust, as_json=as_json)
    with (
        teller(quiet=as_json or quiet) as on_progress,
        WorkflowEngine(path, executor_type=executor, workers=workers, trust=trust) as engine,
    ):
        result = engine.resume(
            row.run_id, check=False, accept_changes=accept_changes, on_progress=on_progress
        )
    return tell_outcome(result, out(), as_json=as_json)


@click.command(
    "recover",
    epilog=examples(
        ("dwf recover", ""),
        ("dwf list --status interrupted", "which runs that would be"),
    ),
)
@engine_options
@pass_settings
def recover(
    settings: Settings,
    *,
    executor: str,
    workers: int | None,
    accept_changes: bool,
    trust: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Continue every run whose engine is gone, until all have ended.

    Paused runs stay paused. A run that cannot be continued (its code is gone or has changed) is
    named, and the others go on. The exit code is that of the worst outcome: 1 before 8 before 7.
    """
    with settings.reading() as store:
        path = store.folder.path
    with (
        teller(quiet=as_json or quiet) as on_progress,
        WorkflowEngine(path, executor_type=executor, workers=workers, trust=trust) as engine,
    ):
        results = engine.recover(accept_changes=accept_changes, on_progress=on_progress)
    if not results:
        note("no interrupted runs could be continued")
    codes = [tell_outcome(result, out(), as_json=as_json) for result in results]
    for worst in (Exit.RUN_FAILED, Exit.CANCELLED, Exit.WAITING):
        if worst in codes:
            return worst
    return Exit.OK
