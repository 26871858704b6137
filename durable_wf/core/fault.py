"""Faults and captured output, as data that workers make and the log keeps.

Owns: Fault and OutputRef, apart from the events so that a worker loads no more than it needs.
Must never: hold an exception object, or anything else of the task's own classes.
Read next: `reports.py`, `events.py`, in both of which they stand.
"""

from __future__ import annotations

from durable_wf.core.hot import frozen
from durable_wf.core.status import FaultKind


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

    @property
    def words(self) -> str:
        """What went wrong, never nothing: the message, else the exception, else the kind."""
        return self.message or self.exception or self.kind.value
