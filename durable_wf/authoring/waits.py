"""Tasks that wait in place of calling a function: for a person, for a signal, for time.

Owns: `approval`, `wait_for_signal` and `sleep`, which are given to `add_task` where others give a
function; what may be said of such tasks, and what is wrong with what they wait for.
Must never: wait. Nothing runs while such a task waits; the log knows what it waits for.
Read next: `core/decide_waits.py`, for how a wait ends; `factory.py`, which makes tasks of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from durable_wf.authoring.options import NAMES, read_options
from durable_wf.core.definition import FunctionRef, Task, WaitFor
from durable_wf.core.names import ALLOWED, is_name
from durable_wf.core.resolver import nearest
from durable_wf.core.resources import Resources
from durable_wf.core.status import Otherwise, WaitKind
from durable_wf.core.units import LONGEST_S, Duration
from durable_wf.errors import DefinitionError
from durable_wf.recovery.decisions import seconds

LONGEST_QUESTION: Final = 10_000
LONGEST_WHOM: Final = 200
"""Characters."""

_O = Otherwise
ON_TIMEOUT: Final[Mapping[WaitKind, tuple[Otherwise, ...]]] = {
    WaitKind.APPROVAL: (_O.FAIL, _O.SKIP, _O.APPROVE, _O.CONTINUE),
    WaitKind.SIGNAL: (_O.FAIL, _O.SKIP, _O.CONTINUE),
    WaitKind.SLEEP: (_O.FAIL,),
}
"""What may become of a task that waited in vain."""

ON_REJECT: Final = (_O.FAIL, _O.SKIP, _O.CONTINUE)
"""What may become of an approval that was refused."""

OPTIONS: Final = ("description", "estimate", "metadata", "optional", "tags")
"""The options that make sense for a task that calls nothing."""

_NOTHING: Final = Resources(cpu=0.0)
_LAST_US: Final = 253_402_300_799_999_999
"""The last microsecond that a datetime knows."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def approval(
    question: str,
    *,
    whom: str = "",
    timeout: Duration | None = None,
    on_timeout: str = "fail",
    on_reject: str = "fail",
) -> WaitFor:
    """A task that waits for a person's yes: `add_task("review", wf.approval("publish?"))`.

    It holds no worker. `dwf inbox` shows the `question` and `whom` it is for; `dwf approve` and
    `dwf reject` answer it. What comes after it receives `{"approved": True, "by": ..., "comment":
    ...}`. Nobody having answered within `timeout`, `on_timeout` happens: "fail", "skip", "approve",
    or "continue", which goes on with `"approved": False`. `on_reject` is "fail", "skip" or
    "continue". What it comes after gives it order, no data.
    """
    return _checked(
        WaitFor(
            WaitKind.APPROVAL,
            question=question,
            whom=whom,
            timeout_s=_timeout(timeout, "approval"),
            on_timeout=_choice("on_timeout", on_timeout, ON_TIMEOUT[WaitKind.APPROVAL]),
            on_reject=_choice("on_reject", on_reject, ON_REJECT),
        )
    )


def wait_for_signal(
    name: str, *, timeout: Duration | None = None, on_timeout: str = "fail"
) -> WaitFor:
    """A task that waits for a signal: `add_task("paid", wf.wait_for_signal("payment"))`.

    It holds no worker. `dwf signal RUN payment '{"amount": 5}'` or `engine.signal` sends one; its
    value is the task's result. One that comes early is kept, and each is taken by one task. None
    having come within `timeout`, `on_timeout` happens: "fail", "skip" or "continue" (with None).
    """
    return _checked(
        WaitFor(
            WaitKind.SIGNAL,
            name=name,
            timeout_s=_timeout(timeout, "wait_for_signal"),
            on_timeout=_choice("on_timeout", on_timeout, ON_TIMEOUT[WaitKind.SIGNAL]),
        )
    )


