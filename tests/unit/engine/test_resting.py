"""resting: runs of which nothing runs give up their state, and come back when something comes."""

from __future__ import annotations

import json
from functools import partial

import attrs
import pytest
from loop_rig import Rig, live_of
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core.definition import WaitFor
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState
from durable_wf.core.status import RunStatus, TaskStatus, Verdict, WaitKind
from durable_wf.engine import resting
from durable_wf.engine.commands import answer_body
from durable_wf.engine.inbox import POLL_S
from durable_wf.errors import HistoryError, OwnedElsewhere
from durable_wf.store.memory import MemoryLog
from durable_wf.store.port import Batch, RunAppend, Verb

ASKS = workflow(
    task("a", wait=WaitFor(WaitKind.APPROVAL, question="now?")), task("b", "a"), name="asks"
)
SLEEPS = workflow(
    task("a", wait=WaitFor(WaitKind.SLEEP, timeout_s=60.0)), task("b", "a"), name="sleeps"
)
NAPS = workflow(task("a", wait=WaitFor(WaitKind.SLEEP, timeout_s=5.0)), name="naps")
KEYS = iter(range(1000, 10_000))


def bring_code(rig, live):
    """As `waking.equip` does it, of a workflow that is at hand."""
    live.take_code(live_of(live.state, key=live.key))


def rouse(rig, sleeper, workflows):
    row = rig.log.row(sleeper.run_id)
    state = RunState.of(row.run_id, workflows[row.workflow])
    replay(state, rig.log.history(row.run))
    live = live_of(state, key=next(KEYS))
    return attrs.evolve(
        live, run=row.run, committed_n=row.n, executor=sleeper.executor,
        handle=sleeper.handle or live.handle, equip=partial(bring_code, rig),
    )  # fmt: skip


@pytest.fixture
def rig(monkeypatch):
    """A loop that keeps one run awake that has nothing to do."""
    monkeypatch.setattr(resting, "KEPT", 1)
    found = Rig()
    workflows = {one.name: one for one in (ASKS, SLEEPS, NAPS)}
    found.loop.rest.rouse = lambda sleeper: rouse(found, sleeper, workflows)
    return found


def enter(rig, count, of=ASKS):
    """So many runs that wait, called r1, r2, ..."""
    for key in range(1, count + 1):
        rig.enter(of, f"r{key}", key)
    rig.turn()


def send(rig, run_id, verb=Verb.ANSWER, **body):
    """A command from another process; the inbox is looked at in the next turn."""
    rig.clock.s += POLL_S
    body = {"reason": "", **(body or answer_body("a", Verdict.APPROVE))}
    other = MemoryLog(rig.log.shelf)
    return other.post(run_id, verb, "ann", f"k-{run_id}-{verb.value}", 1, json.dumps(body))


def awake(rig):
    return {live.run_id for live in rig.loop.runs()}


# --- to rest --------------------------------------------------------------------------------------


def test_runs_that_only_wait_are_put_to_rest_but_for_the_newest(rig):
    enter(rig, 3)
    assert awake(rig) == {"r3"}
    assert len(rig.loop.rest) == 2
    assert all(rig.loop.holds(f"r{key}") for key in (1, 2, 3))
    assert rig.executor.forgotten == [1, 2]


def test_without_a_way_back_nothing_is_put_to_rest(rig):
    """The control."""
    rig.loop.rest.rouse = None
    enter(rig, 3)
    assert awake(rig) == {"r1", "r2", "r3"}


def test_what_runs_or_could_start_stays_awake(rig):
    busy = workflow(task("x"), task("y", "x"), name="asks")
    enter(rig, 6, busy)
    assert len(awake(rig)) == 6, "four run, and two wait for a seat"


def test_what_is_due_soon_stays_awake(rig):
    enter(rig, 3, NAPS)
    assert len(awake(rig)) == 3


def test_a_paused_run_rests_too(rig):
    enter(rig, 2, NAPS)
    for key in (1, 2):
        send(rig, f"r{key}", Verb.PAUSE, reason="lunch")
        rig.turn()
    assert awake(rig) == {"r2"}
    send(rig, "r1", Verb.RESUME, reason="")
    rig.turn()
    assert rig.log.kinds("r1")[-1] == "RunResumed"


def test_large_runs_rest_by_their_tasks(rig, monkeypatch):
    monkeypatch.setattr(resting, "KEPT", 100)
    monkeypatch.setattr(resting, "KEPT_TASKS", 5)
    enter(rig, 4)
    assert awake(rig) == {"r3", "r4"}


# --- and back -------------------------------------------------------------------------------------


def test_an_answer_wakes_a_run_and_its_code_comes_when_it_is_in_the_log(rig):
    enter(rig, 3)
    number = send(rig, "r1")
    rig.turn()
    assert rig.log.kinds("r1")[-2:] == ["OperatorDecided", "TaskCompleted"]
    assert rig.log.command(number).accepted
    assert rig.executor.tasks() == [], "in the next turn"
    rig.turn()
    assert rig.executor.tasks() == ["b"]
    rig.executor.ends("b", run=rig.loop.run("r1").key)
    rig.turn()
    assert rig.log.row("r1").status is RunStatus.SUCCEEDED
    assert not rig.loop.holds("r1")


