"""Walks: random runs of random workflows, as an engine would play them.

Owns: `Walk`, which gives random inputs to the core, and `check_walk`, all that must hold for one.
A walk takes its choices from a `random.Random`, so that hypothesis can shrink it and a loop over
seeds can repeat it.
Must never: judge a history by the core's own tables; `oracles.py` judges it without them.
Read next: `oracles.py`, `property/test_core_walk.py`.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable
from random import Random

import attrs
import oracles

from durable_wf.core import decide as deciding
from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core import judge as judging
from durable_wf.core.definition import Workflow
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState, row_of, row_since
from durable_wf.core.status import FaultKind, Otherwise, RunStatus, TaskStatus, Verdict, WaitKind
from durable_wf.core.summary import Moved
from durable_wf.core.values import NOT_DONE

STEP_US = 1_000

IN_DOUBT_BUDGET = 1
"""The budget that walks are checked against: so small that they spend it."""


def fault(kind: FaultKind, message: str = "it went wrong") -> e.Fault:
    """Why an attempt failed."""
    return e.Fault(kind, message)


def created(of: Workflow, deadline_at: int | None = None) -> e.RunCreated:
    """How a run of this workflow comes into being."""
    return e.RunCreated(
        of.name, "d-1", len(of.tasks), code="c-1", tags=("nightly",), deadline_at=deadline_at
    )


@attrs.define
class Answered:
    """One input of a walk, whether it should be taken, and what came of it."""

    given: i.Input
    legal: bool
    decided: deciding.Decided


@attrs.define
class Walk:
    """A run, played by an engine that sees random inputs.

    `events` is all that was decided, `commits` the numbers of events after which a commit ended,
    `queue` what an engine would have queued: ready tasks that it was told of.
    """

    rng: Random
    workflow: Workflow
    state: RunState = attrs.field(init=False)
    at: int = 1_000_000
    events: list[e.Recorded] = attrs.field(factory=list)
    commits: list[int] = attrs.field(factory=list)
    answers: list[Answered] = attrs.field(factory=list)
    queue: set[int] = attrs.field(factory=set)
    engines: int = 1

    def __attrs_post_init__(self) -> None:
        self.state = RunState.of("r", self.workflow)

    # --- one input ---

    def give(self, given: i.Input, *, legal: bool = True) -> deciding.Decided:
        """Decide one input, as the engine does; obligations are left to the caller."""
        self.at += self.rng.choice((0, STEP_US, STEP_US, -STEP_US // 2))
        decided = deciding.decide(self.state, given, self.at)
        self.events += decided.events
        self.answers.append(Answered(given, legal, decided))
        told = self.queue | set(self.state.ready)
        self.state.ready.clear()
        self.queue = {index for index in told if self.state.is_ready(index)}
        return decided

    def commit(self) -> None:
        """Answer what awaits a decision, then end the commit."""
        for index in sorted(self.state.faulted):
            self.give(self._judge(index))
        self.commits.append(len(self.events))

    def _judge(self, index: int) -> i.Decision:
        decision = judging.judge(self.state, index)
        own_fault = self.state.faults[index].kind is not FaultKind.IN_DOUBT
        if judging.declared(self.state, index) is not None:
            return decision
        if own_fault and self.rng.random() < 0.6:
            return self._ruled(index)
        return decision

    def _ruled(self, index: int) -> i.Decision:
        """What some rule may say."""
        why = (index, "rule", "because")
        return self.rng.choice(
            (
                i.Retry(*why, self.rng.choice((0, 5 * STEP_US)), "1", (("faults", 1),)),
                i.Retry(*why, self.rng.choice((0, 5 * STEP_US))),
                i.Skip(*why),
                i.FallBack(*why, "7"),
                i.FallBackTo(*why, "jobs:other"),
                i.Fail(*why, keep_going=True),
                i.Fail(*why, compensate=True),
                i.Escalate(*why, "what now?"),
                i.Escalate(
                    *why,
                    "what now?",
                    timeout_us=9 * STEP_US,
                    on_timeout=self.rng.choice((Otherwise.FAIL, Otherwise.SKIP, Otherwise.RETRY)),
                ),
            )
        )

    # --- what may come ---

    def create(self) -> None:
        """The run comes into being."""
        late = self.at + 40 * STEP_US if self.rng.random() < 0.1 else None
        self.give(i.Create(created(self.workflow, late), "e-1"))
        self.commit()

    def step(self) -> None:
        """One random turn: legal inputs nine times in ten, and a commit after most of them."""
        if self.rng.random() < 0.1:
            self.give(self.rng.choice(list(self._illegal())), legal=False)
        elif not self.state.final:
            found = list(self._legal())
            if found:
                self.rng.choice(found)()
        if self.rng.random() < 0.8:
            self.commit()

    def _legal(self) -> Iterable[Callable[[], object]]:
        state, give = self.state, self.give
        for index in state.all_ready():
            yield from [lambda index=index: give(self._begin(index))] * 3
            if self.rng.random() < 0.1:
                yield lambda index=index: give(i.Refuse(index, "service", self.at + STEP_US))
        for index, attempt in state.running.items():
            number = attempt.started.attempt
            yield from [lambda index=index, number=number: give(self._success(index, number))] * 3
            yield lambda index=index, number=number: give(self._failure(index, number))
            yield lambda index=index, number=number: give(i.Returned(1, index, number))
        if state.status is RunStatus.RUNNING:
            yield lambda: give(i.Pause("ann", "lunch"))
        if state.wake_at is not None and (state.status is RunStatus.RUNNING or state.compensating):
            yield self.wait_for_timer
        if state.status is RunStatus.PAUSED:
            yield from [lambda: give(i.Resume("ann"))] * 3
        yield lambda: give(i.AcceptCode("ann", "d-2", "c-2", ()))
        if state.status in (RunStatus.RUNNING, RunStatus.PAUSED):
            yield lambda: give(i.Signal(self.rng.choice(("go", "stop")), "1", "ann"))
        for answer in self._answers():
            yield lambda answer=answer: give(answer)
        if self.rng.random() < 0.3 and not state.compensating:
            yield lambda: give(i.Cancel("ann"))
        if not state.faulted:
            yield lambda: give(i.Release(state.engine, "stopping"))
            yield from [self.crash] * 4

    def wait_for_timer(self) -> None:
        """The engine's timer says that a task is due, or the run itself."""
        self.at = max(self.at, self.state.wake_at) + STEP_US
        self.give(i.Due())

    def _answers(self) -> Iterable[i.Answer]:
        """What people may say about tasks that wait."""
        state = self.state
        for index, status in enumerate(state.tasks):
            if status is not TaskStatus.WAITING:
                continue
            verdicts = [Verdict.SKIP, Verdict.VALUE, Verdict.FAIL]
            if index not in state.waiters:
                verdicts.append(Verdict.RETRY)
            elif state.task(index).wait.kind is WaitKind.APPROVAL:
                verdicts += [Verdict.APPROVE, Verdict.REJECT]
            yield self._said(index, self.rng.choice(verdicts))

    def _said(self, index: int, verdict: Verdict) -> i.Answer:
        return i.Answer(self.state.graph.names[index], verdict, "ann", "since", "8")

    def _illegal(self) -> Iterable[i.Input]:
        """Stale, doubled, premature or late inputs: none of them may change anything."""
        state = self.state
        for index in range(len(state.tasks)):
            open_attempt = state.attempts[index] if index in state.running else -1
            wrong = open_attempt + self.rng.choice((1, -1)) if open_attempt > 0 else 1
            yield self._success(index, wrong)
            yield self._failure(index, wrong)
            yield i.Returned(1, index, wrong)
            if not state.is_ready(index):
                yield self._begin(index)
            if index not in state.faulted:
                yield i.Retry(index, "rule", "reason")
                yield i.Fail(index, "rule", "reason")
                yield i.Skip(index, "rule", "reason")
                yield i.FallBack(index, "rule", "reason", "7")
                yield i.FallBackTo(index, "rule", "reason", "jobs:other")
                yield i.Escalate(index, "rule", "reason", "what now?")
                yield i.ProbeFirst(index, "rule", "reason", "jobs:probe")
            if not state.is_ready(index):
                yield i.Refuse(index, "service", self.at)
            yield from self._wrong_answers(index)
        if state.status not in (RunStatus.RUNNING, RunStatus.PAUSED):
            yield i.Pause("bob")
            yield i.Resume("bob")
            yield i.Signal("go", "1", "bob")
        if state.compensating:
            yield i.Cancel("bob")
        if state.final:
            yield i.AcceptCode("bob", "d-3", "c-3", ())
            yield i.Claim("e-9", "resume")
            yield i.Release("e-9", "resume")

    def _wrong_answers(self, index: int) -> Iterable[i.Answer]:
        """To somebody who has not asked, or about another attempt."""
        state, name = self.state, self.state.graph.names[index]
        if state.tasks[index] is not TaskStatus.WAITING:
            yield self._said(index, self.rng.choice(list(Verdict)))
            return
        yield i.Answer(name, Verdict.SKIP, "bob", attempt=state.attempts[index] + 1)
        if index in state.waiters:
            yield i.Answer(name, Verdict.RETRY, "bob")
        else:
            yield i.Answer(name, Verdict.APPROVE, "bob")

    def _begin(self, index: int) -> i.AttemptBegins:
        return i.AttemptBegins(index, f"w-{self.engines}-0", 100, 7)

    def _success(self, index: int, attempt: int) -> i.Succeeded:
        past = self.state.past.get(index)
        probing = past is not None and past.probe and self.rng.random() < 0.5
        value = NOT_DONE if probing else str(index)
        return i.Succeeded(1, index, attempt, value, self.at, 250, 200, 9)

    def _failure(self, index: int, attempt: int) -> i.Failed:
        kind = self.rng.choice([kind for kind in FaultKind if kind is not FaultKind.IN_DOUBT])
        return i.Failed(1, index, attempt, fault(kind), self.at, 250)

    def crash(self) -> None:
        """The engine dies between two commits; another one takes over."""
        self.commit()
        self.take_over(self.events)

    def take_over(self, history: list[e.Recorded]) -> None:
        """Another engine finds this history, claims the run and decides what is in doubt."""
        self.engines += 1
        self.events = list(history)
        self.commits = [n for n in self.commits if n <= len(history)]
        self.state = replay(RunState.of("r", self.workflow), history)
        self.queue = set(self.state.all_ready())
        if self.state.final:
            return
        limit = self.rng.choice((0, 2))
        self.give(i.Claim(f"e-{self.engines}", "recover", crash_limit=limit))
        for index, attempt in list(self.state.running.items()):
            number = attempt.started.attempt
            if self.rng.random() < 0.3:
                self.give(i.Returned(1, index, number))
            else:
                self.give(i.Failed(1, index, number, fault(FaultKind.IN_DOUBT, "engine died")))
        self.commit()

    # --- to the end ---

    def drive(self) -> None:
        """Without further trouble every run comes to its end, in few steps."""
        for _ in range(15 * len(self.state.tasks) + 20):
            if self.state.final:
                return
            self._drive_one()
            self.commit()
        raise AssertionError(f"stuck: {self.state.status}, {self.state.tasks}")

    def _drive_one(self) -> None:
        if self.state.status is RunStatus.PAUSED:
            self.give(i.Resume("ann"))
        elif self.queue:
            self.give(self._begin(min(self.queue)))
        elif self.state.running:
            index, attempt = next(iter(self.state.running.items()))
            self.give(self._success(index, attempt.started.attempt))
        elif answers := list(self._answers()):
            self.give(answers[0])
        else:
            self.at += 10 * STEP_US
            self.give(i.Claim(f"e-{self.engines}", "resume"))


