"""One worker as its engine sees it.

Owns: the worker's process, its two pipes, the attempts it holds in order, and what is known about
the one that runs (from the begun mark). It turns a death into reports: one failure for the attempt
that had begun, the others returned.
Must never: block on the worker, neither in reading nor in writing.
Read next: `pool.py`, which holds many of these; `worker.py`, the other end.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterable
from math import inf

import attrs
from multiprocess import connection

from durable_wf.core.fault import Fault, OutputRef
from durable_wf.core.reports import Failed, Report, Returned
from durable_wf.core.status import FaultKind
from durable_wf.core.values import preview
from durable_wf.execute import processes, spool, wire
from durable_wf.execute.clearing import clear_worker
from durable_wf.execute.launch import WorkerProcess
from durable_wf.execute.mark import BegunMark, path_of
from durable_wf.execute.port import (
    NO_ROOM_FOR_RESULT,
    Assignment,
    Heartbeat,
    Places,
    RunCode,
    Seat,
    output_name,
)
from durable_wf.execute.surroundings import Told, current_folder
from durable_wf.execute.worker import NO_ROOM, Birth, main

log = logging.getLogger("durable_wf.engine")

RECALL_S = 0.05
"""What waits behind an attempt that runs longer than this is called back."""

MEMORY_PERIOD_S = 0.2
"""How often the memory of an attempt with a limit is looked at."""

LOADING_S = 600.0
"""How long the code of a run may take to be imported, which is no task's own time, in seconds."""

LOADED_PERIOD_S = 0.05
"""How often it is asked whether it is there, for an attempt whose time is limited."""

CLEAR_S = 5.0
"""How long the end of what a dead worker has started is waited for."""

HANG_UP_S = 1.0
"""How long a worker whose pipe has ended may take to be seen dead."""

UNKNOWN_US = 1_000_000
"""What an attempt without an estimate counts for: nothing is queued behind it."""

CHUNK = 1 << 18


@attrs.frozen
class Verdict:
    """Why the engine itself kills a worker; it applies to attempt `seq` unless that has ended."""

    seq: int
    kind: FaultKind
    message: str


