"""Events of a task in a run.

Owns: their classes. Each has `task`, and those about an attempt have `attempt`, its number.
Must never: decide anything, or hold what can be derived from earlier events.
Read next: `events.py`, where all kinds come together.
"""

from __future__ import annotations

from durable_wf.core.fault import Fault, OutputRef
from durable_wf.core.hot import frozen, hot
from durable_wf.core.status import FaultKind, Otherwise, Verdict, WaitKind
from durable_wf.core.task import PayloadRef, Value

Facts = tuple[tuple[str, int], ...]
"""The numbers that a decision went by, each with its name."""


@hot
class AttemptStarted:
    """An attempt is announced: committed before its code may start.

    `worker` names the lock file of the worker; `pid` and `born` (its start time, in the kernel's
    own units) identify the process, so that a later engine kills no stranger. `detail` is the last
    heartbeat of the attempt before (exact JSON text), "" where there was none.
    """

    task: str
    attempt: int
    worker: str
    pid: int
    born: int
    detail: str = ""


@frozen
class AttemptReturned:
    """An announced attempt is known never to have begun; the task is pending again, uncounted."""

    task: str
    attempt: int


@hot
class AttemptSucceeded:
    """The attempt returned `value`. `began_at` is UTC microseconds, durations are microseconds,
    `rss_kib` is the peak memory seen where it was measured.
    """

    task: str
    attempt: int
    value: Value
    began_at: int
    wall_us: int
    cpu_us: int = 0
    rss_kib: int = 0
    output: OutputRef | None = None


@frozen
class AttemptFailed:
    """The attempt did not succeed. `kept` names a file with bytes that could not be stored.
    `detail` is the last heartbeat of this attempt (exact JSON text), "" where it had sent none.
    """

    task: str
    attempt: int
    fault: Fault
    began_at: int = 0
    wall_us: int = 0
    cpu_us: int = 0
    rss_kib: int = 0
    output: OutputRef | None = None
    kept: str = ""
    detail: str = ""


@frozen
class AttemptDisproved:
    """The attempt was a probe, and found that the one in doubt before it has had no effect: the
    task is pending, and runs its own function again.
    """

    task: str
    attempt: int


@frozen
class AttemptRefused:
    """No attempt was made: the circuit breaker `breaker` was open until `until` (UTC microseconds).
    Rules decide, as about a failure. `facts` are the numbers it went by.
    """

    task: str
    breaker: str
    until: int
    facts: Facts = ()

    @property
    def fault(self) -> Fault:
        """What the rules are told."""
        return Fault(FaultKind.BREAKER, f"breaker {self.breaker!r} is open")


@frozen
class TaskRetryScheduled:
    """The task will be tried again at `until` (UTC microseconds), as `rule` in its `version`
    decided. `facts` are the numbers it went by: counts, budgets.
    """

    task: str
    until: int
    rule: str
    reason: str
    version: str = ""
    facts: Facts = ()


@frozen
class TaskWoken:
    """What the task waited for has come: it is pending again."""

    task: str


@frozen
class TaskFailed:
    """The task has failed for good. With `keep_going` the run goes on with what does not depend
    on the task, and fails when that has ended. `kind` says how, where no attempt has. With
    `compensate` its compensation runs too: the failed attempt may have had effects.
    """

    task: str
    rule: str
    reason: str
    version: str = ""
    facts: Facts = ()
    keep_going: bool = False
    kind: FaultKind = FaultKind.ERROR
    compensate: bool = False


@frozen
class TaskSkipped:
    """The task ends without a result and does not fail the run; downstream receives a `Missing`
    of kind "skipped". `upstream` names the failed task where the task never started for that.
    """

    task: str
    rule: str
    reason: str
    version: str = ""
    facts: Facts = ()
    upstream: str = ""


@frozen
class TaskFellBack:
    """The task has succeeded with `value` (exact JSON text) in place of a result of its own."""

    task: str
    value: str
    rule: str
    reason: str
    version: str = ""
    facts: Facts = ()


@frozen
class TaskFallbackScheduled:
    """From its next attempt on the task calls `function` (module and name) in place of its own."""

    task: str
    function: str
    rule: str
    reason: str
    version: str = ""
    facts: Facts = ()


@frozen
class TaskProbeScheduled:
    """An attempt is in doubt: the next one calls the probe `function` to find out what became of
    it.
    """

    task: str
    function: str
    rule: str
    reason: str
    version: str = ""
    facts: Facts = ()


@frozen
class TaskEscalated:
    """A person has to decide about the failed task, and is asked `question`. Nobody having answered
    by `until` (UTC microseconds), `on_timeout` happens.
    """

    task: str
    question: str
    rule: str
    reason: str
    version: str = ""
    facts: Facts = ()
    whom: str = ""
    until: int | None = None
    on_timeout: Otherwise = Otherwise.FAIL


@frozen
class TaskWaiting:
    """It is the task's turn, and it waits as its definition says: for an approval, a signal, or
    until `until` (UTC microseconds).
    """

    task: str
    what: WaitKind
    until: int | None = None


@frozen
class OperatorDecided:
    """A person has answered about a task that waits. What follows stands in the same commit."""

    task: str
    verdict: Verdict
    actor: str
    comment: str = ""
    value: str = ""


@frozen
class TaskCompleted:
    """The task has succeeded with `value` (exact JSON text) without an attempt: what it waited for
    has come, as `reason` says. `signal` names the signal that it took, if it did.
    """

    task: str
    value: str
    reason: str
    signal: str = ""


@frozen
class TaskImported:
    """The task has succeeded in the run `origin`; its result is taken over: `value` (exact JSON
    text), or the payload `ref`. A `fallback` was taken in place of a result of its own: it has had
    no effect that a compensation could take back.
    """

    task: str
    origin: str
    value: str = ""
    ref: PayloadRef | None = None
    fallback: bool = False

    @property
    def stored(self) -> Value:
        """The result, wherever it lies."""
        return self.value if self.ref is None else self.ref


@frozen
class TaskCancelled:
    """The task was given up because the run drains."""

    task: str
    reason: str
