"""TaskScheduler: which ready tasks start now, and where.

Owns: the order (priority, then longest remaining path, then first come), admission by resources,
and the rule by which tiny tasks share a worker.
Must never: know what a task does, start anything, or read a clock.
Read next: `resources.py` for admission; `engine/loop.py`, which asks `pick` once a turn.

A worker ("seat") holds one grant, however many tiny tasks wait in it: about `BATCH_US` of
estimated work may be queued per seat, and only of tasks with default resources, no deadline and a
short measured duration.

Small tasks may pass a big one that does not fit, but only `MAX_PASSED` times: then nothing starts
until the big one fits, so that it cannot starve.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import attrs

from durable_wf.core.definition import Task
from durable_wf.core.hot import hot
from durable_wf.core.resources import DEFAULT_RESOURCES, Capacity, Grant, Ledger
from durable_wf.core.status import InDoubt

BATCH_US = 5_000
"""Estimated work that may wait in one seat."""

TINY_US = 1_000
"""A task is tiny when it is measured to take no longer than this."""

MAX_PASSED = 32
"""How often a task that does not fit may be passed by others behind it."""

LOOK_PAST = 64
"""How many tasks that do not fit are looked past in one turn."""


class Seat(Protocol):
    """What the scheduler asks of a worker."""

    worker: str
    queued: int
    queued_us: int
    open: bool


S = TypeVar("S", bound=Seat)


@hot
class Pick(Generic[S]):
    """Task `index` of `run` shall start on `seat`; it is expected to take `estimate_us`
    (0: unknown).
    """

    run: int
    index: int
    seat: S
    estimate_us: int
    gpus: tuple[int, ...] = ()


@attrs.define(eq=False)
class _Room(Generic[S]):
    """A seat that may be given more tiny tasks in this turn, and the work it would then hold."""

    seat: S
    queued_us: int


@hot
class Question:
    """What `pick` asks about a queued task: None where it may not start any more."""

    task: Task
    estimate_us: int
    """measured duration, 0 where nobody has measured it"""


_Entry = tuple[int, float, int, int, int]
"""priority (negated), remaining path (negated), arrival, run, index: the order of the queue"""


class _Queue:
    """Entries, smallest first. They come in bulk (a run begins, a fan-out opens), so there is a
    sorted backlog, from whose end the next is taken at no cost, beside a heap of newcomers, which
    becomes backlog when it outgrows it.
    """

    __slots__ = ("_backlog", "_new", "size")

    def __init__(self) -> None:
        self._backlog: list[_Entry] = []
        self._new: list[_Entry] = []
        self.size = 0

    def push(self, entry: _Entry) -> None:
        self.size += 1
        heapq.heappush(self._new, entry)

    def pop(self) -> _Entry:
        self.size -= 1
        backlog, new = self._backlog, self._new
        if len(new) > _FEW and len(new) > len(backlog):
            backlog += new
            backlog.sort(reverse=True)
            new.clear()
        if backlog and (not new or backlog[-1] < new[0]):
            return backlog.pop()
        return heapq.heappop(new)


_FEW = 256
"""Newcomers below this number stay in their heap."""


def is_tiny(task: Task, estimate_us: int) -> bool:
    """Whether a task may queue behind others in one worker. None with a breaker: it might begin
    after the circuit has opened. None that says what becomes of it in doubt: the death of a worker
    would put those into doubt that only waited in it.
    """
    return (
        0 < estimate_us <= TINY_US
        and (task.resources is DEFAULT_RESOURCES or task.resources == DEFAULT_RESOURCES)
        and task.timeout_s is None
        and task.memory_limit is None
        and task.breaker is None
        and task.deadline_s is None
        and task.heartbeat_s is None
        and task.in_doubt is _RERUN
    )


_RERUN = InDoubt.RERUN
"""Bound once: reading a member from its enum is a slow call."""


class TaskScheduler(Generic[S]):
    """Orders ready tasks of all runs and admits them against one capacity."""

    def __init__(self, capacity: Capacity, ledger: Ledger | None = None) -> None:
        self.capacity = capacity
        self._ledger = Ledger(capacity) if ledger is None else ledger
        self._grants: dict[str, Grant] = {}
        self._queue = _Queue()
        self._arrival = 0
        self._passed: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        """Queued tasks, those counted too that have ceased to be ready."""
        return self._queue.size

    def add(self, run: int, index: int, priority: int, remaining_s: float) -> None:
        """Queue a ready task. Adding one twice is harmless: `pick` asks before it starts one."""
        self._arrival += 1
        self._queue.push((-priority, -remaining_s, self._arrival, run, index))

    def wanted_seats(self) -> int:
        """How many seats could be put to use now, those counted that hold something."""
        return self._queue.size + len(self._grants)

    def pick(self, seats: Sequence[S], ask: Callable[[int, int], Question | None]) -> list[Pick[S]]:
        """Choose tasks for seats and reserve what they need.

        `seats` are all that there are: one that is idle again, or gone, is vacated.
        `ask(run, index)` tells about a queued task, or None when it may not start (any more).
        Each pick must be started.
        """
        idle, roomy = self._look_at(seats)
        picks: list[Pick[S]] = []
        passed: list[_Entry] = []
        seen: set[tuple[int, int]] = set()
        pop, left = self._queue.pop, self._queue.size
        while left and (idle or roomy) and len(passed) < LOOK_PAST:
            left -= 1
            entry = pop()
            key = run, index = entry[3:]
            if key in seen:
                continue  # queued twice
            seen.add(key)
            question = ask(run, index)
            if question is None:
                if self._passed:
                    self._passed.pop(key, None)
                continue
            pick = self._seat_for(run, index, question, idle, roomy)
            if pick is not None:
                picks.append(pick)
                continue
            passed.append(entry)
            if self._passed.get(key, 0) >= MAX_PASSED:
                break
        if passed:
            if picks:
                self._count_passed(passed)
            for entry in passed:
                self._queue.push(entry)
        return picks

    def _look_at(self, seats: Sequence[S]) -> tuple[list[S], list[_Room[S]]]:
        """The idle seats, and those busy ones that may be given one more tiny task; `queued_us` 0
        on a busy seat means that it runs something not known to be tiny.
        """
        idle: list[S] = []
        roomy: list[_Room[S]] = []
        busy: set[str] = set()
        for seat in seats:
            if seat.queued:
                busy.add(seat.worker)
                if seat.open and 0 < seat.queued_us < BATCH_US:
                    roomy.append(_Room(seat, seat.queued_us))
            elif seat.open:
                idle.append(seat)
        if self._grants:
            for worker in self._grants.keys() - busy:
                self._ledger.give(self._grants.pop(worker))
        return idle, roomy

    def _seat_for(
        self, run: int, index: int, question: Question, idle: list[S], roomy: list[_Room[S]]
    ) -> Pick[S] | None:
        task = question.task
        tiny = is_tiny(task, question.estimate_us)
        estimate_us = question.estimate_us if tiny else 0
        if idle and self._ledger.fits(task.resources):
            seat = idle.pop()
            grant = self._ledger.take(task.resources)
            self._grants[seat.worker] = grant
            if self._passed:
                self._passed.pop((run, index), None)
            if tiny:
                roomy.append(_Room(seat, estimate_us))
            return Pick(run, index, seat, estimate_us, grant.gpus)
        if not (tiny and roomy):
            return None
        room = roomy[-1]
        room.queued_us += estimate_us
        if room.queued_us >= BATCH_US:
            roomy.pop()
        return Pick(run, index, room.seat, estimate_us)

    def _count_passed(self, passed: list[_Entry]) -> None:
        for entry in passed:
            key = (entry[3], entry[4])
            self._passed[key] = self._passed.get(key, 0) + 1
