"""The exception tree, by who is at fault.

Owns: every exception that durable_wf raises on purpose, and the four parts of each message
(what, where, why, what to do next).
Must never: import anything of the package, or carry behaviour beyond its message.
Read next: `core/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Sequence


class DurableWorkflowError(Exception):
    """Base of all errors raised by durable_wf.

    `hint` is the next thing to do or to type; it is part of `str(error)`, on a line of its own.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


# --- the caller -------------------------------------------------------------------------------


class CallerError(DurableWorkflowError):
    """The caller asked for something that cannot be: nothing was written, nothing was lost."""


class DefinitionError(CallerError):
    """A workflow definition is wrong. `problems` lists everything found, not only the first."""

    def __init__(
        self, message: str, *, problems: Sequence[str] = (), hint: str | None = None
    ) -> None:
        self.problems = tuple(problems)
        text = message + "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(text, hint=hint)


class CycleError(DefinitionError):
    """The graph has cycles: `paths` has one for each group of tasks that depend on each other, and
    `path` is the first. A path names its tasks in order, the first one repeated at the end.
    """

    def __init__(self, path: Sequence[str], *others: Sequence[str]) -> None:
        self.path = tuple(path)
        self.paths = (self.path, *map(tuple, others))
        shown = [
            " -> ".join(one if len(one) < 24 else [*one[:20], f"({len(one) - 21} more)", one[-1]])
            for one in self.paths
        ]
        if others:
            more = len(shown) - 20
            super().__init__(
                f"tasks depend on each other in {len(shown)} circles",
                problems=shown if more <= 0 else [*shown[:20], f"({more} more)"],
                hint="remove one dependency of each",
            )
            return
        super().__init__(
            f"tasks depend on each other in a circle: {shown[0]}",
            hint="remove one of these dependencies",
        )


class NotFound(CallerError):
    """No run, task, workflow or file answers to the given name."""


class WrongState(CallerError):
    """The run or task exists, but its state does not allow the command."""


class RunConflict(CallerError):
    """A run of this id exists with another structure, other inputs or other code."""


class CodeChanged(RunConflict):
    """The code of unfinished tasks differs from what the run was created with. `tasks` names those
    whose own code does; `beside` says of which companions, as "the compensation of task 'x'".
    `verb` is what was to be done with the run.
    """

    def __init__(
        self, run_id: str, tasks: Sequence[str], verb: str = "resume", beside: Sequence[str] = ()
    ) -> None:
        self.run_id = run_id
        self.tasks = tuple(tasks)
        self.beside = tuple(beside)
        super().__init__(
            f"run {run_id}: {changed_code(self.tasks, self.beside)}",
            hint=f"dwf {verb} {run_id} --accept-changes   (or accept_changes=True)",
        )


def changed_code(tasks: Sequence[str], beside: Sequence[str]) -> str:
    """That so much code has changed, in words."""
    told = []
    if tasks:
        many = "1 unfinished task" if len(tasks) == 1 else f"{len(tasks)} unfinished tasks"
        told.append(f"the code of {many} has changed: {_few(tasks)}")
    if beside:
        told.append(f"{_few(beside)} {'has' if len(beside) == 1 else 'have'} changed")
    return "; ".join(told)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")


class NotSendable(CallerError):
    """A function cannot travel to a worker process; the message names it and says why."""


class NotTrusted(CallerError):
    """The store was not created by this user: it is read-only until it is trusted."""


# --- task code --------------------------------------------------------------------------------


class TaskError(DurableWorkflowError):
    """Something that a task's own code did."""


class RunFailed(TaskError):
    """A run ended without success. `result` is the RunResult, with everything that did finish."""

    def __init__(self, message: str, *, result: object, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.result = result


class NotStorable(TaskError):
    """A value cannot be stored so that it comes back equal and of the same type."""


class Cancelled(BaseException):
    """Raised inside a task whose attempt is being cancelled.

    Derives from BaseException so that a task's `except Exception` does not swallow it.
    """


EXIT_CODE = 130
"""How a process ends that was interrupted."""


class Interrupted(KeyboardInterrupt, SystemExit):
    """A signal ended this process's part in a run; the run can be resumed.

    A KeyboardInterrupt, so that what catches errors lets it pass; and a SystemExit, so that a
    script ends with exit code 130 and without a traceback: what it says has been said.
    """

    def __init__(self, run_id: str, signal_number: int) -> None:
        self.run_id = run_id
        self.signal_number = signal_number
        self.code = EXIT_CODE
        super().__init__(f"interrupted; continue with: dwf resume {run_id}")


# --- another writer ---------------------------------------------------------------------------


class StoreBusy(DurableWorkflowError):
    """Another process kept the writer lock for longer than we wait; the message names its pid."""


class OwnedElsewhere(DurableWorkflowError):
    """The run belongs to another engine that is alive."""


# --- the store --------------------------------------------------------------------------------


class StoreError(DurableWorkflowError):
    """The store cannot be used as it is."""


class StoreFailed(StoreError):
    """The disk reported a failure whose outcome is unknown; this process must not write again."""


class DiskFull(StoreError):
    """No space is left. Nothing of the batch was written; the same batch may be tried again."""


class NewerSchema(StoreError):
    """The store was written by a newer version of durable_wf."""


class UnsafeStore(StoreError):
    """The folder is refused: network file system, symlink, other owner, foreign schema."""


class LostTail(StoreError):
    """The log is shorter than what was once committed: a file was deleted, cut or replaced."""


class PayloadMissing(StoreError):
    """A payload that an event names is gone or damaged."""


class NotReadable(StoreError):
    """A stored value cannot be read back: it is damaged, or a class in it is no longer known."""


# --- the history ------------------------------------------------------------------------------


class HistoryError(DurableWorkflowError):
    """The recorded events do not form a legal history (unknown kind, gap, impossible step)."""


class VerificationFailed(DurableWorkflowError):
    """A check of the log found a difference; the message names the first bad event."""
