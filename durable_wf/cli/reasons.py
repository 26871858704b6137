"""Reasons in words and as JSON: why a task may not start.

Owns: the sentence of every cause.
Must never: find a cause; `core/why.py` does.
Read next: `commands/why.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

import attrs

from durable_wf.cli.documents import Document
from durable_wf.cli.states import MARKS, shown_task
from durable_wf.cli.terminal import one_line
from durable_wf.cli.times import clock, iso, local, span
from durable_wf.core.lacking import Lack
from durable_wf.core.reason import Answer, Cause, Reason
from durable_wf.core.status import TaskStatus
from durable_wf.core.wording import stands

_SHOWN = 5


def sentence(reason: Reason, now: int | None = None) -> str:
    """A reason as a clause about "it", the task, harmless to terminals. `now` makes times
    relative, too.
    """
    return one_line(_clause(reason, now))


def _clause(reason: Reason, now: int | None) -> str:
    match reason.cause:
        case Cause.ENDED:
            return f"it has {_ending(reason)}{_when(reason)}{_decided(reason)}"
        case Cause.BEGUN:
            worker = f" in worker {reason.actor}" if reason.actor else ""
            return f"it has begun: attempt {reason.attempt} runs{worker}{_when(reason)}"
        case Cause.IN_DOUBT:
            words = f"attempt {reason.attempt} had begun{_when(reason)} when its engine ended"
            return f"it is in doubt: {words}"
        case Cause.FAULTED:
            attempt = f"attempt {reason.attempt}" if reason.attempt else "it"
            return f"{attempt} failed ({reason.text}), not decided yet"
        case Cause.TIMER:
            return f"it waits for a retry {_due(reason.until, now)}{_decided(reason)}"
        case Cause.SLEEP:
            return f"it sleeps {_due(reason.until, now)}"
        case Cause.SIGNAL:
            return f"it waits for the signal {reason.name!r}{_otherwise(reason, now)}"
        case Cause.APPROVAL:
            return f"it waits for an approval{_asked(reason)}{_otherwise(reason, now)}"
        case Cause.OPERATOR:
            ends = f"{_otherwise(reason, now)}{_decided(reason)}"
            return f"it waits for a decision{_asked(reason)}{ends}"
        case Cause.UPSTREAM:
            return f"it waits for {reason.task}, {_of_upstream(reason, now)}"
        case Cause.NOT_BEGUN:
            return "its run has not begun"
        case Cause.PAUSED:
            by = f" by {reason.actor}" if reason.actor else ""
            return f"its run is paused{by}{_told(reason)}{_when(reason)}"
        case Cause.DRAINING:
            return f"its run ends, and starts nothing more{_told(reason)}{_when(reason)}"
        case Cause.BREAKER:
            return reason.text or f"its breaker {reason.name!r} is open"
        case Cause.RESOURCE:
            assert reason.lack is not None
            return _lacking(reason.lack)
        case Cause.NO_ENGINE:
            if reason.actor:
                return f"its engine {reason.actor} does not run any more"
            return f"no engine runs it{_told(reason)}"
        case _:
            assert_never(reason.cause)


def shown_status(status: TaskStatus | None, reasons: Iterable[Reason]) -> str:
    """What to call a task: one that was running under an engine that is gone is interrupted."""
    if status is None:
        return "unknown"
    alive = all(reason.cause is not Cause.IN_DOUBT for reason in reasons)
    return MARKS[shown_task(status, alive=alive)].word


def _ending(reason: Reason) -> str:
    assert reason.status is not None
    match reason.status:
        case TaskStatus.SUCCEEDED if reason.rule:
            return "succeeded with another result in place of its own"
        case TaskStatus.SUCCEEDED if reason.name:
            return f"succeeded in run {reason.name}, whose result was taken over"
        case TaskStatus.SUCCEEDED if not reason.attempt:
            return "succeeded without an attempt"
        case TaskStatus.SUCCEEDED:
            return f"succeeded, in attempt {reason.attempt}"
        case TaskStatus.FAILED:
            return f"failed, after attempt {reason.attempt}"
        case _ if reason.attempt:
            return f"been {reason.status.value}, after attempt {reason.attempt}"
        case _:
            return f"been {reason.status.value}, and never started"


def _of_upstream(reason: Reason, now: int | None) -> str:
    """The state of a task that is waited for, and why it has not ended."""
    state = shown_status(reason.status, reason.because)
    waits = [one.task for one in reason.because if one.cause is Cause.UPSTREAM]
    words = [_clause(one, now) for one in reason.because if one.cause is not Cause.UPSTREAM]
    if waits:
        words.append(f"it waits for {_few(waits)}")
    return f"which {stands(state)}" + (f": {'; '.join(words)}" if words else "")


def _when(reason: Reason) -> str:
    return f" (event {reason.n}, {clock(reason.at)})" if reason.n else ""


def _told(reason: Reason) -> str:
    return f": {reason.text}" if reason.text else ""


def _decided(reason: Reason) -> str:
    """By which rule, and why."""
    if not reason.rule:
        return _told(reason)
    version = f" (version {reason.version})" if reason.version else ""
    return f", by {reason.rule}{version}{_told(reason)}"


def _asked(reason: Reason) -> str:
    """Who is asked what."""
    whom = f" of {reason.whom}" if reason.whom else ""
    return f"{whom}: {reason.question}" if reason.question else whom


def _otherwise(reason: Reason, now: int | None) -> str:
    """What happens when nothing has come in time."""
    if reason.until is None or reason.otherwise is None:
        return ""
    return f", {_due(reason.until, now)}; otherwise: {reason.otherwise.value}"


def _due(until: int | None, now: int | None) -> str:
    if until is None:
        return "for an unknown time"
    if now is None:
        return f"until {local(until)}"
    if until <= now:
        return f"that was due at {local(until)}"
    return f"until {local(until)}, for {span(until - now)} more"


def _lacking(lack: Lack) -> str:
    """What is missing, and who has it."""
    name = "bytes of memory" if lack.resource == "memory" else lack.resource
    assumed = " of this machine (nobody declared any)" if lack.assumed else ""
    if not lack.holders:
        return (
            f"it needs {lack.needs:g} {name} and its engine has {lack.has:g}{assumed}: "
            "it cannot start there"
        )
    holders = _few(f"{task} of {run} ({n:g})" for run, task, n in lack.holders)
    free = max(0.0, lack.has - lack.held)
    return f"it needs {lack.needs:g} {name}; {free:g} of {lack.has:g}{assumed} are free: {holders}"


def _few(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


# --- JSON ---------------------------------------------------------------------------------------


def answer_document(answer: Answer) -> Document:
    """An answer with all its reasons. What a reason has nothing to say about is left out."""
    since = answer.since
    return {
        "task": answer.task,
        "status": shown_status(answer.status, answer.reasons),
        "recorded_status": answer.status.value,
        "may_start": not answer.reasons,
        "reasons": [_reason_document(reason) for reason in answer.reasons],
        "roots": [_reason_document(root) for root in answer.roots],
        "since": {"n": since.n, "at": iso(since.at)} if since else None,
        "ahead": answer.ahead,
        "crashes": answer.crashes,
    }


_TEXTS = ("task", "actor", "rule", "version", "text", "attempt", "question", "whom", "name")


def _reason_document(reason: Reason) -> Document:
    document: dict[str, Any] = {"cause": reason.cause.value, "sentence": sentence(reason)}
    if reason.n:
        document |= {"n": reason.n, "at": iso(reason.at)}
    if reason.status is not None:
        document["status"] = shown_status(reason.status, reason.because)
    for name in _TEXTS:
        if value := getattr(reason, name):
            document[name] = value
    if reason.otherwise is not None:
        document["otherwise"] = reason.otherwise.value
    if reason.until is not None:
        document["until"] = iso(reason.until)
    if reason.lack is not None:
        document |= attrs.asdict(reason.lack, filter=lambda field, _: field.name != "holders")
        document["holders"] = [
            {"run_id": run, "task": task, "amount": amount}
            for run, task, amount in reason.lack.holders
        ]
    if reason.because:
        document["because"] = [_reason_document(one) for one in reason.because]
    return document