class Supervised:
    """A worker process under supervision."""

    def __init__(self, name: str, places: Places) -> None:
        self.name = name
        self._places = places
        inbox, orders = connection.Pipe(duplex=False)
        reports, outbox = connection.Pipe(duplex=False)
        self._environment = dict(os.environ)
        birth = Birth(
            name, os.path.abspath(places.locks), os.path.abspath(places.output),
            os.path.abspath(places.payloads), self._environment, current_folder(), inbox, outbox,
        )  # fmt: skip
        self.process = WorkerProcess(target=main, args=(birth,), name=name, daemon=True)
        self.process.start()
        inbox.close()
        outbox.close()
        self._connections = (orders, reports)
        self.orders: int = orders.fileno()
        self.reports: int = reports.fileno()
        os.set_blocking(self.orders, False)
        os.set_blocking(self.reports, False)
        self.sentinel: int = self.process.sentinel
        self.pid: int = self.process.pid
        self.born = processes.born(self.pid)
        self.seat = Seat(name, self.pid, self.born, open=False)
        self.queue: dict[int, Assignment] = {}
        self.outgoing = bytearray()
        self.runs: set[int] = set()
        self.mark: BegunMark | None = None
        self.check_at = time.monotonic() + 60.0  # by when it must have said that it is ready
        self.verdict: Verdict | None = None
        self.sentinel_lost = False
        self._deaf_at = inf
        self._partial = b""
        self._batch: list[wire.Work] = []
        self._cancels: dict[int, float] = {}
        self._recalled = 0
        self._memory_at = 0.0
        self._told_ns = 0
        self._lacks_room = False
        self._last_beats: list[Heartbeat] = []

    # --- to the worker --------------------------------------------------------------------------

    def give(self, a: Assignment) -> None:
        """Add an attempt to the batch that `send_batch` sends."""
        queue = self.queue
        if not queue:
            self.check_at = 0.0  # soon: `look` finds out when
        queue[a.seq] = a
        self._batch.append(wire.pack_work(a))
        seat = self.seat
        seat.queued += 1
        seat.queued_us += a.estimate_us or UNKNOWN_US

    def knows(self, run: int) -> bool:
        """Whether the code of a run has been sent."""
        return run in self.runs

    def teach(self, code: RunCode, data: bytes, told: Told) -> None:
        """Send the code of a run, and where its attempts belong."""
        self.runs.add(code.run)
        where = told.since(self._environment).plain()
        about = (code.run_id, code.workflow, code.key_base, where)
        self.say(wire.Order.CODE, code.run, data, *about)

    def send_batch(self) -> None:
        """Send what was given."""
        if self._batch:
            self.say(wire.Order.WORK, self._batch)
            self._batch = []

    def say(self, *message: object) -> None:
        """Queue a message, and send as much as the pipe takes."""
        self.outgoing += wire.frame(*message)
        self.push()

    def push(self) -> None:
        """Send what the pipe takes now. What is left waits in `outgoing`."""
        try:
            while self.outgoing:
                sent = os.write(self.orders, memoryview(self.outgoing)[:CHUNK].tobytes())
                del self.outgoing[:sent]
        except BlockingIOError:
            return
        except OSError:
            self.outgoing.clear()
            self.hang_up()

    # --- from the worker ------------------------------------------------------------------------

    def read(self) -> tuple[list[Report], bool]:
        """Reports that have come, and whether the pipe goes on. Raises wire.Breach."""
        try:
            data = os.read(self.reports, CHUNK)
        except BlockingIOError:
            return [], True
        except OSError:
            return [], False
        return self._take(data), bool(data)

    def _take(self, data: bytes) -> list[Report]:
        if self._partial:
            data = self._partial + data
        end = data.rfind(b"\n")
        self._partial = data[end + 1 :]
        if len(self._partial) > wire.MAX_LINE:
            raise wire.Breach(f"a report longer than {wire.MAX_LINE} bytes")
        if end < 0:
            return []
        reports: list[Report] = []
        queue, seat = self.queue, self.seat
        for row in wire.read_lines(data[:end]):
            a = queue.pop(row[0], None)
            if a is not None:
                reports.append(wire.report(row, a))
                if (beat := wire.last_beat(row)) is not None:
                    self._last_beats.append(_heartbeat(a, *beat))
                seat.queued -= 1
                seat.queued_us -= a.estimate_us or UNKNOWN_US
            elif wire.is_ready(row) and self.mark is None:
                self._make_ready()
        if not queue:
            seat.open = self.mark is not None
            seat.queued_us = 0
            self.check_at = inf
            self._cancels.clear()
        elif self._cancels:
            self._cancels = {seq: at for seq, at in self._cancels.items() if seq in queue}
        return reports

    def _make_ready(self) -> None:
        self.mark = BegunMark(path_of(self._places.locks, self.name), create=False)

    def beats(self) -> list[Heartbeat]:
        """Heartbeats since the last call."""
        self._look_for_room()
        found = self.last_beats()
        if self.mark is None or self.mark.beat_ns == self._told_ns:
            return found
        beat = self.mark.newest_beat()
        if beat is not None and (a := self.queue.get(beat.seq)) is not None:
            self._told_ns = beat.at_ns
            found.append(_heartbeat(a, beat.at_ns, beat.detail))
        return found

    def _look_for_room(self) -> None:
        """Say once that the disk is too full for a result, which waits."""
        waits = self.mark is not None and self.mark.waits_for_room
        if waits and not self._lacks_room and (a := self.running()) is not None:
            log.warning(NO_ROOM_FOR_RESULT, a.task)
        self._lacks_room = waits

    def last_beats(self) -> list[Heartbeat]:
        """Those of attempts whose failure was reported, since the last call."""
        found, self._last_beats = self._last_beats, []
        return found

    def _beat_s(self) -> float:
        """When the last heartbeat was, whosever; seconds of the monotonic clock."""
        return self.mark.beat_ns / 1e9 if self.mark is not None else 0.0

    def _detail_of(self, a: Assignment) -> str:
        """The last detail that the attempt has given."""
        beat = self.mark.last_beat() if self.mark is not None else None
        return "" if beat is None or beat.seq != a.seq else beat.detail

    # --- watching -------------------------------------------------------------------------------

    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return processes.is_alive(self.pid, self.born)

    @property
    def found_no_room(self) -> bool:
        """Whether it ended, before it was ready, because the disk is full. Ask the dead only."""
        return self.mark is None and not self.sentinel_lost and self.process.exitcode == NO_ROOM

    def running(self) -> Assignment | None:
        """The attempt that has begun and not been reported, as far as can be seen."""
        return self.queue.get(self.mark.seq) if self.mark else None

    def cancel(self, seq: int, kill_at: float) -> None:
        """Ask for the end of an attempt; at `kill_at` it will be made."""
        self._cancels[seq] = kill_at
        self.check_at = 0.0
        self.say(wire.Order.CANCEL, seq)

    def look(self, now: float) -> Verdict | None:
        """Whether the worker must be killed, and why. Sets `check_at`, when to look again."""
        if self._deaf_at < inf:
            self.check_at = self._deaf_at
            if now < self._deaf_at:
                return None
            return Verdict(0, FaultKind.LOST, "closed the channel to its engine")
        if self.mark is None:
            self.check_at = inf
            return Verdict(0, FaultKind.LOST, "it did not become ready within 60 s")
        if not self.queue:
            self.check_at = inf
            return None
        a = self.running()
        if a is None:
            self.check_at = now + RECALL_S
            return None
        loading = self.mark.loading
        began = self.mark.at_ns / 1e9
        return self._judge(a, began, now, loading=loading)

    def _judge(self, a: Assignment, began: float, now: float, *, loading: bool) -> Verdict | None:
        limits = a.limits
        again = self._time_is_up(a, began, now, loading=loading)
        if isinstance(again, Verdict):
            return again
        if (kill_at := self._cancels.get(a.seq)) is not None:
            if now >= kill_at:
                return Verdict(a.seq, FaultKind.LOST, "was cancelled and did not end in time")
            again = min(again, kill_at)
        if limits.memory and not limits.memory_hard:  # a hard limit is the kernel's
            if now >= self._memory_at:
                self._memory_at = now + MEMORY_PERIOD_S
                used = processes.rss_kib(self.pid) * 1024
                if used > limits.memory:
                    text = f"used {used:,} bytes of memory; its limit is {limits.memory:,}"
                    return Verdict(a.seq, FaultKind.MEMORY, text)
            again = min(again, self._memory_at)
        if now < began + RECALL_S:
            again = min(again, began + RECALL_S)
        else:
            self.seat.open = False
            if self._recalled != a.seq and len(self.queue) > 1:
                self._recalled = a.seq
                self.say(wire.Order.RECALL)
        if self._cancels:
            again = min(again, now + RECALL_S)  # one of those behind may have begun meanwhile
        self.check_at = again
        return None

    def _time_is_up(
        self, a: Assignment, began: float, now: float, *, loading: bool
    ) -> Verdict | float:
        """The verdict when the attempt has run, or was silent, for too long; else when to look
        again.
        """
        timeout_s, heartbeat_s = a.limits.timeout_s, a.limits.heartbeat_s
        if loading:
            if now >= began + LOADING_S:
                text = f"spent more than {LOADING_S:g} s on importing its code"
                return Verdict(a.seq, FaultKind.TIMEOUT, text)
            timed = timeout_s is not None or heartbeat_s is not None
            return now + LOADED_PERIOD_S if timed else began + LOADING_S
        again = inf
        if timeout_s is not None:
            again = began + timeout_s
            if now >= again:
                text = a.limits.timeout_text or f"ran longer than its timeout of {timeout_s:g} s"
                return Verdict(a.seq, FaultKind.TIMEOUT, text)
        if heartbeat_s is not None:
            beat = self._beat_s()
            silent_at = max(began, beat) + heartbeat_s
            if now >= silent_at:
                before = self._told_before(a, beat - began)
                text = f"sent no heartbeat for {heartbeat_s:g} s ({before})"
                return Verdict(a.seq, FaultKind.TIMEOUT, text)
            again = min(again, silent_at)
        return again

    def _told_before(self, a: Assignment, after_s: float) -> str:
        """What is known of an attempt that fell silent after so many seconds."""
        if after_s < 0:  # it was another attempt's
            return "it never sent one"
        detail = self._detail_of(a)
        return f"the last one came after {after_s:.1f} s" + (f": {preview(detail)}" * bool(detail))

    def hang_up(self) -> None:
        """Its pipe has ended. It is dead, and the sentinel will say so in a moment; if not, it has
        closed the pipe itself, and nothing it does can be known any more.
        """
        self._deaf_at = self.check_at = time.monotonic() + HANG_UP_S
        self.seat.open = False

    def kill(self, verdict: Verdict) -> None:
        """Kill the worker and all that belongs to it; its end is noticed by the pool."""
        if self.verdict is None:
            self.verdict = verdict
        self.seat.open = False
        self.check_at = inf
        processes.kill_group(self.pid)
        processes.kill(self.pid)  # it may not have its group yet

    # --- the end --------------------------------------------------------------------------------

    def bury(self) -> list[Report]:
        """The last reports of a dead worker: what it had finished, the one it died in, the rest."""
        processes.kill_group(self.pid)
        clear_worker(self._places.locks, self.name, self.pid, self.born, CLEAR_S)
        reports = self._last_words()
        if self.queue:
            reports += self._post_mortem(self.queue.values())
            self.queue = {}
        self.seat.open = False
        self._release()
        return reports

    def _last_words(self) -> list[Report]:
        reports: list[Report] = []
        try:
            more = True
            while more:
                before = len(self._partial)
                found, more = self.read()
                reports += found
                more = more and (bool(found) or len(self._partial) != before)
            self._partial = b""
            if self.mark is not None:
                reports += self._take(self.mark.unsent())
        except wire.Breach:
            pass
        return reports

    def _post_mortem(self, rest: Iterable[Assignment]) -> list[Report]:
        begun = self.mark.seq if self.mark else 0
        return [
            self._failed(a) if a.seq <= begun else Returned(a.run, a.index, a.attempt) for a in rest
        ]

    def _failed(self, a: Assignment) -> Failed:
        assert self.mark is not None
        wall_us = max(0, (time.monotonic_ns() - self.mark.at_ns) // 1000)
        if detail := self._detail_of(a):
            self._last_beats.append(_heartbeat(a, self.mark.beat_ns, detail))
        return Failed(
            a.run, a.index, a.attempt, self._fault(a),
            began_at=time.time_ns() // 1000 - wall_us,
            wall_us=wall_us,
            output=self._output(self.mark.offset),
        )  # fmt: skip

    def _fault(self, a: Assignment) -> Fault:
        code = self.process.exitcode
        where = f"worker {self.name} (process {self.pid})"
        verdict = self.verdict
        if verdict is not None and verdict.seq in {a.seq, 0}:
            return Fault(verdict.kind, f"the attempt {verdict.message}; {where} was killed")
        if code is None or self.sentinel_lost:
            return Fault(FaultKind.LOST, f"{where} is gone, nobody saw how")
        if code >= 0:
            text = f"the attempt ended its own process with exit code {code} ({where})"
            return Fault(FaultKind.EXIT, text, exit_code=code)
        return Fault(FaultKind.LOST, f"{where} was killed by {_signal(-code)}", exit_code=code)

    def _output(self, offset: int) -> OutputRef | None:
        file = output_name(self.name)
        try:
            length = os.stat(f"{self._places.output}/{file}").st_size - offset
        except OSError:
            return None
        return OutputRef(file, offset, length) if length > 0 else None

    def _release(self) -> None:
        self.abandon()
        self.process.close()
        if self.mark is not None:
            self.mark.close()
        spool.drop_if_empty(str(self._places.output), self.name)

    def abandon(self) -> None:
        """Close our ends of the pipes."""
        for end in self._connections:
            end.close()


def _heartbeat(a: Assignment, at_ns: int, detail: str) -> Heartbeat:
    ago_us = max(0, (time.monotonic_ns() - at_ns) // 1000)
    at = time.time_ns() // 1000 - ago_us
    return Heartbeat(a.run, a.index, a.attempt, at, detail or a.detail)


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name} (perhaps by the kernel, out of memory)" if name == "SIGKILL" else name
