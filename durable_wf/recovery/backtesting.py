"""Backtest: what other rules would have decided about recorded faults.

Owns: `backtest`, a pure function over recorded histories, and the honest sum of what it would have
meant: what is known from the record, and what nobody can know.
Must never: guess the outcome of an attempt that was not made.
Read next: `chain.py`, which asks the rules here as it does in an engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

import attrs

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.compensation import SUFFIX
from durable_wf.core.definition import Workflow
from durable_wf.core.events import Recorded
from durable_wf.core.judge import DECLARED, default
from durable_wf.core.past import Past, PastAttempt
from durable_wf.core.status import FaultKind
from durable_wf.recovery.chain import Rules, decide
from durable_wf.recovery.history import Fault, History
from durable_wf.recovery.rule import Rule, named_all

Stream = tuple[str, Iterable[Recorded]]
"""A run's id and its events, in order."""

_SAME_WAIT_US = 1_000
"""Waits that differ by less are the same."""

_Conclusion = (
    e.TaskRetryScheduled
    | e.TaskFailed
    | e.TaskSkipped
    | e.TaskFellBack
    | e.TaskFallbackScheduled
    | e.TaskProbeScheduled
    | e.TaskEscalated
)
_ASKS_NOBODY = DECLARED | {"draining"}
"""What is recorded under these names was not for rules to decide."""


class Outcome(Enum):
    """What is known of the other branch."""

    SAVED = "attempts would have been saved"
    LOST = "a success would have been lost"
    WAIT = "the same attempts, at other times"
    UNKNOWN = "outcome unknown"


@attrs.define
class Difference:
    """A fault about which the rules decide otherwise than was recorded. `n` numbers the event of
    the recorded decision; `attempts` and `seconds` are what would have been added (+) or saved (-).
    """

    run_id: str
    task: str
    n: int
    recorded: str
    recorded_rule: str
    candidate: str
    rule: str
    reason: str
    outcome: Outcome
    attempts: int = 0
    seconds: float = 0.0


@attrs.define
class Backtest:
    """The sum of a backtest. Attempts and seconds are those that the record can tell; where the
    outcome is unknown, `attempts_added` and `seconds_added` are the least there would have been.
    """

    runs: int = 0
    faults: int = 0
    not_reached: int = 0
    differences: list[Difference] = attrs.field(factory=list)

    @property
    def same(self) -> int:
        """Faults about which nothing would have changed."""
        return self.faults - self.not_reached - len(self.differences)

    @property
    def unknown(self) -> int:
        """Differences whose outcome nobody knows."""
        return self._count(Outcome.UNKNOWN)

    @property
    def lost(self) -> int:
        """Tasks that succeeded later and would not have."""
        return self._count(Outcome.LOST)

    @property
    def attempts_saved(self) -> int:
        """Attempts that would not have been made."""
        return sum(-one.attempts for one in self.differences if one.attempts < 0)

    @property
    def attempts_added(self) -> int:
        """Attempts that would have been made besides."""
        return sum(one.attempts for one in self.differences if one.attempts > 0)

    @property
    def seconds_saved(self) -> float:
        """Seconds of attempts and waits that would not have been spent."""
        return sum(-one.seconds for one in self.differences if one.seconds < 0)

    @property
    def seconds_added(self) -> float:
        """Seconds that would have been spent besides."""
        return sum(one.seconds for one in self.differences if one.seconds > 0)

    def _count(self, outcome: Outcome) -> int:
        return sum(one.outcome is outcome for one in self.differences)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        sums = (
            "runs", "faults", "same", "not_reached", "unknown", "lost", "attempts_saved",
            "attempts_added", "seconds_saved", "seconds_added",
        )  # fmt: skip
        found: dict[str, Any] = {name: getattr(self, name) for name in sums}
        found["differences"] = [
            attrs.asdict(one, value_serializer=lambda _a, _f, v: getattr(v, "value", v))
            for one in self.differences
        ]
        return found


def backtest(
    rules: Workflow | Rules | Rule | Iterable[Rule], events: Iterable[Recorded] | Iterable[Stream]
) -> Backtest:
    """Ask `rules` about every recorded fault, and compare with what was decided.

    `rules`: a workflow (its own and its tasks' rules), a rule, or several. `events`: the history of
    a run, or (run id, history) pairs. Each fault is seen with the history that was recorded before
    it. Once the rules would have left the recorded path of a task, its later faults count as not
    reached. Nothing is run, and nothing is written.
    """
    chosen = _rules(rules)
    found = Backtest()
    for run_id, history in _streams(events):
        found.runs += 1
        _Run(run_id, chosen, found).read(history)
    return found


