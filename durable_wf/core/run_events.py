"""Events of a run as a whole.

Owns: their classes.
Must never: decide anything, or hold what can be derived from earlier events.
Read next: `events.py`, where all kinds come together.
"""

from __future__ import annotations

from durable_wf.core.hot import frozen
from durable_wf.core.status import RunStatus, TaskStatus


@frozen
class RunCreated:
    """A run came into being. `definition` is the digest of its definition payload.

    `structure`, `inputs` and `code` are the three digests that make `run_id` idempotent.
    The rest says where it came from, so that another process can load its code again: what was
    typed as `target`, or else the `script` with its `argv`, which ran as `python -m module` where
    `module` is set; in the folder `cwd`. Of the runs that the script's process made it is number
    `call` (0: not known), and `previous` is the one before it. `limits` are those that its engine
    was given (pairs of cpus, memory, gpus or pool:NAME and the number), for who goes on with it. A
    run made from another one names it as `origin`, forked off at its event `origin_n` (0: tried
    again as a whole); `root` is the first run of the chain of retries, from whose id idempotency
    keys derive, "" for this one. `deadline_at` (UTC microseconds) is when it fails if it has not
    ended. `details` are the last heartbeats, by task, with which those begin that are tried again.
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
    origin: str = ""
    origin_n: int = 0
    root: str = ""
    deadline_at: int | None = None
    call: int = 0
    previous: str = ""
    details: tuple[tuple[str, str], ...] = ()


@frozen
class RunClaimed:
    """An engine took the run. `engine` is its lock's name; `why` is create, resume or recover."""

    engine: str
    why: str


@frozen
class RunReleased:
    """The engine let go of an unfinished run."""

    engine: str
    why: str


@frozen
class RunStarted:
    """Tasks may start."""


@frozen
class RunPaused:
    """Nothing starts until RunResumed."""

    actor: str
    cause: str = ""


@frozen
class RunResumed:
    """Tasks may start again."""

    actor: str


@frozen
class CodeAccepted:
    """A person accepted changed code: from here on the run's code is that of the payload
    `definition`, whose code digest is `code`; `tasks` are the unfinished ones it changes.
    """

    actor: str
    definition: str
    code: str
    tasks: tuple[str, ...]


@frozen
class RunDraining:
    """The verdict is fixed; no task starts any more, save compensations of what has succeeded,
    where `compensate` says so. `cause_task` is the cause where there is one.
    """

    verdict: RunStatus
    cause: str
    actor: str = ""
    cause_task: str = ""
    compensate: bool = False


@frozen
class SignalReceived:
    """Somebody sent the run a signal with a value (exact JSON text). It is kept until a task takes
    it.
    """

    name: str
    value: str
    actor: str


@frozen
class TasksAdded:
    """The run has more tasks than its definition: pairs of a new name and the task that it is
    made for. `why` is "compensate": each takes the effect of its task back, one after the other.
    """

    tasks: tuple[tuple[str, str], ...]
    why: str


@frozen
class TasksClosed:
    """All tasks that never started (`count` of them) end as `status` (skipped or cancelled)."""

    status: TaskStatus
    count: int
    reason: str


@frozen
class RunSucceeded:
    """Every task has ended, none that was required has failed."""


@frozen
class RunFailed:
    """The run has ended in failure; `cause` is a sentence."""

    cause: str


@frozen
class RunCancelled:
    """The run has ended because somebody cancelled it."""

    cause: str = ""
