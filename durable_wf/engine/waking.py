"""Waking: how a run at rest comes back, and gets its code when a task of it is to start.

Owns: the replay of such a run, the claim of one that has nothing to do but wait, and bringing its
code, which may take long and may fail; the answer that woke it is in the log by then.
Must never: start anything; the loop does.
Read next: `resting.py`, `continuing.py`.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable, Sequence
from functools import partial

from durable_wf.core.compensation import added_to, with_added
from durable_wf.core.evolve import replay
from durable_wf.core.judge import judge
from durable_wf.core.state import RunState
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.engine import code, entering
from durable_wf.engine.beats import last_details
from durable_wf.engine.changes import Changes
from durable_wf.engine.claiming import claim, refuse_if_not_claimable
from durable_wf.engine.continuing import accepted_code, continue_run, with_code
from durable_wf.engine.equipping import live_run
from durable_wf.engine.live import LiveRun
from durable_wf.engine.options import Canceller, Options
from durable_wf.engine.overtaken import Overtaken
from durable_wf.engine.resting import Sleeper
from durable_wf.engine.result import RunHandle
from durable_wf.engine.session import Session
from durable_wf.engine.settings import executor_type
from durable_wf.engine.suspects import in_crash_loop, say_paused
from durable_wf.engine.view import row_or_raise
from durable_wf.errors import DurableWorkflowError, OwnedElsewhere
from durable_wf.execute.port import RunCode
from durable_wf.store.locks import is_held

log = logging.getLogger("durable_wf.engine")


def attach(session: Session) -> None:
    """Let the loop of a session put runs to rest."""
    session.loop.rest.rouse = partial(rouse, session)


def rouse(session: Session, sleeper: Sleeper) -> LiveRun:
    """A run that was at rest, as it stands in the log. Raises OwnedElsewhere when another engine
    has written to it, and what reading it raises.
    """
    store = session.store.log
    row = row_or_raise(store, sleeper.run_id)
    if row.engine != session.engine:
        raise OwnedElsewhere(
            f"run {sleeper.run_id} is not this engine's any more", hint=f"dwf show {sleeper.run_id}"
        )
    if sleeper.workflow is not None:
        state = RunState.of(row.run_id, sleeper.workflow)
    else:
        state = RunState.of(row.run_id, *session.known.definition(store, row))
    replay(state, store.history(row.run))
    live = _without_code(session, row, state, sleeper.executor, sleeper.cancel)
    if sleeper.handle is not None:
        live.handle = sleeper.handle
    live.wait_s, live.leaves, live.on_progress = (
        sleeper.wait_s, sleeper.leaves, sleeper.on_progress,
    )  # fmt: skip
    live.given, live.accept_changes = sleeper.workflow, sleeper.accept_changes
    return live


# --- runs whose engine is gone --------------------------------------------------------------------

OnRefused = Callable[[str, DurableWorkflowError], None]
"""Is told of a run that is not continued, and why."""

_RECOVERED = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.DRAINING)


def interrupted(session: Session) -> list[str]:
    """Every unfinished, unpaused run whose engine is gone."""
    folder = session.store.folder.locks
    return [
        row.run_id
        for row in session.store.log.rows(status=_RECOVERED)
        if not (row.imported or session.loop.holds(row.run_id))
        and not (row.engine and is_held(folder, row.engine))
    ]


def recover(
    session: Session,
    run_ids: Sequence[str],
    options: Options,
    cancel: Canceller,
    refused: OnRefused,
    *,
    paused: bool,
) -> list[RunHandle]:
    """Claim these runs and go on with them; `paused` ones, too, or not. The handle of one that
    others have just written to says that it was overtaken.
    """
    handles = []
    for run_id in run_ids:
        try:
            if paused:
                handles.append(entering.resume(session, run_id, None, options, cancel))
                continue
            row = row_or_raise(session.store.log, run_id)
            handle = take_over(session, row, options, cancel)
            handles.append(handle or continue_run(session, row, None, options, cancel, "recover"))
        except Overtaken as error:
            lost = RunHandle(run_id, cancel)
            lost.settle(error)
            handles.append(lost)
        except DurableWorkflowError as error:
            refused(run_id, error)
    return handles


def warn_of_refusal(run_id: str, error: DurableWorkflowError) -> None:
    """For those who do not ask to be told otherwise."""
    log.warning("run %s cannot be continued: %s", run_id, error)


def take_over(
    session: Session, row: RunRow, options: Options, cancel: Canceller
) -> RunHandle | None:
    """Claim a run whose engine is gone and that has nothing to do but wait; it needs no code yet.
    None where it has something to do.
    """
    refuse_if_not_claimable(session.store.log, row, session.store.folder.locks)
    if row.counts.running or not row.counts.waiting:
        return None
    store, now = session.store.log, session.clock.now_us()
    state = RunState.of(row.run_id, *session.known.definition(store, row))
    replay(state, store.history(row.run))
    due = state.wake_at is not None and state.wake_at <= now
    if due or state.n != row.n or state.running or state.faulted or state.all_ready():
        return None
    live = _without_code(session, row, state, options.executor.value, cancel)
    live.wait_s, live.leaves, live.on_progress = (
        options.wait_s, options.leaves, options.on_progress,
    )  # fmt: skip
    live.accept_changes = options.accept_changes
    limit = session.settings.crash_limit
    claimed = claim(
        store, session.store.folder.locks, row, state, session.engine, "recover", now,
        crash_limit=limit,
    )  # fmt: skip
    if state.status is RunStatus.PAUSED and in_crash_loop(state, limit):
        say_paused(state)
    live.pending = claimed.events
    session.loop.adopt(live)
    return live.handle


def _without_code(
    session: Session, row: RunRow, state: RunState, executor: str, cancel: Canceller
) -> LiveRun:
    key = session.next_key()
    return LiveRun(
        key=key,
        state=state,
        code=RunCode(key, row.run_id, row.workflow, row.run_id, [], []),
        function_of=array("i"),
        executor=executor,
        handle=RunHandle(row.run_id, cancel),
        remaining=array("d"),
        judge=judge,
        run=row.run,
        committed_n=row.n,
        last_details=last_details(session.store.log, row.run, state),
        equip=partial(equip, session),
    )


def equip(session: Session, live: LiveRun) -> None:
    """Bring the code of a run that goes on. Raises what loading it raises, CodeChanged too."""
    state = live.state
    assert state.created is not None
    changed = Changes()
    if live.given is not None:
        workflow = live.given
        functions = code.functions_given(workflow)
    else:
        recorded = live.workflow
        loaded = session.known.code(state, lambda: code.load(recorded, state, session.store))
        workflow, functions, changed = with_code(
            session, state, recorded, loaded, accepted=live.accept_changes
        )
    state.workflow = with_added(workflow, added_to(state))
    options = Options(
        executor=executor_type(live.executor), on_progress=live.on_progress, wait_s=live.wait_s,
        leaves=live.leaves,
    )  # fmt: skip
    cancel = live.handle.canceller
    full = live_run(session, state, state.created, functions, options, cancel, key=live.key)
    live.take_code(full)
    if changed:
        session.loop.give(live, accepted_code(session, workflow, changed))
