"""Progress: a bar that fits, lines that are few, an estimate only where there is one."""

from __future__ import annotations

import io

import attrs
import pytest

from durable_wf.cli import progress as module
from durable_wf.cli.progress import Bar, Lines, bar_lines, eta_text, names_text, timer_text
from durable_wf.cli.terminal import Look, cells
from durable_wf.core.awaited import Awaited
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import Counts
from durable_wf.engine.progress import Progress

HALF = Progress(
    "run-1", "w", RunStatus.RUNNING, Counts(pending=4, running=2, succeeded=6), 12, ("a", "b"), 30.0
)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_bar_fits_the_terminal(width):
    lines = bar_lines(HALF, 5_000_000, Look(width=width), width)
    assert cells(lines[0]) < width or width < 30
    assert "6/12" in lines[1]
    assert " 50%" in lines[1]


def test_the_bar_says_what_runs_and_how_long_it_will_take():
    text = "\n".join(bar_lines(HALF, 5_000_000, Look(), 100))
    assert "about 30.0 s left" in text
    assert "now a, b" in text
    assert "6 succeeded" in text


def test_an_empty_run_is_whole():
    empty = Progress("r", "w", RunStatus.SUCCEEDED, Counts(), 0, ())
    assert "100%" in bar_lines(empty, 0, Look(), 80)[1]


def test_there_is_no_estimate_without_an_earlier_run():
    assert eta_text(attrs.evolve(HALF, eta_s=None)) == ""
    assert eta_text(attrs.evolve(HALF, status=RunStatus.PAUSED)) == ""


def test_many_running_tasks_are_counted():
    busy = attrs.evolve(HALF, running=("a", "b", "c", "d"), counts=Counts(running=9))
    assert names_text(busy) == "a, b, c and 6 more"


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_lines_are_rate_limited_but_tell_each_change_of_state(clock):
    stream = io.StringIO()
    tell = Lines(stream, Look())
    for done in range(100):
        tell(attrs.evolve(HALF, counts=Counts(pending=100 - done, succeeded=done), total=100))
        clock[0] += 0.1
    some = stream.getvalue().count("\n")
    assert 3 <= some <= 8
    tell(attrs.evolve(HALF, counts=Counts(failed=1)))
    tell(attrs.evolve(HALF, status=RunStatus.PAUSED))
    assert stream.getvalue().count("\n") == some + 2


def test_nothing_new_is_not_said_again(clock):
    stream = io.StringIO()
    tell = Lines(stream, Look())
    for _ in range(10):
        tell(HALF)
        clock[0] += 60
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\n")
    assert "\x1b" not in stream.getvalue()


RESTS = attrs.evolve(HALF, running=(), counts=Counts(waiting=2, succeeded=6))


def test_while_all_wait_for_a_timer_it_is_said_when_it_is_due(monkeypatch):
    """Once; unless that is in a moment, as with the first retries."""
    now = 1_795_806_890_000_000
    monkeypatch.setattr(module.time, "time_ns", lambda: now * 1000)
    stream = io.StringIO()
    tell = Lines(stream, Look())
    for due in (2_000_000, 20_000_000, 20_000_000, 40_000_000):
        tell(attrs.evolve(RESTS, wake_at=now + due))
    first, *told = stream.getvalue().splitlines()
    assert "nothing to do" not in first
    assert [line.rpartition("; ")[2] for line in told] == [
        "nothing to do until 19:15:10Z, for 20.0 s", "nothing to do until 19:15:30Z, for 40.0 s",
    ]  # fmt: skip
    assert timer_text(attrs.evolve(HALF, wake_at=now + 60_000_000), now) == "", "something runs"


# --- what it asks ---

REVIEW = Awaited("review", "approval", 5, question="publish?")
PAID = Awaited("paid", "signal", 6, signal="payment")
ASKS = attrs.evolve(HALF, waiting=(REVIEW,))


def test_how_to_answer_is_said_once_for_each_question(clock):
    """However long the run goes on meanwhile; a question that is asked again is a new one."""
    stream = io.StringIO()
    tell = Lines(stream, Look())
    for progress in (ASKS, ASKS, attrs.evolve(ASKS, waiting=(REVIEW, PAID)), ASKS):
        tell(progress)
        clock[0] += 60
    said = stream.getvalue()
    assert said.count("    dwf approve run-1 review\n    dwf reject run-1 review\n") == 1
    assert said.count("    publish?\n") == 1
    assert said.count("    dwf signal run-1 payment JSON\n") == 1
    tell(attrs.evolve(ASKS, waiting=(attrs.evolve(REVIEW, since=7),)))
    tell(attrs.evolve(ASKS, run_id="run-2"))
    assert stream.getvalue().count("dwf approve run-1 review") == 2
    assert stream.getvalue().count("dwf approve run-2 review") == 1


def test_of_many_questions_some_are_told_and_where_the_rest_is(clock):
    stream = io.StringIO()
    many = tuple(attrs.evolve(REVIEW, task=f"review{n}") for n in range(8))
    Lines(stream, Look())(attrs.evolve(HALF, waiting=many))
    assert stream.getvalue().count("dwf approve") == 3
    assert stream.getvalue().endswith("  and more: dwf inbox\n")


def test_the_outcome_that_comes_next_says_how_to_answer_itself(clock):
    stream = io.StringIO()
    Lines(stream, Look())(attrs.evolve(ASKS, at_rest=True))
    assert "waits for an approval (review): dwf inbox" in stream.getvalue()
    assert "dwf approve" not in stream.getvalue()


def test_a_bar_leaves_above_it_how_to_answer():
    stream = io.StringIO()
    with Bar(stream, Look(width=80, live=True, terminal=True)) as tell:
        for _ in range(3):
            tell(ASKS)
        assert stream.getvalue().count("dwf approve run-1 review") == 1
        assert stream.getvalue().count("dwf reject run-1 review") == 1
