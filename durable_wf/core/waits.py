"""What a task may wait for in place of calling a function, and what may come of that.

Owns: which outcomes each kind of wait may have, and what is wrong with a wait wherever it was
written down.
Must never: wait; `decide_waits.py` says how a wait ends.
Read next: `soundness.py`, which asks; `task.py`, in which a wait stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from durable_wf.core.names import ALLOWED, is_name
from durable_wf.core.status import Otherwise, WaitKind
from durable_wf.core.task import Task, WaitFor
from durable_wf.core.units import LONGEST_S, is_number

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

_LAST_US: Final = 253_402_300_799_999_999
"""The last microsecond that a datetime knows."""

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
    """What is wrong with a wait, as sentences."""
    kind: object = wait.kind
    if not isinstance(kind, WaitKind) or kind not in ON_TIMEOUT:
        shown = kind.value if isinstance(kind, WaitKind) else kind
        yield f"a task cannot wait for {shown!r:.60} from the start"
        return
    what = wait.kind.value
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
        yield f"on_timeout of {what} cannot be {_shown(wait.on_timeout)}"
    if wait.on_reject not in (ON_REJECT if wait.kind is WaitKind.APPROVAL else (_O.FAIL,)):
        yield f"on_reject of {what} cannot be {_shown(wait.on_reject)}"


def _shown(given: object) -> str:
    return f"{given.value if isinstance(given, Otherwise) else given!r:.60}"


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
    length, until = wait.timeout_s, wait.until
    if length is not None and not (is_number(length) and 0 <= length <= LONGEST_S):
        yield f"timeout_s must be from 0 to {LONGEST_S:g} seconds, not {length!r:.60}"
    if wait.kind is WaitKind.SLEEP:
        if (length is None) is (until is None):
            yield "a sleep has a length (timeout_s) or an end (until): one of the two"
        if until is not None and not (type(until) is int and abs(until) <= _LAST_US):
            yield f"until must be before the year 10000, not {until!r:.40} microseconds"
        return
    if until is not None:
        yield f"only a sleep has an end (until), not a {wait.kind.value}"
    if length is None and wait.on_timeout is not _O.FAIL:
        yield f"on_timeout={_shown(wait.on_timeout)} needs a timeout, or it never happens"
