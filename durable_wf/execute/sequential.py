"""The sequential executor: attempts run in the calling thread, inside `poll`.

Owns: one seat, which looks like a worker to recovery: a lock file and a begun mark of its own, with
the engine's pid.
Must never: hand a task an object of another task; values go through their stored form here as in
every executor. Nor keep output from the caller's terminal. Limits are not enforced here.
Read next: `calls.py`; `tee.py`, which captures output; `pool.py` for the executor with processes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial

from durable_wf.core.fault import Fault, OutputRef
from durable_wf.core.reports import Failed, Report, Returned, Succeeded
from durable_wf.core.status import FaultKind
from durable_wf.execute import processes, tee
from durable_wf.execute.calls import Call, Done, Functions, perform
from durable_wf.execute.context import Attempt, enter, leave
from durable_wf.execute.mark import BegunMark, path_of
from durable_wf.execute.port import (
    NO_ROOM_FOR_RESULT,
    Assignment,
    Heartbeat,
    Places,
    RunCode,
    Seat,
)
from durable_wf.store import locks

log = logging.getLogger("durable_wf.engine")

TURN_NS = 5_000_000
"""After this long `poll` goes back, so that what has ended is committed."""

UNKNOWN_US = 5_000
"""What an attempt without an estimate counts for in a seat's queue."""


