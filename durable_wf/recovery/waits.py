"""Waits: how long until the next attempt, as functions of the history.

Owns: the five shapes of waiting.
Must never: draw a random number; jitter is a hash of run, task and attempt, so that whoever asks
again gets the same answer.
Read next: `ready.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from durable_wf.core.units import Duration
from durable_wf.errors import DefinitionError
from durable_wf.recovery.decisions import seconds
from durable_wf.recovery.history import Fault, History

Wait = Callable[[History, Fault], float]
"""Seconds until the next attempt."""

_HOUR_S = 3600.0
_EXPONENT_MAX = 50
_STEPS = 64
"""Beyond this many faults a growing wait has long reached its cap."""


def fixed(delay: Duration = 1.0) -> Wait:
    """Always the same."""
    delay_s = seconds(delay, "fixed(delay)")
    return lambda _history, _fault: delay_s


def linear(step: Duration = 1.0, *, most: Duration = _HOUR_S) -> Wait:
    """`step`, twice `step`, three times, ..., at `most` that."""
    step_s, most_s = seconds(step, "linear(step)"), seconds(most, "linear(most=)")
    return lambda history, _: min(most_s, step_s * max(1, history.faults))


def exponential(first: Duration = 1.0, *, factor: float = 2.0, most: Duration = _HOUR_S) -> Wait:
    """`first`, then `factor` times as long after each fault, at `most` that."""
    first_s, most_s = seconds(first, "exponential(first)"), seconds(most, "exponential(most=)")
    if not 1 <= factor <= 1e6:
        raise DefinitionError(f"exponential(factor=) must be 1 or more, not {factor!r}")

    def wait(history: History, _: Fault) -> float:
        steps = max(0, min(_STEPS, history.faults) - 1)
        return min(most_s, first_s * float(factor) ** min(steps, _EXPONENT_MAX))

    return wait


def fibonacci(unit: Duration = 1.0, *, most: Duration = _HOUR_S) -> Wait:
    """1, 1, 2, 3, 5, 8, ... times `unit`, at `most` that."""
    unit_s, most_s = seconds(unit, "fibonacci(unit)"), seconds(most, "fibonacci(most=)")

    def wait(history: History, _: Fault) -> float:
        one, two = 1, 1
        for _step in range(min(_STEPS, history.faults) - 1):
            one, two = two, one + two
        return min(most_s, unit_s * one)

    return wait


def jittered(first: Duration = 1.0, *, most: Duration = _HOUR_S) -> Wait:
    """Decorrelated jitter: between `first` and three times the last wait, at `most` that.

    Where in between is a hash of run, task and attempt: it differs between tasks that failed
    together, and is the same whenever it is asked again.
    """
    first_s, most_s = seconds(first, "jittered(first)"), seconds(most, "jittered(most=)")

    def wait(history: History, fault: Fault) -> float:
        top = max(first_s, 3 * (history.last_delay_s or first_s))
        return min(most_s, first_s + (top - first_s) * _share(history, fault))

    return wait


def _share(history: History, fault: Fault) -> float:
    """A number from 0 to 1 that belongs to this attempt."""
    text = f"{history.run_id}\0{history.task}\0{fault.attempt}"
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64
