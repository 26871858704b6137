"""A worker process: runs the attempts that its engine sends, one after the other.

Owns: the process from its first line. Two threads: one listens to the engine, the main one runs
attempts, so that a task has the main thread (signals, libraries that ask for it). Finished reports
wait in the mark's page, which outlives this process, until they are sent together.
Must never: outlive its engine, send anything that must be unpickled, or let one attempt's mess
reach the next.
Read next: `wire.py` (what is said), `mark.py`, `calls.py` (one call), `supervisor.py` (the engine's
view of a worker).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections import deque
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import attrs

from durable_wf.errors import Cancelled, DiskFull
from durable_wf.execute import bundle, calls, confine, context, launch, processes, wire
from durable_wf.execute.faults import fault_of
from durable_wf.execute.mark import PAGE_SIZE, BegunMark, path_of
from durable_wf.execute.spool import Spool
from durable_wf.execute.surroundings import Surroundings, Told
from durable_wf.store import locks
from durable_wf.store.room import is_no_room

FLUSH_NS = 1_000_000
"""Reports wait at most this long while tiny attempts follow one another."""

TINY_US = 1_000
"""An attempt that is expected to take longer does not begin before all reports are sent."""

MEASURED_US = 50
"""The CPU time of a shorter attempt is taken to be its wall time."""

RSS_UNIT = 1024 if sys.platform == "darwin" else 1
"""`ru_maxrss` is in KiB, except where it is in bytes."""

_NUMBERS = 1024
_APART = 8
"""Our pipes have numbers this far below the limit of the process, or below the first, that of
`select`."""

NO_ROOM = os.EX_CANTCREAT
"""Exit code of a worker for whose files there is no room on the disk."""

CANCEL_SIGNAL = signal.SIGUSR2


@attrs.frozen
class Birth:
    """What a worker is told at its start. `inbox` and `outbox` are the ends of its two pipes."""

    worker: str
    locks: str
    output: str
    payloads: str
    environment: dict[str, str]
    cwd: str
    inbox: Any
    outbox: Any


@attrs.define
class _Code:
    """The code of a run: bytes until the first attempt needs its functions."""

    run_id: str
    workflow: str
    key_base: str
    told: Told
    data: bytes
    functions: calls.Functions | None = None


class Reports:
    """Reports on their way to the engine, collected in the mark's page."""

    def __init__(self, fd: int, mark: BegunMark) -> None:
        self._fd = fd
        self._mark = mark
        self._used = 0
        self._lock = threading.Lock()
        self.since_ns = 0
        """when the oldest of them was put here; 0: there are none"""

    def add(self, line: bytes) -> None:
        """Put a report where it is safe from the death of this process."""
        with self._lock:
            used = self._used
            end = used + len(line)
            if end > PAGE_SIZE:
                self._send()
                used, end = 0, len(line)
                if end > PAGE_SIZE:
                    self._write(memoryview(line))
                    return
            self._mark.page[used:end] = line
            self._mark.set_used(end)
            self._used = end
            if not used:
                self.since_ns = time.monotonic_ns()

    def flush(self) -> None:
        """Send all."""
        with self._lock:
            self._send()

    def _send(self) -> None:
        if self._used:
            self._write(self._mark.page[: self._used])
            self._mark.set_used(0)
            self._used = 0
            self.since_ns = 0

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[os.write(self._fd, data) :]


