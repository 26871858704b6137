"""What a rule sees: the fault that just happened, and the recorded history of its task and run.

Owns: Fault and History.
Must never: show what is not committed, or let a rule change anything.
Read next: `decisions.py`, for what a rule may answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from durable_wf.core import events as e
from durable_wf.core.circuit import Outcome
from durable_wf.core.fault import class_name
from durable_wf.core.past import MACHINE, Past, PastAttempt
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind


@attrs.frozen
class Fault:
    """Why the attempt number `attempt` failed.

    `exception` is the name of its class with its module (which built-in ones go without), `bases`
    those of its base classes, nearest first. `retry_after_s` is what the exception's own
    `retry_after` asked for, in seconds, or None.
    """

    kind: FaultKind = FaultKind.ERROR
    exception: str = ""
    bases: tuple[str, ...] = ()
    message: str = ""
    traceback: str = ""
    exit_code: int | None = None
    retry_after_s: float | None = None
    attempt: int = 1

    @classmethod
    def of(cls, fault: e.Fault, attempt: int) -> Fault:
        """A recorded fault as rules see it."""
        after = fault.retry_after_us
        return cls(
            fault.kind, fault.exception, fault.bases, fault.message, fault.traceback,
            fault.exit_code, None if after is None else after / 1e6, attempt,
        )  # fmt: skip

    @property
    def is_machine(self) -> bool:
        """Whether the machine is to blame (kinds lost and in_doubt), not the task's own code."""
        return self.kind in MACHINE

    def is_a(self, exception: type[BaseException] | str) -> bool:
        """Whether the exception is of this class, or derives from it. A name without its module
        fits whatever the module.
        """
        recorded = e.Fault(self.kind, exception=self.exception, bases=self.bases)
        return recorded.is_a(class_name(exception))


def no_outcomes(_: str) -> Sequence[Outcome]:
    """Where nobody knows of other runs."""
    return ()


@attrs.frozen
class History:
    """The recorded history of a task up to a fault, the fault included. Read-only.

    `at` is when the fault was recorded (UTC microseconds): the only time a rule knows.
    """

    run_id: str
    workflow: str
    task: str
    at: int
    _past: Past = attrs.field(repr=False)
    _run_retries: int = 0
    _deadline_s: float | None = None
    _read_outcomes: Callable[[], Sequence[Outcome]] = attrs.field(
        default=tuple, repr=False, eq=False
    )

    @classmethod
    def of(
        cls, state: RunState, index: int, outcomes: Callable[[str], Sequence[Outcome]] = no_outcomes
    ) -> History:
        """The history of a task that stands FAULTED. `outcomes` reads those of a breaker key."""
        past = state.past[index]
        name = state.graph.names[index]
        at = past.attempts[-1].ended_at
        task = state.task(index)
        breaker = task.breaker
        return cls(
            state.run_id, state.workflow.name, name, at, past, state.retries, task.deadline_s,
            tuple if breaker is None else lambda: outcomes(breaker.key),
        )  # fmt: skip

    @property
    def faults(self) -> int:
        """Faults of the task's own so far, this one included if it is one."""
        return self._past.faults

    @property
    def losses(self) -> int:
        """Faults of the machine so far (worker lost, engine died), this one included."""
        return self._past.losses

    @property
    def retries(self) -> int:
        """Retries of the task that were spent on faults of its own."""
        return self._past.retries

    @property
    def run_retries(self) -> int:
        """The same for all tasks of the run together."""
        return self._run_retries

    @property
    def attempts(self) -> tuple[PastAttempt, ...]:
        """The attempts that failed, oldest first: the newest 50. Each has `number`, `started_at`,
        `ended_at` (UTC microseconds), `kind` and `exception`.
        """
        return tuple(self._past.attempts)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the task's first attempt was announced."""
        return max(0, self.at - self._past.first_started_at) / 1e6

    @property
    def time_left_s(self) -> float | None:
        """Seconds until the task's deadline, below 0 when it has passed; None without one."""
        return None if self._deadline_s is None else self._deadline_s - self.elapsed_s

    @property
    def since_first_fault_s(self) -> float:
        """Seconds since the task's first fault."""
        return max(0, self.at - self._past.first_fault_at) / 1e6

    @property
    def last_delay_s(self) -> float:
        """How long the last retry waited, in seconds; 0 before there was one."""
        return self._past.delay_us / 1e6

    @property
    def fallback(self) -> str:
        """The function that the task has fallen back to, or ""."""
        return self._past.fallback

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """How the last attempts behind the task's circuit breaker ended, in all runs of the store,
        oldest first: up to 200. Each has `what` (`What.OK` or `What.FAILED`), `at`, `began_at` (UTC
        microseconds) and `place` ("run id/task/attempt"). Empty without a breaker, and in a
        backtest.
        """
        return tuple(self._read_outcomes())
