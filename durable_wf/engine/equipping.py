"""Equipping: what a run needs before it can run here.

Owns: its functions made ready to be sent, its executors started, its definition kept for the next
commit, what earlier runs say about its length; and putting it into the hands of the loop.
Must never: claim a run or decide about it; what is refused here is refused before that.
Read next: `entering.py` and `continuing.py`, which ask for it; `live.py`, what it makes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from durable_wf.core.definition import Workflow
from durable_wf.core.events import RunCreated
from durable_wf.core.state import RunState
from durable_wf.core.values import TABLE_MAX
from durable_wf.engine.claiming import Claimed
from durable_wf.engine.companions import companions_of, refuse_lost
from durable_wf.engine.durations import Durations
from durable_wf.engine.fitting import refuse_misfits
from durable_wf.engine.judging import (
    Judge,
    fallbacks_of,
    refuse_lost_fallbacks,
    warn_of_lost_rules,
)
from durable_wf.engine.live import LiveRun, run_code
from durable_wf.engine.options import Canceller, Options
from durable_wf.engine.result import RunHandle
from durable_wf.engine.session import Session
from durable_wf.engine.settings import ExecutorType, executor_type
from durable_wf.recovery.chain import Rules
from durable_wf.store.payload_files import digest_of, write_file


def store_definition(session: Session, data: bytes) -> str:
    """Keep the definition of a run with its next commit; returns its digest."""
    if len(data) > TABLE_MAX:
        return write_file(session.store.folder.payloads, data, "json").digest
    digest = digest_of(data)
    session.loop.keep_payload(digest, data)
    return digest


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


def adopt(session: Session, live: LiveRun, claimed: Claimed) -> RunHandle:
    """Put a run into the hands of the loop; how it came there is in the next commit."""
    live.pending = claimed.events
    session.loop.adopt(live)
    session.loop.beats.put(attrs.evolve(beat, run=live.key) for beat in claimed.beats)
    return live.handle
