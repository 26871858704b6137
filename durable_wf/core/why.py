"""why: why a task may not start, or did not, as far as its run's events tell.

Owns: the answer to one question about one task at one event.
Must never: guess. What is beside the log (whether an engine lives, what it was given) comes as an
argument, and where it is not known there is no reason made of it.
Read next: `reason.py`, for what an answer is made of; `witness.py`, which reads the events;
`lacking.py`, for what a task needs and others hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import attrs

from durable_wf.core import events as e
from durable_wf.core.events import Recorded
from durable_wf.core.lacking import Held, lacks
from durable_wf.core.reason import Answer, Around, Barred, Cause, Reason
from durable_wf.core.state import RunState
from durable_wf.core.status import (
    RUN_FINAL,
    TASK_FINAL,
    RunStatus,
    TaskStatus,
    WaitKind,
)
from durable_wf.core.witness import Witness

_NOTHING = Around()


def why(
    witness: Witness, index: int, around: Around = _NOTHING, *, most: int | None = None
) -> Answer:
    """Why task `index` may not start, or has ended or begun, at the event that was read last.

    With `most`, of the tasks that it waits for so many are told, and so many of those behind them
    at the bottom; the rest is counted.
    """
    state = witness.state
    name, status = state.graph.names[index], state.tasks[index]
    search = _Search(witness, around.alive is False or not state.engine, around.barred)
    reasons = [
        *search.own(index),
        *_of_run(witness, index),
        *_of_engine(witness, index, around),
    ]
    waited = unmet(state, index) if status is TaskStatus.PENDING else []
    reasons += [search.upstream(one) for one in waited[:most]]
    if not reasons and around.stock is not None:
        taken = (*around.others, *held(state))
        reasons += [
            Reason(Cause.RESOURCE, lack=lack)
            for lack in lacks(state.task(index).resources, around.stock, taken)
        ]
    bottom = sorted(at_bottom(witness, index))
    if most is not None:
        known = frozenset(waited)
        bottom = [one for one in bottom if one not in known]
    roots = tuple(search.upstream(one) for one in bottom[:most])
    if reasons:
        told = sum(reason.cause is Cause.UPSTREAM for reason in reasons)
        more, more_roots = len(waited) - told, len(bottom) - len(roots)
        return Answer(name, status, tuple(reasons), roots, more=more, more_roots=more_roots)
    since, ahead = _since(witness, index), _ahead(state, index)
    return Answer(name, status, since=since, ahead=ahead, crashes=state.crashes)


def unmet(state: RunState, index: int) -> list[int]:
    """The upstream tasks that a task still waits for."""
    if not state.unmet[index]:
        return []
    above = state.graph.upstream[index]
    if index >= state.forward:  # a compensation: what it takes back has ended, in whatever way
        above = tuple(one for one in above if one >= state.forward)
    return [one for one in above if not _releases(state, one)]


def _releases(state: RunState, index: int) -> bool:
    """Whether what comes after the task may start, as far as it is concerned."""
    match state.tasks[index]:
        case TaskStatus.SUCCEEDED | TaskStatus.SKIPPED:
            return True
        case TaskStatus.FAILED:
            return state.task(index).optional
        case _:
            return False


# --- the task itself, its upstream ---------------------------------------------------------------


@attrs.define
class _Search:
    """Looks for reasons. What is recorded as running does not run when its engine is `gone`; a
    task that is `barred` has a breaker that lets it not begin. What was found of a task that others
    wait for is `known`: many may.
    """

    _witness: Witness
    _gone: bool
    _barred: Mapping[int, Barred]
    _known: dict[int, Reason] = attrs.field(factory=dict)

    def own(self, index: int) -> Iterator[Reason]:
        """What the task's own state says against its start, and its breaker."""
        state = self._witness.state
        status = state.tasks[index]
        match status:
            case TaskStatus.PENDING:
                if not state.unmet[index]:
                    yield from self._breaker(index)
                return
            case TaskStatus.WAITING:
                yield _waits(state, index, self._witness.of_task(index))
                if index not in state.waits:
                    yield from self._breaker(index)
                return
            case _:
                yield _stands(self._witness, index, gone=self._gone)

    def _breaker(self, index: int) -> Iterator[Reason]:
        barred = self._barred.get(index)
        if barred is not None:
            yield Reason(Cause.BREAKER, name=barred.key, until=barred.until, text=barred.text)

    def upstream(self, index: int) -> Reason:
        """A task that is waited for, and why it has not ended: one level."""
        found = self._known.get(index)
        if found is None:
            found = self._known[index] = self._upstream(index)
        return found

    def _upstream(self, index: int) -> Reason:
        state = self._witness.state
        names, tasks = state.graph.names, state.tasks
        own = [*self.own(index)]
        if tasks[index] is TaskStatus.PENDING:
            own += [
                Reason(Cause.UPSTREAM, task=names[one], status=tasks[one])
                for one in unmet(state, index)
            ]
        found = self._witness.of_task(index)
        return Reason(
            Cause.UPSTREAM,
            found.n if found else 0,
            found.at if found else 0,
            task=names[index],
            status=tasks[index],
            because=tuple(own),
        )


def _stands(witness: Witness, index: int, *, gone: bool) -> Reason:
    """That the task has begun, failed or ended."""
    state = witness.state
    status, found = state.tasks[index], witness.of_task(index)
    if status is TaskStatus.RUNNING:
        open_attempt = state.running[index]
        started = open_attempt.started
        return Reason(
            Cause.IN_DOUBT if gone else Cause.BEGUN, open_attempt.n, open_attempt.at,
            actor=started.worker, attempt=started.attempt,
        )  # fmt: skip
    attempt = state.attempts[index]
    if status is TaskStatus.FAULTED:
        fault = state.faults[index]
        text = f"{fault.exception or fault.kind.value}: {fault.message}"
        return attrs.evolve(_said(Cause.FAULTED, found), attempt=attempt, text=text)
    return attrs.evolve(_said(Cause.ENDED, found), status=status, attempt=attempt)


