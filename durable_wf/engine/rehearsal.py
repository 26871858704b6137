"""Rehearsal: what continuing a run would do, decided in memory.

Owns: the walk through a claim that `continuing.py` makes for real: the same loading of code, the
same fates of open attempts, the same rules; its events are thrown away.
Must never: write, kill an old worker, or start anything.
Read next: `claiming.py`, `judging.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from durable_wf.core import inputs as i
from durable_wf.core.circuit import endings
from durable_wf.core.compensation import added_to, with_added
from durable_wf.core.definition import Workflow
from durable_wf.core.events import AttemptReturned, Fault, Recorded, TaskFailed
from durable_wf.core.judge import declared
from durable_wf.core.state import OpenAttempt, RunState
from durable_wf.core.status import InDoubt, RunStatus, TaskStatus, WaitKind
from durable_wf.core.summary import RunRow
from durable_wf.engine import changes, code
from durable_wf.engine.changes import Changes
from durable_wf.engine.claiming import Claimed, claim, refuse_if_not_claimable, replayed
from durable_wf.engine.companions import companions_of, refuse_lost
from durable_wf.engine.fitting import misfits
from durable_wf.engine.judging import Judge, fallbacks_of, refuse_lost_fallbacks, rules_named
from durable_wf.engine.settings import ExecutorType, Settings
from durable_wf.engine.suspects import CRASH_LIMIT
from durable_wf.engine.view import load_definition
from durable_wf.errors import DurableWorkflowError
from durable_wf.recovery.chain import Rules
from durable_wf.recovery.rule import NamedRule
from durable_wf.store.locks import is_held
from durable_wf.store.opening import Store


@attrs.frozen
class Said:
    """What one rule says about a fault; None: it has no answer. The first that has one decides."""

    rule: str
    version: str
    answer: i.Decision | None


@attrs.frozen
class Judged:
    """A fault that continuing the run would have to decide about, and the decision.

    `in_doubt` tells an attempt that was open when its engine died from one that had failed before;
    `policy` is what the task declares about that. Where it decides, no rule is asked.
    """

    task: str
    attempt: int
    fault: Fault
    in_doubt: bool
    policy: InDoubt
    said: tuple[Said, ...]
    decision: i.Decision


@attrs.frozen
class Waits:
    """A task that would wait, and for what; None: for its retry. `until` is UTC microseconds;
    `question` is for `whom`, if it is somebody in particular.
    """

    task: str
    until: int | None
    what: WaitKind | None = None
    question: str = ""
    whom: str = ""


@attrs.frozen
class Rehearsal:
    """What would become of the tasks of a run, by name.

    `reused` have succeeded, `ended` ended otherwise; neither runs again. `returned` were announced
    and never began, `judged` must be decided about first. `starts` could start at once, `waits`
    wait, `later` come after others. `changed` says what of the code is not what the run knows.
    `no_code` says why code and rules are not at hand, `refused` why the run would not be continued
    at all. `paused` is why it would be paused in place of going on, `ends` how it would end at
    once. `workers` are old ones to be ended first, `engine` is a living one, which holds the run
    and would go on with it.
    """

    run_id: str
    before: RunStatus
    reused: tuple[str, ...]
    ended: tuple[str, ...]
    starts: tuple[str, ...]
    waits: tuple[Waits, ...]
    later: tuple[str, ...]
    returned: tuple[str, ...] = ()
    judged: tuple[Judged, ...] = ()
    changed: Changes = attrs.field(factory=Changes)
    lost_rules: tuple[str, ...] = ()
    new_rules: tuple[str, ...] = ()
    no_code: str = ""
    refused: tuple[str, ...] = ()
    paused: str = ""
    ends: RunStatus | None = None
    workers: tuple[str, ...] = ()
    engine: str = ""


def rehearse(
    store: Store,
    row: RunRow,
    why: str,
    at: int,
    *,
    trusted: bool,
    accept_changes: bool = False,
    rules: tuple[NamedRule, ...] = (),
    settings: Settings | None = None,
) -> Rehearsal:
    """What continuing this run at `at` would do. `why` is resume or recover; `rules` and `settings`
    are those of the engine that would do it.

    A paused run whose engine lives would go on there. Raises WrongState for a run that has ended or
    was imported, OwnedElsewhere for one that runs.
    """
    if why == "resume" and row.status is RunStatus.PAUSED and _is_driven(store, row):
        return _woken(store, row, at)
    refuse_if_not_claimable(store.log, row, store.folder.locks)
    recorded = load_definition(store.log, row)
    state = replayed(store.log, row, recorded)
    refused, no_code, workflow = [], "", recorded
    try:
        workflow = _loaded(recorded, state, store, trusted=trusted)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's script does
        no_code = _words(error)
        refused.append(f"its code is not at hand: {no_code}")
    changed = changes.of_resumed(state, recorded, workflow)
    if changed and not accept_changes:
        refused.append(changed.sentence)
    state.workflow = with_added(workflow, added_to(state))
    chain = Rules.of(workflow.recovery, rules)
    if not no_code:
        try:
            refuse_lost_fallbacks(state, fallbacks_of(workflow, chain))
            refuse_lost(state, companions_of(workflow))
        except DurableWorkflowError as error:
            refused.append(error.message)
    if settings is not None:
        refused += misfits(workflow, settings.capacity, settings.executor, _enforces)
    judge = Judge(chain, time.monotonic, lambda key: endings(store.log.outcomes(key)))
    limit = CRASH_LIMIT if settings is None else settings.crash_limit
    acted = _act(store, row, state, why, at, judge, limit)
    lost, new = _other_rules(recorded, workflow)
    return attrs.evolve(
        acted, changed=changed, no_code=no_code, refused=tuple(refused),
        lost_rules=lost, new_rules=() if no_code else new,
    )  # fmt: skip


def _enforces(kind: ExecutorType) -> bool:
    return kind is not ExecutorType.SEQUENTIAL


def _is_driven(store: Store, row: RunRow) -> bool:
    return bool(row.engine) and not row.imported and is_held(store.folder.locks, row.engine)


def _woken(store: Store, row: RunRow, at: int) -> Rehearsal:
    """A paused run goes on in the engine that holds it: nothing is in doubt."""
    state = replayed(store.log, row, load_definition(store.log, row))
    before = list(state.tasks)
    Claimed(state).give(i.Resume("rehearsal"), at)
    return attrs.evolve(_outlook(row, state, before), engine=row.engine)


def _loaded(recorded: Workflow, state: RunState, store: Store, *, trusted: bool) -> Workflow:
    code.refuse_foreign(store, trusted=trusted)
    loaded = code.load_trusted(recorded, state, store)
    code.functions_given(loaded)
    return loaded


def _words(error: BaseException) -> str:
    if isinstance(error, DurableWorkflowError):
        return error.message
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _act(
    store: Store, row: RunRow, state: RunState, why: str, at: int, judge: Judge, crash_limit: int
) -> Rehearsal:
    """Claim the run in memory, and see what comes of it."""
    before, locks = list(state.tasks), store.folder.locks
    open_before = dict(state.running)
    judged: list[Judged] = []

    def ask(state: RunState, index: int) -> i.Decision:
        found = _judged(judge, state, index, open_before)
        judged.append(found)
        return found.decision

    claimed = claim(
        store.log, locks, row, state, "rehearsal", why, at, ask, crash_limit=crash_limit, kill=False
    )
    events = (recorded.event for recorded in claimed.events)
    returned = [event.task for event in events if isinstance(event, AttemptReturned)]
    if why == "resume" and state.status is RunStatus.PAUSED:
        claimed.give(i.Resume("rehearsal"), at)
    return attrs.evolve(
        _outlook(row, state, before),
        returned=tuple(returned),
        judged=tuple(_in_time(one, claimed.events) for one in judged),
        workers=tuple(_left(open_before.values(), locks)),
    )


def _outlook(row: RunRow, state: RunState, before: Sequence[TaskStatus]) -> Rehearsal:
    """What has ended before, and what comes next."""
    names = state.graph.names
    starts = state.all_ready()
    may_start = set(starts)
    return Rehearsal(
        run_id=row.run_id,
        before=row.status,
        reused=_named(names, before, {TaskStatus.SUCCEEDED}),
        ended=_named(names, before, {TaskStatus.FAILED, TaskStatus.SKIPPED, TaskStatus.CANCELLED}),
        starts=tuple(names[index] for index in starts),
        waits=tuple(_waits(state)),
        later=tuple(
            names[index]
            for index, status in enumerate(state.tasks)
            if status is TaskStatus.PENDING and index not in may_start
        ),
        paused=state.cause if state.status is RunStatus.PAUSED is not row.status else "",
        ends=state.status if state.final else None,
    )


def _waits(state: RunState) -> Iterator[Waits]:
    for index in sorted(state.waiting.keys() | state.waits.keys()):
        until, name = state.waiting.get(index), state.graph.names[index]
        if (waiting := state.waits.get(index)) is None:
            yield Waits(name, until)
        else:
            yield Waits(name, until, waiting.what, waiting.question, waiting.whom)


def _named(
    names: Sequence[str], tasks: Sequence[TaskStatus], wanted: set[TaskStatus]
) -> tuple[str, ...]:
    return tuple(names[index] for index, status in enumerate(tasks) if status in wanted)


def _judged(
    judge: Judge, state: RunState, index: int, open_before: dict[int, OpenAttempt]
) -> Judged:
    asked = () if declared(state, index) is not None else judge.each(state, index)
    said = tuple(Said(rule.name, rule.version, answer) for rule, answer in asked)
    return Judged(
        state.graph.names[index],
        state.attempts[index],
        state.faults[index],
        index in open_before,
        state.task(index).in_doubt,
        said,
        judge(state, index),
    )


def _in_time(judged: Judged, events: Iterable[Recorded]) -> Judged:
    """With the failure that comes of a retry for which the task's deadline leaves no time."""
    for recorded in events:
        event = recorded.event
        if isinstance(event, TaskFailed) and (event.task, event.rule) == (judged.task, "deadline"):
            late = i.Fail(judged.decision.index, event.rule, event.reason, facts=event.facts)
            return attrs.evolve(judged, decision=late)
    return judged


def _left(attempts: Iterable[OpenAttempt], locks: Path) -> Iterator[str]:
    """Workers of the dead engine that still hold their locks."""
    workers = {a.started.worker: a.started.pid for a in attempts}
    for worker, pid in workers.items():
        if is_held(locks, worker):
            yield f"{worker} (pid {pid})"


def _other_rules(recorded: Workflow, workflow: Workflow) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Rules that the run was recorded with and are gone, and those that it did not have."""
    old = rules_named(recorded)
    new = {rule.label for chain in workflow.recovery.values() for rule in chain}
    return tuple(sorted(old - new)), tuple(sorted(new - old))