def sleep(duration: Duration | None = None, *, until: datetime | None = None) -> WaitFor:
    """A task that waits for time to pass: `add_task("rest", wf.sleep("1h"))`. Its result is None.

    It holds no worker and goes on over restarts. `until` is a moment in place of a `duration`, with
    its time zone. In the code of a task, this does nothing: there, `time.sleep` sleeps.
    """
    if (duration is None) is (until is None):
        raise DefinitionError("sleep() takes a duration, or until= a moment: one of the two")
    if until is None:
        return WaitFor(WaitKind.SLEEP, timeout_s=seconds(duration, "sleep(duration)"))
    if not isinstance(until, datetime):
        raise DefinitionError(f"sleep(until=) takes a datetime, not {until!r:.60}")
    if until.utcoffset() is None:
        raise DefinitionError(
            f"sleep(until={until.isoformat()!r}) has no time zone",
            hint='datetime(2026, 11, 23, 9, 0, tzinfo=ZoneInfo("Europe/Paris"))',
        )
    return WaitFor(WaitKind.SLEEP, until=(until - _EPOCH) // timedelta(microseconds=1))


MAKERS: Final[tuple[Callable[..., WaitFor], ...]] = (approval, wait_for_signal, sleep)
"""The functions that make waits; a task of one of them itself is a slip."""


def _timeout(given: Duration | None, call: str) -> float | None:
    return None if given is None else seconds(given, f"{call}(timeout=)")


def _choice(name: str, given: object, allowed: tuple[Otherwise, ...]) -> Otherwise:
    for one in allowed:
        if one.value == given:
            return one
    choice = ", ".join(repr(one.value) for one in allowed)
    raise DefinitionError(f"{name} is one of {choice}, not {given!r:.60}")


def _checked(wait: WaitFor) -> WaitFor:
    for problem in problems_of(wait):
        raise DefinitionError(problem)
    return wait


_OF_CALLS: Final = (
    "args", "kwargs", "timeout_s", "deadline_s", "heartbeat_s", "memory_limit", "executor", "codec",
    "rules", "probe", "undo", "breaker",
)  # fmt: skip
"""What is said of a task that calls a function, and of no other."""


def problems_of_task(task: Task) -> list[str]:
    """What is wrong with a task because it waits."""
    if task.wait is None:
        return []
    said = [name for name in _OF_CALLS if getattr(task, name)]
    problems = [f"it waits and calls nothing, so it has no {', '.join(said)}"] if said else []
    return [*problems, *problems_of(task.wait)]


def problems_of(wait: WaitFor) -> Iterator[str]:
    """What is wrong with a wait, wherever it was written down, as sentences."""
    what = wait.kind.value
    if wait.kind not in ON_TIMEOUT:
        yield f"a task cannot wait for {what!r} from the start"
        return
    if wait.kind is WaitKind.APPROVAL:
        yield from _wrong_words(wait)
    elif wait.question or wait.whom:
        yield f"a {what} asks nobody, so it has no question and no whom"
    if wait.kind is WaitKind.SIGNAL and not _is_name(wait.name):
        yield f"{wait.name!r:.220} is no name for a signal: {ALLOWED}"
    elif wait.kind is not WaitKind.SIGNAL and wait.name:
        yield f"only a signal has a name, not {wait.name!r:.60}"
    yield from _wrong_times(wait)
    if wait.on_timeout not in ON_TIMEOUT[wait.kind]:
        yield f"on_timeout of {what} cannot be {wait.on_timeout.value!r}"
    if wait.on_reject not in (ON_REJECT if wait.kind is WaitKind.APPROVAL else (_O.FAIL,)):
        yield f"on_reject of {what} cannot be {wait.on_reject.value!r}"


def _wrong_words(wait: WaitFor) -> Iterator[str]:
    """What is wrong with the words of an approval."""
    given: list[tuple[str, object, int]] = [
        ("question", wait.question, LONGEST_QUESTION),
        ("whom", wait.whom, LONGEST_WHOM),
    ]
    for word, text, longest in given:
        if not isinstance(text, str):
            yield f"the {word} of an approval must be a text, not {text!r:.60}"
        elif len(text) > longest:
            yield f"the {word} of an approval has {len(text):,} characters; {longest:,} fit"
        elif word == "question" and not text.strip():
            yield "an approval needs a question, which is read by the person who answers it"


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name) and is_name(name)


def _wrong_times(wait: WaitFor) -> Iterator[str]:
    given = wait.timeout_s
    if given is not None and not (math.isfinite(given) and 0 <= given <= LONGEST_S):
        yield f"timeout_s must be from 0 to {LONGEST_S:g} seconds, not {given!r:.60}"
    if wait.kind is WaitKind.SLEEP:
        if (given is None) is (wait.until is None):
            yield "a sleep has a length (timeout_s) or an end (until): one of the two"
        if wait.until is not None and abs(wait.until) > _LAST_US:
            yield f"until must be before the year 10000, not {wait.until!r:.40} microseconds"
        return
    if wait.until is not None:
        yield f"only a sleep has an end (until), not a {wait.kind.value}"
    if given is None and wait.on_timeout is not _O.FAIL:
        yield f"on_timeout={wait.on_timeout.value!r} needs a timeout, or it never happens"


def waiting_task(
    name: str, wait: WaitFor, upstream: tuple[str, ...], options: Mapping[str, object]
) -> tuple[Task | None, list[str]]:
    """The task that waits, or what is wrong with what was said about it."""
    problems = [_unfit(option) for option in options if option not in OPTIONS]
    fields: dict[str, Any]
    fields, wrong = read_options({name: options[name] for name in options if name in OPTIONS})
    problems += wrong
    if problems:
        return None, problems
    if wait.kind is WaitKind.SLEEP:
        fields.setdefault("estimate_s", wait.timeout_s)
    elif "estimate_s" not in fields:
        fields["estimate_s"] = 0.0  # nobody knows how long people think
    ref = FunctionRef(wait.kind.value)
    return Task(name, ref, upstream, resources=_NOTHING, wait=wait, **fields), []


def _unfit(option: str) -> str:
    if option not in NAMES:
        guess = nearest(option, OPTIONS)
        return f"{option!r} is no option" + (f"; did you mean {guess!r}?" * bool(guess))
    if option == "timeout":
        return "timeout bounds an attempt, and it makes none; say approval(..., timeout=...)"
    return f"{option} makes no sense for a task that waits: it calls no function"
