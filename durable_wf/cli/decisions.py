"""Decisions in words: what one would do, and what one that was recorded did.

Owns: the words of every kind.
Must never: say why; reasons are recorded with the decisions.
Read next: `dry_run.py`, `commands/rules.py`.
"""

from __future__ import annotations

from typing import assert_never

from durable_wf.cli.times import span
from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.recovery.explaining import Explained


def delay_words(us: int) -> str:
    """How long until the next attempt."""
    return f"in {span(us)}" if us > 0 else "at once"


def decision_words(decision: i.Decision) -> str:
    """What a decision would do, in a few words."""
    match decision:
        case i.Retry():
            return f"try again {delay_words(decision.delay_us)}"
        case i.Fail():
            going = ", the run goes on" * decision.keep_going
            return f"fail the task{going}" + ", and take it back" * decision.compensate
        case i.Skip():
            return "go on without it"
        case i.FallBack():
            return f"take {decision.value[:60]} for the result"
        case i.FallBackTo():
            return f"call {decision.function} instead"
        case i.Escalate():
            return f"ask a person: {decision.question[:200]}"
        case i.ProbeFirst():
            return f"call the probe {decision.function} first"
        case _:
            assert_never(decision)


def conclusion_words(one: Explained) -> str:
    """What a decision that was recorded did, in a few words."""
    event = one.event
    match event:
        case e.TaskRetryScheduled():
            return f"try again {delay_words(event.until - one.at)}"
        case e.TaskFailed():
            going = ", the run goes on" * event.keep_going
            return f"the task has failed{going}" + ", and is taken back" * event.compensate
        case e.TaskSkipped():
            return "go on without it"
        case e.TaskFellBack():
            return f"take {event.value[:60]} for the result"
        case e.TaskFallbackScheduled():
            return f"call {event.function} instead"
        case e.TaskProbeScheduled():
            return f"call the probe {event.function} first"
        case e.TaskEscalated():
            whom = f" {event.whom}" if event.whom else " a person"
            return f"ask{whom}: {event.question[:200]}"
        case e.TaskWoken():
            return "try again at once"
        case e.TaskCompleted():
            return f"take {event.value[:60]} for the result"
        case e.AttemptDisproved():
            return "run it again: the attempt in doubt had no effect"
        case _:
            assert_never(event)