def test_a_timer_wakes_a_run(rig):
    enter(rig, 3, SLEEPS)
    assert len(rig.loop.rest) == 2
    rig.clock.s += 60.0
    rig.clock.us += 60_000_000
    rig.turn()
    rig.turn()
    assert rig.executor.tasks() == ["b", "b", "b"]
    assert [rig.log.kinds(f"r{key}").count("TaskCompleted") for key in (1, 2, 3)] == [1, 1, 1]


def test_of_many_whose_time_has_come_some_are_woken_in_each_turn(rig, monkeypatch):
    monkeypatch.setattr(resting, "AT_ONCE", 2)
    enter(rig, 8, SLEEPS)
    rig.clock.s += 60.0
    rig.clock.us += 60_000_000
    done = []
    for _ in range(4):
        rig.turn()
        done.append(sum("TaskCompleted" in rig.log.kinds(f"r{key}") for key in range(1, 9)))
    assert done == [3, 5, 7, 8], "the one that is awake, and two at once"


def test_who_asks_for_a_run_wakes_it(rig):
    enter(rig, 3)
    live = rig.loop.run("r1")
    assert live.run_id == "r1"
    assert live.state.tasks[0] is TaskStatus.WAITING
    assert len(rig.loop.rest) == 1
    rig.turn()
    assert awake(rig) == {"r1"}, "it is the one now that has something to do last"


def test_what_was_waited_for_is_told_to_who_waits(rig):
    """Whoever waits for a run that rests waits for the same handle."""
    rig.enter(ASKS, "r1", 1)
    handle = rig.loop.run("r1").handle
    enter_more = (2, 3)
    for key in enter_more:
        rig.enter(ASKS, f"r{key}", key)
    rig.turn()
    assert len(rig.loop.rest) == 2
    assert rig.loop.run("r1").handle is handle


def test_a_run_that_another_engine_has_written_to_does_not_come_back(rig, caplog):
    enter(rig, 3)

    def lost(sleeper):
        raise OwnedElsewhere("not ours any more")

    rig.loop.rest.rouse = lost
    assert rig.loop.run("r1") is None
    assert not rig.loop.holds("r1")
    assert "run r1 cannot be woken up: not ours any more" in caplog.text
    assert rig.log.kinds("r1")[-1] == "RunReleased", "it was still this engine's"


def test_a_run_whose_history_is_damaged_is_let_go_and_the_others_go_on(rig):
    enter(rig, 3, SLEEPS)
    real = rig.loop.rest.rouse

    def damaged(sleeper):
        if sleeper.run_id == "r1":
            raise HistoryError("event 3 is missing")
        return real(sleeper)

    rig.loop.rest.rouse = damaged
    rig.clock.s += 60.0
    rig.clock.us += 60_000_000
    rig.turn()
    rig.turn()
    assert len(rig.executor.tasks()) == 2
    assert rig.log.row("r1").engine == ""


def test_a_run_without_its_code_keeps_the_answer_and_is_left_to_others(rig, caplog):
    """The next one who has the code goes on with it."""
    enter(rig, 3)
    real = rig.loop.rest.rouse

    def no_code(live):
        raise SystemExit("the script is gone")

    rig.loop.rest.rouse = lambda sleeper: attrs.evolve(real(sleeper), equip=no_code)
    number = send(rig, "r1")
    rig.turn()
    rig.turn()
    assert rig.log.command(number).accepted
    assert rig.log.kinds("r1")[-3:] == ["OperatorDecided", "TaskCompleted", "RunReleased"]
    assert not rig.loop.holds("r1")
    assert "run r1 cannot go on: the script is gone" in caplog.text
    assert awake(rig) == {"r3"}


def test_an_answer_that_ends_the_run_needs_no_code(rig):
    enter(rig, 3)
    real = rig.loop.rest.rouse

    def no_code(live):
        pytest.fail("asked for its code")

    rig.loop.rest.rouse = lambda sleeper: attrs.evolve(real(sleeper), equip=no_code)
    send(rig, "r1", **answer_body("a", Verdict.REJECT))
    rig.turn()
    rig.turn()
    assert rig.log.row("r1").status is RunStatus.FAILED
    assert not rig.loop.holds("r1")


# --- the end --------------------------------------------------------------------------------------


def test_at_the_end_all_of_them_are_let_go_in_order(rig, monkeypatch):
    """The read model that is written without their states is what a replay gives."""
    monkeypatch.setattr(resting, "FREED", 2)
    enter(rig, 6)
    before = len(rig.log.batches)
    rig.loop.rest.let_go("the engine was closed")
    assert len(rig.log.batches) == before + 3
    for key in range(1, 6):
        row = rig.log.row(f"r{key}")
        events = list(rig.log.history(row.run))
        assert events[-1].event == e.RunReleased("e-1", "the engine was closed")
        state = replay(RunState.of(row.run_id, ASKS), events)
        assert (state.n, state.engine) == (row.n, row.engine) == (row.n, "")
    assert len(rig.loop.rest) == 0
    assert rig.log.row("r6").engine == "e-1", "the one that is awake"


def test_what_another_has_written_meanwhile_is_left_as_it_is(rig):
    enter(rig, 2)
    row = rig.log.row("r1")
    claimed = e.Recorded(row.n + 1, 10, e.RunClaimed("e-9", "recover"))
    taken = attrs.evolve(row, n=row.n + 1, engine="e-9")
    append = RunAppend(row.run, "r1", row.n, [claimed], taken)
    assert not MemoryLog(rig.log.shelf).append(Batch([append])).conflicts
    rig.loop.rest.let_go("the engine was closed")
    assert rig.log.kinds("r1")[-1] == "RunClaimed"
