"""Events: facts in the past tense, one class per kind.

Owns: the classes and their stable tags. A tag and the meaning of a field never change once
released; a changed shape gets a new version and an upcast in `codec.py`.
Must never: decide anything, or hold what can be derived from earlier events.
Read next: `tables.py` (which event is legal when), `codec.py` (their JSON), `evolve.py`.

Adding a kind: a class here and in `KINDS`, a row in `tables.py`, a case in `evolve.py`, a golden
history under `tests/histories/`; `tests/unit/core/test_new_kind.py` walks through it.
"""

from __future__ import annotations

import attrs

from durable_wf.core.definition import Value
from durable_wf.core.fault import Fault as Fault
from durable_wf.core.fault import OutputRef as OutputRef
from durable_wf.core.hot import hot
from durable_wf.core.status import RunStatus, TaskStatus

Facts = tuple[tuple[str, int], ...]
"""The numbers that a decision went by, each with its name."""


# --- the run ------------------------------------------------------------------------------------


@attrs.frozen
class RunCreated:
    """A run came into being. `definition` is the digest of its definition payload.

    `structure`, `inputs` and `code` are the three digests that make `run_id` idempotent.
    The rest says where it came from, so that another process can load its code again: what was
    typed as `target`, or else the `script` with its `argv`, which ran as `python -m module` where
    `module` is set; in the folder `cwd`. `limits` are those that its engine was given (pairs of
    cpus, memory, gpus or pool:NAME and the number), for who goes on with it.
    """

    workflow: str
    definition: str
    total: int
    structure: str = ""
    inputs: str = ""
    code: str = ""
    actor: str = ""
    tags: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    script: str = ""
    argv: tuple[str, ...] = ()
    cwd: str = ""
    python: str = ""
    target: str = ""
    module: str = ""
    limits: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class RunClaimed:
    """An engine took the run. `engine` is its lock's name; `why` is create, resume or recover."""

    engine: str
    why: str


@attrs.frozen
class RunReleased:
    """The engine let go of an unfinished run."""

    engine: str
    why: str


@attrs.frozen
class RunStarted:
    """Tasks may start."""


@attrs.frozen
class RunPaused:
    """Nothing starts until RunResumed."""

    actor: str
    cause: str = ""


@attrs.frozen
class RunResumed:
    """Tasks may start again."""

    actor: str


@attrs.frozen
class CodeAccepted:
    """A person accepted changed code: from here on the run's code is that of the payload
    `definition`, whose code digest is `code`; `tasks` are the unfinished ones it changes.
    """

    actor: str
    definition: str
    code: str
    tasks: tuple[str, ...]


@attrs.frozen
class RunDraining:
    """The verdict is fixed; no task starts any more. `task` is the cause where there is one."""

    verdict: RunStatus
    cause: str
    actor: str = ""
    cause_task: str = ""


@attrs.frozen
class TasksClosed:
    """All tasks that never started (`count` of them) end as `status` (skipped or cancelled)."""

    status: TaskStatus
    count: int
    reason: str


@attrs.frozen
class RunSucceeded:
    """Every task has ended, none that was required has failed."""


@attrs.frozen
class RunFailed:
    """The run has ended in failure; `cause` is a sentence."""

    cause: str


@attrs.frozen
class RunCancelled:
    """The run has ended because somebody cancelled it."""

    cause: str = ""


# --- its tasks ----------------------------------------------------------------------------------


@hot
class AttemptStarted:
    """An attempt is announced: committed before its code may start.

    `worker` names the lock file of the worker; `pid` and `born` (its start time, in the kernel's
    own units) identify the process, so that a later engine kills no stranger.
    """

    task: str
    attempt: int
    worker: str
    pid: int
    born: int


@attrs.frozen
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


@attrs.frozen
class AttemptFailed:
    """The attempt did not succeed. `kept` names a file with bytes that could not be stored."""

    task: str
    attempt: int
    fault: Fault
    began_at: int = 0
    wall_us: int = 0
    cpu_us: int = 0
    rss_kib: int = 0
    output: OutputRef | None = None
    kept: str = ""


@attrs.frozen
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


@attrs.frozen
class TaskWoken:
    """What the task waited for has come: it is pending again."""

    task: str


@attrs.frozen
class TaskFailed:
    """The task has failed for good. With `keep_going` the run goes on with what does not depend
    on the task, and fails when that has ended.
    """

    task: str
    rule: str
    reason: str
    version: str = ""
    facts: Facts = ()
    keep_going: bool = False


@attrs.frozen
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


@attrs.frozen
class TaskFellBack:
    """The task has succeeded with `value` (exact JSON text) in place of a result of its own."""

    task: str
    value: str
    rule: str
    reason: str
    version: str = ""
    facts: Facts = ()


@attrs.frozen
class TaskFallbackScheduled:
    """From its next attempt on the task calls `function` (module and name) in place of its own."""

    task: str
    function: str
    rule: str
    reason: str
    version: str = ""
    facts: Facts = ()


@attrs.frozen
class TaskCancelled:
    """The task was given up because the run drains."""

    task: str
    reason: str


# --- stream 0: facts that belong to no run --------------------------------------------------------


@attrs.frozen
class EngineStarted:
    """An engine opened the store. `engine` names its lock file."""

    engine: str
    pid: int
    host: str
    version: str


@attrs.frozen
class EngineStopped:
    """The engine closed the store in an orderly way."""

    engine: str


@attrs.frozen
class Pruned:
    """Payloads and output that nothing names were deleted."""

    actor: str
    files: int
    rows: int
    size: int


@attrs.frozen
class Trusted:
    """A person accepted something: another store, or the loss of a cut tail."""

    actor: str
    what: str


RunEvent = (
    RunCreated
    | RunClaimed
    | RunReleased
    | RunStarted
    | RunPaused
    | RunResumed
    | CodeAccepted
    | RunDraining
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
    | TaskRetryScheduled
    | TaskWoken
    | TaskFailed
    | TaskSkipped
    | TaskFellBack
    | TaskFallbackScheduled
    | TaskCancelled
)
StoreEvent = EngineStarted | EngineStopped | Pruned | Trusted
Event = RunEvent | TaskEvent | StoreEvent

RUN_KINDS: tuple[type, ...] = (
    RunCreated, RunClaimed, RunReleased, RunStarted, RunPaused, RunResumed, CodeAccepted,
    RunDraining, TasksClosed, RunSucceeded, RunFailed, RunCancelled,
)  # fmt: skip
TASK_KINDS: tuple[type, ...] = (
    AttemptStarted, AttemptReturned, AttemptSucceeded, AttemptFailed, TaskRetryScheduled,
    TaskWoken, TaskFailed, TaskSkipped, TaskFellBack, TaskFallbackScheduled, TaskCancelled,
)  # fmt: skip
STORE_KINDS: tuple[type, ...] = (EngineStarted, EngineStopped, Pruned, Trusted)

KINDS: dict[str, type] = {kind.__name__: kind for kind in RUN_KINDS + TASK_KINDS + STORE_KINDS}
"""Tag in the log -> class. The tag is the class name of version 1 and never changes."""


@hot
class Recorded:
    """An event as it stands in a stream: its number there, and when (UTC microseconds)."""

    n: int
    at: int
    event: Event
