"""What every implementation of the log port does; runs against SqliteLog and MemoryLog alike."""

from __future__ import annotations

import json

import attrs
import pytest
from conformance.batches import batch, create, extend, row

from durable_wf.core import events as e
from durable_wf.core.status import RUN_FINAL, RunStatus
from durable_wf.core.summary import Counts, Moved
from durable_wf.errors import CallerError, HistoryError, PayloadMissing, StoreError
from durable_wf.store.payload_files import digest_of
from durable_wf.store.port import Answer, Batch, LeaseDrop, LeaseTake, Verb


def take(run_id, holder="e-1", key="k", **rest):
    return LeaseTake(key, holder, run_id, **rest)


# --- events -----------------------------------------------------------------------------------


def test_what_was_appended_is_read_back_equal_and_in_order(world):
    first = create("r1", count=3)
    run = world.log.append(batch(first)).runs["r1"]
    second = extend(run, "r1", 3, count=2)
    world.log.append(batch(second))
    assert list(world.log.history(run)) == [*first.events, *second.events]
    assert list(world.log.history(run, after=4)) == [second.events[1]]
    assert list(world.log.history(run, after=5)) == []


def test_seqs_of_a_batch_are_consecutive_and_told(world):
    done = world.log.append(batch(create("r1", count=2), create("r2", count=3)))
    assert done.first_seq == {"r1": 1, "r2": 3}
    assert [one.seq for one in world.log.stored(done.runs["r2"])] == [3, 4, 5]
    assert world.log.seqs(done.runs["r2"], [1, 3, 9]) == {1: 3, 3: 5}


def test_surrogates_are_told_and_lead_to_the_run(world):
    done = world.log.append(batch(create("r1"), create("r2")))
    assert done.runs["r1"] != done.runs["r2"]
    assert world.log.row("r2").run == done.runs["r2"]
    assert world.log.row("r3") is None


def test_a_gap_in_the_numbers_is_refused_and_nothing_is_written(world):
    wrong = attrs.evolve(create("r1"), events=[e.Recorded(2, 1, e.RunStarted())])
    with pytest.raises(HistoryError, match="r1"):
        world.log.append(batch(create("r0"), wrong))
    assert world.log.rows() == []
    assert world.log.append(batch(create("r0"))).runs == {"r0": 1}


def test_the_stores_own_events_have_a_stream_of_their_own(world):
    world.log.append(Batch(store_events=[(5, e.EngineStarted("e-1", 1, "h", "0"))]))
    world.log.append(batch(create("r1"), store_events=[(6, e.EngineStopped("e-1"))]))
    assert list(world.log.history(0)) == [
        e.Recorded(1, 5, e.EngineStarted("e-1", 1, "h", "0")),
        e.Recorded(2, 6, e.EngineStopped("e-1")),
    ]


def test_a_run_came_from_elsewhere_if_the_store_says_so_right_behind_its_first_events(world):
    """A fact of the log, whatever stands in the row."""
    said = [(9, e.RunImported("ann", "copy", 3))]
    copy = world.log.append(batch(create("copy", count=3), store_events=said)).runs["copy"]
    own = world.log.append(
        batch(create("own", imported=True), store_events=[(9, e.EngineStarted("e-1", 1, "h", "0"))])
    ).runs["own"]
    assert world.log.came_from_elsewhere(copy)
    assert not world.log.came_from_elsewhere(own)
    assert not world.log.came_from_elsewhere(own + 1)


def test_a_run_that_somebody_goes_on_with_came_from_where_it_came(world):
    said = [(9, e.RunImported("ann", "copy", 2))]
    copy = world.log.append(batch(create("copy"), store_events=said)).runs["copy"]
    own = world.log.append(batch(create("own"))).runs["own"]
    world.log.append(batch(extend(copy, "copy", 2), extend(own, "own", 2)))
    world.log.append(Batch(store_events=[(9, e.RunImported("ann", "own", 2))]))
    assert world.log.came_from_elsewhere(copy)
    assert not world.log.came_from_elsewhere(own)


