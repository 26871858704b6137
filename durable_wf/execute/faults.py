"""Faults: exceptions of tasks as data.

Owns: what is kept of an exception: qualified name, bases, message, traceback of the user's frames.
Must never: fail, whatever the exception does when it is looked at; or keep the exception alive.
Read next: `calls.py`.
"""

from __future__ import annotations

import os
import traceback
from types import TracebackType

from durable_wf.core.fault import Fault
from durable_wf.core.status import FaultKind
from durable_wf.core.text import escaped
from durable_wf.errors import Cancelled, DurableWorkflowError, NotStorable

MESSAGE_MAX = 8 << 10
"""Characters kept of a message."""

TRACEBACK_MAX = 32 << 10
"""Characters kept of a traceback: its head, and more of its tail."""

RETRY_AFTER_MAX_S = 366 * 86400
"""The longest wait that an exception may ask for; a longer one is taken for an error of its own."""

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def fault_of(error: BaseException) -> Fault:
    """The fault that an exception raised by a task's code makes. Never raises."""
    kind = type(error)
    return Fault(
        kind=_kind(error),
        message=_message(error),
        exception=qualified(kind),
        bases=tuple(qualified(base) for base in kind.__mro__[1:-1]),
        traceback="" if _is_ours(error) else _traceback(error),
        exit_code=_exit_code(error) if isinstance(error, SystemExit) else None,
        retry_after_us=_retry_after_us(error),
    )


def qualified(kind: type) -> str:
    """The name of a class with its module, which built-in ones go without."""
    name = escaped(str(kind.__qualname__))
    return name if kind.__module__ == "builtins" else f"{escaped(str(kind.__module__))}.{name}"


def _kind(error: BaseException) -> FaultKind:
    if isinstance(error, NotStorable):
        return FaultKind.NOT_STORABLE
    if isinstance(error, MemoryError):
        return FaultKind.MEMORY
    if isinstance(error, SystemExit):
        return FaultKind.EXIT
    if isinstance(error, KeyboardInterrupt | Cancelled):
        return FaultKind.LOST
    return FaultKind.ERROR


def _is_ours(error: BaseException) -> bool:
    """Whether the error is one of ours, of which only the message says something to the user."""
    return (
        isinstance(error, DurableWorkflowError)
        and error.__cause__ is None
        and _users_frames(error.__traceback__) is None
    )


def _exit_code(error: SystemExit) -> int:
    """What the process would have exited with."""
    if error.code is None:
        return 0
    return int(error.code) & 0xFF if isinstance(error.code, int) else 1


def _retry_after_us(error: BaseException) -> int | None:
    """What the exception says about when to try again: its `retry_after`, in seconds."""
    try:
        seconds = getattr(error, "retry_after", None)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            return None
        return round(seconds * 1e6) if 0 <= seconds <= RETRY_AFTER_MAX_S else None
    except BaseException:  # noqa: BLE001 - an attribute may be the user's code
        return None


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        return f"the task called exit({error.code if error.code is not None else ''})"
    try:
        text = str(error)
    except BaseException as second:  # noqa: BLE001 - __str__ is the user's code
        return f"<str() of this {type(error).__name__} raised {type(second).__name__}>"
    return escaped(cut(text, MESSAGE_MAX))


def _traceback(error: BaseException) -> str:
    try:
        told = traceback.TracebackException(
            type(error), error, _users_frames(error.__traceback__), compact=True
        )
        text = _format(told)
    except BaseException as second:  # noqa: BLE001 - notes, causes and sources are the user's
        text = f"<the traceback could not be formatted: {type(second).__name__}>"
    return escaped(cut(text, TRACEBACK_MAX))


def _format(told: traceback.TracebackException) -> str:
    """Line by line, so that a chain of thousands of causes does not become one huge text."""
    lines: list[str] = []
    room = 8 * TRACEBACK_MAX
    for line in told.format():
        lines.append(line if len(line) <= TRACEBACK_MAX else cut(line, TRACEBACK_MAX))
        room -= len(lines[-1])
        if room < 0:
            break
    return "".join(lines).rstrip()


def _users_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is not ours; whole if there is none."""
    found = trace
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_OURS):
        found = found.tb_next
    return found


def cut(text: str, limit: int) -> str:
    """`text` in at most about `limit` characters: a quarter of its head, the rest its tail."""
    if len(text) <= limit:
        return text
    head, tail = limit // 4, limit - limit // 4
    return f"{text[:head]}\n... {len(text) - limit:,} characters left out ...\n{text[-tail:]}"
