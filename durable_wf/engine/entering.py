"""Entering: how a workflow becomes a live run of this engine, new or continued.

Owns: the meaning of `run_id` (three digests make it idempotent), and the first events of a run.
Must never: commit; the loop does, with the first attempts in the same transaction.
Read next: `continuing.py`, for runs that existed before; `overtaken.py`, for those that others
write to meanwhile.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from durable_wf.core import inputs as i
from durable_wf.core.definition import Workflow
from durable_wf.core.events import RunCreated
from durable_wf.core.state import RunState, row_of
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.engine import chains, code, origin
from durable_wf.engine.claiming import Claimed
from durable_wf.engine.continuing import continue_run, refuse_other
from durable_wf.engine.equipping import adopt, live_run, store_definition
from durable_wf.engine.live import LiveRun
from durable_wf.engine.options import Canceller, Options
from durable_wf.engine.result import RunHandle, RunResult
from durable_wf.engine.session import Session
from durable_wf.engine.suspects import in_crash_loop
from durable_wf.engine.view import load_definition, row_or_raise
from durable_wf.errors import WrongState


def enter(session: Session, workflow: Workflow, options: Options, cancel: Canceller) -> RunHandle:
    """Create the run, continue it, or find its recorded outcome. In the driving thread.

    Raises RunConflict, CodeChanged, OwnedElsewhere, NotSendable and other CallerErrors, before
    anything is written.
    """
    now = session.clock.now_us()
    run_id = origin.new_run_id(workflow.name, now) if options.run_id is None else options.run_id
    log = session.store.log
    found = _meant(session, run_id)
    if found is None:
        return create(session, workflow, run_id, options, cancel)
    if isinstance(found, LiveRun):
        live = found
        refuse_other(log, row_of(live.state), workflow, lambda: live.workflow)
        return _go_on(session, live, options, cancel, insists=False)
    row = found
    refuse_other(log, row, workflow, lambda: load_definition(log, row))
    if row.ended_at is not None:
        handle = RunHandle(row.run_id, cancel)
        handle.settle(RunResult(row, workflow, session.reader))
        return handle
    return continue_run(session, row, workflow, options, cancel, "resume", insists=False)


def _meant(session: Session, run_id: str) -> LiveRun | RunRow | None:
    """The run that an id stands for: the newest of its chain of retries."""
    row = session.store.log.row(run_id)
    if row is None:
        return session.loop.run(run_id)
    row = chains.newest(session.store.log, row)
    if row.ended_at is not None:
        for live in session.loop.runs():  # its retry may not be in the log yet
            created = live.state.created
            if created is not None and created.root == row.chain:
                return live
    return session.loop.run(row.run_id) or row


# --- a new run ------------------------------------------------------------------------------------


def create(
    session: Session, workflow: Workflow, run_id: str, options: Options, cancel: Canceller
) -> RunHandle:
    """Create a run, of its own or made from another one. Raises CallerErrors before anything is
    written.
    """
    if options.lineage is not None:
        return _create(session, workflow, run_id, options, cancel)
    with origin.numbered(options.start, run_id) as start:
        options = attrs.evolve(options, start=start)
        return _create(session, workflow, run_id, options, cancel)


def _create(
    session: Session, workflow: Workflow, run_id: str, options: Options, cancel: Canceller
) -> RunHandle:
    functions = code.functions_given(workflow)
    workflow = code.with_stored_code(workflow, functions, session)
    written = session.known.written(workflow)
    now = session.clock.now_us()
    lineage = options.lineage or _NO_LINEAGE
    created = RunCreated(
        workflow=workflow.name,
        definition=store_definition(session, written.data),
        total=len(workflow.tasks),
        structure=written.structure,
        inputs=written.inputs,
        code=written.code,
        actor=session.person,
        tags=(*workflow.tags, *options.tags),
        metadata=tuple(sorted({**dict(workflow.metadata), **options.metadata}.items())),
        script=options.start.script,
        argv=options.start.argv,
        cwd=lineage.cwd or str(Path.cwd()),
        python=origin.python_version(),
        target=options.start.target,
        module=options.start.module,
        limits=session.settings.given,
        origin=lineage.origin,
        origin_n=lineage.origin_n,
        root=lineage.root,
        deadline_at=_deadline_at(workflow, options, now),
        call=options.start.call,
        previous=options.start.previous,
        details=lineage.details,
    )
    state = RunState.of(run_id, workflow, written.graph)
    live = live_run(session, state, created, functions, options, cancel)
    claimed = Claimed(state)
    claimed.give(i.Create(created, session.engine, lineage.imports), now)
    live.last_details = dict(state.given_details)
    return adopt(session, live, claimed)


_NO_LINEAGE = origin.Lineage("", 0, "", (), "")


def _deadline_at(workflow: Workflow, options: Options, now: int) -> int | None:
    """When a new run fails if it has not ended: who starts it knows better than the workflow."""
    limit_s = workflow.deadline_s if options.deadline_s is None else options.deadline_s
    return None if limit_s is None else now + round(limit_s * 1e6)


# --- a run by its id ------------------------------------------------------------------------------


def resume(
    session: Session, run_id: str, workflow: Workflow | None, options: Options, cancel: Canceller
) -> RunHandle:
    """Continue a run by its id: unpause it where this engine holds it, else claim it."""
    found = _meant(session, run_id) or row_or_raise(session.store.log, run_id)
    if isinstance(found, LiveRun):
        return _go_on(session, found, options, cancel)
    return continue_run(session, found, workflow, options, cancel, "resume")


def _go_on(
    session: Session,
    live: LiveRun,
    options: Options,
    cancel: Canceller,
    *,
    insists: bool = True,
) -> RunHandle:
    """Go on with a run of this engine's own, paused or not; see `continue_run`. Raises
    WrongState.
    """
    live.wait_s, live.leaves = options.wait_s, options.leaves
    session.loop.after_commit(lambda: _settle_if_at_rest(session, live))
    if live.state.status is RunStatus.PAUSED:
        if not insists and in_crash_loop(live.state, session.settings.crash_limit):
            return live.handle
        decided = session.loop.give(live, i.Resume(origin.person()))
        if decided.refused:
            raise WrongState(decided.refused)
    if live.handle.done():  # it told of the pause, or of its rest; the outcome needs a new one
        live.handle = RunHandle(live.run_id, cancel)
    return live.handle


def _settle_if_at_rest(session: Session, live: LiveRun) -> None:
    """Nothing may happen to the run that would have somebody told how it stands."""
    if live.settled or live.rests(session.clock.now_us()):
        session.settle(live)
