"""The executor port: how an engine has attempts run.

Owns: the Protocol and the values that cross it.
Must never: know about events; an executor is given assignments and answers with reports
(`core.inputs.Succeeded | Failed | Returned`), exactly one for each assignment.
Read next: `sequential.py`, then `pool.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs

from durable_wf.core.hot import hot
from durable_wf.core.payload import Value
from durable_wf.core.reports import Report


@attrs.frozen
class Places:
    """The folders of a store that executors and workers use directly."""

    locks: Path
    output: Path
    payloads: Path


def output_name(worker: str) -> str:
    """The file under `output/` in which the output of a worker's attempts is kept."""
    return f"{worker}.log"


@hot
class Given:
    """An argument as it travels: a stored value, and the path to follow inside it.

    `producer` is the function index (see RunCode) whose return annotation names the classes in the
    value, or -1 for a literal. `payload` carries the bytes of a table payload; file payloads are
    read by the worker itself. `task` is the producing task, for messages.
    """

    value: Value
    path: tuple[str | int, ...] = ()
    producer: int = -1
    payload: bytes | None = None
    task: str = ""


@attrs.frozen
class Absent:
    """An argument whose optional task failed: the function receives a `Missing`."""

    task: str
    kind: str
    message: str


Argument = Given | Absent


@attrs.frozen
class Limits:
    """What an attempt may use. Seconds and bytes; `gpus` are device numbers.

    `timeout_text` says, after "the attempt", why it is stopped at `timeout_s`, where that is not
    its own timeout. `heartbeat_s` is the longest silence since its begin or its last heartbeat.
    """

    timeout_s: float | None = None
    memory: int | None = None
    memory_hard: bool = False
    cpu: float = 1.0
    gpus: tuple[int, ...] = ()
    timeout_text: str = ""
    heartbeat_s: float | None = None


NO_LIMITS = Limits()

NO_ROOM_FOR_RESULT = (
    "no space is left on the disk for the result of task %r, which waits until some is free; "
    "nothing is lost"
)
"""What an executor logs as a warning, once, while an attempt waits for that."""


@hot
class Assignment:
    """One attempt to run, on the seat chosen for it.

    `seq` is the log's number of its AttemptStarted: the begun mark of a worker is the highest seq
    it has begun. `function` indexes the run's RunCode. `estimate_us` is what it will probably take.
    `detail` is what the last heartbeat of the attempts before said, as stored.
    """

    seq: int
    worker: str
    run: int
    index: int
    attempt: int
    task: str
    function: int
    args: tuple[Argument, ...] = ()
    kwargs: tuple[tuple[str, Argument], ...] = ()
    limits: Limits = NO_LIMITS
    codec: str = ""
    estimate_us: int = 0
    detail: str = ""


@attrs.frozen
class Heartbeat:
    """The last sign of life of an attempt, `at` UTC microseconds. `detail` is the last that it
    gave, or was itself given, as stored; "" where there was none.
    """

    run: int
    index: int
    attempt: int
    at: int
    detail: str


@attrs.define(eq=False)
class Seat:
    """A worker that can take attempts now.

    An idle seat (`queued == 0`) takes any task. A busy one takes only tiny tasks, as long as
    `queued_us` (estimated work waiting or running in it) stays under the batch limit.
    `open` is False while the seat must not be given more (starting, ending, or stuck).
    """

    worker: str
    pid: int
    born: int
    queued: int = 0
    queued_us: int = 0
    open: bool = True


@attrs.frozen
class RunCode:
    """The code of one run: its functions, by index, and what a worker must know of the run.

    `functions` are the distinct callables of the workflow; `key_base` is the run id that
    idempotency keys derive from. `cwd` is the folder in which its tasks run, "" for that of the
    engine when the code is prepared: a run that is resumed elsewhere still finds its files.
    """

    run: int
    run_id: str
    workflow: str
    key_base: str
    functions: Sequence[Callable[..., Any]]
    names: Sequence[str]
    """a task that uses each function, for error messages"""
    cwd: str = ""


class Executor(Protocol):
    """Runs attempts. All methods but `wake` are called from the engine's loop thread."""

    max_seats: int
    supports_limits: bool
    """whether timeout=, deadline=, heartbeat=, memory= and gpu= are enforced here"""

    def prepare(self, code: RunCode) -> None:
        """Make a run's functions sendable. Raises NotSendable naming the task, before any start."""

    def forget(self, run: int) -> None:
        """The run has ended or was dropped; its code is not needed any more."""

    def seats(self, wanted: int) -> list[Seat]:
        """All seats that exist now, starting more (up to `max_seats`) while fewer than `wanted`."""

    def start(self, assignments: Sequence[Assignment]) -> None:
        """Hand over committed attempts. Never blocks on a worker."""

    def poll(self, timeout_s: float) -> list[Report]:
        """Reports that have come, waiting up to `timeout_s` for the first one."""

    def beats(self) -> list[Heartbeat]:
        """Heartbeats since the last call, one for each attempt: of those that run, and of those
        whose failure was reported.
        """

    def cancel(self, run: int, index: int, attempt: int, grace_s: float) -> None:
        """Stop an attempt: first an exception inside it, after `grace_s` the end of its process.

        It is reported like any other: as `lost` when it was killed, `Returned` when it had not
        begun.
        """

    def wake(self) -> None:
        """Make a `poll` in another thread return at once. Safe from any thread and from signals."""

    def close(self, grace_s: float) -> None:
        """End all workers; attempts still running after `grace_s` are killed. Idempotent."""