def test_hashes_chain_each_run_and_depend_on_its_id(world):
    done = world.log.append(batch(create("r1"), create("r2")))
    first, second = (list(world.log.stored(done.runs[one])) for one in ("r1", "r2"))
    assert [one.body for one in first] == [one.body for one in second]
    assert len({one.hash for one in first + second}) == 4


def test_an_empty_batch_changes_nothing(world):
    assert world.log.append(Batch()).runs == {}
    assert list(world.log.stored(0)) == []


# --- conflicts --------------------------------------------------------------------------------


def test_a_stale_writer_loses_its_run_and_only_that(world):
    run = world.log.append(batch(create("r1"))).runs["r1"]
    world.another().append(batch(extend(run, "r1", 2, text="other")))
    done = world.log.append(batch(extend(run, "r1", 2, text="stale"), create("r2")))
    assert done.conflicts == {"r1"}
    assert done.runs.keys() == done.first_seq.keys() == {"r2"}
    assert [one.event for one in world.log.history(run, 2)] == [e.RunPaused("me", "other3")]
    assert world.log.row("r1").n == 3


def test_an_id_that_exists_is_a_conflict(world):
    world.log.append(batch(create("r1", count=1)))
    assert world.another().append(batch(create("r1"))).conflicts == {"r1"}
    assert world.log.row("r1").n == 1


def test_the_same_new_id_twice_in_a_batch_is_a_conflict(world):
    assert world.log.append(batch(create("r1"), create("r1"))).conflicts == {"r1"}
    assert world.log.row("r1") is None


def test_a_run_is_retried_once(world):
    """By whoever comes first: the next retry is one of the retry."""
    birth = {"origin": "a", "root": "a"}
    world.log.append(batch(create("a"), create("a.2", **birth)))
    assert world.another().append(batch(create("mine", **birth))).conflicts == {"mine"}
    done = world.log.append(batch(create("x", origin="a.2", root="a"), create("y")))
    assert (done.conflicts, done.runs.keys()) == (frozenset(), {"x", "y"})
    assert not world.log.append(batch(create("a.f1", origin="a", origin_n=3))).conflicts
    assert not world.log.append(batch(create("copy", imported=True, **birth))).conflicts


def test_the_same_run_retried_twice_in_a_batch_is_a_conflict(world):
    birth = {"origin": "a", "root": "a"}
    both = batch(create("a"), create("a.2", **birth), create("mine", **birth))
    assert world.log.append(both).conflicts == {"a.2", "mine"}
    assert [row.run_id for row in world.log.rows()] == ["a"]


def test_a_run_that_is_not_there_is_a_conflict(world):
    assert world.log.append(batch(extend(7, "r7", 1))).conflicts == {"r7"}


def test_a_surrogate_of_another_run_is_a_conflict(world):
    run = world.log.append(batch(create("r1"))).runs["r1"]
    assert world.log.append(batch(extend(run, "r2", 2))).conflicts == {"r2"}


def test_two_writers_taking_turns_both_get_through(world):
    writers = [world.log, world.another()]
    run = world.log.append(batch(create("r1"))).runs["r1"]
    for turn in range(10):
        assert not writers[turn % 2].append(batch(extend(run, "r1", 2 + turn))).conflicts
    assert world.log.row("r1").n == 12
    assert [one.seq for one in world.log.stored(run)] == list(range(1, 13))


# --- the read model ---------------------------------------------------------------------------


