"""The chain: which rules are asked about a task, and what is made of their answers.

Owns: the order (the task's rules, the workflow's, the engine's, then the default), and the check
that an answer makes sense.
Must never: raise for what a rule does; a rule that raises or answers nonsense fails the task.
Read next: `core/decide.py`, to which the answer is the next input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import attrs

from durable_wf.core import inputs as i
from durable_wf.core import values
from durable_wf.core.compensation import SUFFIX
from durable_wf.core.events import Facts
from durable_wf.core.status import FaultKind
from durable_wf.core.values_classes import NO_CLASSES, Classes
from durable_wf.errors import DefinitionError, DurableWorkflowError
from durable_wf.recovery.decisions import (
    Compensate,
    Decision,
    Escalate,
    Fail,
    Fallback,
    Retry,
    Skip,
)
from durable_wf.recovery.history import Fault, History
from durable_wf.recovery.rule import NamedRule, tightest

MOST_ATTEMPTS = 10_000
"""A task that was tried this often is not tried again, whatever its rules say."""

_ANSWERS = ", ".join(sorted(kind.__name__ for kind in get_args(Decision)))
_REASON_MAX = 2_000
_FACTS_MAX = 32
_FACT_MAX = 1 << 63
_REFUSED_US = 1_000_000
"""The least that a task waits that its breaker did not let through: no attempt of it runs, which
would take time, so a rule that says "at once" has it refused again as fast as the disk can write.
"""
_NAME_MAX = 200
_WHOM_MAX = 200

Call = Callable[[NamedRule, History, Fault], Decision | None]
Default = Callable[[int | None], i.Decision]
"""What is decided where no rule answers, given the tightest budget for losses that rules name."""


@attrs.frozen
class Rules:
    """The rules of a run: by task, and for all its tasks."""

    tasks: Mapping[str, tuple[NamedRule, ...]] = attrs.field(factory=dict)
    workflow: tuple[NamedRule, ...] = ()
    engine: tuple[NamedRule, ...] = ()

    @classmethod
    def of(
        cls, recovery: Mapping[str, tuple[NamedRule, ...]], engine: tuple[NamedRule, ...] = ()
    ) -> Rules:
        """Those that a Workflow carries (its own under ""), with the engine's after them."""
        return cls(recovery, recovery.get("", ()), engine)

    def of_task(self, task: str) -> tuple[NamedRule, ...]:
        """Those that are asked about a task, in order: about a compensation its own only."""
        own = self.tasks.get(task, ())
        if task.endswith(SUFFIX):
            return tuple(part for one in own for part in one.parts or (one,))
        return tuple(
            part for one in (*own, *self.workflow, *self.engine) for part in one.parts or (one,)
        )


class _Nonsense(Exception):
    """What is wrong with an answer."""


def call(rule: NamedRule, history: History, fault: Fault) -> Decision | None:
    """Ask a rule."""
    return rule(history, fault)


def decide(
    index: int,
    rules: tuple[NamedRule, ...],
    history: History,
    fault: Fault,
    default: Default,
    *,
    ask: Call = call,
    classes: Classes = NO_CLASSES,
) -> i.Decision:
    """The decision about a task, as an input of the core.

    `classes` may stand in fallback values. A retry that would begin after the task's deadline is
    no answer where a later rule has another one.
    """
    late: i.Retry | None = None
    for rule in rules:
        answer = answer_of(index, rule, history, fault, ask=ask, classes=classes)
        if isinstance(answer, i.Retry) and _is_late(answer, history):
            late = late or answer
        elif answer is not None:
            return answer
    return late or default(tightest(rules))


def _is_late(decision: i.Retry, history: History) -> bool:
    left_s = history.time_left_s
    return left_s is not None and decision.delay_us >= left_s * 1e6


