"""Awaited: what the tasks of a run wait for that hold no worker, as onlookers are told it.

Owns: the value, and reading it from a state.
Must never: decide how a wait ends; `decide_waits.py` does.
Read next: `state.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from durable_wf.core.state import RunState
from durable_wf.core.status import WaitKind

RETRY = "retry"
"""What a task waits for whose next attempt is not due yet."""

FOR_PEOPLE = frozenset({WaitKind.APPROVAL.value, WaitKind.OPERATOR.value})
"""What a person answers."""

ASKED = FOR_PEOPLE | {WaitKind.SIGNAL.value}
"""What somebody outside has to answer or send; no timer brings it."""


@attrs.frozen
class Awaited:
    """What one task waits for. Times are UTC microseconds.

    `what` is "approval", "operator" (a person decides about a failed task), "signal", "sleep", or
    "retry". By `until` it ends by itself: with its next attempt, or as `on_timeout` says ("fail",
    "skip", "approve", "continue", "retry"). `attempt` is the last one made, 0 for none.
    """

    task: str
    what: str
    since: int
    until: int | None = None
    on_timeout: str = ""
    question: str = ""
    whom: str = ""
    signal: str = ""
    attempt: int = 0

    @property
    def is_asked(self) -> bool:
        """Whether somebody outside has to answer or to send something."""
        return self.what in ASKED


def awaited(state: RunState) -> Iterator[Awaited]:
    """What the tasks of a run wait for, in the order of the definition."""
    return (_of(state, index) for index in sorted(state.waits.keys() | state.waiting.keys()))


def asked(state: RunState) -> Iterator[Awaited]:
    """Those that somebody outside has to answer, or to send something."""
    return (one for index in sorted(state.waits) if (one := _of(state, index)).is_asked)


def _of(state: RunState, index: int) -> Awaited:
    name, attempt = state.graph.names[index], state.attempts[index]
    waits = state.waits.get(index)
    if waits is None:
        past = state.past.get(index)
        since = past.attempts[-1].ended_at if past and past.attempts else state.at
        return Awaited(name, RETRY, since, state.waiting[index], attempt=attempt)
    ends = waits.until is not None and waits.what is not WaitKind.SLEEP
    return Awaited(
        name, waits.what.value, waits.since, waits.until,
        waits.on_timeout.value if ends else "",
        waits.question, waits.whom, waits.signal, attempt,
    )  # fmt: skip
