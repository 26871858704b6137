"""Loop walks: random lives of one to three engines that share a store.

Owns: `LoopWalk`, which plays engines that come, die and take over from each other, the people who
command them, and the functions they call; and `check_loop_walk`, all that must hold meanwhile and
when everything has been brought to its end.
Must never: start a process, wait for real, or judge a history by the core; `oracles.py` does.
Read next: `loop_rig.py`, of which the engines are made; `property/test_loop_walk.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

import attrs
import oracles
from loop_rig import FakeClock, FakeExecutor, Rig, TellingLog, live_of
from strategies import random_workflow
from walks import IN_DOUBT_BUDGET, fault

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core import judge as judging
from durable_wf.core.breaker import Breaker, WhenOpen
from durable_wf.core.circuit import What, place_of
from durable_wf.core.definition import Task, Undo, Workflow
from durable_wf.core.evolve import replay
from durable_wf.core.resources import Capacity, Ledger
from durable_wf.core.state import RunState, row_of
from durable_wf.core.status import FaultKind, InDoubt, Otherwise, RunStatus, Verdict, WaitKind
from durable_wf.core.summary import RunRow
from durable_wf.core.values import NOT_DONE
from durable_wf.engine.answering import decide_alone, is_said
from durable_wf.engine.claiming import Claimed
from durable_wf.engine.live import LiveRun
from durable_wf.engine.resetting import reset_at
from durable_wf.engine.suspects import ask_a_person
from durable_wf.errors import DiskFull, WrongState
from durable_wf.execute.port import Assignment, Heartbeat
from durable_wf.store.memory import Shelf
from durable_wf.store.port import Command, Verb

KEYS = ("bank", "post")
"""What breakers guard, in all workflows of a walk."""

COOLDOWN_S = 1.0
MOST_ENGINES = 3
CRASH_LIMIT = 2
"""So small that walks reach it."""

CALM_TURNS = 400
"""In so many turns without trouble everything must have come to its end."""

SECOND_US = 1_000_000

Place = tuple[str, str]
"""run id and task"""


@attrs.define
class Hands(FakeExecutor):
    """Holds attempts open until the walk says how they ended; a cancelled one ends as lost."""

    open: dict[Place, Assignment] = attrs.field(factory=dict)

    def ends_as(self, place: Place, how: str, rng: Random) -> None:
        """What the next poll says about an attempt."""
        one = self.open.pop(place)
        where = (one.run, one.index, one.attempt)
        match how:
            case "succeeded":
                value = rng.choice(("1", NOT_DONE))
                report: i.Report = i.Succeeded(*where, value, 5, 50_000)
            case "returned":
                report = i.Returned(*where)
            case _:
                report = i.Failed(*where, fault(FaultKind(how)))
        self._reports.append((one.worker, report))

    def beats_once(self, place: Place, at: int, detail: str) -> None:
        """An attempt says that it lives."""
        one = self.open[place]
        self._beats.append(Heartbeat(one.run, one.index, one.attempt, at, detail))

    def cancel(self, run: int, index: int, attempt: int, grace_s: float) -> None:
        for place, one in [*self.open.items()]:
            if (one.run, one.index, one.attempt) == (run, index, attempt):
                self.ends_as(place, FaultKind.LOST.value, Random(0))


class LoopWalk:
    """Engines over one shelf, and all that may happen to them. `commits` are, by run, the numbers
    of events after which a commit ended; `calm` is when no more trouble comes.
    """

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.shelf = Shelf()
        self.clock = FakeClock()
        self.alive: set[str] = set()
        self.log = TellingLog(self.shelf, alive=self.alive.__contains__)
        self.engines: dict[str, Rig] = {}
        self.workflows: dict[str, Workflow] = {}
        self.commits: dict[str, set[int]] = {}
        self.calm = False
        self._engines_made = 0
        self._runs_held = 0
        for _ in range(rng.randint(1, MOST_ENGINES)):
            self.engine_joins()
        for number in range(rng.randint(1, 5)):
            self.run_is_entered(f"r{number}")

    # --- engines ---

    def engine_joins(self) -> None:
        """One more engine opens the store."""
        self._engines_made += 1
        name = f"e-{self._engines_made}"
        seats = self.rng.choice((1, 2, 4))
        rig = Rig(
            self.shelf, seats=seats, engine=name, clock=self.clock, alive=self.alive.__contains__
        )
        rig.log.on_trouble = rig.loop.wake  # tries again at once
        rig.executor = Hands(rig.executor.seats_now)
        rig.executor.on_start = lambda one: self._is_started(rig, one)
        rig.loop.add_executor("fake", rig.executor, Ledger(Capacity(float(seats))))
        self.alive.add(name)
        self.engines[name] = rig

    def engine_dies(self, rig: Rig) -> None:
        """What it had not committed is gone, and its attempts with it."""
        self.alive.discard(rig.engine)
        del self.engines[rig.engine]
        if not self.engines:
            self.engine_joins()

    def engine_turns(self, rig: Rig) -> None:
        """One turn, sometimes on a full disk."""
        if not self.calm and self.rng.random() < 0.02:
            rig.log.troubles.append(DiskFull("full"))
        rig.turn()

    def _is_started(self, rig: Rig, one: Assignment) -> None:
        """What must hold whenever an attempt starts."""
        live = next(live for live in rig.loop.runs() if live.key == one.run)
        place = (live.run_id, one.task)
        for other in self.engines.values():
            assert place not in other.executor.open, f"{place} is started twice: {one}"
        row = self.log.row(live.run_id)
        assert row is not None, f"{place} is started before its run is in the log"
        told = [recorded.event for recorded in self.log.history(row.run)]
        announced = [event for event in told if isinstance(event, e.AttemptStarted)]
        assert (one.task, one.attempt) in {(event.task, event.attempt) for event in announced}, (
            f"{place}: attempt {one.attempt} is started before it is in the log"
        )
        rig.executor.open[place] = one
        self._check_probes()

    def _check_probes(self) -> None:
        """No two attempts probe one circuit at a time, whichever engines they belong to."""
        at_work = {
            place_of(*place, one.attempt)
            for rig in self.engines.values()
            for place, one in rig.executor.open.items()
        }
        for key in KEYS:
            rows = self.log.outcomes(key)
            probes = {row.place for row in rows if row.what is What.PROBE} & at_work
            assert len(probes) <= 1, f"{key} is probed by {sorted(probes)} at once"

    # --- runs ---

    def run_is_entered(self, run_id: str) -> None:
        """A new run, in the hands of some engine."""
        workflow = self._some_workflow()
        self.workflows[run_id] = workflow
        self.commits[run_id] = set()
        self._runs_held += 1
        deadline_at = None
        if self.rng.random() < 0.2:
            deadline_at = self.clock.us + self.rng.choice((5, 60)) * SECOND_US
        rig = self._some_engine()
        self._tune(rig.enter(workflow, run_id, self._runs_held, deadline_at))

    def run_is_claimed(self, run_id: str, rig: Rig) -> None:
        """An engine takes over a run whose engine is dead, and decides what is in doubt."""
        row = self._free(run_id)
        if row is None or rig.loop.run(run_id):
            return
        state, at = self._replayed(row), self.clock.us
        claimed = Claimed(state, judge=ask_a_person(self.judge, CRASH_LIMIT))
        assert not claimed.give(i.Claim(rig.engine, "recover", CRASH_LIMIT), at)
        for index, attempt in [*state.running.items()]:
            where = (0, index, attempt.started.attempt)
            never_begun = self.rng.random() < 0.3
            in_doubt = i.Failed(*where, fault(FaultKind.IN_DOUBT, "engine died"))
            claimed.give(i.Returned(*where) if never_begun else in_doubt, at)
        if state.status is RunStatus.PAUSED and self.rng.random() < 0.5:
            claimed.give(i.Resume("ann"), at)
        self._runs_held += 1
        live = live_of(state, key=self._runs_held, pending=claimed.events)
        live.run, live.committed_n = row.run, row.n
        self._tune(live)
        rig.loop.adopt(live)

    def judge(self, state: RunState, index: int) -> i.Decision:
        """What some rules may say; an attempt in doubt is never repeated by them."""
        declared = judging.declared(state, index)
        if declared is not None or self.calm:
            return declared or judging.judge(state, index)
        why = (index, "rule", "because")
        timeout = {"timeout_us": 3 * SECOND_US, "on_timeout": self.rng.choice(ON_TIMEOUT)}
        choices: list[i.Decision] = [
            i.Skip(*why),
            i.FallBack(*why, "7"),
            i.Fail(*why),
            i.Fail(*why, keep_going=True),
            i.Fail(*why, compensate=True),
            i.Escalate(*why, "what now?"),
        ]
        if state.faults[index].kind is FaultKind.IN_DOUBT:
            return self.rng.choice((*choices, *[judging.judge(state, index)] * len(choices)))
        choices += [
            i.Retry(*why, self.rng.choice((0, 2 * SECOND_US))),
            i.Retry(*why, SECOND_US),
            i.Escalate(*why, "what now?", **timeout),
        ]
        return self.rng.choice(choices)

    def _tune(self, live: LiveRun) -> None:
        live.judge = self.judge
        live.wait_s = self.rng.choice((None, 0, 5))
        live.leaves = self.rng.random() < 0.5
        live.last_details = {}

    def _some_workflow(self) -> Workflow:
        drawn = random_workflow(self.rng)
        return attrs.evolve(drawn, tasks=tuple(self._equipped(task) for task in drawn.tasks))

    def _equipped(self, task: Task) -> Task:
        """Of the tasks that call something many can be taken back, some find out what became of
        them, and most have a breaker, which opens soon.
        """
        if task.wait is not None:
            return task
        if self.rng.random() < 0.3:
            task = attrs.evolve(task, undo=Undo("jobs:undo"))
        if self.rng.random() < 0.2:
            task = attrs.evolve(task, in_doubt=InDoubt.PROBE, probe="jobs:probe")
        if self.rng.random() < 0.3:
            return task
        breaker = Breaker(
            self.rng.choice((*KEYS, KEYS[0])),
            failures=self.rng.choice((1, 2)),
            within_s=60,
            cooldown_s=COOLDOWN_S,
            when_open=self.rng.choice(list(WhenOpen)),
        )
        return attrs.evolve(task, breaker=breaker)

    # --- people ---

    def somebody_commands(self, run_id: str) -> None:
        """A command for the engine of a run, whether it makes sense or not."""
        self._post(run_id, *self._some_command(run_id))

    def somebody_answers_alone(self, run_id: str) -> None:
        """What is said to a run whose engine is dead is decided without one."""
        row = self._free(run_id)
        verb, body = self._some_command(run_id)
        if row is None or not is_said(verb):
            return
        command = Command(0, run_id, verb, "bob", "", self.clock.us, json.dumps(body))
        try:
            decide_alone(self.log, row, command)
        except WrongState:
            return

    def somebody_resets(self) -> None:
        """A person closes a circuit, whatever its state."""
        self.log.append(reset_at(self.clock.us, self.rng.choice(KEYS), "ann"))

    def _some_command(self, run_id: str) -> tuple[Verb, dict[str, object]]:
        names = [task.name for task in self.workflows[run_id].tasks]
        verb = self.rng.choice(COMMANDS)
        match verb:
            case Verb.ANSWER:
                name = self.rng.choice(names + [f"{name}~undo" for name in names])
                return verb, _answer(name, self.rng.choice(list(Verdict)))
            case Verb.SIGNAL:
                return verb, {"reason": "", "name": "go", "value": "1"}
            case Verb.CANCEL:
                return verb, {"reason": "", "compensate": self.rng.random() < 0.7}
            case _:
                return verb, {"reason": ""}

    def _post(self, run_id: str, verb: Verb, body: dict[str, object]) -> None:
        if self.log.row(run_id) is not None:
            key = str(self.rng.random())
            self.log.post(run_id, verb, "ann", key, self.clock.us, json.dumps(body))

    # --- one step ---

    def step(self) -> None:
        """Something happens; what it committed ends at the events that are there now."""
        [happens] = self.rng.choices([what for what, _ in STEPS], [often for _, often in STEPS])
        happens(self, self._some_engine(), self.rng.choice(list(self.workflows)))
        self.note_commits()

    def note_commits(self) -> None:
        """To be called before another commit may follow."""
        for run_id, ends in self.commits.items():
            row = self.log.row(run_id)
            if row is not None:
                ends.add(row.n)

    def attempt_ends(self, rig: Rig) -> None:
        """Somehow, if there is one."""
        if rig.executor.open:
            place = self.rng.choice(sorted(rig.executor.open))
            rig.executor.ends_as(place, self.rng.choice(ENDS), self.rng)

    def attempt_says_it_lives(self, rig: Rig) -> None:
        """With a detail, or without."""
        if rig.executor.open:
            place = self.rng.choice(sorted(rig.executor.open))
            rig.executor.beats_once(place, self.clock.us, self.rng.choice(("1", "2", "3", "")))

    # --- to the end ---

    def drive(self) -> None:
        """Without further trouble all runs come to their end."""
        self.calm = True
        for _ in range(CALM_TURNS):
            left = self._unfinished()
            if not left and not self._uncommitted():
                break
            for row in left:
                self.run_is_claimed(row.run_id, self._some_engine())
                self._answer_all(row)
            for rig in self.engines.values():
                for place in sorted(rig.executor.open):
                    rig.executor.ends_as(place, "succeeded", self.rng)
                self.engine_turns(rig)
                self.note_commits()
            self.clock.pass_(1.0)
        else:
            raise AssertionError(f"stuck: {self._unfinished()}, {self._uncommitted()}")
        for rig in [*self.engines.values()] * 2:
            self.clock.pass_(COOLDOWN_S + 1.0)  # who was kept aside is looked at once more
            rig.turn()

    def _unfinished(self) -> list[RunRow]:
        rows = [self.log.row(run_id) for run_id in self.workflows]
        return [row for row in rows if row is not None and row.ended_at is None]

    def _uncommitted(self) -> list[str]:
        """Runs that exist in the memory of their engine alone."""
        runs = [live for rig in self.engines.values() for live in rig.loop.runs()]
        return [live.run_id for live in runs if not live.committed_n]

    def _answer_all(self, row: RunRow) -> None:
        """People resume what is paused, and answer what waits for them."""
        state = self._replayed(row)
        if state.status is RunStatus.PAUSED:
            self._post(row.run_id, Verb.RESUME, {"reason": ""})
        for index, wait in state.waits.items():
            if wait.what is not WaitKind.SLEEP:
                name = state.graph.names[index]
                self._post(row.run_id, Verb.ANSWER, _answer(name, Verdict.VALUE))

    # --- odds and ends ---

    def seen(self) -> set[str]:
        """The kinds of events that the store holds, its own ones too."""
        runs = (0, *self.shelf.runs.values())
        return {stored.kind for run in runs for stored in self.log.stored(run)}

    def _some_engine(self) -> Rig:
        return self.rng.choice(list(self.engines.values()))

    def _free(self, run_id: str) -> RunRow | None:
        """The row of a run that has not ended and that no living engine holds."""
        row = self.log.row(run_id)
        taken = row is None or row.ended_at is not None or row.engine in self.alive
        return None if taken else row

    def _replayed(self, row: RunRow) -> RunState:
        state = RunState.of(row.run_id, self.workflows[row.run_id])
        return replay(state, self.log.history(row.run))


def _answer(task: str, verdict: Verdict) -> dict[str, object]:
    return {"reason": "", "task": task, "verdict": verdict.value, "value": "8", "attempt": None}


ON_TIMEOUT = (Otherwise.FAIL, Otherwise.SKIP, Otherwise.RETRY)

COMMANDS = (
    *[Verb.ANSWER] * 8, *[Verb.RESUME] * 2, *[Verb.SIGNAL] * 2, Verb.PAUSE, Verb.CANCEL,
)  # fmt: skip

ENDS = (
    *["succeeded"] * 2, *[FaultKind.ERROR.value] * 2, FaultKind.LOST.value, FaultKind.TIMEOUT.value,
    "returned",
)  # fmt: skip


def _another_joins(walk: LoopWalk) -> None:
    if len(walk.engines) < MOST_ENGINES:
        walk.engine_joins()


Step = Callable[[LoopWalk, Rig, str], None]

STEPS: tuple[tuple[Step, int], ...] = (
    (lambda walk, rig, run_id: walk.engine_turns(rig), 35),
    (lambda walk, rig, run_id: walk.attempt_says_it_lives(rig), 5),
    (lambda walk, rig, run_id: walk.attempt_ends(rig), 20),
    (lambda walk, rig, run_id: walk.clock.pass_(walk.rng.choice((0.05, 0.2, 1, 4))), 15),
    (lambda walk, rig, run_id: walk.somebody_commands(run_id), 10),
    (lambda walk, rig, run_id: walk.somebody_answers_alone(run_id), 3),
    (lambda walk, rig, run_id: walk.somebody_resets(), 1),
    (lambda walk, rig, run_id: _another_joins(walk), 3),
    (lambda walk, rig, run_id: walk.engine_dies(rig), 4),
    (lambda walk, rig, run_id: walk.run_is_claimed(run_id, rig), 10),
)
"""What may happen to an engine or a run, and how often."""


# --- what must hold -----------------------------------------------------------------------------


def check_rows(walk: LoopWalk) -> None:
    """What lists show of each run is what its history says, by replay and by the oracles."""
    for run_id, workflow in walk.workflows.items():
        row = walk.log.row(run_id)
        if row is None:
            continue  # its engine died before the first commit
        history = [*walk.log.history(row.run)]
        reading = oracles.read(workflow, history)
        oracles.check_commits(workflow, history, walk.commits[run_id])
        oracles.check_in_doubt(reading, IN_DOUBT_BUDGET)
        state = replay(RunState.of(run_id, workflow), history)
        assert attrs.evolve(row, run=0) == attrs.evolve(row_of(state), run=0)
        told = attrs.evolve(reading.row(), run_id=run_id)
        assert attrs.evolve(row, run=0) == attrs.evolve(told, run=0)


def check_nothing_is_left(walk: LoopWalk) -> None:
    """Where all runs have ended, neither the store nor an engine holds anything for them."""
    for run_id, run in walk.shelf.runs.items():
        assert not walk.log.beats(run), f"heartbeats of {run_id}"
    left = walk.log.inbox()
    assert not left, f"nobody has answered {left}"
    for key in walk.shelf.leases:
        holders = [engine for engine in walk.log.held(key) if engine in walk.alive]
        assert not holders, f"{key} is held by {holders}"
    for name, rig in walk.engines.items():
        loop = rig.loop
        assert not loop.runs(), f"{name} holds runs"
        assert not loop._timers._wake_at, f"{name} has timers"
        assert not loop.breakers._aside, f"{name} keeps tasks aside"
        assert not loop.breakers._probes, f"{name} probes"
        assert not loop._onlookers.late, f"{name} has onlookers to tell"
        assert not loop._chooser._suspects._runs, f"{name} suspects runs"


def check_loop_walk(seed: int) -> LoopWalk:
    """All of it for one walk."""
    walk = LoopWalk(Random(seed))
    for _ in range(walk.rng.choice((30, 80, 200))):
        walk.step()
        if walk.rng.random() < 0.05:
            check_rows(walk)
    walk.drive()
    check_rows(walk)
    check_nothing_is_left(walk)
    return walk
