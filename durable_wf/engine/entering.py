"""Entering: how a workflow becomes a live run of this engine, new or continued.

Owns: the meaning of `run_id` (three digests make it idempotent), the checks before anything is
written, and the first events of a run.
Must never: commit; the loop does, with the first attempts in the same transaction.
Read next: `claiming.py` for runs that existed before, `code.py` for where functions come from.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from durable_wf.core import inputs as i
from durable_wf.core.compensation import added_to, with_added
from durable_wf.core.definition import Workflow
from durable_wf.core.digests import code_digest, inputs_digest, structure_digest
from durable_wf.core.events import RunCreated
from durable_wf.core.state import RunState, row_of
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.core.values import TABLE_MAX
from durable_wf.engine import chains, code, differences, origin
from durable_wf.engine.beats import last_details
from durable_wf.engine.claiming import Claimed, claim, refuse_if_not_claimable, replayed
from durable_wf.engine.companions import companions_of, given_as, refuse_lost
from durable_wf.engine.durations import Durations
from durable_wf.engine.fitting import refuse_misfits
from durable_wf.engine.judging import (
    Judge,
    fallbacks_of,
    refuse_lost_fallbacks,
    warn_of_lost_rules,
)
from durable_wf.engine.live import LiveRun, run_code
from durable_wf.engine.progress import OnProgress
from durable_wf.engine.result import RunHandle, RunResult
from durable_wf.engine.session import Session
from durable_wf.engine.settings import ExecutorType, executor_type
from durable_wf.engine.suspects import in_crash_loop, say_paused
from durable_wf.engine.view import load_definition, row_or_raise
from durable_wf.errors import RunConflict, WrongState
from durable_wf.recovery.chain import Rules
from durable_wf.store.payload_files import digest_of, write_file
from durable_wf.store.port import Log

log = logging.getLogger("durable_wf.engine")

Canceller = Callable[[str, str, bool], None]


@attrs.frozen
class Options:
    """What a caller says about one run, beyond its workflow."""

    run_id: str | None = None
    executor: ExecutorType = ExecutorType.PARALLEL
    accept_changes: bool = False
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    on_progress: OnProgress | None = None
    wait_s: float | None = None
    leaves: bool = True
    """whether the caller goes when the run waits for people or signals alone"""
    deadline_s: float | None = None
    start: origin.Start = attrs.field(factory=origin.Start)
    lineage: origin.Lineage | None = None


def enter(session: Session, workflow: Workflow, options: Options, cancel: Canceller) -> RunHandle:
    """Create the run, continue it, or find its recorded outcome. In the driving thread.

    Raises RunConflict, CodeChanged, OwnedElsewhere, NotSendable and other CallerErrors, before
    anything is written.
    """
    now = session.clock.now_us()
    run_id = origin.check_run_id(options.run_id or origin.new_run_id(workflow.name, now))
    log = session.store.log
    found = _meant(session, run_id)
    if found is None:
        return create(session, workflow, run_id, options, cancel)
    if isinstance(found, LiveRun):
        live = found
        _refuse_other(log, row_of(live.state), workflow, lambda: live.workflow)
        return _go_on(session, live, options, cancel, insists=False)
    row = found
    _refuse_other(log, row, workflow, lambda: load_definition(log, row))
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


def _refuse_other(
    log: Log, row: RunRow, workflow: Workflow, recorded: Callable[[], Workflow]
) -> None:
    """A run id stands for one structure and one set of inputs: those of any run of its chain, since
    a retry may have been given others on purpose. Raises RunConflict.
    """
    digests = structure_digest(workflow), inputs_digest(workflow)
    if (row.structure, row.inputs) == digests:
        return
    if any((one.structure, one.inputs) == digests for one in chains.members(log, row)):
        return
    found = differences.between(recorded(), workflow)
    raise RunConflict(
        f"run {row.run_id} exists with another definition:\n  - " + "\n  - ".join(found),
        hint="choose another run_id for the changed workflow",
    )


# --- a new run ------------------------------------------------------------------------------------


def create(
    session: Session, workflow: Workflow, run_id: str, options: Options, cancel: Canceller
) -> RunHandle:
    """Create a run, of its own or made from another one. Raises CallerErrors before anything is
    written.
    """
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
    )
    state = RunState.of(run_id, workflow, written.graph)
    live = live_run(session, state, created, functions, options, cancel)
    claimed = Claimed(state)
    claimed.give(i.Create(created, session.engine, lineage.imports), now)
    return _adopt(session, live, claimed)


_NO_LINEAGE = origin.Lineage("", 0, "", (), "")


def _deadline_at(workflow: Workflow, options: Options, now: int) -> int | None:
    """When a new run fails if it has not ended: who starts it knows better than the workflow."""
    limit_s = workflow.deadline_s if options.deadline_s is None else options.deadline_s
    return None if limit_s is None else now + round(limit_s * 1e6)


def store_definition(session: Session, data: bytes) -> str:
    """Keep the definition of a run with its next commit; returns its digest."""
    if len(data) > TABLE_MAX:
        return write_file(session.store.folder.payloads, data, "json").digest
    digest = digest_of(data)
    session.loop.keep_payload(digest, data)
    return digest


# --- a run that exists --------------------------------------------------------------------------


def continue_run(
    session: Session,
    row: RunRow,
    workflow: Workflow | None,
    options: Options,
    cancel: Canceller,
    why: str,
    *,
    insists: bool = True,
) -> RunHandle:
    """Claim an unfinished run whose engine is gone, and go on with it.

    A paused one goes on to be resumed; but one that is in a crash loop only where the caller
    `insists`, or a script that is started again and again would never come to rest.
    `workflow` brings the code; None: it is loaded as the run's definition snapshot names it.
    Raises WrongState, OwnedElsewhere, CodeChanged and the errors of loading.
    """
    log = session.store.log
    refuse_if_not_claimable(row, session.store.folder.locks)
    recorded = load_definition(log, row)
    state = replayed(log, row, recorded)
    if workflow is None:
        workflow = code.load(recorded, state, session.store)
    else:
        _refuse_other(log, row, workflow, lambda: recorded)
        workflow = _as_recorded(row, recorded, workflow)
    workflow, functions, changed = with_code(
        session, state, recorded, workflow, accepted=options.accept_changes
    )
    state.workflow = with_added(workflow, added_to(state))
    assert state.created is not None
    live = live_run(session, state, state.created, functions, options, cancel)
    live.run, live.committed_n = row.run, row.n
    live.details = last_details(log, row.run, state)
    at = session.clock.now_us()
    limit = session.settings.crash_limit
    claimed = claim(
        log, session.store.folder.locks, row, state, session.engine, why, at, live.judge,
        crash_limit=limit,
    )  # fmt: skip
    if claimed.survivors:
        claimed.give(i.Release(session.engine, "an old worker is alive"), at)
        live.let_go = True
        return _adopt(session, live, claimed)
    if changed:
        definition = store_definition(session, workflow.to_json().encode())
        accept = i.AcceptCode(origin.person(), definition, code_digest(workflow), tuple(changed))
        claimed.give(accept, at)
    if state.status is RunStatus.PAUSED:
        if why == "resume" and (insists or not in_crash_loop(state, limit)):
            claimed.give(i.Resume(origin.person()), at)
        elif in_crash_loop(state, limit):
            say_paused(state)
    return _adopt(session, live, claimed)


def with_code(
    session: Session, state: RunState, recorded: Workflow, workflow: Workflow, *, accepted: bool
) -> tuple[Workflow, list[code.Function | None], list[str]]:
    """The recorded workflow with the code of this one; its functions, and the unfinished tasks that
    have other code than the run knows. Raises CodeChanged unless those are `accepted`.
    """
    workflow = _in_order_of(recorded, workflow)
    changed = code.changed_tasks(state, recorded, workflow)
    code.refuse_changes(state.run_id, changed, accepted=accepted)
    functions = code.functions_given(workflow)
    if changed:
        return code.with_stored_code(workflow, functions, session), functions, changed
    return _with_code_of(recorded, workflow), functions, changed


def _as_recorded(row: RunRow, recorded: Workflow, given: Workflow) -> Workflow:
    """The given tasks, called as the run calls them: a retry may have been given other values than
    the run that the caller knows. Raises RunConflict where it has other tasks.
    """
    if (row.structure, row.inputs) == (structure_digest(given), inputs_digest(given)):
        return given
    by_name = {task.name: task for task in given.tasks}
    if by_name.keys() != {task.name for task in recorded.tasks}:
        raise RunConflict(
            f"run {row.run_id} has other tasks:\n  - "
            + "\n  - ".join(differences.between(recorded, given)),
            hint=f"dwf resume {row.run_id}",
        )
    tasks = tuple(
        attrs.evolve(
            given_as(by_name[t.name], t.undo), upstream=t.upstream, args=t.args, kwargs=t.kwargs
        )
        for t in recorded.tasks
    )
    return attrs.evolve(given, tasks=tasks)


def _in_order_of(recorded: Workflow, given: Workflow) -> Workflow:
    """The given tasks as the run numbers them; who adds them in another order means the same.

    What a task waits for stays as it was recorded: people have read it, and times count from it.
    """
    by_name = {task.name: task for task in given.tasks}
    pairs = ((by_name[old.name], old) for old in recorded.tasks)
    tasks = (
        new if new.wait == old.wait else attrs.evolve(new, wait=old.wait) for new, old in pairs
    )
    return attrs.evolve(given, tasks=tuple(tasks))


def _with_code_of(recorded: Workflow, given: Workflow) -> Workflow:
    """The given tasks, with their tuning, and with the recorded places of their code."""
    pairs = zip(given.tasks, recorded.tasks, strict=True)
    tasks = tuple(
        new if new.function == old.function else attrs.evolve(new, function=old.function)
        for new, old in pairs
    )
    return attrs.evolve(given, tasks=tasks)


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


# --- both ---------------------------------------------------------------------------------------


def live_run(
    session: Session,
    state: RunState,
    created: RunCreated,
    functions: Sequence[Callable[..., Any] | None],
    options: Options,
    cancel: Canceller,
    key: int = 0,
) -> LiveRun:
    """Check that this engine can run the workflow, and make its functions sendable. `key` is the
    run's number if it has one here.
    """
    workflow = state.workflow
    key = key or session.next_key()
    rules = Rules.of(workflow.recovery, session.rules)
    fallbacks = fallbacks_of(workflow, rules)
    refuse_lost_fallbacks(state, fallbacks)
    companions = companions_of(workflow)
    refuse_lost(state, companions)
    warn_of_lost_rules(state.run_id, workflow)
    run, function_of, fallback_of, companion_of = run_code(
        key, state.run_id, workflow, functions, fallbacks, companions
    )
    run = attrs.evolve(run, cwd=_folder_of(created), key_base=created.root or state.run_id)
    kinds = _executors_of(workflow, options.executor)
    for kind in kinds:
        session.executor(kind)
    refuse_misfits(
        workflow,
        session.settings.capacity,
        options.executor,
        lambda kind: session.executor(kind).supports_limits,
    )
    for kind in kinds:
        session.executor(kind).prepare(run)
    durations = session.earlier.durations(workflow)
    return LiveRun(
        key=key,
        state=state,
        code=run,
        function_of=function_of,
        executor=options.executor.value,
        handle=RunHandle(state.run_id, cancel),
        remaining=_remaining(state, durations),
        durations_us=durations,
        on_progress=options.on_progress,
        judge=Judge(rules, session.clock.monotonic_s, session.loop.breakers.recent),
        fallback_of=fallback_of,
        companion_of=companion_of,
        wait_s=options.wait_s,
        leaves=options.leaves,
    )


def _folder_of(created: RunCreated) -> str:
    """Where the tasks of a run belong; "" where that is here, or is gone."""
    cwd = created.cwd
    return "" if cwd == str(Path.cwd()) or not Path(cwd).is_dir() else cwd


def _remaining(state: RunState, durations: Durations) -> array[float]:
    if not durations:
        return state.graph.remaining()
    return state.graph.remaining(lambda index: durations.get(index, 1_000_000) / 1e6)


def _executors_of(workflow: Workflow, default: ExecutorType) -> list[ExecutorType]:
    names = {task.executor for task in workflow.tasks if task.wait is None}
    return sorted(
        {executor_type(name) if name else default for name in names}, key=lambda kind: kind.value
    )


def _adopt(session: Session, live: LiveRun, claimed: Claimed) -> RunHandle:
    live.pending = claimed.events
    session.loop.adopt(live)
    session.loop.beats.put(attrs.evolve(beat, run=live.key) for beat in claimed.beats)
    return live.handle
