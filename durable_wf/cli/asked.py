"""What a run waits for, told: in words, as JSON, and as the lines to type that answer it.

Owns: these three forms.
Must never: read a store; `now` is an argument.
Read next: `commands/inbox.py`, `core/awaited.py`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from durable_wf.cli.terminal import Look, one_line
from durable_wf.cli.times import ago, iso, local, span
from durable_wf.core.awaited import RETRY, Awaited
from durable_wf.core.status import Otherwise, WaitKind

_THEN = {
    Otherwise.FAIL.value: "it fails",
    Otherwise.SKIP.value: "it is skipped",
    Otherwise.APPROVE.value: "it counts as approved",
    Otherwise.CONTINUE.value: "the run goes on without",
    Otherwise.RETRY.value: "it is tried again",
}


def what_words(one: Awaited) -> str:
    """What it waits for, in a few words."""
    match one.what:
        case WaitKind.APPROVAL.value:
            return "an approval"
        case WaitKind.OPERATOR.value:
            return "a decision"
        case WaitKind.SIGNAL.value:
            return f"signal {one.signal}"
        case WaitKind.SLEEP.value:
            return "time to pass"
        case _:
            return "a retry"


def sentence(one: Awaited, now: int) -> str:
    """`review waits for an approval of ann since 3m ago, until 10:00, then it fails`."""
    whom = f" of {one.whom}" if one.whom else ""
    parts = [f"{one.task} waits for {what_words(one)}{whom}, since {ago(one.since, now)}"]
    if (ends := until_words(one, now)) != "":
        parts.append(ends)
    return one_line(", ".join(parts))


def until_words(one: Awaited, now: int) -> str:
    """Until when, and what happens then; "" where no time is set."""
    if one.until is None:
        return ""
    left = f" ({span(one.until - now)} left)" if one.until > now else " (overdue)"
    then = _THEN.get(one.on_timeout, "")
    return f"until {local(one.until)}{left}" + (f", then {then}" if then else "")


def command_lines(run_id: str, one: Awaited, store: str | None = None) -> list[str]:
    """What to type to answer it. `store` is the one that was named on the command line."""
    if one.what == WaitKind.APPROVAL.value:
        ways: Sequence[tuple[str, ...]] = [
            ("approve", run_id, one.task),
            ("reject", run_id, one.task),
        ]
    elif one.what == WaitKind.SIGNAL.value:
        ways = [("signal", run_id, one.signal, "JSON")]
    else:
        stays = ("--attempt", str(one.attempt)) if one.attempt else ()
        ways = [("resolve", run_id, one.task, "--retry", *stays)]
        if one.what == WaitKind.SLEEP.value:
            ways = [("resolve", run_id, one.task, "--value", "null")]
        elif one.what != RETRY:
            ways = [
                ("resolve", run_id, one.task, *how, *stays)
                for how in (("--retry",), ("--value", "JSON"), ("--skip",), ("--fail",))
            ]
    named = ("--store", store) if store else ()
    return [one_line(shlex.join(("dwf", *way, *named))) for way in ways]


def asked_lines(
    run_id: str, waiting: Sequence[Awaited], look: Look, now: int, store: str | None, most: int = 5
) -> Iterator[str]:
    """What somebody has to answer, with the lines to type; then, in short, the rest."""
    asked = [one for one in waiting if one.is_asked]
    for one in asked[:most]:
        yield f"  {sentence(one, now)}"
        if one.question:
            yield f"    {look.paint(one_line(one.question), 'bold')}"
        for line in command_lines(run_id, one, store):
            yield f"    {line}"
    if len(asked) > most:
        inbox = shlex.join(("dwf", "inbox", *(("--store", store) if store else ())))
        yield f"  and {len(asked) - most} more: {inbox}"
    timers = [one for one in waiting if not one.is_asked]
    for one in timers[:most]:
        yield f"  {sentence(one, now)}"
    if len(timers) > most:
        yield f"  and {len(timers) - most} more wait for time to pass"


def awaited_document(run_id: str, one: Awaited, store: str | None = None) -> dict[str, Any]:
    """One task that waits, as JSON."""
    return {
        "task": one.task,
        "what": one.what,
        "question": one.question,
        "whom": one.whom,
        "signal": one.signal,
        "since": iso(one.since),
        "until": iso(one.until),
        "on_timeout": one.on_timeout,
        "attempt": one.attempt,
        "commands": command_lines(run_id, one, store) if one.is_asked else [],
    }
