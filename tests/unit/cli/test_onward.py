"""What to type next: the line fits what is waited for, and says why."""

from __future__ import annotations

import click
import pytest

from durable_wf.cli.context import Settings
from durable_wf.cli.onward import next_step
from durable_wf.cli.states import INTERRUPTED, WAITING, shown_run
from durable_wf.cli.times import local
from durable_wf.core.awaited import RETRY, Awaited
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import Counts, RunRow

REVIEW = Awaited("review", "approval", 5)
LOAD = Awaited("load", "operator", 5, attempt=3)
PAID = Awaited("paid", "signal", 5, signal="payment")
LATER = 90_000_000


def step(status, *waiting, wake_at=None, alive=False, imported=False, now=60_000_000):
    counts = Counts(waiting=len(waiting), pending=1)
    row = RunRow("r", "w", status, 1, 2, counts, 1, wake_at=wake_at, imported=imported)
    return next_step(row, shown_run(row, alive=alive), waiting, now, alive=alive)


def test_what_people_have_to_do_comes_first():
    running = RunStatus.RUNNING
    assert step(running, REVIEW) == "dwf resume r   (once somebody has answered)"
    assert step(running, LOAD) == "dwf resume r   (once somebody has answered)"
    assert step(running, PAID) == "dwf resume r   (once signal payment has come)"
    both = "dwf resume r   (once somebody has answered, or signal payment has come)"
    assert step(running, PAID, REVIEW) == both


@pytest.mark.parametrize(
    ("waiting", "what"),
    [
        (Awaited("load", RETRY, 5, LATER, attempt=1), "load is tried again"),
        (Awaited("review", "approval", 5, LATER, "skip"), "the time limit of review is"),
        (REVIEW, "its deadline is"),
    ],
)
def test_a_timer_needs_an_engine_and_is_named(waiting, what):
    """Nobody has to answer anything for it."""
    said = step(RunStatus.RUNNING, waiting, wake_at=LATER)
    when = f"at {local(LATER)}, in 30.0 s"
    assert said == f"dwf resume r   ({what} {when}; that needs an engine)"


def test_a_sleeper_needs_an_engine_to_wake_it():
    said = step(RunStatus.RUNNING, Awaited("nap", "sleep", 5, LATER), wake_at=LATER)
    when = f"nap sleeps until {local(LATER)}, for 30.0 s more; that needs an engine"
    assert said == f"dwf resume r   ({when})"


def test_a_run_that_could_go_on_now_says_no_more():
    assert step(RunStatus.RUNNING, REVIEW, wake_at=60_000_000) == "dwf resume r"
    assert step(RunStatus.RUNNING) == "dwf resume r"
    assert step(RunStatus.PAUSED, REVIEW) == "dwf resume r"


def test_a_run_that_an_engine_has_is_watched():
    assert step(RunStatus.RUNNING, REVIEW, alive=True) == "dwf watch r"
    assert step(RunStatus.DRAINING, alive=True) == "dwf watch r"


def test_a_copy_cannot_go_on():
    for status in (RunStatus.RUNNING, RunStatus.FAILED):
        assert step(status, imported=True) == ""
    assert step(RunStatus.RUNNING, REVIEW, imported=True) == ""


def test_what_has_ended_well_needs_nothing():
    assert step(RunStatus.SUCCEEDED) == ""
    assert step(RunStatus.CANCELLED) == ""
    assert step(RunStatus.FAILED) == "dwf retry r   (what has succeeded is taken over)"


def test_the_store_that_was_named_is_named_in_the_line():
    with click.Context(click.Command("dwf"), obj=Settings("my store")):
        assert step(RunStatus.PAUSED) == "dwf resume r --store 'my store'"


def test_the_two_states_that_are_only_shown_are_the_ones_meant_here():
    row = RunRow("r", "w", RunStatus.RUNNING, 1, 2, Counts(waiting=1), 1)
    assert shown_run(row, alive=False) is WAITING
    assert shown_run(RunRow("r", "w", RunStatus.RUNNING, 1, 2, Counts(), 1), alive=False) is (
        INTERRUPTED
    )