def _rules(given: Workflow | Rules | Rule | Iterable[Rule]) -> Rules:
    if isinstance(given, Rules):
        return given
    if isinstance(given, Workflow):
        return Rules.of(given.recovery)
    return Rules(workflow=named_all(given))


def _streams(events: Iterable[Recorded] | Iterable[Stream]) -> Iterator[Stream]:
    """Plain events are one run."""
    plain: list[Recorded] = []
    for one in events:
        if isinstance(one, Recorded):
            plain.append(one)
        else:
            yield one
    if plain:
        yield "run", plain


@attrs.define
class _Task:
    """A task of a recorded run. `left` is the difference by which the rules left its path, at the
    time `left_at`, if its sequel can still be told.
    """

    started_at: int = 0
    past: Past | None = None
    failed: e.AttemptFailed | None = None
    in_doubt: int = 0
    gone: bool = False
    left: Difference | None = None
    left_at: int = 0


@attrs.define
class _Run:
    """Reads one history."""

    run_id: str
    rules: Rules
    found: Backtest
    workflow: str = ""
    retries: int = 0
    tasks: dict[str, _Task] = attrs.field(factory=dict)

    def read(self, history: Iterable[Recorded]) -> None:
        """Compare, fault by fault."""
        at = 0
        for recorded in history:
            at = recorded.at
            event = recorded.event
            if isinstance(event, e.RunCreated):
                self.workflow = event.workflow
            elif isinstance(event, e.TaskEvent):
                task = self.tasks.get(event.task)
                if task is None:
                    task = self.tasks[event.task] = _Task()
                self._take(task, event, recorded)
        for task in self.tasks.values():
            _close(task, at)

    def _take(self, task: _Task, event: e.TaskEvent, recorded: Recorded) -> None:
        match event:
            case e.AttemptStarted():
                task.started_at = recorded.at
                if task.left is not None:
                    task.left.attempts -= 1
            case e.AttemptReturned():
                if task.left is not None:
                    task.left.attempts += 1
            case e.AttemptSucceeded():
                if task.left is not None:
                    task.left.outcome = Outcome.LOST
                _close(task, recorded.at)
            case e.AttemptFailed():
                self._failed(task, event, recorded)
            case e.TaskCancelled():
                task.failed = None
                _close(task, recorded.at)
            case e.AttemptRefused():
                self._refused(task, event, recorded)
            case e.TaskCompleted() | e.TaskImported():
                _close(task, recorded.at)
            case e.TaskWoken() | e.TaskWaiting() | e.OperatorDecided() | e.AttemptDisproved():
                pass
            case _:
                self._concluded(task, event, recorded)

    def _refused(self, task: _Task, event: e.AttemptRefused, recorded: Recorded) -> None:
        """As `_failed`: rules were asked about it too."""
        if task.past is None:
            task.past = Past.begin(recorded.at, recorded.at)
        fault = e.Fault(FaultKind.BREAKER, f"breaker {event.breaker!r} is open")
        task.past.fail(PastAttempt(0, recorded.at, recorded.at, fault.kind))
        task.failed = e.AttemptFailed(event.task, 0, fault)

    def _failed(self, task: _Task, event: e.AttemptFailed, recorded: Recorded) -> None:
        if task.past is None:
            task.past = Past.begin(task.started_at, recorded.at)
        kind, exception = event.fault.kind, event.fault.exception
        attempt = PastAttempt(event.attempt, task.started_at, recorded.at, kind, exception)
        task.past.fail(attempt)
        task.in_doubt += kind is FaultKind.IN_DOUBT
        task.failed = event

    def _concluded(self, task: _Task, event: _Conclusion, recorded: Recorded) -> None:
        failed, past = task.failed, task.past
        if failed is None or past is None:
            return  # skipped because of another task
        task.failed = None
        if event.rule not in _ASKS_NOBODY:
            self.found.faults += 1
            if task.gone:
                self.found.not_reached += 1
            else:
                self._compare(task, past, failed, event, recorded)
        match event:
            case e.TaskRetryScheduled():
                self.retries += past.retry(event.until, recorded.at)
            case e.TaskFallbackScheduled():
                past.fall_back(event.function)
            case e.TaskProbeScheduled() | e.TaskEscalated():
                pass
            case _:
                _close(task, recorded.at)

    def _compare(
        self, task: _Task, past: Past, failed: e.AttemptFailed, event: _Conclusion, at: Recorded
    ) -> None:
        deadline = dict(event.facts).get("deadline") if event.rule == "deadline" else None
        left_s = None if deadline is None else (deadline - past.first_started_at) / 1e6
        ended_at = past.attempts[-1].ended_at
        history = History(
            self.run_id, self.workflow, event.task, ended_at, past, self.retries, left_s
        )
        decision = decide(
            0,
            self.rules.of_task(event.task),
            history,
            Fault.of(failed.fault, failed.attempt),
            lambda budget: default(0, failed.fault, task.in_doubt, budget),
        )
        decision = _as_carried_out(event.task, decision)
        if deadline is not None and _is_late(decision, at.at, deadline):
            return  # as the recorded one was
        made = _judged(event, at.at, decision)
        if made is None:
            return
        outcome, attempts, seconds = made
        difference = Difference(
            self.run_id, event.task, at.n, _recorded(event, at.at), event.rule,
            _candidate(decision), decision.rule, decision.reason, outcome, attempts, seconds,
        )  # fmt: skip
        self.found.differences.append(difference)
        task.gone = outcome is not Outcome.WAIT
        if outcome is Outcome.SAVED:
            task.left, task.left_at = difference, at.at


