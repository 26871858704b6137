"""live: a run in hand: estimates, and what an executor is handed for a task."""

from __future__ import annotations

import attrs
import pytest
from histories_of import BOTH_DONE, CLAIMED, CREATED, PAUSED, STARTED, SUCCEEDED, begun, broke, done
from histories_of import state_after as after
from loop_rig import live_of
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core.definition import Literal, PayloadRef, Upstream
from durable_wf.core.evolve import evolve
from durable_wf.core.resources import Resources
from durable_wf.core.scheduler import Pick
from durable_wf.core.state import RunState
from durable_wf.engine.live import OVERHEAD_US, TooLate, run_code
from durable_wf.execute.port import NO_LIMITS, Absent, Given, Limits, Seat

SEAT = Seat("w-1-0", 100, 7)
BEGUN = (CREATED, CLAIMED, STARTED)
DEEP = Upstream("a", ("rows", 0))
READS_A = workflow(
    task("a", optional=True),
    task("b", "a", args=(Literal("7"), DEEP), kwargs=(("x", Upstream("a")),)),
)


def ended(value):
    """A run in which `a` has returned that."""
    succeeded = e.AttemptSucceeded("a", 1, value, 10, 20)
    return after(*BEGUN, begun(), succeeded, workflow=READS_A)


def assigned(live, index, *, gpus=(), fetch=None):
    def never(digest):
        raise AssertionError(f"{digest} was fetched")

    pick = Pick(live.key, index, SEAT, 30, gpus)
    return live.assignment(pick, 2, 9, fetch or never)


# --- assignments --------------------------------------------------------------------------------


def test_an_assignment_names_its_task_seat_and_place_in_the_log():
    one = assigned(live_of(after(*BEGUN), key=4), 0)
    assert (one.seq, one.worker, one.run, one.index, one.attempt) == (9, "w-1-0", 4, 0, 2)
    assert (one.task, one.function, one.args, one.kwargs) == ("a", 0, (), ())
    assert one.estimate_us == 30


def test_a_value_inside_the_event_travels_as_it_is():
    """With the path to follow in it, and the function whose annotations name its classes."""
    one = assigned(live_of(ended("[1]")), 1)
    assert one.args == (
        Given("7"),
        Given("[1]", ("rows", 0), producer=0, task="a"),
    )
    assert one.kwargs == (("x", Given("[1]", (), producer=0, task="a")),)


def test_bytes_of_the_payload_table_travel_with_the_assignment():
    ref = PayloadRef("d" * 32, 3)
    one = assigned(live_of(ended(ref)), 1, fetch={"d" * 32: b"[1]"}.__getitem__)
    assert one.kwargs == (("x", Given(ref, (), 0, b"[1]", "a")),)


def test_a_file_is_left_to_the_worker():
    ref = PayloadRef("d" * 32, 1 << 30, file=True)
    one = assigned(live_of(ended(ref)), 1)
    assert one.kwargs == (("x", Given(ref, (), 0, None, "a")),)


def test_in_place_of_a_failed_optional_result_stands_what_is_missing():
    failed = e.TaskFailed("a", "default", "boom")
    live = live_of(after(*BEGUN, begun(), broke(), failed, workflow=READS_A))
    one = assigned(live, 1)
    assert one.args[1] == Absent("a", "error", "boom")
    assert one.kwargs == (("x", Absent("a", "error", "boom")),)


def test_a_task_without_wishes_has_the_one_value_of_no_limits():
    assert assigned(live_of(after(*BEGUN)), 0).limits is NO_LIMITS


@pytest.mark.parametrize(
    ("wishes", "gpus", "limits"),
    [
        ({"resources": Resources(cpu=2.0)}, (), Limits(cpu=2.0)),
        ({"timeout_s": 3.0}, (), Limits(timeout_s=3.0)),
        ({"heartbeat_s": 3.0}, (), Limits(heartbeat_s=3.0)),
        ({"memory_limit": 99}, (), Limits(memory=99)),
        ({"memory_limit": 99, "memory_hard": True}, (), Limits(memory=99, memory_hard=True)),
        ({"resources": Resources(cpu=0.5, gpu=2)}, (1, 3), Limits(cpu=0.5, gpus=(1, 3))),
    ],
)
def test_limits_are_those_of_the_task_and_of_the_pick(wishes, gpus, limits):
    created = attrs.evolve(CREATED, total=1)
    live = live_of(after(created, CLAIMED, STARTED, workflow=workflow(task("a", **wishes))))
    assert assigned(live, 0, gpus=gpus).limits == limits


def test_the_codec_a_task_asks_for_travels_along():
    created = attrs.evolve(CREATED, total=1)
    live = live_of(after(created, STARTED, workflow=workflow(task("a", codec="pickle"))))
    assert assigned(live, 0).codec == "pickle"


def test_the_last_detail_of_its_task_travels_along():
    live = live_of(after(*BEGUN), last_details={0: "41"})
    assert assigned(live, 0).detail == "41"
    live.last_details = {1: "41"}
    assert assigned(live, 0).detail == ""


# --- deadlines ----------------------------------------------------------------------------------

SECOND = 1_000_000


def deadline_run(*histories, **wishes):
    """`a` has 10 s; the histories begin at second 0, and each event comes a second later."""
    created = attrs.evolve(CREATED, total=1)
    work = workflow(task("a", deadline_s=10.0, **wishes))
    state = RunState.of("r", work)
    for n, event in enumerate((created, CLAIMED, STARTED, *histories), 1):
        evolve(state, e.Recorded(n, n * SECOND, event))
    return live_of(state)


