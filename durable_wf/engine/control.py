"""Control: commands of people to a run, wherever it is.

Owns: the three ways of a command: to a run of this engine, through the inbox to the engine that is
alive, or, with no engine alive, by claiming the run and deciding what starts nothing. What people
say to a task that waits is decided without a claim (see `answering.py`).
Must never: start a task; a resume without an engine waits in the inbox for one.
Read next: `claiming.py`; `desk.py`, where an engine reads what was posted.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from durable_wf.core import inputs as i
from durable_wf.core.state import row_of
from durable_wf.core.summary import RunRow
from durable_wf.core.wording import are, count_of
from durable_wf.engine import answering
from durable_wf.engine.claiming import claim, refuse_if_not_claimable, replayed
from durable_wf.engine.clock import SystemClock
from durable_wf.engine.commands import (
    NOTHING_MORE,
    Body,
    accepted,
    check_reason,
    command_input,
    too_late,
)
from durable_wf.engine.inbox import all_too_late
from durable_wf.engine.live import LiveRun
from durable_wf.engine.loop import Loop
from durable_wf.engine.overtaken import LOOKS, Overtaken
from durable_wf.engine.view import load_definition, row_or_raise
from durable_wf.engine.waiting import wait_until
from durable_wf.errors import (
    CallerError,
    DurableWorkflowError,
    NotTrusted,
    OwnedElsewhere,
    WrongState,
)
from durable_wf.store import locks
from durable_wf.store.opening import Store
from durable_wf.store.port import Answer, Batch, Command, RunAppend, Verb

log = logging.getLogger("durable_wf.engine")

ANSWER_S = 5.0
"""How long a command waits for the engine that owns the run."""

_LOOK_S = 0.02


def not_trusted(path: Path) -> NotTrusted:
    """The error for a store that may only be read."""
    return NotTrusted(
        f"store {path} was not made by this user: it can only be read",
        hint="repeat with --trust (or trust=True) if you know where it comes from",
    )


def command_live(
    loop: Loop,
    run_id: str,
    verb: Verb,
    actor: str,
    reason: str,
    more: Body = NOTHING_MORE,
    store: Store | None = None,
) -> tuple[LiveRun, Answer]:
    """Obey a command in a run that this engine holds. In the driving thread. The answer is true
    once it is committed, if the run is not `lost` by then. A refusal says who came first if it is
    told where the history stands.
    """
    live = loop.run(run_id)
    if live is None:
        raise WrongState(f"run {run_id} has just ended", hint=f"dwf show {run_id}")
    command = Command(0, run_id, verb, actor, "", 0, _body(reason, more))
    answering.refuse_unknown(live.state.workflow, run_id, command)
    decided = loop.give(live, command_input(command))
    if decided.refused:
        error = WrongState(decided.refused, hint=f"dwf show {run_id}")
        if store is None:
            raise error
        row = row_or_raise(store.log, run_id)
        raise answering.with_who_came_first(store.log, row, command, error)
    return live, Answer(0, run_id, True, accepted(command, live.state, decided.events))


def command_if_live(
    loop: Loop, run_id: str, verb: Verb, actor: str, reason: str, more: Body = NOTHING_MORE
) -> None:
    """The same on behalf of somebody who does not wait: what comes too late is dropped, and what
    cannot be is told in the engine's log.
    """
    try:
        command_live(loop, run_id, verb, actor, reason, more)
    except WrongState:
        return
    except CallerError as error:
        log.warning("%s of run %s: %s", verb.value, run_id, error)


def send(
    store: Store,
    run_id: str,
    verb: Verb,
    actor: str,
    reason: str = "",
    wait_s: float = ANSWER_S,
    more: Body = NOTHING_MORE,
) -> Answer:
    """Give a command to a run and wait for the answer, up to `wait_s` seconds. `more` is what the
    command says beside its reason.

    An answer that has not come in time has `command` set and says so; the command stays in the
    inbox. Raises NotFound, WrongState, NotTrusted, and CallerError for a reason that is too long.
    """
    check_reason(reason)
    if not store.writable:
        raise not_trusted(store.folder.path)
    row = row_or_raise(store.log, run_id)
    command = Command(0, run_id, verb, actor, "", SystemClock().now_us(), _body(reason, more))
    if answering.is_said(verb):
        answering.refuse_unknown(load_definition(store.log, row), run_id, command)
    return _finish(store, row, command, _post_if_owned(store, row, command), wait_s)


def send_all(
    store: Store,
    run_ids: Iterable[str],
    verb: Verb,
    actor: str,
    reason: str = "",
    wait_s: float = ANSWER_S,
    more: Body = NOTHING_MORE,
) -> Iterator[tuple[str, Answer | DurableWorkflowError]]:
    """The same for many runs, and what became of each: its answer, or why it was refused.

    All commands are in the inbox before the first answer is waited for, so that an engine takes
    them together; an engine that has answered nothing for `wait_s` seconds is not waited for again.
    Raises NotTrusted, and CallerError for a reason that is too long.
    """
    check_reason(reason)
    if not store.writable:
        raise not_trusted(store.folder.path)
    posted: list[tuple[RunRow, Command, int | None]] = []
    for run_id in run_ids:
        at, body = SystemClock().now_us(), _body(reason, more)
        command = Command(0, run_id, verb, actor, "", at, body)
        try:
            row = row_or_raise(store.log, run_id)
            posted.append((row, command, _post_if_owned(store, row, command)))
        except DurableWorkflowError as error:
            yield run_id, error
    silent: set[str] = set()
    for row, command, number in posted:
        left_s = 0.0 if row.engine in silent else wait_s
        try:
            answer = _finish(store, row, command, number, left_s)
        except DurableWorkflowError as error:
            yield row.run_id, error
            continue
        if answer.command and not answer.accepted:
            silent.add(row.engine)
        yield row.run_id, answer


def _post_if_owned(store: Store, row: RunRow, command: Command) -> int | None:
    """Put the command into the inbox where an engine holds the run; None where none does."""
    try:
        refuse_if_not_claimable(store.log, row, store.folder.locks)
    except OwnedElsewhere:
        return _post(store, command)
    except WrongState as error:
        if command.verb is not Verb.RESUME:  # a retry is no way to what was wanted
            error = WrongState(error.message, hint=f"dwf show {row.run_id}")
        raise answering.with_who_came_first(store.log, row, command, error) from None
    return None


def _finish(
    store: Store, row: RunRow, command: Command, number: int | None, wait_s: float
) -> Answer:
    """Wait for the answer to command `number`, or decide where no engine holds the run; again where
    that has changed meanwhile.
    """
    for _ in range(LOOKS):
        answer: Answer | None
        if number is not None:
            answer = _through_inbox(store, row, command, number, wait_s)
        elif command.verb is Verb.RESUME:
            answer = _leave_for_engine(store, row, command)
        elif answering.is_said(command.verb):
            answer = answering.decide_alone(store.log, row, command)
        else:
            answer = _decide_alone(store, row, command)
        if answer is not None:
            return answer
        row = row_or_raise(store.log, row.run_id)
        number = _post_if_owned(store, row, command)
    raise OwnedElsewhere(
        f"run {row.run_id} is taken by one engine after the other", hint="try again"
    )


def _body(reason: str, more: Body) -> str:
    return json.dumps({"reason": reason, **more})


def _post(store: Store, command: Command) -> int:
    key = secrets.token_hex(8)
    return store.log.post(
        command.run_id, command.verb, command.actor, key, command.at, command.body
    )


def _through_inbox(
    store: Store, row: RunRow, command: Command, number: int, wait_s: float
) -> Answer | None:
    """The answer of the engine that holds the run; None when nobody holds it any more, or it has
    ended. An engine that takes it over meanwhile finds the command in the inbox, and is waited for.
    """
    now = row

    def answer() -> Answer | None:
        nonlocal now
        now = row_or_raise(store.log, row.run_id)
        held = _is_held(store, now)
        return _answered(store, number) or (None if held else _UNHEARD)

    answered = wait_until(answer, wait_s, _LOOK_S)
    if answered is _UNHEARD:
        if _take_back(store, now, attrs.evolve(command, id=number)):
            return None  # decided below instead, and only once
        answered = _answered(store, number)
        if answered is None:  # another engine has taken over, and will obey
            return _through_inbox(store, now, command, number, wait_s)
    if answered is None:
        text = f"engine {now.engine} has not answered within {wait_s:g} s; the command waits"
        return Answer(number, row.run_id, False, text)
    if not answered.accepted:
        error = WrongState(answered.text, hint=f"dwf show {row.run_id}")
        raise answering.with_who_came_first(store.log, row, command, error)
    return answered


_UNHEARD = Answer(0, "", False, "nobody runs it any more")


def _take_back(store: Store, row: RunRow, command: Command) -> bool:
    """Consume a command that nobody has heard. Only while the run stands where it did: to who has
    claimed it since and is about to obey, a command that was taken back looks like a run that
    another engine has written to.
    """
    unmoved = RunAppend(row.run, row.run_id, row.n, [], row)
    told = attrs.evolve(_UNHEARD, command=command.id, run_id=row.run_id)
    if row.ended_at is not None:
        told = too_late(command, row.status)
    return not store.log.append(Batch([unmoved], answers=[told])).conflicts


def _answered(store: Store, number: int) -> Answer | None:
    """What a command was answered, if it was."""
    command = store.log.command(number)
    if command is None or command.answer is None:
        return None
    return Answer(number, command.run_id, bool(command.accepted), command.answer)


def _is_held(store: Store, row: RunRow) -> bool:
    """Whether an engine that is alive holds the run."""
    return bool(row.engine) and locks.is_held(store.folder.locks, row.engine)


def _leave_for_engine(store: Store, row: RunRow, command: Command) -> Answer | None:
    """Let the command wait for an engine; None where the run has ended meanwhile."""
    number = _post(store, command)
    now = row_or_raise(store.log, row.run_id)
    if now.ended_at is not None:
        _take_back(store, now, attrs.evolve(command, id=number))
        return None
    text = f"no engine is alive; continue with: dwf resume {row.run_id}"
    return Answer(number, row.run_id, False, text)


def _decide_alone(store: Store, row: RunRow, command: Command) -> Answer | None:
    """Claim the run for a moment, decide, and let go, in one transaction; None when somebody else
    was faster.
    """
    lock = locks.create(store.folder.locks, f"e-{secrets.token_hex(4)}")
    try:
        state = replayed(store.log, row, load_definition(store.log, row))
        at = command.at
        why = command.verb.value
        claimed = claim(store.log, store.folder.locks, row, state, lock.name, why, at)
        before = len(claimed.events)
        if refused := claimed.give(command_input(command), at):
            raise WrongState(refused, hint=f"dwf show {row.run_id}")
        text = accepted(command, state, claimed.events[before:])
        if not state.final:
            claimed.give(i.Release(lock.name, why), at)
        append = RunAppend(row.run, row.run_id, row.n, claimed.events, row_of(state))
        late = all_too_late(store.log, row.run_id, state.status)
        if store.log.append(Batch([append], answers=late)).conflicts:
            return None
    except Overtaken:
        return None
    finally:
        lock.release()
        lock.path.unlink(missing_ok=True)
    if state.compensating:
        left = len(state.tasks) - state.forward
        text += f"; {count_of(left, 'task')} {are(left)} to be taken back, which an engine does"
        text += f": dwf resume {row.run_id}"
    return Answer(0, row.run_id, True, text)
