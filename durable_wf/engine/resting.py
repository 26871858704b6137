"""Resting: runs of this engine of which nothing runs, kept as small as they can be.

Owns: which runs are put to rest, what is remembered of one (its id, when its timer is due, for whom
it is driven), and when it is woken up. Its state is given up; the log has it.
Must never: read a history or load code; `waking.py` brings a run back.
Read next: `waking.py`, `loop.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import attrs

from durable_wf.core import inputs as i
from durable_wf.core.definition import Workflow
from durable_wf.core.events import Recorded, RunReleased
from durable_wf.core.steps import Decided
from durable_wf.engine.clock import Clock
from durable_wf.engine.live import LiveRun
from durable_wf.engine.progress import OnProgress
from durable_wf.engine.result import RunHandle
from durable_wf.engine.timers import Timers
from durable_wf.errors import DurableWorkflowError
from durable_wf.store.port import Appended, Batch, Log, RunAppend

log = logging.getLogger("durable_wf.engine")

KEPT = 100
"""So many runs that have nothing to do keep their state; the next answer finds it at once."""

KEPT_TASKS = 20_000
"""And so many tasks of theirs together."""

AT_ONCE = 64
"""So many are woken up by their timers in one turn of the loop."""

FREED = 1_000
"""So many are let go in one transaction."""

SOON_US = 10_000_000
"""What is due within ten seconds keeps its state: to bring it back takes longer than to keep it."""


@attrs.define(eq=False)
class Sleeper:
    """A run at rest. `key` is its number in the timers. `workflow` is the one it was driven with;
    None where its code was never loaded. `handle` is there while somebody waits for it. The rest
    is as in LiveRun.
    """

    key: int
    run_id: str
    wake_at: int | None
    executor: str
    wait_s: float | None
    leaves: bool
    accept_changes: bool
    cancel: Callable[[str, str, bool], None]
    workflow: Workflow | None = None
    handle: RunHandle | None = None
    on_progress: OnProgress | None = None

    @classmethod
    def of(cls, live: LiveRun) -> Sleeper:
        """What is remembered of a run."""
        return cls(
            live.key, live.run_id, live.wake_at, live.executor, live.wait_s, live.leaves,
            live.accept_changes, live.handle.canceller,
            live.workflow if live.equip is None else live.given,
            None if live.handle.done() else live.handle, live.on_progress,
        )  # fmt: skip


class Host(Protocol):
    """The loop, as far as runs at rest need it."""

    def adopt(self, live: LiveRun) -> None:
        """Hold a run."""

    def forget(self, live: LiveRun) -> None:
        """Hold a run no more."""

    def offer(self, live: LiveRun) -> None:
        """Tasks of a run became ready."""

    def give(self, live: LiveRun, given: i.Input, at: int = 0) -> Decided:
        """Decide an input of a run."""

    def append(self, batch: Batch) -> Appended:
        """Make a batch durable, however long the store cannot be written."""


class Rest:
    """The runs at rest, those that may be put to rest next, and those that wait for their code."""

    def __init__(self, host: Host, store: Log, clock: Clock, timers: Timers, engine: str) -> None:
        self._host = host
        self._log = store
        self._clock = clock
        self._timers = timers
        self._engine = engine
        self._by_id: dict[str, Sleeper] = {}
        self._by_key: dict[int, Sleeper] = {}
        self._idle: dict[int, tuple[LiveRun, int]] = {}
        self._idle_tasks = 0
        self._unequipped: dict[int, LiveRun] = {}
        self.rouse: Callable[[Sleeper], LiveRun] | None = None
        """brings a run back; without it none is put to rest"""

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._by_id

    def __len__(self) -> int:
        return len(self._by_id)

    # --- to rest --------------------------------------------------------------------------------

    def note(self, live: LiveRun) -> None:
        """A run has changed, and all that is decided of it is in the log."""
        if self.rouse is None:
            return
        self._busy(live)
        if live.state.running:
            return
        wake_at = live.wake_at
        soon = wake_at is not None and wake_at - self._clock.now_us() < SOON_US
        if not soon and not live.state.all_ready():
            size = len(live.state.tasks)
            self._idle[live.key] = live, size
            self._idle_tasks += size

    def forget(self, live: LiveRun) -> None:
        """It is held no more."""
        self._unequipped.pop(live.key, None)
        self._busy(live)

    def _busy(self, live: LiveRun) -> None:
        if (known := self._idle.pop(live.key, None)) is not None:
            self._idle_tasks -= known[1]

    def put_away(self) -> None:
        """Put runs to rest that are more than are kept, those first that have had nothing to do for
        longest. The newest one stays awake, however large.
        """
        while len(self._idle) > 1 and (len(self._idle) > KEPT or self._idle_tasks > KEPT_TASKS):
            live, _ = next(iter(self._idle.values()))
            sleeper = Sleeper.of(live)
            self._host.forget(live)
            self._by_id[sleeper.run_id] = self._by_key[sleeper.key] = sleeper
            self._timers.plan(sleeper.key, sleeper.wake_at)

    # --- awake ----------------------------------------------------------------------------------

    def awake(self, run_id: str) -> LiveRun | None:
        """The run of that id, if it was at rest here."""
        sleeper = self._by_id.get(run_id)
        return None if sleeper is None else self._roused(sleeper)

    def due(self, due: Sequence[tuple[int, int]]) -> Iterator[tuple[LiveRun, int]]:
        """Those of the runs with timers that are due that were at rest; of many, some, and the
        others in the next turn.
        """
        roused = 0
        for key, wake_at in due:
            sleeper = self._by_key.get(key)
            if sleeper is None:
                continue
            if roused >= AT_ONCE:
                self._timers.plan(key, wake_at)
            elif (live := self._roused(sleeper)) is not None:
                roused += 1
                yield live, wake_at

    def _roused(self, sleeper: Sleeper) -> LiveRun | None:
        assert self.rouse is not None
        self._take(sleeper)
        try:
            live = self.rouse(sleeper)
        except DurableWorkflowError as error:
            log.warning("run %s cannot be woken up: %s", sleeper.run_id, error)
            self._free([sleeper], f"it cannot be woken up: {error.message}")
            if sleeper.handle is not None:
                sleeper.handle.settle(error)
            return None
        self._host.adopt(live)
        self.note(live)  # nothing may come of it: then it rests again
        return live

    def _take(self, sleeper: Sleeper) -> None:
        del self._by_id[sleeper.run_id], self._by_key[sleeper.key]
        self._timers.plan(sleeper.key, None)

    # --- code -----------------------------------------------------------------------------------

    @property
    def owes(self) -> bool:
        """Whether runs wait for their code."""
        return bool(self._unequipped)

    def wants_code(self, live: LiveRun) -> bool:
        """Whether a run with tasks that became ready has no code yet. It is brought in the next
        turn: by then what woke the run is in the log.
        """
        if live.equip is None:
            return False
        if live.state.ready:
            self._unequipped[live.key] = live
        return True

    def equip(self) -> None:
        """Bring the code of runs that go on."""
        waiting, self._unequipped = self._unequipped, {}
        for live in waiting.values():
            assert live.equip is not None
            try:
                if live.state.all_ready():
                    live.equip(live)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a script does
                self._let_go(live, error)
                continue
            live.state.ready = live.state.all_ready()
            self._host.offer(live)

    def _let_go(self, live: LiveRun, error: BaseException) -> None:
        """A run that cannot go on here is left to whoever can."""
        log.warning("run %s cannot go on: %s", live.run_id, error)
        why = f"it cannot go on: {error}".partition("\n")[0]
        self._host.give(live, i.Release(self._engine, why))
        live.let_go = True
        live.handle.settle(error)

    # --- the end --------------------------------------------------------------------------------

    def let_go(self, why: str) -> list[Sleeper]:
        """Let go of all of them, in order. Returns those for which somebody waits."""
        sleepers = [*self._by_id.values()]
        for at in range(0, len(sleepers), FREED):
            self._free(sleepers[at : at + FREED], why)
        return self.drop()

    def drop(self) -> list[Sleeper]:
        """Know nothing more of them; what the log says of them stays. Returns those for which
        somebody waits.
        """
        sleepers = [*self._by_id.values()]
        for sleeper in sleepers:
            self._take(sleeper)
        return [sleeper for sleeper in sleepers if sleeper.handle is not None]

    def _free(self, sleepers: Sequence[Sleeper], why: str) -> None:
        """Release runs without their states: nothing but the owner changes."""
        at, appends = self._clock.now_us(), []
        for sleeper in sleepers:
            row = self._log.row(sleeper.run_id)
            if row is not None and row.engine == self._engine and row.ended_at is None:
                event = Recorded(row.n + 1, at, RunReleased(self._engine, why))
                after = attrs.evolve(row, n=row.n + 1, engine="")
                appends.append(RunAppend(row.run, row.run_id, row.n, [event], after))
        if appends:
            self._host.append(Batch(appends))
