"""Faults and captured output, as data that workers make and the log keeps.

Owns: Fault and OutputRef, apart from the events so that a worker loads no more than it needs.
Must never: hold an exception object, or anything else of the task's own classes.
Read next: `reports.py`, `events.py`, in both of which they stand.
"""

from __future__ import annotations

from durable_wf.core.hot import frozen
from durable_wf.core.status import FaultKind

MOST_WORDS = 300
"""Characters of a fault's message that its run is said to have failed with."""

_BUILT_IN = "builtins."
"""In the log, built-in exceptions go without their module."""


def class_name(exception: type[BaseException] | str) -> str:
    """What `Fault.is_a` is asked for, be it given as a class or by its name."""
    if isinstance(exception, str):
        return exception
    return f"{exception.__module__}.{exception.__qualname__}"


@frozen
class OutputRef:
    """Where an attempt's captured output lies: a file under `output/`, byte offset and length."""

    file: str
    offset: int
    length: int


@frozen
class Fault:
    """Why an attempt failed, as data: nothing of the task's own exception classes is kept alive.

    `exception` is the qualified class name, `bases` those of its base classes, nearest first.
    `retry_after_us` is how long the exception asked to wait, where it did.
    """

    kind: FaultKind
    message: str = ""
    exception: str = ""
    bases: tuple[str, ...] = ()
    traceback: str = ""
    exit_code: int | None = None
    retry_after_us: int | None = None

    def is_a(self, exception: str) -> bool:
        """Whether the exception is of the class of this name, or derives from it. A name without
        its module fits whatever the module; built-in ones are in the module `builtins`.
        """
        names = (self.exception, *self.bases)
        if exception.startswith(_BUILT_IN):
            return exception.removeprefix(_BUILT_IN) in names
        if "." in exception:
            return exception in names
        return any(name.rpartition(".")[2] == exception for name in names)

    @property
    def words(self) -> str:
        """What went wrong, in one line that is not too long and never nothing: as Python ends a
        traceback where an exception was raised, else the message, else the kind.
        """
        text = self.message.strip()
        if self.exception and self.kind is FaultKind.ERROR:
            name = self.exception.removeprefix(_BUILT_IN)
            text = f"{name}: {text}" if text else name
        first, *more = text.splitlines() or [""]
        if len(first) > MOST_WORDS or more:
            first = f"{first[:MOST_WORDS].rstrip()} …"
        return first or self.kind.value