def walked(rng: Random, of: Workflow, steps: int = 30) -> Walk:
    """A walk of some steps, not driven to its end."""
    walk = Walk(rng, of)
    walk.create()
    for _ in range(rng.randint(0, steps)):
        walk.step()
    walk.commit()
    return walk


def snapshot(state: RunState) -> dict[str, object]:
    """A copy of all that a state knows, derived indexes included. What is in `ready` depends on
    when it was last emptied, so the question that it answers is compared instead.
    """
    known = {
        field.name: copy.copy(getattr(state, field.name))
        for field in attrs.fields(RunState)
        if field.name not in {"graph", "workflow", "ready"}
    }
    for name in ("past", "signals"):  # these change in place
        known[name] = copy.deepcopy(getattr(state, name))
    return known | {"ready": state.all_ready()}


# --- what must hold -----------------------------------------------------------------------------


def check_history(walk: Walk) -> None:
    """The oracles have nothing to say against what the walk recorded."""
    reading = oracles.read(walk.workflow, walk.events)
    oracles.check_commits(walk.workflow, walk.events, walk.commits)
    oracles.check_in_doubt(reading, IN_DOUBT_BUDGET)
    assert row_of(walk.state) == reading.row()


def check_row(walk: Walk) -> None:
    """Who writes of the read model what has changed since the commit before has all of it."""
    state, row = RunState.of("r", walk.workflow), None
    for begin, end in itertools.pairwise(sorted({0, *walk.commits, len(walk.events)})):
        replay(state, walk.events[begin:end])
        news = row_since(state, begin)
        row = row.after(news) if isinstance(news, Moved) else news
        assert row == row_of(state)


def check_answers(walk: Walk) -> None:
    """What is illegal changes nothing; what is legal is not refused and leaves a trace."""
    for answer in walk.answers:
        if not answer.legal:
            assert not answer.decided.events, answer
            assert not answer.decided.judge, answer
        else:
            assert not answer.decided.refused, answer
            assert answer.decided.events or isinstance(answer.given, i.Cancel), answer


def check_replay(walk: Walk) -> None:
    """The live state is the replay of its events, and nobody who is ready was forgotten."""
    again = replay(RunState.of("r", walk.workflow), walk.events)
    assert snapshot(again) == snapshot(walk.state)
    assert walk.queue == set(walk.state.all_ready())


def check_walk(rng: Random, workflow: Workflow) -> Walk:
    """All of it for one walk: also cut somewhere, even inside a commit, and driven to its end."""
    walk = walked(rng, workflow)
    check_history(walk)
    check_answers(walk)
    check_replay(walk)
    if rng.random() < 0.5:
        walk.take_over(walk.events[: rng.randint(1, len(walk.events))])
        check_replay(walk)
    walk.drive()
    check_history(walk)
    check_row(walk)
    check_answers(walk)
    check_replay(walk)
    return walk