def test_the_row_is_what_the_writer_said_last(world):
    birth = {"origin": "r0", "origin_n": 7, "root": "r", "imported": True}
    full = row("r1", 2, status=RunStatus.PAUSED, started_at=1, ended_at=2, wake_at=3, engine="e-1")
    full = attrs.evolve(full, cause="ü", definition="d", structure="s", inputs="i", code="c")
    full = attrs.evolve(full, tags=("a", "é"), **birth)
    run = world.log.append(batch(attrs.evolve(create("r1"), row=full))).runs["r1"]
    assert world.log.row("r1") == attrs.evolve(full, run=run)
    world.log.append(batch(extend(run, "r1", 2, status=RunStatus.SUCCEEDED, **birth)))
    assert world.log.row("r1") == row("r1", 3, run, status=RunStatus.SUCCEEDED, **birth)


def test_what_tasks_move_of_a_row_is_changed_in_it_and_nothing_else(world):
    full = row("r1", 2, started_at=1, wake_at=3, engine="e-1", tags=("a",), imported=True)
    run = world.log.append(batch(attrs.evolve(create("r1"), row=full))).runs["r1"]
    other = world.log.append(batch(create("r2"))).runs["r2"]
    moved = Moved(3, 1, 2, 3, 4, 5, 6, 7, wake_at=9)
    world.log.append(batch(attrs.evolve(extend(run, "r1", 2), row=moved)))
    counts = Counts(1, 2, 3, 4, 5, 6, 7)
    assert world.log.row("r1") == attrs.evolve(full, run=run, n=3, counts=counts, wake_at=9)
    assert world.log.row("r2") == row("r2", 2, other)


def test_rows_are_newest_first_and_filtered(world):
    world.log.append(
        batch(
            create("a1", status=RunStatus.FAILED, created_at=5),
            create("a2", workflow="v", created_at=1),
            create("b_1", created_at=9),
        )
    )

    def found(**rest):
        return [one.run_id for one in world.log.rows(**rest)]

    assert found() == ["b_1", "a2", "a1"]
    assert found(limit=1) == ["b_1"]
    assert found(status=[RunStatus.FAILED]) == ["a1"]
    assert found(status=[RunStatus.FAILED, RunStatus.RUNNING], limit=2) == ["b_1", "a2"]
    assert found(workflow="v") == ["a2"]
    assert found(since=5) == ["b_1", "a1"]
    assert found(prefix="a") == ["a2", "a1"]
    assert found(prefix="b_") == ["b_1"]
    assert found(prefix="b%") == found(prefix="b1") == []


def test_rows_are_found_by_where_they_come_from(world):
    world.log.append(
        batch(
            create("a"),
            create("a.2", origin="a", root="a", status=RunStatus.FAILED),
            create("a.3", origin="a.2", root="a"),
            create("a.f1", origin="a", origin_n=4),
        )
    )

    def found(**rest):
        return [one.run_id for one in world.log.rows(**rest)]

    assert found(root="a") == ["a.3", "a.2"]
    assert found(root="a", limit=1) == ["a.3"]
    assert found(root="a", status=[RunStatus.FAILED]) == ["a.2"]
    assert found(origin="a") == ["a.f1", "a.2"]
    assert found(origin="a.3") == found(root="a.2") == found(root="") == found(origin="") == []


# --- payloads ---------------------------------------------------------------------------------


def test_payloads_are_kept_once_by_digest(world):
    data = b"\0\xff" * 100
    world.log.append(Batch(payloads=[(digest_of(data), data), (digest_of(data), data)]))
    assert world.log.payload(digest_of(data)) == data
    assert world.log.has_payload(digest_of(data))
    assert not world.log.has_payload(digest_of(b"other"))
    world.log.append(Batch(payloads=[(digest_of(data), data)]))
    assert world.log.payload(digest_of(data)) == data
    with pytest.raises(PayloadMissing):
        world.log.payload(digest_of(b"other"))


# --- the inbox --------------------------------------------------------------------------------