def again(until):
    return e.TaskRetryScheduled("a", until * SECOND, "mine", "again"), e.TaskWoken("a")


def test_the_first_attempt_has_all_the_time_of_its_task():
    limits = assigned(deadline_run(begun()), 0).limits
    assert limits.timeout_s == 10.0
    text = "ran into its task's deadline of 10 s over all attempts"
    assert limits.timeout_text == text


def test_a_later_attempt_has_what_is_left():
    live = deadline_run(begun(), broke(), *again(7), begun(attempt=2))  # at seconds 4 to 8
    assert assigned(live, 0).limits.timeout_s == 6.0


@pytest.mark.parametrize(
    ("timeout_s", "limit_s", "text"),
    [(5.0, 5.0, ""), (6.0, 6.0, ""), (7.0, 6.0, "ran into its task's deadline")],
)
def test_the_shorter_limit_holds_and_is_the_one_that_is_named(timeout_s, limit_s, text):
    live = deadline_run(begun(), broke(), *again(7), begun(attempt=2), timeout_s=timeout_s)
    limits = assigned(live, 0).limits
    assert limits.timeout_s == limit_s
    assert limits.timeout_text.startswith(text)
    assert bool(limits.timeout_text) == bool(text)


@pytest.mark.parametrize("deadline_s", [4.0, 3.0])
def test_an_attempt_cannot_begin_after_the_deadline(deadline_s):
    live = deadline_run(begun(), broke(), *again(7), begun(attempt=2))
    late = attrs.evolve(live.state.task(0), deadline_s=deadline_s)
    live.state.workflow = workflow(late)
    with pytest.raises(TooLate, match="3 s over|4 s over all attempts had passed before"):
        assigned(live, 0)


def test_a_fallback_has_time_of_its_own():
    fallback = e.TaskFallbackScheduled("a", "m:f", "mine", "instead")
    live = deadline_run(begun(), broke(), fallback, begun(attempt=2), timeout_s=30.0)
    live.fallback_of = {("a", "m:f"): 1}
    assert assigned(live, 0).limits == Limits(timeout_s=30.0)


@pytest.mark.parametrize(
    ("instead", "numbers"),
    [
        (e.TaskFallbackScheduled("a", "m:f", "mine", "instead"), "fallback_of"),
        (e.TaskProbeScheduled("a", "m:f", "in doubt", "because"), "companion_of"),
    ],
)
def test_the_deadline_begins_anew_for_what_comes_in_place_of_a_task(instead, numbers):
    """Without a limit of its own it could hang for ever."""
    live = deadline_run(begun(), broke(), instead, begun(attempt=2))
    setattr(live, numbers, {("a", "m:f"): 1})
    limits = assigned(live, 0).limits
    assert limits.timeout_s == 10.0
    assert limits.timeout_text.startswith("ran longer than 10 s, which is its task's deadline")


# --- code ---------------------------------------------------------------------------------------


def test_tasks_of_one_function_share_it():
    tasks = workflow(task("a"), task("b"), task("c"))
    code, function_of, _, _ = run_code(3, "r", tasks, [len, max, len], {}, {})
    assert [*code.functions] == [len, max]
    assert [*code.names] == ["a", "b"]
    assert [*function_of] == [0, 1, 0]
    assert (code.run, code.run_id, code.workflow, code.key_base) == (3, "r", "w", "r")


# --- estimates ----------------------------------------------------------------------------------


def test_only_a_task_that_may_start_is_asked_about():
    live = live_of(after(*BEGUN))
    assert live.question(0).task.name == "a"
    assert live.question(1) is None
    assert live_of(after(*BEGUN, PAUSED)).question(0) is None


def test_an_estimate_is_quick_to_rise_and_slow_to_fall():
    """One function: what one task of it took is expected of the others."""
    live = live_of(after(*BEGUN))
    assert live.question(0).estimate_us == 0
    live.measure(1, 100)
    assert live.question(0).estimate_us == 100 + OVERHEAD_US
    live.measure(1, 1_000)
    assert live.question(0).estimate_us == 1_000 + OVERHEAD_US
    live.measure(1, 200)
    assert live.question(0).estimate_us == 800 + OVERHEAD_US


def test_what_is_left_is_told_by_an_earlier_run():
    """Of what has not ended, spread over the seats."""
    known = {0: 1_000_000, 1: 3_000_000}
    assert live_of(after(*BEGUN), durations_us=known).eta_s(2) == 2.0
    half = after(*BEGUN, begun(), done())
    assert live_of(half, durations_us=known).eta_s(2) == 1.5
    assert live_of(half, durations_us=known).eta_s(0) == 3.0
    assert live_of(after(*BEGUN, *BOTH_DONE), durations_us=known).eta_s(1) == 0.0
    assert live_of(half).eta_s(2) is None


# --- at rest ------------------------------------------------------------------------------------


def test_a_run_is_settled_when_nothing_will_happen_by_itself():
    assert not live_of(after(*BEGUN)).settled
    assert not live_of(after(*BEGUN, begun(), PAUSED)).settled
    assert live_of(after(*BEGUN, PAUSED)).settled
    assert live_of(after(*BEGUN, *BOTH_DONE, SUCCEEDED)).settled
    assert live_of(after(*BEGUN, begun()), let_go=True).settled
