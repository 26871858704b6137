"""Ready-made rules: retry, fallback, skip, fail fast, keep going, escalate, compensate.

Owns: what each of them answers, and the sentence that explains it.
Must never: answer for an attempt in doubt unless it is about retries: the task may have done its
work, and the default runs it again.
Read next: `combine.py`, to join them; `chain.py`, which asks them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from durable_wf.core import values
from durable_wf.core.status import FaultKind
from durable_wf.core.units import Duration
from durable_wf.errors import DefinitionError, NotStorable
from durable_wf.recovery.combine import Exceptions, check_count, name_of, read_exceptions
from durable_wf.recovery.decisions import (
    Compensate,
    Decision,
    Escalate,
    Fail,
    Fallback,
    Retry,
    Skip,
    seconds,
)
from durable_wf.recovery.history import Fault, History
from durable_wf.recovery.rule import NamedRule
from durable_wf.recovery.waits import Wait, exponential, fixed

LOSSES = 10
"""How many faults of the machine a retry rule forgives a task unless told otherwise."""

_NOT_AGAIN = frozenset({FaultKind.NOT_STORABLE, FaultKind.BREAKER})
"""Faults that another attempt does not mend: the result is what it is; the breaker decides when."""

_HINT = "retry(attempts=None) needs within= or budget=, or it could go on for ever"


def retry(
    attempts: int | None = 3,
    *,
    wait: Wait | Duration | None = None,
    on: Exceptions | None = None,
    within: Duration | None = None,
    budget: int | None = None,
    losses: int = LOSSES,
) -> NamedRule:
    """Try again, up to `attempts` attempts in all; then the next rule is asked.

    `wait`: seconds, or one of `fixed`, `linear`, `exponential` (the default, from 1 s on),
    `fibonacci`, `jittered`. What the exception asks for by its `retry_after` (seconds) is honoured
    where it is longer. `on`: only for these exceptions. `within`: no retry later than this after
    the task first started. `budget`: retries that all tasks of the run may spend together.
    `losses`: attempts that a worker or engine took with it are tried again at once, this often,
    and are not counted as attempts. Results that cannot be stored are not tried again.
    """
    if attempts is None and within is None and budget is None:
        raise DefinitionError(_HINT)
    check_count("retry(attempts)", attempts, 1)
    check_count("retry(budget=)", budget, 0)
    check_count("retry(losses=)", losses, 0)
    within_s = None if within is None else seconds(within, "retry(within=)")
    exceptions = read_exceptions(on)
    waits = _wait(wait)

    def ask(history: History, fault: Fault) -> Decision | None:
        if fault.is_machine:
            return _after_loss(history, fault, losses)
        if fault.kind in _NOT_AGAIN:
            return None
        if exceptions and not any(map(fault.is_a, exceptions)):
            return None
        if attempts is not None and history.faults >= attempts:
            return None
        if budget is not None and history.run_retries >= budget:
            return None
        delay_s = max(waits(history, fault), fault.retry_after_s or 0.0)
        if within_s is not None and history.elapsed_s + delay_s > within_s:
            return None
        facts = {"faults": history.faults, "run_retries": history.run_retries}
        if attempts is not None:
            facts["attempts"] = attempts
        if budget is not None:
            facts["budget"] = budget
        return Retry(delay_s, _why(history, fault, attempts, delay_s), facts=facts)

    name = "retry" if attempts is None else f"retry up to {attempts} attempts"
    if exceptions:
        name += " on " + ", ".join(map(name_of, exceptions))
    return NamedRule(name, ask, losses=losses)


def _why(history: History, fault: Fault, attempts: int | None, delay_s: float) -> str:
    of = "" if attempts is None else f" of {attempts}"
    asked = fault.retry_after_s is not None and delay_s == fault.retry_after_s
    return (
        f"attempt {history.faults}{of} failed ({_called(fault)}); again in {delay_s:g} s"
        + ", as the exception asked" * asked
    )


def _after_loss(history: History, fault: Fault, losses: int) -> Decision | None:
    if history.losses > losses:
        return None
    reason = f"{fault.message or fault.kind.value}: loss {history.losses} of {losses} allowed"
    return Retry(0.0, reason, facts={"losses": history.losses, "losses_allowed": losses})


def _wait(given: Wait | Duration | None) -> Wait:
    if given is None:
        return exponential()
    return given if callable(given) else fixed(given)


def _called(fault: Fault) -> str:
    """The fault in a few words."""
    return fault.exception or fault.kind.value


def fallback(value: object) -> NamedRule:
    """Take `value` for the result of a task that failed. For a function: `fallback_to`."""
    if callable(value):
        raise DefinitionError(
            "fallback(value) takes a value", hint="fallback_to(function) calls a function instead"
        )
    try:
        shown = values.encode(value, name="fallback(value)")
    except NotStorable as error:
        raise DefinitionError(f"fallback(value): {error.message}") from None
    if len(shown) > values.TABLE_MAX:
        raise DefinitionError(
            f"fallback(value): {len(shown):,} characters of JSON; up to {values.TABLE_MAX:,} fit",
            hint="let fallback_to(function) make it",
        )

    def ask(_: History, fault: Fault) -> Decision | None:
        if fault.kind is FaultKind.IN_DOUBT:
            return None
        return Fallback(value, f"{_called(fault)}: {_cut(shown)} is taken instead")

    return NamedRule(f"fallback to {_cut(shown)}", ask)


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def fallback_to(function: Callable[..., Any]) -> NamedRule:
    """Call `function`, with the arguments of the task, in place of a task that failed.

    It runs as an attempt of its own. When it fails too, this rule has no answer.
    """
    if not callable(function):
        raise DefinitionError(f"fallback_to() takes a function, not {function!r:.80}")
    called = str(getattr(function, "__name__", type(function).__name__))

    def ask(history: History, fault: Fault) -> Decision | None:
        if history.fallback or fault.kind is FaultKind.IN_DOUBT:
            return None
        return Fallback(function, f"{_called(fault)}: {called} is called instead")

    return NamedRule(f"fallback to {called}()", ask, functions=(function,))


def skip(reason: str = "") -> NamedRule:
    """Go on without a task that failed; downstream receives a `Missing` of kind "skipped"."""
    return _always("skip", reason, Skip)


def fail_fast(reason: str = "") -> NamedRule:
    """Give up at once: the task has failed, and the run with it."""
    return _always("fail fast", reason, Fail)


def keep_going(reason: str = "") -> NamedRule:
    """The task has failed; all that does not depend on it is still done, then the run fails."""
    return _always("keep going", reason, lambda why: Fail(why, keep_going=True))


def _always(name: str, reason: str, answer: Callable[[str], Decision]) -> NamedRule:
    if not isinstance(reason, str):
        raise DefinitionError(f"the reason of {name!r} must be a text, not {reason!r:.60}")

    def ask(_: History, fault: Fault) -> Decision | None:
        if fault.kind is FaultKind.IN_DOUBT:
            return None
        return answer(reason or fault.message or _called(fault))

    return NamedRule(name, ask)


def escalate(
    question: str = "",
    *,
    whom: str = "",
    timeout: Duration | None = None,
    on_timeout: str = "fail",
) -> NamedRule:
    """Ask a person what to do about a task that failed; it waits, and holds no worker.

    `question`: by default, what happened. `whom`: who should answer. Nobody having answered within
    `timeout`, `on_timeout` happens: "fail", "skip" or "retry". `dwf inbox` lists what waits,
    `dwf resolve` answers. Raises DefinitionError for nonsense.
    """
    asked = Escalate(question or "?", whom=whom, timeout=timeout, on_timeout=on_timeout)
    for name, text in (("question", question), ("whom", whom)):
        if not isinstance(text, str):
            raise DefinitionError(f"{name} of escalate() must be a text, not {text!r:.60}")
    _ = asked.timeout_us, asked.otherwise  # nonsense is told here, not after the failure

    def ask(history: History, fault: Fault) -> Decision | None:
        what = f"task {history.task!r} failed ({_called(fault)}): {fault.message}"[:500]
        reason = fault.message or _called(fault)
        return attrs.evolve(asked, question=question or f"{what}; what now?", reason=reason)

    return NamedRule("escalate", ask)


def compensate(reason: str = "") -> NamedRule:
    """Give up, and take back what the failed task may have done, then what all others did."""
    return _always("compensate", reason, Compensate)
