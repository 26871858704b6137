"""Tables of tasks: what they say of those that wait, and of those that do not run any more."""

from __future__ import annotations

import histories_of as h
import strategies

from durable_wf.cli.facts import fold
from durable_wf.cli.render import task_table
from durable_wf.cli.terminal import Look
from durable_wf.cli.times import local
from durable_wf.core import events as e
from durable_wf.core.state import row_of
from durable_wf.core.status import WaitKind
from durable_wf.core.task import WaitFor

NOW = 3_600_000_000
NAPS = strategies.workflow(
    strategies.task("a", wait=WaitFor(WaitKind.SLEEP, timeout_s=60)), strategies.task("b", "a")
)


def lines(*events, alive=True, workflow=h.A_THEN_B):
    row = row_of(h.state_after(*events, workflow=workflow))
    waits = {task.name: task.wait for task in workflow.tasks if task.wait is not None}
    known = fold(row, ["a", "b"], h.recorded(*events), alive=alive, waits=waits)
    return task_table(known, Look(), NOW)


BEGUN = (h.CREATED, h.CLAIMED, h.STARTED, h.begun())


def test_time_goes_on_only_for_what_runs():
    """How long an attempt has run whose engine is dead nobody knows."""
    assert "1h00m" in lines(*BEGUN)[1]
    dead = lines(*BEGUN, alive=False)[1]
    assert "interrupted" in dead
    assert "1h00m" not in dead


def test_a_task_that_sleeps_says_until_when():
    until = NOW + 60_000_000
    sleeps = e.TaskWaiting("a", WaitKind.SLEEP, until)
    (_, line, _) = lines(h.CREATED, h.CLAIMED, h.STARTED, sleeps, workflow=NAPS)
    assert f"sleeps until {local(until)} (1m00s left)" in line
