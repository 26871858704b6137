"""What a rule sees of other runs: the last outcomes behind the breaker of its task."""

from __future__ import annotations

import attrs
import pytest
from histories_of import CREATED, recorded
from strategies import task, workflow

import durable_wf as wf
from durable_wf.core import events as e
from durable_wf.core.breaker import Breaker
from durable_wf.core.circuit import Outcome, What
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind
from durable_wf.recovery import Fail, Retry, example
from durable_wf.recovery.history import History

ROWS = [Outcome("pay", 5, What.FAILED, "other/t/1", 4), Outcome("pay", 6, What.OK, "r/a/1", 5)]


def faulted(breaker):
    definition = workflow(task("a", breaker=breaker))
    created = attrs.evolve(CREATED, workflow="w", total=1)
    history = recorded(
        created, e.RunClaimed("e-1", "create"), e.RunStarted(),
        e.AttemptStarted("a", 1, "w-1-0", 7, 8),
        e.AttemptFailed("a", 1, e.Fault(FaultKind.ERROR, "boom")),
    )  # fmt: skip
    return replay(RunState.of("r", definition), history)


def test_outcomes_are_those_of_its_breaker_and_read_when_asked_for():
    asked = []

    def read(key):
        asked.append(key)
        return ROWS

    history = History.of(faulted(Breaker("pay")), 0, read)
    assert history.faults == 1
    assert asked == []
    assert history.outcomes == tuple(ROWS)
    assert asked == ["pay"]


def test_without_a_breaker_there_are_none():
    history = History.of(faulted(None), 0, lambda key: pytest.fail("it was asked"))
    assert history.outcomes == ()


def test_where_nobody_knows_of_other_runs_there_are_none():
    assert History.of(faulted(Breaker("pay")), 0).outcomes == ()


@wf.rule
def patient_in_an_outage(history, fault):
    """Waits longer when others fail too."""
    failed = sum(one.what is What.FAILED for one in history.outcomes[-10:])
    return Retry("10m", "an outage") if failed > 5 else Fail("its own fault")


def test_a_rule_that_goes_by_them_is_tested_with_an_example():
    assert patient_in_an_outage(*example()) == Fail("its own fault")
    assert patient_in_an_outage(*example(outcomes=["ok", *["failed"] * 6])).delay == "10m"
    history, _ = example(outcomes=["ok", "failed"])
    assert [one.at for one in history.outcomes] == [history.at - 1_000_000, history.at]


def test_an_engine_gives_its_rules_those_of_all_runs(tmp_path):
    seen = []

    @wf.rule
    def look(history, fault):
        seen.append([(one.what.value, one.place) for one in history.outcomes])
        return Fail("enough")

    def breaks():
        raise ValueError

    flow = (
        wf.WorkflowBuilder("w")
        .add_task("a", breaks).breaker("pay", failures=9).on_fault(look)
        .build()
    )  # fmt: skip
    with wf.WorkflowEngine(tmp_path / "s") as engine:
        for run_id in ("one", "two"):
            engine.run(flow, run_id=run_id, executor_type="sequential", check=False)
    assert seen == [[("failed", "one/a/1")], [("failed", "one/a/1"), ("failed", "two/a/1")]]
