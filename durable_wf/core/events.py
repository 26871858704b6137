"""Events: facts in the past tense, one class per kind.

Owns: the kinds, their stable tags, and `Recorded`, an event in its stream. A tag and the meaning of
a field never change once released; a changed shape gets a new version and an upcast in `codec.py`.
Must never: decide anything, or hold what can be derived from earlier events.
Read next: `run_events.py`, `task_events.py`, `store_events.py` for the classes; `tables.py` (which
event is legal when), `codec.py` (their JSON), `evolve.py`.

Adding a kind: a class in one of the three and in `KINDS`, a row in `tables.py`, an effect beside
`evolve.py`, a golden history under `tests/histories/`; `tests/unit/core/test_new_kind.py` walks
through it.
"""

from __future__ import annotations

from durable_wf.core.fault import Fault as Fault
from durable_wf.core.fault import OutputRef as OutputRef
from durable_wf.core.hot import hot
from durable_wf.core.run_events import CodeAccepted as CodeAccepted
from durable_wf.core.run_events import RunCancelled as RunCancelled
from durable_wf.core.run_events import RunClaimed as RunClaimed
from durable_wf.core.run_events import RunCreated as RunCreated
from durable_wf.core.run_events import RunDraining as RunDraining
from durable_wf.core.run_events import RunFailed as RunFailed
from durable_wf.core.run_events import RunPaused as RunPaused
from durable_wf.core.run_events import RunReleased as RunReleased
from durable_wf.core.run_events import RunResumed as RunResumed
from durable_wf.core.run_events import RunStarted as RunStarted
from durable_wf.core.run_events import RunSucceeded as RunSucceeded
from durable_wf.core.run_events import SignalReceived as SignalReceived
from durable_wf.core.run_events import TasksAdded as TasksAdded
from durable_wf.core.run_events import TasksClosed as TasksClosed
from durable_wf.core.store_events import BreakerClosed as BreakerClosed
from durable_wf.core.store_events import BreakerOpened as BreakerOpened
from durable_wf.core.store_events import BreakerReset as BreakerReset
from durable_wf.core.store_events import EngineStarted as EngineStarted
from durable_wf.core.store_events import EngineStopped as EngineStopped
from durable_wf.core.store_events import ProbeTaken as ProbeTaken
from durable_wf.core.store_events import Pruned as Pruned
from durable_wf.core.store_events import RunImported as RunImported
from durable_wf.core.store_events import Trusted as Trusted
from durable_wf.core.task_events import AttemptDisproved as AttemptDisproved
from durable_wf.core.task_events import AttemptFailed as AttemptFailed
from durable_wf.core.task_events import AttemptRefused as AttemptRefused
from durable_wf.core.task_events import AttemptReturned as AttemptReturned
from durable_wf.core.task_events import AttemptStarted as AttemptStarted
from durable_wf.core.task_events import AttemptSucceeded as AttemptSucceeded
from durable_wf.core.task_events import Facts as Facts
from durable_wf.core.task_events import OperatorDecided as OperatorDecided
from durable_wf.core.task_events import TaskCancelled as TaskCancelled
from durable_wf.core.task_events import TaskCompleted as TaskCompleted
from durable_wf.core.task_events import TaskEscalated as TaskEscalated
from durable_wf.core.task_events import TaskFailed as TaskFailed
from durable_wf.core.task_events import TaskFallbackScheduled as TaskFallbackScheduled
from durable_wf.core.task_events import TaskFellBack as TaskFellBack
from durable_wf.core.task_events import TaskImported as TaskImported
from durable_wf.core.task_events import TaskProbeScheduled as TaskProbeScheduled
from durable_wf.core.task_events import TaskRetryScheduled as TaskRetryScheduled
from durable_wf.core.task_events import TaskSkipped as TaskSkipped
from durable_wf.core.task_events import TaskWaiting as TaskWaiting
from durable_wf.core.task_events import TaskWoken as TaskWoken

RunEvent = (
    RunCreated
    | RunClaimed
    | RunReleased
    | RunStarted
    | RunPaused
    | RunResumed
    | CodeAccepted
    | RunDraining
    | SignalReceived
    | TasksAdded
    | TasksClosed
    | RunSucceeded
    | RunFailed
    | RunCancelled
)
TaskEvent = (
    AttemptStarted
    | AttemptReturned
    | AttemptSucceeded
    | AttemptFailed
    | AttemptDisproved
    | AttemptRefused
    | TaskRetryScheduled
    | TaskWoken
    | TaskFailed
    | TaskSkipped
    | TaskFellBack
    | TaskFallbackScheduled
    | TaskProbeScheduled
    | TaskEscalated
    | TaskWaiting
    | OperatorDecided
    | TaskCompleted
    | TaskImported
    | TaskCancelled
)
StoreEvent = (
    EngineStarted
    | EngineStopped
    | Pruned
    | Trusted
    | RunImported
    | BreakerOpened
    | ProbeTaken
    | BreakerClosed
    | BreakerReset
)
Event = RunEvent | TaskEvent | StoreEvent

RUN_KINDS: tuple[type, ...] = (
    RunCreated, RunClaimed, RunReleased, RunStarted, RunPaused, RunResumed, CodeAccepted,
    RunDraining, SignalReceived, TasksAdded, TasksClosed, RunSucceeded, RunFailed,
    RunCancelled,
)  # fmt: skip
TASK_KINDS: tuple[type, ...] = (
    AttemptStarted, AttemptReturned, AttemptSucceeded, AttemptFailed, AttemptDisproved,
    AttemptRefused, TaskRetryScheduled, TaskWoken, TaskFailed, TaskSkipped, TaskFellBack,
    TaskFallbackScheduled, TaskProbeScheduled, TaskEscalated, TaskWaiting,
    OperatorDecided, TaskCompleted, TaskImported, TaskCancelled,
)  # fmt: skip
STORE_KINDS: tuple[type, ...] = (
    EngineStarted, EngineStopped, Pruned, Trusted, RunImported, BreakerOpened, ProbeTaken,
    BreakerClosed, BreakerReset,
)  # fmt: skip

KINDS: dict[str, type] = {kind.__name__: kind for kind in RUN_KINDS + TASK_KINDS + STORE_KINDS}
"""Tag in the log -> class. The tag is the class name of version 1 and never changes."""


@hot
class Recorded:
    """An event as it stands in a stream: its number there, and when (UTC microseconds)."""

    n: int
    at: int
    event: Event