_WAITS = {
    WaitKind.SLEEP: Cause.SLEEP,
    WaitKind.SIGNAL: Cause.SIGNAL,
    WaitKind.APPROVAL: Cause.APPROVAL,
    WaitKind.OPERATOR: Cause.OPERATOR,
}


def _waits(state: RunState, index: int, found: Recorded | None) -> Reason:
    """What a task waits for, beside other tasks."""
    waiting = state.waits.get(index)
    until = state.waiting.get(index)
    if waiting is None:
        return attrs.evolve(_said(Cause.TIMER, found), until=until)
    return attrs.evolve(
        _said(_WAITS[waiting.what], found),
        until=until,
        question=waiting.question,
        whom=waiting.whom,
        name=waiting.signal,
        otherwise=None if until is None or waiting.what is WaitKind.SLEEP else waiting.on_timeout,
    )


def _said(cause: Cause, found: Recorded | None) -> Reason:
    """A reason with what its event says of rule, reason and other tasks."""
    if found is None:
        return Reason(cause)
    event = found.event
    return Reason(
        cause, found.n, found.at,
        name=getattr(event, "origin", ""),
        task=getattr(event, "upstream", "") or getattr(event, "cause_task", ""),
        actor=getattr(event, "actor", ""),
        rule=getattr(event, "rule", ""),
        version=getattr(event, "version", ""),
        text=getattr(event, "reason", "") or getattr(event, "cause", ""),
    )  # fmt: skip


def at_bottom(witness: Witness, index: int) -> Collection[int]:
    """The tasks at the bottom of it: those above this one that have not ended and wait for no other
    themselves; of one that has ended, those that ended it.
    """
    state = witness.state
    if state.tasks[index] is TaskStatus.PENDING:
        return _bottom(state, index)
    if state.tasks[index] in TASK_FINAL:
        found = (_said(Cause.ENDED, witness.of_task(index)), *_of_run(witness, index))
        known = (state.graph.index.get(reason.task) for reason in found)
        return {one for one in known if one is not None and one != index}
    return ()


def _bottom(state: RunState, index: int) -> Collection[int]:
    """Unmet tasks above this one that wait for no other themselves. Each is visited once."""
    stack, seen, found = unmet(state, index), set[int](), set[int]()
    while stack:
        one = stack.pop()
        if one in seen:
            continue
        seen.add(one)
        above = unmet(state, one) if state.tasks[one] is TaskStatus.PENDING else []
        stack += above
        if not above:
            found.add(one)
    return found


# --- the run and its engine -----------------------------------------------------------------------


def _of_run(witness: Witness, index: int) -> Iterator[Reason]:
    """What the state of the run says against it, beside what the task's own says."""
    state = witness.state
    found = witness.status
    if index >= state.forward:
        return  # a compensation: it is there because the run drains
    match state.status:
        case None | RunStatus.PENDING:
            yield _said(Cause.NOT_BEGUN, found)
        case RunStatus.RUNNING:
            return
        case RunStatus.PAUSED if state.tasks[index] not in TASK_FINAL:
            yield _said(Cause.PAUSED, found)
        case RunStatus.DRAINING if state.tasks[index] not in TASK_FINAL:
            yield _said(Cause.DRAINING, found)
        case RunStatus.DRAINING | RunStatus.FAILED | RunStatus.CANCELLED if _closed(witness, index):
            yield Reason(Cause.DRAINING, task=state.cause_task, text=state.cause)
        case _:
            return


def _closed(witness: Witness, index: int) -> bool:
    """Whether the task ended with its run, not by itself."""
    found = witness.of_task(index)
    return found is not None and isinstance(found.event, e.TasksClosed | e.TaskCancelled)


def _of_engine(witness: Witness, index: int, around: Around) -> Iterator[Reason]:
    """Nobody runs it: its engine let go, or has died."""
    state = witness.state
    idle = state.tasks[index] in TASK_FINAL or state.status in RUN_FINAL
    if idle or (state.status is RunStatus.PAUSED and index not in state.running):
        return
    owner = witness.owner
    if not state.engine:
        text = owner.event.why if owner and isinstance(owner.event, e.RunReleased) else ""
        yield attrs.evolve(_said(Cause.NO_ENGINE, owner), text=text)
    elif around.alive is False:
        yield Reason(
            Cause.NO_ENGINE, owner.n if owner else 0, owner.at if owner else 0, actor=state.engine
        )


# --- a task that may start ------------------------------------------------------------------------


def held(state: RunState) -> Iterator[Held]:
    """What open attempts of this run occupy."""
    for index, attempt in state.running.items():
        started = attempt.started
        yield Held(
            state.run_id, started.task, started.worker, state.engine, state.task(index).resources
        )


def _since(witness: Witness, index: int) -> Recorded | None:
    """The event since which a task that may start could: its own, its upstream's or the run's."""
    names = witness.state.graph.names
    places = (index, *witness.state.graph.upstream[index])
    found = [witness.status, *(witness.tasks.get(names[one]) for one in places)]
    return max((one for one in found if one is not None), key=lambda one: one.n, default=None)


def _ahead(state: RunState, index: int) -> int:
    """How many tasks that may start come first: by priority, then by the longest path behind."""
    remaining = state.graph.remaining()
    order = [(-state.task(one).priority, -remaining[one], one) for one in state.all_ready()]
    own = (-state.task(index).priority, -remaining[index], index)
    return sum(one < own for one in order)
