"""Explaining: what was decided about a task, by whom, on which facts, as it was recorded.

Owns: `explained`, a fold of a run's events into the decisions about one of its tasks.
Must never: decide again, or ask a rule.
Read next: `backtesting.py`, which asks rules about the same faults.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

import attrs

from durable_wf.core import events as e
from durable_wf.core import judge
from durable_wf.core.events import Facts, Fault, Recorded
from durable_wf.core.status import FaultKind

_Ruled = (
    e.TaskRetryScheduled
    | e.TaskFailed
    | e.TaskSkipped
    | e.TaskFellBack
    | e.TaskFallbackScheduled
    | e.TaskProbeScheduled
    | e.TaskEscalated
)
"""Conclusions that name a rule."""

Conclusion = _Ruled | e.TaskWoken | e.TaskCompleted | e.AttemptDisproved


class By(Enum):
    """Who decided."""

    RULE = "rule"
    TASK = "task"
    DEFAULT = "default"
    ENGINE = "engine"
    PERSON = "person"
    TIME = "time"
    SIGNAL = "signal"
    PROBE = "probe"


_DEFAULTS = frozenset({"default", "in-doubt budget", "in doubt: run again"})
_ENGINES = frozenset({"draining", "upstream", "deadline"})
_ANSWER = "answer"


@attrs.frozen
class Explained:
    """A decision, with what it was about. `fault` is that of attempt number `attempt`; None where
    nothing had failed. `actor` and `comment` are of the person who decided.
    """

    n: int
    at: int
    by: By
    event: Conclusion
    attempt: int = 0
    fault: Fault | None = None
    actor: str = ""
    comment: str = ""
    rule: str = ""
    version: str = ""
    reason: str = ""
    facts: Facts = ()


@attrs.define
class _Open:
    """What the next decision is about."""

    attempt: int = 0
    fault: Fault | None = None
    answer: e.OperatorDecided | None = None


def explained(history: Iterable[Recorded], task: str) -> Iterator[Explained]:
    """The decisions about a task, in the order in which they were recorded."""
    about = _Open()
    for recorded in history:
        event = recorded.event
        if not isinstance(event, e.TaskEvent) or event.task != task:
            continue
        match event:
            case e.AttemptFailed():
                about = _Open(event.attempt, event.fault)
            case e.AttemptRefused():
                about = _Open(0, Fault(FaultKind.BREAKER, f"breaker {event.breaker!r} is open"))
            case e.OperatorDecided():
                about.answer = event
            case e.TaskWoken() if about.answer is None:
                pass  # a timer has come; nobody decided anything
            case _ if isinstance(event, Conclusion):
                yield _explained(recorded, event, about)
                about.answer = None
            case _:
                pass


def _explained(recorded: Recorded, event: Conclusion, about: _Open) -> Explained:
    found = Explained(
        recorded.n,
        recorded.at,
        _by(event, about.answer),
        event,
        about.attempt,
        about.fault,
        reason=getattr(event, "reason", ""),
    )
    if isinstance(event, _Ruled) and event.rule != _ANSWER:
        found = attrs.evolve(found, rule=event.rule, version=event.version, facts=event.facts)
    if (answer := about.answer) is not None:
        found = attrs.evolve(found, actor=answer.actor, comment=answer.comment)
    return found


def _by(event: Conclusion, answer: e.OperatorDecided | None) -> By:
    if answer is not None:
        return By.PERSON
    if isinstance(event, e.AttemptDisproved):
        return By.PROBE
    if isinstance(event, e.TaskCompleted) and event.signal:
        return By.SIGNAL
    if not isinstance(event, _Ruled) or event.rule == _ANSWER:
        return By.TIME
    if event.rule in judge.DECLARED:
        return By.TASK
    if event.rule in _DEFAULTS:
        return By.DEFAULT
    return By.ENGINE if event.rule in _ENGINES else By.RULE
