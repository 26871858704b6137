"""Circuit breakers: what guards something that many tasks depend on.

Owns: Breaker, as it is declared, which faults it counts, what is wrong with one, and what of it
must be the same wherever its key stands.
Must never: read a clock or a store; what was recorded, and when it is asked, are arguments.
Read next: `task.py`, in which it stands.
"""

from __future__ import annotations

from enum import Enum

import attrs

from durable_wf.core.fault import Fault
from durable_wf.core.names import is_name
from durable_wf.core.status import FaultKind
from durable_wf.core.units import LONGEST_S, is_time
from durable_wf.core.wording import count_of

MOST_FAILURES = 100
"""The most that a breaker may wait for: they must be among the rows that are kept."""


class WhenOpen(Enum):
    """What becomes of a task that could start while its breaker is open."""

    WAIT = "wait"
    FAULT = "fault"


@attrs.frozen
class Breaker:
    """After `failures` failures within `within_s` seconds no task with this `key` starts for
    `cooldown_s` seconds; then one may try. Tasks of all runs of a store share the key. With `on`
    only these exceptions (see `class_name`) are failures; others say nothing.
    """

    key: str
    failures: int = 5
    within_s: float = 60.0
    cooldown_s: float = 30.0
    when_open: WhenOpen = WhenOpen.WAIT
    on: tuple[str, ...] = ()


_TIMED_OUT = Fault(
    FaultKind.TIMEOUT, exception="TimeoutError", bases=("OSError", "Exception", "BaseException")
)
"""What an attempt that ran into a limit of its task would have raised."""


def is_failure(guard: Breaker, fault: Fault) -> bool:
    """Whether the fault is one that the breaker counts. Faults of the machine are not asked about.

    An attempt that ran out of its time counts as a TimeoutError.
    """
    if not guard.on:
        return True
    known = _TIMED_OUT if fault.kind is FaultKind.TIMEOUT else fault
    return any(map(known.is_a, guard.on))


def wrong_with(guard: Breaker) -> str:
    """What is wrong with a breaker, wherever it was written down; "" if nothing."""
    key: object = guard.key
    failures: object = guard.failures
    when_open: object = guard.when_open
    if not (isinstance(key, str) and is_name(key)):
        return f"{key!r:.80} is no key for a breaker"
    if not (type(failures) is int and 1 <= failures <= MOST_FAILURES):
        return f"failures of a breaker must be from 1 to {MOST_FAILURES}, not {failures!r:.40}"
    if not (is_time(guard.within_s) and is_time(guard.cooldown_s)):
        return f"times of a breaker must be more than 0 and at most {LONGEST_S:g} seconds"
    if not isinstance(when_open, WhenOpen):
        return f"when_open cannot be {when_open!r:.60}"
    on: object = guard.on
    named = isinstance(on, tuple) and all(isinstance(name, str) and name for name in on)
    return "" if named else f"on= of a breaker must be names of exceptions, not {on!r:.60}"


def meaning(guard: Breaker) -> tuple[object, ...]:
    """What tasks that name its key must agree about. What becomes of a task while the circuit is
    open is each task's own affair, and which of its exceptions are failures.
    """
    return guard.failures, guard.within_s, guard.cooldown_s


def shown(guard: Breaker) -> str:
    """The same in words."""
    failures = count_of(guard.failures, "failure")
    return f"{failures} within {guard.within_s:g} s, cooldown {guard.cooldown_s:g} s"