def test_a_posted_command_waits_until_it_is_answered(world):
    number = world.another().post("r1", Verb.CANCEL, "me", "key", 4, '{"reason":"x"}')
    (command,) = world.log.inbox()
    assert (command.id, command.verb, command.answer) == (number, Verb.CANCEL, None)
    assert (command.actor, command.key, command.at) == ("me", "key", 4)
    world.log.append(Batch(answers=[Answer(number, "r1", accepted=False, text="no such run")]))
    assert world.log.inbox() == []
    answered = world.log.command(number)
    assert (answered.accepted, answered.answer) == (False, "no such run")
    assert world.log.command(number + 1) is None


@pytest.mark.parametrize("verb", Verb)
def test_a_command_of_any_kind_comes_as_it_was_posted(world, verb):
    """Its body too, whatever people have typed."""
    body = json.dumps(
        {"reason": "\x1b[2J\n\u202e\ud83d\ude00", "task": "a b", "value": '{"a":[1]}'}
    )
    number = world.another().post("r1", verb, "ann@desk", "key", 4, body)
    (command,) = world.log.inbox()
    assert (command.id, command.verb, command.actor, command.body) == (
        number, verb, "ann@desk", body,
    )  # fmt: skip


def test_unfinished_runs_are_listed_apart_from_those_that_have_ended(world):
    """Also where only some of their states are asked for, and when one ends."""
    live = frozenset(RunStatus) - RUN_FINAL
    done = world.log.append(
        batch(create("r1"), create("r2", status=RunStatus.SUCCEEDED, ended_at=9), create("r3"))
    )
    assert [one.run_id for one in world.log.rows(status=live)] == ["r3", "r1"]
    assert [one.run_id for one in world.log.rows(status=[RunStatus.RUNNING])] == ["r3", "r1"]
    assert [one.run_id for one in world.log.rows(status=RUN_FINAL)] == ["r2"]
    ends = extend(done.runs["r3"], "r3", 2, status=RunStatus.FAILED, ended_at=9)
    assert not world.log.append(batch(ends)).conflicts
    assert [one.run_id for one in world.log.rows(status=live)] == ["r1"]
    assert [one.run_id for one in world.log.rows(status={*live, RunStatus.FAILED})] == ["r3", "r1"]


def test_posting_the_same_key_twice_is_posting_once(world):
    first = world.log.post("r1", Verb.PAUSE, "me", "key", 1, "{}")
    assert world.another().post("r1", Verb.PAUSE, "me", "key", 2, "{}") == first
    assert world.log.post("r2", Verb.PAUSE, "me", "key", 2, "{}") != first
    assert [one.at for one in world.log.inbox()] == [1, 2]


def test_a_command_is_consumed_exactly_once_with_its_events(world):
    done = world.log.append(batch(create("r1"), create("r2")))
    number = world.log.post("r1", Verb.PAUSE, "me", "key", 1, "{}")
    answers = [Answer(number, "r1", accepted=True, text="paused")]
    first = batch(extend(done.runs["r1"], "r1", 2), answers=answers)
    assert not world.another().append(first).conflicts
    again = batch(
        extend(done.runs["r1"], "r1", 3), extend(done.runs["r2"], "r2", 2), answers=answers
    )
    assert world.log.append(again).conflicts == {"r1"}
    assert (world.log.row("r1").n, world.log.row("r2").n) == (3, 3)


def test_a_run_in_conflict_leaves_its_command_open(world):
    run = world.log.append(batch(create("r1"))).runs["r1"]
    number = world.log.post("r1", Verb.PAUSE, "me", "key", 1, "{}")
    answers = [Answer(number, "r1", accepted=True, text="paused")]
    assert world.log.append(batch(extend(run, "r1", 1), answers=answers)).conflicts == {"r1"}
    assert [one.id for one in world.log.inbox()] == [number]


# --- leases -----------------------------------------------------------------------------------


