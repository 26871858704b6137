"""The tables beside the log, by every implementation: outcomes of breaker keys, and beats."""

from __future__ import annotations

import attrs
import pytest
from conformance.batches import batch, create, extend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from durable_wf.core import events as e
from durable_wf.core.circuit import KEPT, TURNS, Outcome, What, kept, place_of
from durable_wf.core.events import Recorded
from durable_wf.core.status import FaultKind, RunStatus
from durable_wf.engine.resetting import reset_at
from durable_wf.errors import CallerError
from durable_wf.store.port import Batch, Beat


def outcome(at, what=What.OK, *, key="k", run_id="r1", task="t"):
    return Outcome(key, at, what, place_of(run_id, task, 1), at - 1)


def beat(run, task="t", attempt=1, at=5, detail='"half"'):
    return Beat(run, task, attempt, at, detail)


def told(run, run_id, expected_n, *events, **fields):
    """An append of these events."""
    recorded = [Recorded(n, 30 + n, event) for n, event in enumerate(events, expected_n + 1)]
    return attrs.evolve(
        extend(run, run_id, expected_n, count=len(events), **fields), events=recorded
    )


@pytest.fixture
def run(world):
    return world.log.append(batch(create("r1"))).runs["r1"]


# --- outcomes -----------------------------------------------------------------------------------


def test_outcomes_are_read_back_in_the_order_in_which_they_were_written(world):
    first = [outcome(9), outcome(3, What.FAILED), outcome(4, key="other")]
    world.log.append(batch(create("r1"), outcomes=first))
    world.another().append(Batch(outcomes=[outcome(1, What.OPENED)]))
    assert world.log.outcomes("k") == [first[0], first[1], outcome(1, What.OPENED)]
    assert world.log.outcomes("other") == [first[2]]
    assert world.log.outcomes("never") == []
    assert world.log.breakers() == ["k", "other"]


def test_outcomes_of_a_run_in_conflict_are_not_written_and_those_of_others_are(world, run):
    world.log.append(batch(create("r2")))
    rows = [outcome(1), outcome(2, run_id="r2")]
    stale = batch(extend(run, "r1", 1), extend(2, "r2", 2), outcomes=rows)
    assert world.log.append(stale).conflicts == {"r1"}
    assert world.log.outcomes("k") == [rows[1]]


def test_a_place_names_its_run_though_the_task_has_slashes():
    assert outcome(1, run_id="r-1", task="a/b/c").run_id == "r-1"


def test_outcomes_alone_are_a_change_that_others_see(world):
    other = world.another()
    before = other.version()
    world.log.append(Batch(outcomes=[outcome(1)]))
    assert other.version() != before
    assert other.outcomes("k") == [outcome(1)]


def test_a_reset_is_a_row_of_no_run_beside_its_event(world):
    """Both come with one transaction, which other processes see."""
    other = world.another()
    before = other.version()
    world.log.append(batch(create("r1"), outcomes=[outcome(1, What.FAILED)]))
    world.log.append(reset_at(5, "k", "ann", "it is back"))
    assert other.version() != before
    assert other.outcomes("k")[1:] == [Outcome("k", 5, What.RESET, "")]
    (told,) = other.history(0)
    assert (told.at, told.event) == (5, e.BreakerReset("ann", "k", "it is back"))
    world.log.append(Batch(outcomes=[outcome(10 + k) for k in range(KEPT + 1)]))
    assert other.outcomes("k")[0] == Outcome("k", 5, What.RESET, ""), "the last one is kept"


def test_the_newest_are_kept_and_the_last_of_each_turn(world):
    turns = [outcome(k, what) for k, what in enumerate([*TURNS, *TURNS])]
    plain = [outcome(100 + k) for k in range(KEPT + 20)]
    world.log.append(Batch(outcomes=[outcome(50, key="other")]))
    world.log.append(Batch(outcomes=turns))
    for one in plain:
        world.log.append(Batch(outcomes=[one]))
    assert world.log.outcomes("k") == turns[len(TURNS) :] + plain[20:]
    assert world.log.outcomes("other") == [outcome(50, key="other")]


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(What), st.integers(1, 90), st.integers(1, 30)), max_size=12
    )
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_kept_does_not_depend_on_how_it_was_cut_into_batches(new_world, kind, steps):
    world = new_world(kind)
    written = []
    try:
        for what, count, size in steps:
            rows = [outcome(len(written) + k, what) for k in range(count)]
            written += rows
            for at in range(0, count, size):
                world.log.append(Batch(outcomes=rows[at : at + size]))
        found = world.log.outcomes("k")
    finally:
        world.end()
    last = {row.what: row for row in written if row.what in TURNS}
    assert found == kept(written)
    assert found == [row for row in written if row in written[-KEPT:] or row in last.values()]


