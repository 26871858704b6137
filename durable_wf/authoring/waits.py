"""Tasks that wait in place of calling a function: for a person, for a signal, for time.

Owns: `approval`, `wait_for_signal` and `sleep`, which are given to `add_task` where others give a
function, and what may be said of such tasks.
Must never: wait. Nothing runs while such a task waits; the log knows what it waits for.
Read next: `core/waits.py`, for what may come of a wait; `core/decide_waits.py`, for how one ends;
`factory.py`, which makes tasks of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from durable_wf.authoring.options import NAMES, read_options
from durable_wf.core.definition import FunctionRef, Task, WaitFor
from durable_wf.core.resolver import nearest
from durable_wf.core.resources import Resources
from durable_wf.core.status import Otherwise, WaitKind
from durable_wf.core.units import Duration
from durable_wf.core.waits import ON_REJECT, ON_TIMEOUT, problems_of
from durable_wf.errors import DefinitionError
from durable_wf.recovery.decisions import seconds

OPTIONS: Final = ("description", "estimate", "metadata", "optional", "tags")
"""The options that make sense for a task that calls nothing."""

_NOTHING: Final = Resources(cpu=0.0)
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
