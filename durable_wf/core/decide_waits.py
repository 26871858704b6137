"""What becomes of tasks that wait: timers, approvals, signals, and what people answer.

Owns: how a task begins to wait, and each way in which its waiting ends.
Must never: hold a worker; a task that waits is a row in the log.
Read next: `decide.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core import steps, values
from durable_wf.core.events import Recorded
from durable_wf.core.resolver import nearest
from durable_wf.core.state import RunState, Waiting
from durable_wf.core.status import FaultKind, Otherwise, RunStatus, TaskStatus, Verdict, WaitKind
from durable_wf.core.steps import Decided, emit, refused
from durable_wf.core.wording import stands

MOST_SIGNALS = 1_000
"""How many signals a run keeps for tasks that may come to wait for them: each stands in memory, and
a sender that never stops is cut off."""

_UNDECIDED = (RunStatus.RUNNING, RunStatus.PAUSED)


# --- it begins ------------------------------------------------------------------------------------


def reach(state: RunState, events: list[Recorded], at: int, ready: Iterable[int]) -> None:
    """Those of the tasks whose turn it is, and which wait as their definition says, begin to."""
    for index in ready:
        if index in state.waiters and state.is_ready(index):
            _wait(state, events, at, index)


def _wait(state: RunState, events: list[Recorded], at: int, index: int) -> None:
    wait = state.task(index).wait
    assert wait is not None
    until = wait.until
    if until is None and wait.timeout_s is not None:
        until = at + round(wait.timeout_s * 1e6)
    emit(state, events, at, e.TaskWaiting(state.graph.names[index], wait.kind, until))
    if wait.kind is WaitKind.SIGNAL:
        _take_signal(state, events, at, index, wait.name)
    if until is not None and until <= max(at, state.at) and index in state.waits:
        _time_is_up(state, events, at, index)
    steps.end_if_done(state, events, at)


# --- a timer ends it ------------------------------------------------------------------------------


def due(state: RunState, _: i.Due, at: int) -> Decided:
    """A timer is due: of a task, or the run's own deadline."""
    events: list[Recorded] = []
    stop = fail_late(state, events, at)
    wake_due(state, events, at)
    return Decided(events, stop=stop)


def fail_late(state: RunState, events: list[Recorded], at: int) -> tuple[tuple[int, int], ...]:
    """Drain the run if its deadline has passed; returns the attempts to be stopped."""
    deadline = state.deadline_at
    if deadline is None or state.status is not RunStatus.RUNNING or deadline > max(at, state.at):
        return ()
    steps.drain(state, events, at, RunStatus.FAILED, "the run's deadline has passed")
    stop = tuple((index, attempt.started.attempt) for index, attempt in state.running.items())
    steps.end_if_done(state, events, at)
    return stop


def wake_due(state: RunState, events: list[Recorded], at: int) -> None:
    """While paused, due timers wait. What was due once stays due, though the clock be set back."""
    if state.status is not RunStatus.RUNNING and not state.compensating:
        return
    now = max(at, state.at)
    for index in [index for index, until in state.waiting.items() if until <= now]:
        if index not in state.waiting:
            continue  # the run began to drain meanwhile
        if index in state.waits:
            _time_is_up(state, events, at, index)
        else:
            emit(state, events, at, e.TaskWoken(state.graph.names[index]))


def _time_is_up(state: RunState, events: list[Recorded], at: int, index: int) -> None:
    """What a task waited for has not come in time; for a sleep, that is what it waited for."""
    waiting = state.waits[index]
    if waiting.what is WaitKind.SLEEP:
        _complete(state, events, at, index, "null", "it has slept")
        return
    reason = f"nobody has answered in time ({waiting.what.value})"
    _otherwise(state, events, at, index, waiting.on_timeout, reason, "")


def _otherwise(
    state: RunState,
    events: list[Recorded],
    at: int,
    index: int,
    what: Otherwise,
    reason: str,
    actor: str,
    comment: str = "",
) -> None:
    """No answer, or a no: what the task says about that."""
    name = state.graph.names[index]
    match what:
        case Otherwise.FAIL:
            failed = e.TaskFailed(name, "answer", reason, kind=FaultKind.REJECTED)
            _fail(state, events, at, index, failed)
        case Otherwise.SKIP:
            emit(state, events, at, e.TaskSkipped(name, "answer", reason))
            steps.end_if_done(state, events, at)
        case Otherwise.RETRY:
            emit(state, events, at, e.TaskWoken(name))
        case Otherwise.CONTINUE | Otherwise.APPROVE:
            value = "null"
            if state.waits[index].what is WaitKind.APPROVAL:
                value = _approval(what is Otherwise.APPROVE, actor, comment)
            _complete(state, events, at, index, value, reason)


def _complete(
    state: RunState, events: list[Recorded], at: int, index: int, value: str, reason: str,
    signal: str = "",
) -> None:  # fmt: skip
    emit(state, events, at, e.TaskCompleted(state.graph.names[index], value, reason, signal))
    steps.end_if_done(state, events, at)


def _fail(
    state: RunState, events: list[Recorded], at: int, index: int, failed: e.TaskFailed
) -> None:
    if index >= state.forward:  # a compensation: the next one runs whatever became of this one
        emit(state, events, at, failed)
        steps.end_if_done(state, events, at)
    else:
        steps.fail_task(state, events, at, index, failed)


