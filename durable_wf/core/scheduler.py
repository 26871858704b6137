"""TaskScheduler: which ready tasks start now, and where.

Owns: the order (priority, then longest remaining path, then first come), admission by resources,
and the rule by which tiny tasks share a worker.
Must never: know what a task does, start anything, or read a clock.
Read next: `resources.py` for admission, `lines.py` for the queue; `engine/loop.py`, which asks
`pick` once a turn.

A worker ("seat") holds one grant, however many tiny tasks wait in it: about `BATCH_US` of
estimated work may be queued per seat, and only of tasks with default resources, no deadline and a
short measured duration.

A task that does not fit may be passed by those behind it. Those of lower priority, and any of them
after `MAX_PASSED` times, have to leave it what it waits for, so that it cannot starve; who needs
nothing of that goes on passing it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import attrs

from durable_wf.core.definition import Task
from durable_wf.core.hot import hot
from durable_wf.core.lines import Entry, Lines
from durable_wf.core.resources import DEFAULT_RESOURCES, Capacity, Grant, Ledger, Resources
from durable_wf.core.status import InDoubt

BATCH_US = 5_000
"""Estimated work that may wait in one seat."""

TINY_US = 1_000
"""A task is tiny when it is measured to take no longer than this."""

MAX_PASSED = 32
"""In how many turns others of its priority may take what a waiting task lacks."""

MOST_NEEDS = 64
"""How many different needs are looked past in one turn."""

LOOK_PAST = 64
"""How many tasks are looked past in one turn for tiny ones that may share a seat."""


class Seat(Protocol):
    """What the scheduler asks of a worker: its name, how many tasks it holds, the work that these
    are in microseconds (0 where one is not known to be tiny), and whether it takes any.
    """

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
    """What `pick` is told about a queued task that may still start: its definition, and its
    measured duration in microseconds (0: nobody has measured it).
    """

    task: Task
    estimate_us: int


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


@attrs.define(eq=False)
class _Waiter:
    """A task that waits, what is kept for it, and whether it was passed in this turn."""

    entry: Entry
    kept: frozenset[str]
    passed: bool = False

    @property
    def key(self) -> tuple[int, int]:
        return self.entry[3], self.entry[4]


class TaskScheduler(Generic[S]):
    """Orders ready tasks of all runs and admits them against one capacity."""

    def __init__(self, capacity: Capacity, ledger: Ledger | None = None) -> None:
        self.capacity = capacity
        self._ledger = Ledger(capacity) if ledger is None else ledger
        self._grants: dict[str, Grant] = {}
        self._lines = Lines()
        self._arrival = 0
        self._passed: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        """Queued tasks, those counted too that have ceased to be ready."""
        return len(self._lines)

    def add(self, run: int, index: int, task: Task, remaining_s: float) -> None:
        """Queue a ready task. Adding one twice is harmless: `pick` asks before it starts one."""
        self._arrival += 1
        entry = (-task.priority, -remaining_s, self._arrival, run, index)
        self._lines.push(task.resources, entry)

    def wanted_seats(self) -> int:
        """How many seats could be put to use now, those counted that hold something."""
        return len(self._lines) + len(self._grants)

    def pick(self, seats: Sequence[S], ask: Callable[[int, int], Question | None]) -> list[Pick[S]]:
        """Choose tasks for seats and reserve what they need.

        `seats` are all that there are: one that is idle again, or gone, is vacated.
        `ask(run, index)` tells about a queued task, or None when it may not start (any more).
        Each pick must be started.
        """
        idle, roomy = self._look_at(seats)
        picks: list[Pick[S]] = []
        waiters: list[_Waiter] = []
        behind: list[Entry] = []
        picked: set[tuple[int, int]] = set()
        with self._lines.walk() as walk:
            while (idle or roomy) and walk.left < MOST_NEEDS and (here := walk.next()):
                entry, line = here
                key = run, index = entry[3:]
                question = None if key in picked else ask(run, index)
                if question is None:
                    walk.take()  # queued twice, or not ready any more
                    if self._passed:
                        self._passed.pop(key, None)
                    continue
                if waiters and not self._may_pass(waiters, entry, line.need):
                    walk.leave()
                    continue
                pick = self._seat_for(run, index, question, idle, roomy)
                if pick is not None:
                    walk.take()
                    picks.append(pick)
                    picked.add(key)
                    continue
                is_plain = line.need == DEFAULT_RESOURCES
                if not (is_plain and behind):
                    waiters.append(_Waiter(entry, self._kept_for(line.need, idle)))
                if is_plain and roomy and len(behind) < LOOK_PAST:
                    walk.take()  # a tiny one behind it may share a seat
                    behind.append(entry)
                else:
                    walk.leave()
        for entry in behind:
            self._lines.push(DEFAULT_RESOURCES, entry)
        self._count_passed(waiters)
        return picks

    def _may_pass(self, waiters: list[_Waiter], entry: Entry, need: Resources) -> bool:
        """Whether a task may start though others wait that come before it: it takes nothing that is
        kept for them, or they are no more urgent and have not been passed too often.
        """
        uses = self._ledger.uses(need)
        rivals = [one for one in waiters if not one.kept.isdisjoint(uses)]
        for one in rivals:
            if one.entry[0] < entry[0] or self._passed.get(one.key, 0) >= MAX_PASSED:
                return False
        for one in rivals:
            one.passed = True
        return True

    def _kept_for(self, need: Resources, idle: list[S]) -> frozenset[str]:
        """What those behind a task must leave to it: a core, if all it lacks is a seat."""
        return self._ledger.uses(DEFAULT_RESOURCES) if not idle else self._ledger.short(need)

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

    def _count_passed(self, waiters: list[_Waiter]) -> None:
        for one in waiters:
            if one.passed:
                self._passed[one.key] = self._passed.get(one.key, 0) + 1
