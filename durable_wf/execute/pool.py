"""The parallel executor: worker processes and one selector over all of them.

Owns: how many workers there are, waiting for reports, deaths and deadlines together, and the end of
everything. A worker's death is the failure of one attempt, never of another.
Must never: block on a worker, or have a deadline depend on a worker's cooperation.
Read next: `supervisor.py` (one worker), `lifeline.py` (should this process be killed).
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import time
import weakref
from collections.abc import Callable, Sequence
from math import inf

from durable_wf.core.reports import Report, Returned
from durable_wf.core.status import FaultKind
from durable_wf.errors import DurableWorkflowError
from durable_wf.execute import bundle, launch, mark, wire
from durable_wf.execute.lifeline import Lifeline
from durable_wf.execute.port import Assignment, Heartbeat, Places, RunCode, Seat
from durable_wf.execute.supervisor import Supervised, Verdict
from durable_wf.execute.surroundings import Told

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_BAD_STARTS = 3

ROOM_S = 0.5
"""How long a worker for whose files there was no room waits before it is tried again, in seconds.
"""

log = logging.getLogger("durable_wf.engine")


class ParallelExecutor:
    """Runs attempts in worker processes. Implements `port.Executor`.

    `engine` is the engine's lock name (`e-<hex>`); workers are named after it (`w-<hex>-1`).
    """

    supports_limits = True

    def __init__(self, places: Places, engine: str, max_seats: int) -> None:
        self.max_seats = max_seats
        self._places = places
        self._prefix = f"w-{engine.removeprefix('e-')}-"
        self._made = 0
        self._bad_starts = 0
        self._room_at: float | None = None
        """when a worker is tried again, since the last one found no room; None: they find it"""
        self._workers: dict[str, Supervised] = {}
        self._dying: list[Supervised] = []
        self._seats: list[Seat] = []
        self._code: dict[int, tuple[RunCode, bytes, Told]] = {}
        self._ready: list[Report] = []
        self._beats: list[Heartbeat] = []  # of workers that are gone
        self._news = False  # something other than a report that the engine may wait for
        self._closed = False
        self._lifeline = Lifeline(self._prefix, places)
        self._selector = selectors.DefaultSelector()
        self._waking, self._waker = os.pipe()
        os.set_blocking(self._waking, False)
        os.set_blocking(self._waker, False)
        self._selector.register(self._waking, READ, self._on_wake)
        _all.add(self)
        launch.warm_up()  # it loads while the engine opens its store

    # --- the port -------------------------------------------------------------------------------

    def prepare(self, code: RunCode) -> None:
        """Make a run's functions sendable. Raises NotSendable naming the task."""
        self._code[code.run] = (code, bundle.pack(code), Told.here(code.cwd))

    def forget(self, run: int) -> None:
        """Drop a run's code, here and in the workers."""
        if self._code.pop(run, None) is None:
            return
        for worker in self._workers.values():
            if worker.knows(run):
                worker.runs.discard(run)
                self._say(worker, wire.Order.FORGET, run)

    def seats(self, wanted: int) -> list[Seat]:
        """All seats, starting more while there are fewer than `wanted`.

        On a full disk those that there are must do, until a worker finds room again. Raises
        DurableWorkflowError when new workers die at once, again and again.
        """
        while len(self._seats) < min(wanted, self.max_seats) and not self._closed:
            if self._room_at is not None:
                # One at a time: it says for all of them how the disk is.
                now = time.monotonic()
                if now < self._room_at:
                    break
                self._room_at = now + ROOM_S
            self._start_worker()
        return self._seats

    def start(self, assignments: Sequence[Assignment]) -> None:
        """Send attempts to their workers; those whose worker has died meanwhile come back."""
        touched: dict[str, Supervised] = {}
        workers = self._workers
        for a in assignments:
            worker = workers.get(a.worker)
            if worker is None:
                self._ready.append(Returned(a.run, a.index, a.attempt))
                continue
            if a.run not in worker.runs:
                worker.send_batch()
                worker.teach(*self._code[a.run])
            worker.give(a)
            touched[a.worker] = worker
        for worker in touched.values():
            worker.send_batch()
            if worker.outgoing:
                self._watch_writing(worker)

    def poll(self, timeout_s: float) -> list[Report]:
        """Reports that have come. Returns early, perhaps with none, after `wake` and when a new
        worker can be used.
        """
        deadline = time.monotonic() + timeout_s
        while not self._closed:
            now = time.monotonic()
            due = min([w.check_at for w in self._workers.values()], default=inf)
            wait_s = 0.0 if self._ready else max(0.0, min(deadline, due) - now)
            for key, events in self._selector.select(wait_s):
                key.data(events)
            now = time.monotonic()
            self._check_deadlines(now)
            if self._ready or self._news or now >= deadline:
                break
        self._news = False
        ready, self._ready = self._ready, []
        return ready

    def beats(self) -> list[Heartbeat]:
        """Heartbeats since the last call."""
        found, self._beats = self._beats, []
        for worker in self._workers.values():
            found += worker.beats()
        return found

    def cancel(self, run: int, index: int, attempt: int, grace_s: float) -> None:
        """Stop an attempt: first `Cancelled` inside it, after `grace_s` the end of its process."""
        for worker in self._workers.values():
            for seq, a in worker.queue.items():
                if a.index == index and a.run == run and a.attempt == attempt:
                    worker.cancel(seq, time.monotonic() + grace_s)
                    if worker.outgoing:
                        self._watch_writing(worker)
                    return

    def wake(self) -> None:
        """Make a `poll` return at once. Safe from any thread and from signal handlers."""
        with contextlib.suppress(OSError):  # full: it will wake anyway; closed: nobody waits
            os.write(self._waker, b"!")

    def close(self, grace_s: float) -> None:
        """End all workers. The last reports can still be polled. Idempotent."""
        if self._closed:
            return
        last: list[Report] = []
        for worker in list(self._workers.values()):
            if len(worker.queue) > 1:
                self._say(worker, wire.Order.RECALL)
        last += self._collect_until(time.monotonic() + grace_s, self._is_working)
        for worker in list(self._workers.values()):
            if worker.queue or worker.mark is None:
                worker.kill(Verdict(0, FaultKind.LOST, "still ran when the engine closed"))
            else:
                self._say(worker, wire.Order.END)
        last += self._collect_until(time.monotonic() + 1.0, self._has_workers)
        for worker in list(self._workers.values()):
            worker.kill(Verdict(0, FaultKind.LOST, "did not end when the engine closed"))
        last += self._collect_until(time.monotonic() + 5.0, self._has_workers)
        self._closed = True
        self._ready = last
        self._lifeline.close()
        self._abandon()
        for number in range(1, self._made + 1):
            self._remove_files(f"{self._prefix}{number}")

    # --- workers --------------------------------------------------------------------------------

    def _start_worker(self) -> None:
        if self._bad_starts >= _BAD_STARTS:
            raise DurableWorkflowError(
                f"{self._bad_starts} worker processes in a row died before they could take work",
                hint=f"see standard error, and {self._prefix}*.log in {self._places.output}",
            )
        self._made += 1
        worker = Supervised(f"{self._prefix}{self._made}", self._places)
        self._workers[worker.name] = worker
        self._seats.append(worker.seat)
        self._lifeline.add(worker.pid, worker.born)
        self._selector.register(worker.reports, READ, lambda _: self._on_reports(worker))
        self._selector.register(worker.sentinel, READ, lambda _: self._on_sentinel(worker))

    def _on_reports(self, worker: Supervised) -> None:
        starting = worker.mark is None
        try:
            reports, goes_on = worker.read()
        except wire.Breach as breach:
            text = f"wrote into the engine's own channel ({breach})"
            worker.kill(Verdict(0, FaultKind.LOST, text))
            self._selector.unregister(worker.reports)
            return
        self._ready += reports
        if starting and worker.mark is not None:
            self._bad_starts = 0
            self._news = True
            if self._room_at is not None:
                self._room_at = None
                log.warning("workers can be started again")
        if not goes_on:
            self._selector.unregister(worker.reports)
            worker.hang_up()
            if worker.sentinel_lost:
                self._bury(worker)

    def _on_sentinel(self, worker: Supervised) -> None:
        if worker.is_alive():
            # The fork server has died, not this worker; its pipe will tell of its end.
            worker.sentinel_lost = True
            self._selector.unregister(worker.sentinel)
        else:
            self._bury(worker)

    def _bury(self, worker: Supervised) -> None:
        for fd in (worker.reports, worker.orders, worker.sentinel):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(fd)
        found_no_room = worker.found_no_room
        if found_no_room:
            self._note_no_room()
        elif worker.mark is None:
            self._bad_starts += 1
        del self._workers[worker.name]
        self._seats = [w.seat for w in self._workers.values()]
        self._ready += worker.bury()
        self._beats += worker.last_beats()
        self._lifeline.remove(worker.pid)
        if found_no_room:
            self._remove_files(worker.name)
        self._news = True

    def _note_no_room(self) -> None:
        if self._room_at is None:
            place = self._places.locks
            log.warning("no space is left in %s to start a worker; waiting, nothing is lost", place)
        self._room_at = time.monotonic() + ROOM_S

    def _check_deadlines(self, now: float) -> None:
        for worker in self._workers.values():
            if worker.check_at <= now:
                if (verdict := worker.look(now)) is not None:
                    worker.kill(verdict)
                elif worker.outgoing:
                    self._watch_writing(worker)

    # --- plumbing -------------------------------------------------------------------------------

    def _say(self, worker: Supervised, *message: object) -> None:
        worker.say(*message)
        if worker.outgoing:
            self._watch_writing(worker)

    def _watch_writing(self, worker: Supervised) -> None:
        with contextlib.suppress(KeyError):  # already watched
            self._selector.register(worker.orders, WRITE, lambda _: self._on_writable(worker))

    def _on_writable(self, worker: Supervised) -> None:
        worker.push()
        if not worker.outgoing:
            self._selector.unregister(worker.orders)

    def _on_wake(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._waking, 4096)
        self._news = True

    def _is_working(self) -> bool:
        return any(worker.queue for worker in self._workers.values())

    def _has_workers(self) -> bool:
        return bool(self._workers)

    def _collect_until(self, deadline: float, going: Callable[[], bool]) -> list[Report]:
        reports: list[Report] = []
        while going() and (left_s := deadline - time.monotonic()) > 0:
            reports += self.poll(left_s)
        return reports

    def _remove_files(self, worker: str) -> None:
        # All of them are dead: nobody will ask for these locks and marks any more.
        for path in (f"{self._places.locks}/{worker}", mark.path_of(self._places.locks, worker)):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _abandon(self) -> None:
        """Close every descriptor, without a word to anybody."""
        self._lifeline.abandon()
        self._selector.close()
        for worker in self._workers.values():
            worker.abandon()
        for fd in (self._waking, self._waker):
            with contextlib.suppress(OSError):
                os.close(fd)

    def _forget_in_child(self) -> None:
        if not self._closed:
            self._closed = True
            self._abandon()


_all: weakref.WeakSet[ParallelExecutor] = weakref.WeakSet()


def _close_in_child() -> None:
    for executor in list(_all):
        executor._forget_in_child()


os.register_at_fork(after_in_child=_close_in_child)
