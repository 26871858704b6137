"""Combinators: rules made of rules.

Owns: first_of, when and limit.
Must never: answer by itself; it asks the rules it was made of, or does not.
Read next: `ready.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import cast

import attrs

from durable_wf.core.status import FaultKind
from durable_wf.core.units import Duration
from durable_wf.errors import DefinitionError
from durable_wf.recovery.decisions import Decision, Retry, seconds
from durable_wf.recovery.history import Fault, History
from durable_wf.recovery.rule import NamedRule, Rule, named, tightest

Predicate = Callable[[History, Fault], bool]

Exceptions = type[BaseException] | str | Iterable[type[BaseException] | str]
"""An exception class, its name, or several."""

Kinds = FaultKind | str | Iterable[FaultKind | str]


def first_of(*rules: Rule) -> NamedRule:
    """The answer of the first rule that has one. Its own name and version are written down."""
    if not rules:
        raise DefinitionError("first_of() needs at least one rule")
    parts = tuple(part for one in map(named, rules) for part in (one.parts or (one,)))

    def ask(history: History, fault: Fault) -> Decision | None:
        answers = (part(history, fault) for part in parts)
        return next((answer for answer in answers if answer is not None), None)

    return NamedRule(
        "first of: " + ", ".join(part.name for part in parts),
        ask,
        "+".join(part.version for part in parts),
        tuple(function for part in parts for function in part.functions),
        tightest(parts),
        parts,
    )


def when(
    rule: Rule,
    *,
    exception: Exceptions | None = None,
    kind: Kinds | None = None,
    task: str | None = None,
    predicate: Predicate | None = None,
) -> NamedRule:
    """The rule, asked only about faults that fit all that is given.

    `exception`: classes or names, base classes included. `kind`: "error", "timeout", "lost", ...
    `task`: a name, or a pattern such as "load_*". `predicate`: a pure function of (history, fault).
    """
    inner = named(rule)
    exceptions = read_exceptions(exception)
    kinds = _kinds(kind)
    if not (exceptions or kinds or task or predicate):
        raise DefinitionError("when() needs exception=, kind=, task= or predicate=")
    if predicate is not None and not callable(predicate):
        raise DefinitionError(f"when(predicate=) must be a function, not {predicate!r:.60}")
    if task is not None and not isinstance(task, str):
        raise DefinitionError(f"when(task=) must be a name or a pattern, not {task!r:.60}")

    def ask(history: History, fault: Fault) -> Decision | None:
        if exceptions and not any(map(fault.is_a, exceptions)):
            return None
        if kinds and fault.kind not in kinds:
            return None
        if task is not None and not fnmatchcase(history.task, task):
            return None
        if predicate is not None and not predicate(history, fault):
            return None
        return inner(history, fault)

    said = [name_of(one) for one in exceptions] + sorted(one.value for one in kinds)
    said += [f"task {task}"] * (task is not None)
    said += [getattr(predicate, "__name__", "predicate")] * (predicate is not None)
    return attrs.evolve(inner, name=f"{inner.name} when {', '.join(said)}", ask=ask, parts=())


def limit(
    rule: Rule,
    *,
    attempts: int | None = None,
    elapsed: Duration | None = None,
    budget: int | None = None,
) -> NamedRule:
    """The rule, asked only within limits; beyond them the next rule is asked.

    `attempts`: of the task in all, those lost with their worker included. `elapsed`: since the
    first of them; a retry that would come later is not made. `budget`: retries in the whole run.
    """
    inner = named(rule)
    if attempts is None and elapsed is None and budget is None:
        raise DefinitionError("limit() needs attempts=, elapsed= or budget=")
    check_count("limit(attempts=)", attempts, 1)
    check_count("limit(budget=)", budget, 0)
    elapsed_s = None if elapsed is None else seconds(elapsed, "limit(elapsed=)")

    def ask(history: History, fault: Fault) -> Decision | None:
        if attempts is not None and history.faults + history.losses >= attempts:
            return None
        if budget is not None and history.run_retries >= budget:
            return None
        if elapsed_s is not None and history.elapsed_s > elapsed_s:
            return None
        answer = inner(history, fault)
        if elapsed_s is not None and isinstance(answer, Retry):
            waits_s = answer.delay_us / 1e6
            return None if history.elapsed_s + waits_s > elapsed_s else answer
        return answer

    said = [f"{attempts} attempts"] * (attempts is not None)
    said += [f"{elapsed_s or 0:g} s"] * (elapsed_s is not None)
    said += [f"{budget} retries in the run"] * (budget is not None)
    return attrs.evolve(inner, name=f"{inner.name} within {', '.join(said)}", ask=ask, parts=())


def check_count(what: str, value: object, least: int) -> None:
    """Raise DefinitionError unless it is None or a whole number of at least `least`."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise DefinitionError(f"{what} must be a whole number of {least} or more, not {value!r}")


def read_exceptions(given: Exceptions | None) -> tuple[type[BaseException] | str, ...]:
    """Exception classes and names as a tuple. Raises DefinitionError."""
    if given is None:
        return ()
    several = isinstance(given, Iterable) and not isinstance(given, type | str)
    found = tuple(cast("Iterable[type[BaseException] | str]", given if several else [given]))
    for one in found:
        is_class = isinstance(one, type) and issubclass(one, BaseException)
        if not is_class and not (isinstance(one, str) and one):
            raise DefinitionError(f"{one!r:.80} is neither an exception class nor the name of one")
    return found


def name_of(exception: type[BaseException] | str) -> str:
    """What people call it."""
    return exception if isinstance(exception, str) else exception.__name__


def _kinds(given: Kinds | None) -> frozenset[FaultKind]:
    if given is None:
        return frozenset()
    several = (given,) if isinstance(given, str | FaultKind) else tuple(given)
    try:
        return frozenset(FaultKind(one) for one in several)
    except ValueError:
        names = ", ".join(repr(kind.value) for kind in FaultKind)
        raise DefinitionError(f"{given!r:.80} is no kind of fault; there are {names}") from None