def _as_carried_out(task: str, decision: i.Decision) -> i.Decision:
    """A compensation is not given up: where its rules would, a person is asked."""
    if not isinstance(decision, i.Fail) or not task.endswith(SUFFIX):
        return decision
    return i.Escalate(decision.index, decision.rule, decision.reason, "what now?")


def _is_late(decision: i.Decision, at: int, deadline: int) -> bool:
    return isinstance(decision, i.Retry) and at + decision.delay_us >= deadline


def _close(task: _Task, at: int) -> None:
    """The recorded sequel of a task that the rules would have ended is over."""
    if task.left is not None:
        task.left.seconds -= max(0, at - task.left_at) / 1e6
        task.left = None


def _judged(event: _Conclusion, at: int, decision: i.Decision) -> tuple[Outcome, int, float] | None:
    """How the decision differs, with attempts and seconds that it adds at least; None: not."""
    match event, decision:
        case e.TaskRetryScheduled(until=until), i.Retry(delay_us=delay):
            more = delay - max(0, until - at)
            return None if abs(more) < _SAME_WAIT_US else (Outcome.WAIT, 0, more / 1e6)
        case e.TaskFailed(keep_going=one), i.Fail(keep_going=other):
            return None if one == other else (Outcome.UNKNOWN, 0, 0.0)
        case (e.TaskSkipped(), i.Skip()) | (e.TaskEscalated(), i.Escalate()):
            return None
        case e.TaskFellBack(value=value), i.FallBack(value=instead) if value == instead:
            return None
        case e.TaskFallbackScheduled(function=name), i.FallBackTo(function=label) if name == label:
            return None
        case _, i.Retry(delay_us=delay):
            return Outcome.UNKNOWN, 1, delay / 1e6
        case _, i.FallBackTo():
            return Outcome.UNKNOWN, 1, 0.0
        case e.TaskRetryScheduled(), _:
            return Outcome.SAVED, 0, 0.0
        case _:
            return Outcome.UNKNOWN, 0, 0.0


def _recorded(event: _Conclusion, at: int) -> str:
    match event:
        case e.TaskRetryScheduled():
            return f"retry in {max(0, event.until - at) / 1e6:g} s"
        case e.TaskFailed():
            return "fail, keep going" if event.keep_going else "fail"
        case e.TaskSkipped():
            return "skip"
        case e.TaskFellBack():
            return "fall back to a value"
        case e.TaskFallbackScheduled():
            return f"fall back to {event.function}"
        case e.TaskProbeScheduled():
            return f"probe with {event.function}"
        case e.TaskEscalated():
            return "ask a person"


def _candidate(decision: i.Decision) -> str:
    match decision:
        case i.Retry():
            return f"retry in {decision.delay_us / 1e6:g} s"
        case i.Fail():
            return "fail, keep going" if decision.keep_going else "fail"
        case i.Skip():
            return "skip"
        case i.FallBack():
            return "fall back to a value"
        case i.FallBackTo():
            return f"fall back to {decision.function}"
        case i.ProbeFirst():
            return f"probe with {decision.function}"
        case i.Escalate():
            return "ask a person"