class SequentialExecutor:
    """Runs attempts in the thread that calls `poll`. Implements `port.Executor`.

    `engine` is the engine's lock name (`e-<hex>`); the one seat is named after it (`w-<hex>-0`).
    Raises DiskFull.
    """

    max_seats = 1
    supports_limits = False

    def __init__(self, places: Places, engine: str) -> None:
        self._payloads, self._kept = places.payloads, places.output
        worker = f"w-{engine.removeprefix('e-')}-0"
        self._lock = locks.create(places.locks, worker)
        try:
            self._mark = BegunMark(path_of(places.locks, worker), create=True)
        except BaseException:
            self._lock.release()
            os.unlink(self._lock.path)  # the next try, with more room, has the same name
            raise
        pid = os.getpid()
        self._output = tee.Output(str(places.output), worker)
        self._seat = Seat(worker, pid, processes.born(pid))
        self._seats = [self._seat]
        self._runs: dict[int, tuple[RunCode, Functions]] = {}
        self._queue: deque[Assignment] = deque()
        self._ready: list[Report] = []
        self._beats: list[Heartbeat] = []
        self._woken = threading.Event()
        self._closed = False

    def prepare(self, code: RunCode) -> None:
        """Keep a run's functions; nothing has to be sent."""
        self._runs[code.run] = (code, Functions(code.functions))

    def forget(self, run: int) -> None:
        """Drop a run's functions."""
        self._runs.pop(run, None)

    def seats(self, wanted: int) -> list[Seat]:  # noqa: ARG002 - there is only ever one
        """The one seat."""
        return self._seats

    def start(self, assignments: Sequence[Assignment]) -> None:
        """Queue attempts for the next `poll`."""
        self._queue.extend(assignments)
        self._seat.queued += len(assignments)
        for a in assignments:
            self._seat.queued_us += a.estimate_us or UNKNOWN_US

    def poll(self, timeout_s: float) -> list[Report]:
        """Run queued attempts for about 5 ms, one at least; reports of what has ended.

        With nothing queued it waits up to `timeout_s` for `wake`.
        """
        queue = self._queue
        if not queue and not self._ready:
            if timeout_s > 0:
                self._woken.wait(timeout_s)
            self._woken.clear()
            return []
        reports, self._ready = self._ready, []
        until = time.monotonic_ns() + TURN_NS
        try:
            while queue:
                reports.append(self._attempt(queue[0]))
                queue.popleft()
                if time.monotonic_ns() >= until:
                    break
        except BaseException:
            # A signal's exception outside of a task: what has ended must not be lost with it.
            self._ready = reports
            if queue and self._mark.seq == queue[0].seq:
                self._ready.append(_lost(queue.popleft(), self._output.cut()))
            raise
        finally:
            self._count()
        return reports

    def beats(self) -> list[Heartbeat]:
        """Last heartbeats of attempts that failed since the last call; between polls none runs."""
        found, self._beats = self._beats, []
        return found

    def cancel(self, run: int, index: int, attempt: int, grace_s: float) -> None:  # noqa: ARG002
        """Give back a queued attempt. One that runs has this thread: it can only be waited for."""
        for waiting in self._queue:
            if waiting.run == run and waiting.index == index and waiting.attempt == attempt:
                self._queue.remove(waiting)
                self._ready.append(Returned(run, index, attempt))
                self._count()
                return

    def wake(self) -> None:
        """Make a `poll` that waits return at once. Safe from any thread and from signals."""
        self._woken.set()

    def close(self, grace_s: float) -> None:  # noqa: ARG002 - nothing runs between polls
        """Give back what is queued and let go of the lock. The last reports can still be polled."""
        if self._closed:
            return
        self._closed = True
        self._ready += [Returned(a.run, a.index, a.attempt) for a in self._queue]
        self._queue.clear()
        self._count()
        self._seat.open = False
        self._mark.close()
        self._output.close()
        self._lock.release()
        for path in (self._lock.path, self._mark.path):  # nobody will ask for them any more
            with contextlib.suppress(OSError):
                os.unlink(path)

    # --- inside -----------------------------------------------------------------------------------

    def _count(self) -> None:
        seat, queue = self._seat, self._queue
        seat.queued = len(queue)
        seat.queued_us = sum([a.estimate_us or UNKNOWN_US for a in queue]) if queue else 0

    def _attempt(self, a: Assignment) -> Report:
        """Run one attempt."""
        found = self._runs.get(a.run)
        if found is None:  # the run was dropped meanwhile
            return Returned(a.run, a.index, a.attempt)
        code, functions = found
        call = Call(
            a.task, functions, a.function, self._payloads, self._kept, a.args, a.kwargs, a.codec
        )
        call.on_full = partial(_tell_of_room, a.task)
        me = Attempt(
            code.run_id, code.workflow, code.key_base, a.task, a.attempt, None, a.detail,
            self._mark, a.seq,
        )  # fmt: skip
        began_at = time.time_ns() // 1000
        began_cpu = time.thread_time_ns()
        began = time.monotonic_ns()
        self._mark.begin(a.seq, began, self._output.end)
        token = enter(me)
        part, mine = tee.enter(self._output)
        try:
            if code.cwd:
                with contextlib.chdir(code.cwd):
                    outcome = perform(call)
            else:
                outcome = perform(call)
        finally:
            try:
                tee.leave(part, mine)
            finally:
                leave(me, token)
        now = time.monotonic_ns()
        wall_us = (now - began) // 1000
        cpu_us = (time.thread_time_ns() - began_cpu) // 1000
        output = self._output.cut()
        if isinstance(outcome, Done):
            return Succeeded(
                a.run, a.index, a.attempt, outcome.value, began_at, wall_us, cpu_us,
                output=output, payload=outcome.payload,
            )  # fmt: skip
        self._keep_beat(a, now)
        return Failed(
            a.run, a.index, a.attempt, outcome.fault, began_at, wall_us, cpu_us,
            output=output, kept=outcome.kept,
        )  # fmt: skip

    def _keep_beat(self, a: Assignment, now: int) -> None:
        """Keep the last detail of a failed attempt for the next one."""
        beat = self._mark.last_beat()
        if beat is not None and beat.seq == a.seq:
            at = (time.time_ns() - (now - beat.at_ns)) // 1000
            self._beats.append(Heartbeat(a.run, a.index, a.attempt, at, beat.detail))


def _lost(a: Assignment, output: OutputRef | None) -> Failed:
    """An attempt had begun, and its outcome was lost to an exception from outside."""
    fault = Fault(FaultKind.LOST, "the engine's thread was interrupted while it ended")
    return Failed(a.run, a.index, a.attempt, fault, output=output)


def _tell_of_room(task: str, full: bool) -> None:
    if full:
        log.warning(NO_ROOM_FOR_RESULT, task)