# --- beats --------------------------------------------------------------------------------------


def test_a_beat_takes_the_place_of_the_one_before(world, run):
    world.log.append(Batch(beats=[beat(run), beat(run, "u", 2, 6, "{}")]))
    assert world.log.beats(run) == {"t": beat(run), "u": beat(run, "u", 2, 6, "{}")}
    world.another().append(Batch(beats=[beat(run, at=9, detail="1")]))
    assert world.log.beats(run)["t"] == beat(run, at=9, detail="1")
    assert world.log.beats(run + 1) == {}


def test_a_late_beat_of_an_earlier_attempt_is_not_taken(world, run):
    world.log.append(Batch(beats=[beat(run, attempt=2)]))
    world.log.append(Batch(beats=[beat(run, attempt=1, at=99)]))
    assert world.log.beats(run)["t"] == beat(run, attempt=2)


@pytest.mark.parametrize(
    "event",
    [
        e.AttemptSucceeded("t", 1, "1", 5, 5),
        e.TaskFailed("t", "default", "x"),
        e.TaskSkipped("t", "rule", "x", "1", ()),
        e.TaskFellBack("t", "1", "rule", "x", "1", ()),
        e.TaskCompleted("t", "1", "x"),
        e.TaskCancelled("t", "x"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_beat_goes_with_the_end_of_its_task(world, run, event):
    world.log.append(Batch(beats=[beat(run), beat(run, "u")]))
    world.another().append(batch(told(run, "r1", 2, event)))
    assert world.log.beats(run) == {"u": beat(run, "u")}
    world.log.append(batch(told(run, "r1", 3, e.TaskCancelled("u", "x")), beats=[beat(run, "u")]))
    assert world.log.beats(run) == {}


def test_a_beat_outlives_a_failed_attempt_for_the_next_one(world, run):
    world.log.append(Batch(beats=[beat(run)]))
    failed = e.AttemptFailed("t", 1, e.Fault(FaultKind.LOST, "gone"))
    world.log.append(batch(told(run, "r1", 2, failed, e.AttemptReturned("u", 1))))
    assert world.log.beats(run) == {"t": beat(run)}


def test_no_beat_outlives_its_run(world, run):
    world.log.append(batch(create("r2"), beats=[beat(run), beat(run, "u")]))
    world.log.append(Batch(beats=[beat(2)]))
    over = extend(run, "r1", 2, status=RunStatus.FAILED, ended_at=77)
    world.log.append(batch(over, beats=[beat(run, "v")]))
    assert world.log.beats(run) == {}
    world.log.append(Batch(beats=[beat(run), beat(99)]))
    assert world.log.beats(run) == world.log.beats(99) == {}
    assert world.log.beats(2) == {"t": beat(2)}


def test_beats_of_a_run_in_conflict_are_not_taken(world, run):
    world.log.append(batch(create("r2"), beats=[beat(run, at=1)]))
    stale = batch(extend(run, "r1", 1), beats=[beat(run, at=2), beat(2)])
    assert world.log.append(stale).conflicts == {"r1"}
    assert world.log.beats(run) == {"t": beat(run, at=1)}
    assert world.log.beats(2) == {"t": beat(2)}


def test_a_run_in_conflict_keeps_its_beats(world, run):
    world.log.append(Batch(beats=[beat(run)]))
    stale = told(run, "r1", 1, e.AttemptSucceeded("t", 1, "1", 5, 5))
    assert world.log.append(batch(stale)).conflicts == {"r1"}
    assert world.log.beats(run) == {"t": beat(run)}


def test_neither_is_part_of_the_hash_chain(world, run):
    before = [one.hash for one in world.log.stored(run)]
    world.log.append(Batch(beats=[beat(run)], outcomes=[outcome(1)]))
    assert [one.hash for one in world.log.stored(run)] == before
    done = world.log.append(batch(create("r2"), beats=[beat(run)], outcomes=[outcome(1)]))
    assert done.first_seq == {"r2": 3}


def test_a_reader_reads_both_and_writes_neither(world, run):
    world.log.append(Batch(beats=[beat(run)], outcomes=[outcome(1)]))
    reader = world.readonly()
    assert reader.beats(run) == {"t": beat(run)}
    assert reader.outcomes("k") == [outcome(1)]
    for more in (Batch(beats=[beat(run)]), Batch(outcomes=[outcome(1)])):
        with pytest.raises(CallerError):
            reader.append(more)
