"""Answering: what people say to tasks that wait, where no engine lives; and who came first.

Owns: deciding an answer or a signal alone, and the look whether there is such a task or signal.
Must never: claim the run, which would decide about attempts that it does not concern; or start
anything: what follows runs when somebody resumes the run.
Read next: `control.py`, which calls this; `core/decide_waits.py`, which decides.
"""

from __future__ import annotations

import time

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.compensation import SUFFIX
from durable_wf.core.definition import Workflow
from durable_wf.core.resolver import nearest
from durable_wf.core.state import RunState, row_of
from durable_wf.core.status import WaitKind
from durable_wf.core.summary import RunRow
from durable_wf.engine.claiming import Claimed, replayed
from durable_wf.engine.commands import accepted, command_input
from durable_wf.engine.inbox import all_too_late
from durable_wf.engine.view import load_definition
from durable_wf.errors import NotFound, WrongState
from durable_wf.store.port import Answer, Batch, Command, Log, RunAppend, Verb


def is_said(verb: Verb) -> bool:
    """Whether it is something said to tasks that wait, not about the run as a whole."""
    return verb in (Verb.ANSWER, Verb.SIGNAL)


def refuse_unknown(workflow: Workflow, run_id: str, command: Command) -> None:
    """Raise NotFound for a task or signal that the run does not have, naming the nearest."""
    if not is_said(command.verb):
        return
    given = command_input(command)
    if isinstance(given, i.Answer):
        names = [task.name for task in workflow.tasks]
        if given.task.removesuffix(SUFFIX) not in names:
            raise _no_such(f"run {run_id} has no task {given.task!r:.220}", given.task, names)
    elif isinstance(given, i.Signal):
        names = [
            task.wait.name
            for task in workflow.tasks
            if task.wait is not None and task.wait.kind is WaitKind.SIGNAL
        ]
        if given.name not in names:
            raise _no_such(
                f"run {run_id}: none of its tasks waits for a signal {given.name!r:.220}",
                given.name, names,
            )  # fmt: skip


def _no_such(message: str, name: str, names: list[str]) -> NotFound:
    guess = nearest(name, names)
    return NotFound(message, hint=f"did you mean {guess!r}?" if guess else "dwf inbox")


def decide_alone(log: Log, row: RunRow, command: Command) -> Answer | None:
    """Decide what was said, with no engine alive; None when somebody else was faster.

    Whose time was up before has not waited for this answer, though nobody was there to notice.
    Raises WrongState; nothing is written then.
    """
    state = replayed(log, row, load_definition(log, row))
    if state.n != row.n:
        return None
    claimed = Claimed(state)
    claimed.give(i.Due(), command.at)
    late = state.n > row.n
    if refused := claimed.give(command_input(command), command.at):
        error = WrongState(refused, hint=f"dwf show {row.run_id}")
        if late:
            raise _too_late(error, row)
        raise with_who_came_first(log, row, command, error)
    append = RunAppend(row.run, row.run_id, row.n, claimed.events, row_of(state))
    late_ones = all_too_late(log, row.run_id, state.status)
    if log.append(Batch([append], answers=late_ones)).conflicts:
        return None
    text = accepted(command, state, claimed.events)
    return Answer(0, row.run_id, True, f"{text}; {_what_next(state)}")


def _too_late(error: WrongState, row: RunRow) -> WrongState:
    return WrongState(
        f"too late, by what is due in the run and no engine has carried out yet: {error.message}",
        hint=f"dwf resume {row.run_id}",
    )


def _what_next(state: RunState) -> str:
    """What becomes of the run after an answer."""
    if state.status is not None and state.final:
        return f"the run has ended: {state.status.value}"
    if state.wake_at is None and not state.all_ready():
        return f"it still waits for somebody: dwf show {state.run_id}"
    return f"no engine runs it; to go on: dwf resume {state.run_id}"


def with_who_came_first(log: Log, row: RunRow, command: Command, error: WrongState) -> WrongState:
    """The error, and who has answered already, if somebody has."""
    if command.verb is not Verb.ANSWER:
        return error
    given = command_input(command)
    assert isinstance(given, i.Answer)
    said = None
    for recorded in log.history(row.run):
        event = recorded.event
        if getattr(event, "task", "") != given.task:
            continue
        if isinstance(event, e.OperatorDecided):
            said = recorded
        elif isinstance(event, e.TaskEscalated | e.TaskWaiting):
            said = None  # it is asked again
    if said is None:
        return error
    decided = said.event
    assert isinstance(decided, e.OperatorDecided)
    at = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(said.at / 1e6))
    words = " ".join(decided.comment.split())
    comment = f": {words:.200}" if words else ""
    return WrongState(
        f"{error.message} (answered by {decided.actor} at {at}: {decided.verdict.value}{comment})",
        hint=error.hint,
    )