class Worker:
    """The state of this process."""

    def __init__(self, birth: Birth) -> None:
        self._pid = os.getpid()
        self._inbox = _set_aside(birth.inbox)
        self._payloads = Path(birth.payloads)
        self._output = Path(birth.output)
        self._surroundings = Surroundings()
        self._spool = Spool(birth.output, birth.worker)
        self._mark = BegunMark(path_of(birth.locks, birth.worker), create=True)
        self._outbox = _set_aside(birth.outbox)
        self._reports = Reports(self._outbox, self._mark)
        self._codes: dict[int, _Code] = {}
        self._todo: deque[wire.Work] = deque()
        self._alarm: SimpleQueue[None] = SimpleQueue()
        self._ending = False
        self._current = 0  # seq of the attempt whose code runs now
        self._cancelling = 0  # seq of the attempt that shall end
        self._children_us = 0
        self._cpu_ns = 0  # CPU clock at the end of the last attempt, or nearly so
        self._forked = False
        os.register_at_fork(after_in_child=self._on_fork)
        self._main = threading.get_ident()

    def _on_fork(self) -> None:
        self._forked = True

    def say_ready(self) -> None:
        """Tell the engine that work can come."""
        os.write(self._outbox, wire.READY)

    # --- the listening thread -------------------------------------------------------------------

    def listen(self) -> None:
        """Take messages until the pipe ends, which means that the engine is gone."""
        buffer = bytearray()
        while True:
            try:
                data = os.read(self._inbox, 1 << 18)
            except OSError:
                # An attempt closed our pipe. It may end; then so do we.
                self._ending = True
                return
            if not data:
                processes.kill_group(self._pid)
            buffer += data
            for message in wire.frames(buffer):
                self._obey(message)

    def _obey(self, message: tuple[Any, ...]) -> None:
        match message:
            case (wire.Order.WORK, batch):
                self._todo.extend(batch)
                self._alarm.put(None)
            case (wire.Order.CODE, run, data, run_id, workflow, key_base, told):
                self._codes[run] = _Code(run_id, workflow, key_base, Told(*told), data)
            case (wire.Order.RECALL,):
                self._give_back()
            case (wire.Order.CANCEL, seq):
                self._cancel(seq)
            case (wire.Order.FORGET, run):
                self._codes.pop(run, None)
            case (wire.Order.END,):
                self._ending = True
                self._alarm.put(None)

    def _give_back(self) -> None:
        """Return everything that waits behind the attempt in front."""
        with contextlib.suppress(IndexError):
            while True:
                self._reports.add(wire.returned_line(self._todo.pop()[0]))
        self._reports.flush()

    def _cancel(self, seq: int) -> None:
        for work in list(self._todo):
            if work[0] == seq:
                with contextlib.suppress(ValueError):  # it has begun just now
                    self._todo.remove(work)
                    self._reports.add(wire.returned_line(seq))
                    self._reports.flush()
                    return
        self._cancelling = seq
        if self._current == seq:
            signal.pthread_kill(self._main, CANCEL_SIGNAL)

    def on_cancel(self, *_: object) -> None:
        """Signal handler, in the main thread: interrupt the attempt that is to be cancelled."""
        if self._current and self._current == self._cancelling:
            self._cancelling = 0
            raise Cancelled("the attempt was cancelled")

    # --- the main thread ------------------------------------------------------------------------

    def serve(self) -> None:
        """Run attempts until told to end."""
        reports = self._reports
        while True:
            try:
                work = self._todo.popleft()
            except IndexError:
                self._settle()
                if self._ending:
                    return
                with contextlib.suppress(Empty):
                    self._alarm.get(timeout=3600.0)
                self._cpu_ns = time.process_time_ns()
                continue
            if reports.since_ns and (
                not 0 < work[8] <= TINY_US or time.monotonic_ns() - reports.since_ns > FLUSH_NS
            ):
                self._settle()
            self._attempt(work)

    def _settle(self) -> None:
        """Send what is finished, and undo what attempts may have done to this process.

        Comes before each attempt that is not tiny, and about once in FLUSH_NS among tiny ones.
        """
        self._reports.flush()
        self._spool.mend()
        self._surroundings.look()
        self._cpu_ns = time.process_time_ns()

    def _attempt(self, work: wire.Work) -> None:
        seq, run, attempt, task, _, _, _, _, _, confinement = work
        code = self._codes.get(run)
        if code is None:  # the run was dropped meanwhile
            self._reports.add(wire.returned_line(seq))
            return
        began_at = time.time_ns() // 1000
        began = time.monotonic_ns()
        if code.functions is None:
            self._mark.set_loading(loading=True)
        self._mark.begin(seq, began, self._spool.offset)
        outcome: calls.Done | calls.Broken
        try:
            if code.told is not self._surroundings.told:
                self._surroundings.enter(code.told)
            if code.functions is None:
                began = self._load(code, seq)
            ends_at, detail = None, ""
            if confinement is not None:
                timeout_s, _, _, _, detail = confinement
                ends_at = None if timeout_s is None else began / 1e9 + timeout_s
            me = context.Attempt(
                code.run_id, code.workflow, code.key_base, task, attempt, ends_at, detail,
                self._mark, seq,
            )  # fmt: skip
            token = context.enter(me)
            try:
                outcome = self._perform(code.functions, work)  # type: ignore[arg-type]
            finally:
                context.leave(me, token)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is this attempt's end
            outcome = calls.Broken(fault_of(error))
            self._mark.set_loading(loading=False)
        if self._forked:
            os._exit(1)  # the task forked, and its child came back here
        if self._surroundings.changed:
            self._surroundings.restore()
        output = self._spool.cut()
        spent = (began_at, *self._spent(time.monotonic_ns() - began))
        if isinstance(outcome, calls.Done):
            line = wire.done_line(seq, outcome.value, outcome.payload, spent, output)
        else:
            fault = outcome.fault
            line = wire.broken_line(seq, fault, outcome.kept, spent, output, self._beat_of(seq))
        self._reports.add(line)
        if spent[1] > TINY_US:
            self._settle()

    def _beat_of(self, seq: int) -> tuple[int, str] | None:
        """The last heartbeat of an attempt that failed: the next one may overwrite the mark before
        the engine has looked.
        """
        beat = self._mark.last_beat()
        return None if beat is None or beat.seq != seq else (beat.at_ns, beat.detail)

    def _load(self, code: _Code, seq: int) -> int:
        """Make functions of a run's bytes. The attempt begins anew when they are there, because
        imports are not the task's own time.
        """
        code.functions = bundle.unpack(code.data)
        code.data = b""
        self._surroundings.keep()
        began = time.monotonic_ns()
        self._mark.begin(seq, began, self._spool.offset)
        self._mark.set_loading(loading=False)
        return began

    def _perform(self, functions: calls.Functions, work: wire.Work) -> calls.Done | calls.Broken:
        seq, _, _, task, function, args, kwargs, codec, _, confinement = work
        call = calls.Call(task, functions, function, self._payloads, self._output)
        if args:
            call.args = [wire.unpack_argument(a) for a in args]
        if kwargs:
            call.kwargs = [(name, wire.unpack_argument(a)) for name, a in kwargs]
        call.codec = codec
        call.on_full = self._mark.wait_for_room
        if confinement is None:
            return self._interruptible(seq, call)
        with confine.Confined(confinement):
            return self._interruptible(seq, call)

    def _interruptible(self, seq: int, call: calls.Call) -> calls.Done | calls.Broken:
        """The only stretch in which a cancellation may raise: it must not cut our own cleaning."""
        try:
            self._current = seq
            if self._cancelling == seq:
                self.on_cancel()
            return calls.perform(call)
        finally:
            self._current = 0

    def _spent(self, wall_ns: int) -> tuple[int, int, int]:
        """Wall time and CPU time of the last attempt in microseconds, peak memory in KiB."""
        wall_us = wall_ns // 1000
        if wall_us < MEASURED_US:
            # Reading the CPU clock would cost as much as the attempt.
            self._cpu_ns += wall_ns
            return wall_us, wall_us, 0
        before, self._cpu_ns = self._cpu_ns, time.process_time_ns()
        cpu_us = max(0, self._cpu_ns - before) // 1000
        if wall_us <= TINY_US:
            return wall_us, cpu_us, 0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // RSS_UNIT
        return wall_us, cpu_us + self._cpu_of_children(), peak

    def _cpu_of_children(self) -> int:
        """Microseconds used by children that have ended since the last time."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        total = int((used.ru_utime + used.ru_stime) * 1e6)
        since, self._children_us = total - self._children_us, total
        return since


def _set_aside(end: Any) -> int:
    """Close this end of a pipe and have it under a high number, which no new file gets: a task that
    closes what it does not know and opens files of its own would be listened to, or written to.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _NUMBERS if soft == resource.RLIM_INFINITY else min(soft, _NUMBERS)
    fd = fcntl.fcntl(end.fileno(), fcntl.F_DUPFD_CLOEXEC, max(0, most - _APART))
    end.close()
    return fd


