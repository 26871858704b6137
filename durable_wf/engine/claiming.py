"""How a run comes into the hands of an engine: created, or claimed after another let go or died.

Owns: the first events of a run, and what becomes of attempts that were open when an engine died.
Must never: decide about an open attempt before its old worker is known to be dead.
Read next: `loop.py`, which commits what is decided here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import attrs

from durable_wf.core import inputs as i
from durable_wf.core.decide import decide
from durable_wf.core.definition import Workflow
from durable_wf.core.events import Fault, Recorded
from durable_wf.core.evolve import replay
from durable_wf.core.judge import judge
from durable_wf.core.state import OpenAttempt, RunState
from durable_wf.core.status import FaultKind, RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.engine.overtaken import overtaken
from durable_wf.engine.suspects import ask_a_person
from durable_wf.engine.view import came_from_elsewhere
from durable_wf.errors import OwnedElsewhere, WrongState
from durable_wf.execute.clearing import clear_worker
from durable_wf.execute.mark import read_beat, read_mark
from durable_wf.execute.port import Heartbeat
from durable_wf.store.locks import is_held
from durable_wf.store.port import Log

CLEARING_S = 10.0
"""How long an old worker may take to die before its run is paused instead."""


@attrs.define(eq=False)
class Claimed:
    """A run's state with the events of its claim, decided but not committed. `survivors` are old
    workers that would not die; then nobody may go on with the run now. `beats` are the last words
    of attempts that were open, as far as they can still be read. `judge` decides about faults: the
    run's rules where its code is at hand, else the default.
    """

    state: RunState
    events: list[Recorded] = attrs.field(factory=list)
    survivors: list[str] = attrs.field(factory=list)
    beats: list[Heartbeat] = attrs.field(factory=list)
    judge: Callable[[RunState, int], i.Decision] = judge

    def give(self, given: i.Input, at: int) -> str:
        """Decide an input; returns why it was refused, or ""."""
        decided = decide(self.state, given, at)
        self.events += decided.events
        for index in decided.judge:
            self.give(self.judge(self.state, index), at)
        return decided.refused


def refuse_if_not_claimable(log: Log, row: RunRow, locks: Path) -> None:
    """Raise WrongState for a run that has ended or was imported, OwnedElsewhere for one whose
    engine is alive.
    """
    if came_from_elsewhere(log, row):
        raise WrongState(
            f"run {row.run_id} was imported; it can be read, not continued",
            hint=f"dwf show {row.run_id}",
        )
    if row.ended_at is not None:
        verb = "show" if row.status is RunStatus.SUCCEEDED else "retry"
        raise WrongState(
            f"run {row.run_id} has ended: {row.status.value}", hint=f"dwf {verb} {row.run_id}"
        )
    if row.engine and is_held(locks, row.engine):
        raise OwnedElsewhere(
            f"run {row.run_id} is being run by engine {row.engine}, which is alive",
            hint=f"dwf watch {row.run_id}",
        )


def replayed(log: Log, row: RunRow, workflow: Workflow) -> RunState:
    """The state of a recorded run. Raises HistoryError."""
    return replay(RunState.of(row.run_id, workflow), log.history(row.run))


def claim(
    log: Log,
    locks: Path,
    row: RunRow,
    state: RunState,
    engine: str,
    why: str,
    at: int,
    judge: Callable[[RunState, int], i.Decision] = judge,
    *,
    crash_limit: int = 0,
    kill: bool = True,
) -> Claimed:
    """Decide the claim of a run whose engine is gone, and the fate of its open attempts. Raises
    WrongState, and Overtaken where the state is of a later event than the `row`, which says that
    the engine is gone.

    Kills what is left of the old workers. Where one will not die, the run is paused with that
    cause and its attempts stay open. A run over which `crash_limit` engines in a row have died is
    paused too (0: never). Without `kill` this only tells what it would come to if all of them died.
    """
    if state.n != row.n:  # its workers may be those of an engine that lives
        raise overtaken(row.run_id)
    claimed = Claimed(state, judge=ask_a_person(judge, crash_limit))
    if refused := claimed.give(i.Claim(engine, why, crash_limit), at):
        raise WrongState(refused)
    claimed.survivors = _clear(state.running.values(), locks) if kill else []
    if claimed.survivors:
        cause = f"old worker alive: {', '.join(claimed.survivors)}"
        claimed.give(i.Pause("recovery", cause), at)
        return claimed
    claimed.beats = _last_words(log, locks, row.run, state, at)
    said = {task: beat.detail for task, beat in log.beats(row.run).items()}
    said |= {state.graph.names[beat.index]: beat.detail for beat in claimed.beats if beat.detail}
    for report in _fates(log, locks, row.run, state, said):
        claimed.give(report, at)
    return claimed


def _clear(attempts: Iterable[OpenAttempt], locks: Path) -> list[str]:
    """End the old workers of open attempts, all within `CLEARING_S`; names those that live on."""
    workers = _workers(attempts)
    deadline = time.monotonic() + CLEARING_S
    return [
        f"{worker} (pid {pid})"
        for worker, (pid, born) in workers.items()
        if not clear_worker(locks, worker, pid, born, max(0.1, deadline - time.monotonic()))
    ]


def _workers(attempts: Iterable[OpenAttempt]) -> dict[str, tuple[int, int]]:
    """The workers of these attempts, with pid and start time."""
    return {a.started.worker: (a.started.pid, a.started.born) for a in attempts}


def _last_words(log: Log, locks: Path, run: int, state: RunState, at: int) -> list[Heartbeat]:
    """The last heartbeats of open attempts, later than what their engine has written of them."""
    marked = {worker: read_beat(locks, worker) for worker in _workers(state.running.values())}
    now_ns = time.monotonic_ns()
    beats = []
    for index, seq in _seqs(log, run, state).items():
        started = state.running[index].started
        beat = marked[started.worker]
        if beat is not None and beat.seq == seq:
            ago_us = max(0, now_ns - beat.at_ns) // 1000
            beats.append(Heartbeat(0, index, started.attempt, at - ago_us, beat.detail))
    return beats


def _fates(
    log: Log, locks: Path, run: int, state: RunState, said: Mapping[str, str]
) -> list[i.Report]:
    """What is known of each open attempt, now that nobody runs it: never begun, or in doubt.
    `said` has the last details by task.
    """
    marks = {worker: read_mark(locks, worker) for worker in _workers(state.running.values())}
    reports: list[i.Report] = []
    for index, seq in _seqs(log, run, state).items():
        started = state.running[index].started
        if seq > marks[started.worker]:
            reports.append(i.Returned(0, index, started.attempt))
        else:
            message = f"its engine ended while attempt {started.attempt} ran"
            fault = Fault(FaultKind.IN_DOUBT, message)
            detail = said.get(started.task, "")
            new = "" if detail == started.detail else detail
            reports.append(i.Failed(0, index, started.attempt, fault, detail=new))
    return reports


def _seqs(log: Log, run: int, state: RunState) -> dict[int, int]:
    """The log's number of each open attempt's AttemptStarted, by task, in their order."""
    open_attempts = sorted(state.running.items(), key=lambda item: item[1].n)
    found = log.seqs(run, [attempt.n for _, attempt in open_attempts])
    return {index: found[attempt.n] for index, attempt in open_attempts}