def answer_of(
    index: int,
    rule: NamedRule,
    history: History,
    fault: Fault,
    *,
    ask: Call = call,
    classes: Classes = NO_CLASSES,
) -> i.Decision | None:
    """What one rule says, as an input of the core; None: it has no answer.

    A rule that raises, be it SystemExit, fails the task; only Ctrl-C is not the rule's.
    """
    try:
        answer = ask(rule, history, fault)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a rule is the user's code
        return _broken(index, rule, f"raised {type(error).__name__}{_shown(error)}")
    if answer is None:
        return None
    try:
        return _input(index, rule, answer, fault, classes)
    except _Nonsense as nonsense:
        return _broken(index, rule, f"answered nonsense: {nonsense}")
    except DurableWorkflowError as error:
        return _broken(index, rule, f"answered nonsense: {error.message}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - what it answered is the user's object
        return _broken(index, rule, f"answered what raised {type(error).__name__}")


def _broken(index: int, rule: NamedRule, what: str) -> i.Fail:
    reason = f"rule {rule.name!r} {what}"
    return i.Fail(index, rule.name, reason[:_REASON_MAX], rule.version)


def _shown(error: BaseException) -> str:
    try:
        text = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - __str__ is the user's code too
        return ""
    return f": {text}" if text else ""


def _input(
    index: int, rule: NamedRule, answer: Decision, fault: Fault, classes: Classes
) -> i.Decision:
    name, version = rule.name, rule.version
    if not isinstance(answer, Decision):
        raise _Nonsense(f"{answer!r:.100} (a rule answers one of {_ANSWERS}, or None)")
    if not isinstance(answer.reason, str):
        raise _Nonsense(f"the reason {answer.reason!r:.60} is no text")
    reason, facts = answer.reason[:_REASON_MAX], _facts(answer.facts)
    match answer:
        case Retry():
            delay_us = answer.delay_us
            if fault.attempt >= MOST_ATTEMPTS:
                reason = f"it was tried {fault.attempt} times; no rule may go on for ever"
                return i.Fail(index, name, reason, version, facts)
            if fault.kind is FaultKind.BREAKER:
                delay_us = max(delay_us, _REFUSED_US)
            return i.Retry(index, name, reason, delay_us, version, facts)
        case Skip():
            return i.Skip(index, name, reason, version, facts)
        case Fail():
            return i.Fail(index, name, reason, version, facts, keep_going=bool(answer.keep_going))
        case Compensate():
            return i.Fail(index, name, reason, version, facts, compensate=True)
        case Escalate():
            return _escalated(index, rule, answer, reason, facts)
        case Fallback():
            function = answer.function
            if function is None:
                value = _value(answer.instead, classes)
                return i.FallBack(index, name, reason, value, version, facts)
            if not any(function is known for known in rule.functions):
                raise _Nonsense(
                    f"it falls back to {label_of(function)}, which it has not announced "
                    "(rule(functions=[...]))"
                )
            return i.FallBackTo(index, name, reason, label_of(function), version, facts)


def _escalated(
    index: int, rule: NamedRule, answer: Escalate, reason: str, facts: Facts
) -> i.Escalate:
    for name, text in (("question", answer.question), ("whom", answer.whom)):
        if not isinstance(text, str):
            raise _Nonsense(f"the {name} {text!r:.60} is no text")
    if not answer.question.strip():
        raise _Nonsense("the question is empty")
    return i.Escalate(
        index, rule.name, reason, answer.question[:_REASON_MAX], rule.version, facts,
        answer.whom[:_WHOM_MAX], answer.timeout_us, answer.otherwise,
    )  # fmt: skip


def _facts(facts: object) -> Facts:
    if not isinstance(facts, Mapping) or len(facts) > _FACTS_MAX:
        raise _Nonsense(f"its facts are no mapping of up to {_FACTS_MAX} names: {facts!r:.60}")
    for name, value in facts.items():
        if type(name) is not str or len(name) > _NAME_MAX:
            raise _Nonsense(f"the fact {name!r:.60} is not named by a text of up to {_NAME_MAX}")
        if type(value) is not int:
            raise _Nonsense(f"the fact {name!r:.60} = {value!r:.60} is no whole number")
        if not -_FACT_MAX <= value < _FACT_MAX:
            raise _Nonsense(f"the fact {name!r:.60} takes more than 64 bits")
    return tuple(facts.items())


def _value(value: object, classes: Classes) -> str:
    text = values.encode(value, classes, name="the fallback value")
    if len(text) > values.TABLE_MAX:
        raise DefinitionError(
            f"the fallback value takes {len(text):,} characters; up to {values.TABLE_MAX:,} fit"
        )
    return text


def label_of(function: Callable[..., Any]) -> str:
    """What a fallback, probe or compensation is called in the log: its module and name."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '')}:{name}"
