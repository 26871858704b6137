"""`dwf resume` and `dwf recover`: continue what was interrupted or paused.

Owns: who goes on with a run: the engine that holds it, or this process.
Must never: touch a run whose engine is alive, but through its inbox.
Read next: `control.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import attrs
import click

from durable_wf.cli.bulk import (
    Applies,
    Asked,
    Chosen,
    Told,
    chosen_runs,
    report,
    wanted_of,
    wanted_options,
)
from durable_wf.cli.commands.control import sent, tell
from durable_wf.cli.commands.run import engine_options
from durable_wf.cli.context import (
    Settings,
    examples,
    note,
    out,
    pass_settings,
    typed,
)
from durable_wf.cli.exits import Exit
from durable_wf.cli.kin import newest_of
from durable_wf.cli.limits import Capacity, Limits, capacity, recorded_limits
from durable_wf.cli.outcome import tell_outcomes
from durable_wf.cli.picking import pick
from durable_wf.cli.progress import teller
from durable_wf.cli.states import INTERRUPTED, WAITING, shown_run
from durable_wf.cli.stores import alive_in, open_for_reading
from durable_wf.core.status import RUN_FINAL, RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.engine.facade import WorkflowEngine
from durable_wf.engine.settings import Settings as EngineSettings
from durable_wf.engine.settings import settings as engine_settings
from durable_wf.errors import DurableWorkflowError
from durable_wf.store.opening import Store, open_store
from durable_wf.store.port import Verb


class Options(Limits, Asked):
    """What `resume` takes besides the options of an engine."""


dry_run_option = click.option(
    "--dry-run",
    "rehearse",
    is_flag=True,
    help="Say what would be reused, run again, wait and be decided by which rule. Nothing is run "
    "and nothing is written; the code is loaded, as it would be to continue.",
)


@click.command(
    "resume",
    epilog=examples(
        ("dwf resume @last", "the newest run"),
        ("dwf resume etl-2026 --accept-changes", "with code that was corrected since"),
        ("dwf resume @last --dry-run", "what it would do; nothing is written"),
        ("dwf resume --status paused --tag nightly", "all of them, after a question"),
    ),
)
@wanted_options("resume")
@dry_run_option
@engine_options
@pass_settings
def resume(
    settings: Settings,
    *,
    rehearse: bool,
    executor: str,
    workers: int | None,
    accept_changes: bool,
    wait: float | None,
    trust: bool,
    as_json: bool,
    quiet: bool,
    **options: Unpack[Options],
) -> int:
    """Continue interrupted or paused runs, in this process, until they end.

    Or until they wait for people or signals alone; see dwf inbox. Finished tasks are not run again.
    The code is loaded from the file or module that the run names, a script up to the call that made
    the run; if the code of unfinished tasks has changed since, this says which, and asks for
    --accept-changes. A paused run whose engine is alive goes on there. Cores, memory, devices and
    pools are those that the run was given at first, unless they are given here. More than one run,
    or a filter, is asked about first; those that cannot go on are left out, and counted.

    Exit code: 0 succeeded, 1 failed, 4 cannot be resumed, 7 waiting or paused, 8 cancelled, 130
    interrupted.
    Of many runs: 4 if one cannot be resumed, else that of the worst outcome; 0 if no run is like
    that.
    """
    wanted = wanted_of(options)
    with settings.reading(before_writing=True) as store:
        if wanted.is_one:
            row = newest_of(store.log, pick(store.log, wanted.names[0]))
            chosen = Chosen(((row, alive_in(store, row)),))
        else:
            asked = attrs.evolve(wanted, yes=wanted.yes or rehearse)
            chosen = chosen_runs(store, asked, "resume", _RESUMED)
        path = store.folder.place
        use = capacity(options, [recorded_limits(store.log, row) for row, _ in chosen.rows])
        if rehearse:
            like = _engine_like(executor, workers, use, trust=trust)
            rows = [row for row, _ in chosen.rows]
            given = {"accept_changes": accept_changes, "as_json": as_json}
            code = report("resume", chosen.refused, as_json=as_json)
            return max(code, _rehearse(store, rows, "resume", like, **given))
    there = [row.run_id for row, alive in chosen.rows if alive and row.status is RunStatus.PAUSED]
    here = [row.run_id for row, _ in chosen.rows if row.run_id not in there]
    if wanted.is_one and there:
        return tell(settings, there[0], Verb.RESUME, "", trust=trust, as_json=as_json)
    codes = {_sent(path, there, trust=trust, as_json=as_json)} if there else {Exit.OK}
    refused = [*chosen.refused]
    if not here:
        codes.add(report("resume", refused, as_json=as_json))
        return _worst(codes)

    def on_refused(run_id: str, error: DurableWorkflowError) -> None:
        if wanted.is_one:
            raise error
        refused.append(Told(run_id, accepted=False, text=error.message))

    with (
        teller(quiet=as_json or quiet) as on_progress,
        WorkflowEngine(path, executor_type=executor, workers=workers, trust=trust, **use) as engine,
    ):
        results = engine.recover(
            here, accept_changes=accept_changes, wait=wait, on_progress=on_progress,
            on_refused=on_refused,
        )  # fmt: skip
    codes |= tell_outcomes(results, path, out(), as_json=as_json)
    codes.add(report("resume", refused, as_json=as_json))
    return _worst(codes)


def _worst(codes: set[Exit]) -> Exit:
    return next((code for code in _REFUSED_FIRST if code in codes), Exit.OK)


def _rehearse(
    store: Store, rows: list[RunRow], why: str, like: EngineSettings, **given: bool
) -> Exit:
    """Say what continuing them would do."""
    # a face of its own, which who continues a run should not wait for
    from durable_wf.cli.dry_run import dry_run

    return dry_run(store, rows, why, like, **given)


def _sent(path: Path, run_ids: list[str], *, trust: bool, as_json: bool) -> Exit:
    """Paused runs go on in the engines that hold them."""
    store = open_store(path, trust=trust)
    try:
        return report("resume", sent(store, run_ids, Verb.RESUME, ""), as_json=as_json)
    finally:
        store.close()


def _objection(row: RunRow, alive: bool) -> str:
    """Why a run that waits is not continued: its engine goes on with it."""
    return "waiting in an engine" if alive and row.status is not RunStatus.PAUSED else ""


_RESUMED = Applies(
    meant=frozenset({RunStatus.PAUSED, INTERRUPTED}),
    can=frozenset({RunStatus.PAUSED, INTERRUPTED, WAITING}),
    but=_objection,
)
_REFUSED_FIRST = (Exit.WRONG_STATE, Exit.RUN_FAILED, Exit.CANCELLED, Exit.WAITING)


@click.command(
    "recover",
    epilog=examples(
        ("dwf recover", ""),
        ("dwf list --status interrupted", "which runs that would be"),
        ("dwf recover --dry-run", "what would become of each; nothing is written"),
    ),
)
@dry_run_option
@engine_options
@pass_settings
def recover(
    settings: Settings,
    *,
    rehearse: bool,
    executor: str,
    workers: int | None,
    accept_changes: bool,
    wait: float | None,
    trust: bool,
    as_json: bool,
    quiet: bool,
    **limits: Unpack[Limits],
) -> int:
    """Continue every run whose engine is gone, until all have ended.

    Or until they wait for people or signals alone; see dwf inbox. Paused runs stay paused. A run
    that cannot be continued (its code is gone or has changed) is named, and the others go on.
    Cores, memory, devices and pools are those that the runs were given at first, unless they are
    given here.

    Exit code: that of the worst outcome: 1 failed, 4 not continued, 8 cancelled, 7 waiting, 0.
    """
    with settings.reading(before_writing=True) as store:
        path = store.folder.place
        rows = _unfinished(store)
        use = capacity(limits, [recorded_limits(store.log, row) for row in rows])
        if rehearse:
            like = _engine_like(executor, workers, use, trust=trust)
            rows = [row for row in rows if _is_unowned(store, row)]
            if not rows:
                note("no run was interrupted")
            given = {"accept_changes": accept_changes, "as_json": as_json}
            return _rehearse(store, rows, "recover", like, **given)
    with (
        teller(quiet=as_json or quiet) as on_progress,
        WorkflowEngine(path, executor_type=executor, workers=workers, trust=trust, **use) as engine,
    ):
        results = engine.recover(accept_changes=accept_changes, wait=wait, on_progress=on_progress)
    codes = tell_outcomes(results, path, out(), as_json=as_json)
    waiting = {result.run_id for result in results}
    left = [run_id for run_id in _interrupted(path) if run_id not in waiting]
    if left:
        codes.add(Exit.WRONG_STATE)
        note(f"not continued: {', '.join(left)}\nto see why: {typed('resume', left[0])}")
    elif not results:
        note("no run was interrupted")
    worst_first = (Exit.RUN_FAILED, Exit.WRONG_STATE, Exit.CANCELLED, Exit.WAITING)
    return next((code for code in worst_first if code in codes), Exit.OK)


def _interrupted(path: Path) -> list[str]:
    """Runs that no engine runs although they could be continued."""
    store = open_for_reading(str(path))
    try:
        return [row.run_id for row in _unfinished(store) if _is_interrupted(store, row)]
    finally:
        store.close()


def _engine_like(
    executor: str, workers: int | None, use: Capacity, *, trust: bool
) -> EngineSettings:
    """What an engine with these options would be asked to use. Raises CallerError."""
    return engine_settings(executor=executor, workers=workers, grace_s=0.0, trust=trust, **use)


def _unfinished(store: Store) -> list[RunRow]:
    return store.log.rows(status=frozenset(RunStatus) - RUN_FINAL)


def _is_interrupted(store: Store, row: RunRow) -> bool:
    shown = shown_run(row, alive=alive_in(store, row))
    return not row.imported and shown is INTERRUPTED


def _is_unowned(store: Store, row: RunRow) -> bool:
    """Whether recovering would take it: it is not paused, and its engine is gone."""
    return row.status is not RunStatus.PAUSED and not (row.imported or alive_in(store, row))