def _approval(approved: bool, actor: str, comment: str) -> str:
    """What an approval returns to those who come after it."""
    return values.encode({"approved": approved, "by": actor, "comment": comment})


# --- a signal ends it -----------------------------------------------------------------------------


def signal(state: RunState, given: i.Signal, at: int) -> Decided:
    """A signal goes to the first task that waits for its name, or is kept for the next one."""
    if state.status not in (*_UNDECIDED, RunStatus.PENDING):
        return refused(_cannot(state, "sent a signal"))
    if (kept := sum(map(len, state.signals.values()))) >= MOST_SIGNALS:
        return refused(f"run {state.run_id} keeps {kept:,} signals that no task has taken")
    events: list[Recorded] = []
    emit(state, events, at, e.SignalReceived(given.name, given.value, given.actor))
    take_signals(state, events, at)
    return Decided(events)


def take_signals(state: RunState, events: list[Recorded], at: int) -> None:
    """Give signals that are kept to tasks that wait for them, in the order of the definition."""
    if not any(state.signals.values()):
        return
    for index in sorted(state.waits):
        waiting = state.waits.get(index)
        if waiting is not None and waiting.what is WaitKind.SIGNAL:
            _take_signal(state, events, at, index, waiting.signal)


def _take_signal(state: RunState, events: list[Recorded], at: int, index: int, name: str) -> None:
    if kept := state.signals.get(name):
        _complete(state, events, at, index, kept[0], f"signal {name!r} came", name)


# --- a person ends it -----------------------------------------------------------------------------


def answer(state: RunState, given: i.Answer, at: int) -> Decided:
    """A person answers about a task that waits."""
    index = state.graph.index.get(given.task)
    if index is None:
        guess = nearest(given.task, state.graph.names)
        more = f"; did you mean {guess!r}?" if guess else ""
        return refused(f"run {state.run_id} has no task {given.task!r}{more}")
    if why := _not_asked(state, given, index):
        return refused(why)
    events: list[Recorded] = []
    decided = e.OperatorDecided(given.task, given.verdict, given.actor, given.comment, given.value)
    emit(state, events, at, decided)
    conclude_answer(state, events, at, index)
    return Decided(events)


_SAID = {
    Verdict.APPROVE: "approved",
    Verdict.REJECT: "rejected",
    Verdict.RETRY: "sent back",
    Verdict.SKIP: "skipped",
    Verdict.VALUE: "answered with a value",
    Verdict.FAIL: "given up",
}
_WAITED_FOR: Mapping[WaitKind | None, str] = {
    WaitKind.SLEEP: "time to pass",
    WaitKind.SIGNAL: "a signal",
    WaitKind.APPROVAL: "an approval",
    WaitKind.OPERATOR: "a decision (dwf resolve)",
    None: "its retry",
}
_FOR_APPROVALS = frozenset({Verdict.APPROVE, Verdict.REJECT})


def _not_asked(state: RunState, given: i.Answer, index: int) -> str:
    """Why the answer is none to what the task waits for; "" if it is one."""
    task = f"run {state.run_id}: task {given.task!r}"
    if state.tasks[index] is not TaskStatus.WAITING:
        return f"{task} waits for nobody; it {stands(state.tasks[index].value)}"
    if given.attempt is not None and given.attempt != state.attempts[index]:
        return f"{task} has come to attempt {state.attempts[index]}; this is about {given.attempt}"
    waits = state.waits.get(index)
    kind = waits.what if waits else None
    what = _WAITED_FOR[kind]
    if given.verdict in _FOR_APPROVALS and kind is not WaitKind.APPROVAL:
        return f"{task} waits for no approval but for {what}"
    if given.verdict is Verdict.RETRY and index in state.waiters:
        return f"{task} has nothing to try again; it waits for {what}"
    return ""


def conclude_answer(state: RunState, events: list[Recorded], at: int, index: int) -> None:
    """What follows from what a person has answered."""
    said = state.answered[index]
    reason = f"{_SAID[said.verdict]} by {said.actor}" + (f": {said.comment}" * bool(said.comment))
    match said.verdict:
        case Verdict.APPROVE:
            value = _approval(True, said.actor, said.comment)
            _complete(state, events, at, index, value, reason)
        case Verdict.REJECT:
            what = _on_reject(state.waits[index], state, index)
            _otherwise(state, events, at, index, what, reason, said.actor, said.comment)
        case Verdict.RETRY:
            _otherwise(state, events, at, index, Otherwise.RETRY, reason, said.actor)
        case Verdict.SKIP:
            _otherwise(state, events, at, index, Otherwise.SKIP, reason, said.actor)
        case Verdict.FAIL:
            _otherwise(state, events, at, index, Otherwise.FAIL, reason, said.actor)
        case Verdict.VALUE:
            _complete(state, events, at, index, said.value, reason)


def _on_reject(waiting: Waiting, state: RunState, index: int) -> Otherwise:
    wait = state.task(index).wait
    assert wait is not None, waiting
    return wait.on_reject


def _cannot(state: RunState, wish: str) -> str:
    status = state.status.value if state.status else "unknown"
    return f"run {state.run_id} {stands(status)} and cannot be {wish}"