def test_the_second_taker_of_a_full_lease_loses_its_run(world):
    world.live("e-1")
    world.live("e-2")
    assert not world.log.append(batch(create("r1"), takes=[take("r1")])).conflicts
    done = world.another().append(batch(create("r2"), create("r3"), takes=[take("r2", "e-2")]))
    assert done.conflicts == {"r2"}
    assert done.runs.keys() == {"r3"}
    assert world.log.held("k") == {"e-1": 1}


def test_a_lease_has_units_that_add_up_to_its_limit(world):
    world.live("e-1")
    world.live("e-2")
    takes = [take("r1", units=2, limit=4), take("r2", "e-2", units=1, limit=4)]
    assert not world.log.append(batch(create("r1"), create("r2"), takes=takes)).conflicts
    more = [take("r3", units=2, limit=4)]
    assert world.log.append(batch(create("r3"), takes=more)).conflicts == {"r3"}
    more = [take("r3", units=1, limit=4)]
    assert not world.log.append(batch(create("r3"), takes=more)).conflicts
    assert world.log.held("k") == {"e-1": 3, "e-2": 1}


def test_what_a_dead_holder_has_is_void(world):
    world.live("e-1")
    world.live("e-2")
    world.log.append(batch(create("r1"), takes=[take("r1")]))
    world.die("e-1")
    assert world.log.held("k") == {"e-1": 1}
    assert not world.log.append(batch(create("r2"), takes=[take("r2", "e-2")])).conflicts
    assert world.log.held("k") == {"e-2": 1}


def test_what_is_dropped_can_be_taken_in_the_same_batch(world):
    world.live("e-1")
    world.live("e-2")
    world.log.append(batch(create("r1"), takes=[take("r1")]))
    swap = batch(create("r2"), takes=[take("r2", "e-2")], drops=[LeaseDrop("k", "e-1")])
    assert not world.log.append(swap).conflicts
    assert world.log.held("k") == {"e-2": 1}
    world.log.append(Batch(drops=[LeaseDrop("k", "e-2"), LeaseDrop("nothing", "e-2")]))
    assert world.log.held("k") == world.log.held("nothing") == {}


def test_a_run_gets_all_its_leases_or_none(world):
    world.live("e-1")
    world.live("e-2")
    world.log.append(batch(create("r1"), takes=[take("r1", key="b")]))
    wants = [take("r2", "e-2", key="a"), take("r2", "e-2", key="b")]
    assert world.log.append(batch(create("r2"), takes=wants)).conflicts == {"r2"}
    assert world.log.held("a") == {}
    assert world.log.held("b") == {"e-1": 1}


def test_a_run_in_conflict_takes_no_lease(world):
    world.live("e-1")
    world.log.append(batch(create("r1")))
    assert world.log.append(batch(create("r1"), takes=[take("r1")])).conflicts == {"r1"}
    assert world.log.held("k") == {}


# --- the rest ---------------------------------------------------------------------------------


def test_version_changes_when_another_process_commits_and_not_by_own_commits(world):
    other = world.another()
    before = world.log.version()
    world.log.append(batch(create("r1")))
    assert world.log.version() == before
    other.append(batch(create("r2")))
    assert world.log.version() != before


def test_a_read_only_log_reads_and_refuses_to_write(world):
    run = world.log.append(batch(create("r1"))).runs["r1"]
    reader = world.readonly()
    assert reader.row("r1").run == run
    assert len(list(reader.history(run))) == 2
    with pytest.raises(CallerError):
        reader.append(batch(create("r2")))
    with pytest.raises(CallerError):
        reader.post("r1", Verb.CANCEL, "me", "key", 1, "{}")
    world.log.append(batch(create("r2")))
    assert [one.run_id for one in reader.rows()] == ["r2", "r1"]


def test_a_closed_log_says_so(world):
    log = world.another()
    log.close()
    log.close()
    with pytest.raises(StoreError, match="closed"):
        log.append(batch(create("r1")))
    with pytest.raises(StoreError, match="closed"):
        log.rows()
