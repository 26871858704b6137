"""Commands: what a row of the inbox asks of the core.

Owns: the way from a verb and its body to an input, the body of what people say to tasks, and the
words in which senders are told that they were heard, or came too late.
Must never: answer; who decides does, with the events that the command caused.
Read next: `desk.py`, `control.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from durable_wf.core import inputs as i
from durable_wf.core import values
from durable_wf.core.events import Recorded, RunDraining
from durable_wf.core.state import RunState
from durable_wf.core.status import RunStatus, Verdict
from durable_wf.core.text import is_text
from durable_wf.errors import CallerError, NotReadable, NotStorable
from durable_wf.store.port import Answer, Command, Verb

LONGEST_REASON = 10_000
"""Characters of what people say about what they want: it stands in the log, and in memory."""

Body = Mapping[str, object]
"""What a command says beside its reason, by name."""

NOTHING_MORE: Body = {}


def command_input(command: Command) -> i.Command:
    """The input that a command of the inbox stands for. Raises CallerError for a body that does not
    say what the verb needs, and for a reason that is too long.
    """
    try:
        meant = _meant(command, json.loads(command.body))
        reason = command.reason
    except _UNREADABLE as error:
        raise CallerError(f"the command cannot be read: {error!r:.200}") from error
    check_reason(reason)
    return meant


_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, NotReadable)
"""What a body leads to that is no JSON object, or says something else than its verb needs."""


def _meant(command: Command, body: Body) -> i.Command:
    match command.verb:
        case Verb.CANCEL:
            compensate = body.get("compensate") is not False
            return i.Cancel(command.actor, command.reason, compensate=compensate)
        case Verb.PAUSE:
            return i.Pause(command.actor, command.reason)
        case Verb.RESUME:
            return i.Resume(command.actor)
        case Verb.ANSWER | Verb.SIGNAL:
            return _said(command, body)


def _said(command: Command, body: Body) -> i.Answer | i.Signal:
    if command.verb is Verb.SIGNAL:
        return i.Signal(_text(body["name"]), _stored(body["value"]), command.actor)
    verdict = Verdict(body["verdict"])
    value = _stored(body["value"]) if verdict is Verdict.VALUE else ""
    attempt = body.get("attempt")
    if attempt is not None and type(attempt) is not int:
        raise TypeError(f"attempt {attempt!r:.60}")
    return i.Answer(_text(body["task"]), verdict, command.actor, command.reason, value, attempt)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.60} is no text")
    return value


def _stored(value: object) -> str:
    """A value as it is stored, which those who come after can read."""
    values.decode(_text(value))
    return _text(value)


def accepted(command: Command, state: RunState, events: Sequence[Recorded]) -> str:
    """What the sender of a command is told whose wish is followed, with these events; and what it
    has not changed. `state` is that of the run after them.
    """
    said = json.loads(command.body).get("verdict", "") if command.verb is Verb.ANSWER else ""
    text = f"{said or command.verb.value} accepted"
    match command.verb:
        case Verb.CANCEL if not any(isinstance(one.event, RunDraining) for one in events):
            ends = f" and ends as {state.verdict.value}" if state.verdict else ""
            return f"{text}: what still runs is stopped; the run drained already{ends}"
        case Verb.PAUSE if not events:
            return f"{text}: the run was paused already"
        case Verb.RESUME if not events:
            return f"{text}: the run was not paused"
        case _:
            return text


def too_late(command: Command, ended: RunStatus) -> Answer:
    """What the sender of a command is told whose run has ended, and nobody has obeyed it."""
    text = f"run {command.run_id} has ended: {ended.value}; the {command.verb.value} came too late"
    return Answer(command.id, command.run_id, False, text)


def cancel_body(*, compensate: bool) -> Body:
    """The body of a cancel, but for its reason."""
    if not isinstance(compensate, bool):
        raise CallerError(f"compensate must be True or False, not {compensate!r:.60}")
    return NOTHING_MORE if compensate else {"compensate": False}


# --- what people say ------------------------------------------------------------------------------


def answer_body(
    task: str, verdict: Verdict, value: object = None, attempt: int | None = None
) -> Body:
    """The body of an answer about a task, but for its comment, which is the reason."""
    if not isinstance(task, str):
        raise CallerError(f"a task is named by a text, not {task!r:.60}")
    if attempt is not None and (isinstance(attempt, bool) or not isinstance(attempt, int)):
        raise CallerError(f"attempt={attempt!r:.60}: a whole number is needed")
    stored = storable("value", value) if verdict is Verdict.VALUE else ""
    return {"task": task, "verdict": verdict.value, "value": stored, "attempt": attempt}


def signal_body(name: str, value: object) -> Body:
    """The body of a signal."""
    if not isinstance(name, str):
        raise CallerError(f"a signal is named by a text, not {name!r:.60}")
    return {"name": name, "value": storable("value", value)}


def storable(what: str, value: object) -> str:
    """A value that comes from outside, as it is stored. Raises CallerError when it cannot be."""
    try:
        text = values.encode(value, name=what)
    except NotStorable as error:
        raise CallerError(error.message, hint=error.hint) from None
    if (size := len(text.encode())) > values.TABLE_MAX:
        raise CallerError(
            f"{what}: it takes {size:,} bytes of JSON; {values.TABLE_MAX:,} fit",
            hint="write it to a file and send its path",
        )
    return text


def check_reason(reason: object, what: str = "reason") -> str:
    """The reason itself, or comment. Raises CallerError for what none can be."""
    if not isinstance(reason, str):
        raise CallerError(f"a {what} is a text, not {reason!r:.60}")
    if len(reason) > LONGEST_REASON:
        raise CallerError(
            f"the {what} has {len(reason):,} characters; {LONGEST_REASON:,} fit",
            hint="write it to a file and name that",
        )
    return reason


def check_comment(comment: object) -> str:
    """The comment itself. Raises CallerError for what none can be."""
    text = check_reason(comment, "comment")
    if not is_text(text):
        raise CallerError("the comment is not valid Unicode")
    return text