def _born(birth: Birth) -> Worker:
    """Take this worker's lock and make its files. Ends the process when that cannot be done."""
    try:
        held = locks.create(Path(birth.locks), birth.worker)
        os.environ[processes.MARKER] = processes.marker(birth.worker, held.identity)
        # A second descriptor of the same lock, which children keep: while one of them lives, so may
        # the attempt.
        kept = os.dup(held.fd)
        os.set_inheritable(kept, True)
        launch.hand_down(kept)
        held.release()
        return Worker(birth)
    except (OSError, DiskFull) as error:
        if isinstance(error, DiskFull) or is_no_room(error):
            os._exit(NO_ROOM)  # the engine says it, once for all workers
        sys.stderr.write(f"worker {birth.worker} could not start: {error}\n")
        sys.stderr.flush()
        os._exit(1)


def main(birth: Birth) -> None:
    """The whole life of a worker process."""
    os.setpgid(0, 0)
    # A handler, not SIG_IGN, which programs that a task starts would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    launch.leave_fork_server()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - kept for good
    os.environ.clear()
    os.environ.update(birth.environment)
    confine.prepare_environment()
    with contextlib.suppress(OSError):
        os.chdir(birth.cwd)
    worker = _born(birth)
    signal.signal(CANCEL_SIGNAL, worker.on_cancel)
    threading.Thread(target=worker.listen, name="listen", daemon=True).start()
    worker.say_ready()
    code = 1
    try:
        worker.serve()
        code = 0
    except BaseException:  # noqa: BLE001 - this process ends here, and says why
        traceback.print_exc()
    finally:
        # Not through the interpreter's own end: it would wait for threads that tasks have left.
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
