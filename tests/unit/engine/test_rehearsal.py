"""rehearsal: what continuing a run would do, decided in memory and told, never written."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from random import Random

import attrs
import histories_of as h
import pytest
import strategies
import walks
from loop_rig import put
from store_rig import as_nobody

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.definition import FunctionRef
from durable_wf.core.resources import Resources
from durable_wf.core.status import FaultKind, InDoubt, RunStatus, WaitKind
from durable_wf.core.task import WaitFor
from durable_wf.engine import claiming, code, rehearsal
from durable_wf.engine.claiming import claim, replayed
from durable_wf.engine.rehearsal import Waits, rehearse
from durable_wf.engine.settings import settings
from durable_wf.errors import NotFound, OwnedElsewhere, WrongState
from durable_wf.recovery import Skip, keep_going, retry, rule
from durable_wf.store import locks
from durable_wf.store.opening import open_store

BEGUN = (h.CREATED, h.CLAIMED, h.STARTED)
NOW = 10_000


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    yield store
    store.close()


@pytest.fixture(autouse=True)
def at_hand(monkeypatch):
    """The code of the runs is at hand: what the definition names, with rules of the test's own."""
    rules = {}

    def load(recorded, state, log):
        functions = {task.name: print for task in recorded.tasks}
        return attrs.evolve(recorded, functions=functions, recovery=rules)

    monkeypatch.setattr(code, "load_trusted", load)
    return rules


def rehearsed(store, *events, why="resume", run_id="r", **options):
    row, _ = put(store.log, *events, run_id=run_id)
    return rehearse(store, row, why, NOW, trusted=True, **options)


def test_what_has_ended_is_reused_and_what_could_not_start_comes_later(store):
    found = rehearsed(store, *BEGUN, h.begun(), h.done())
    assert (found.reused, found.starts, found.later) == (("a",), ("b",), ())
    found = rehearsed(store, *BEGUN, why="recover", run_id="s")
    assert (found.reused, found.starts, found.later) == ((), ("a",), ("b",))
    assert found.refused == ()


def test_an_open_attempt_is_in_doubt_and_the_default_runs_it_again(store):
    found = rehearsed(store, *BEGUN, h.begun())
    (judged,) = found.judged
    assert (judged.task, judged.attempt, judged.in_doubt) == ("a", 1, True)
    assert judged.fault.kind is FaultKind.IN_DOUBT
    assert isinstance(judged.decision, i.Retry)
    assert judged.said == ()
    assert found.starts == ("a",)


def test_every_rule_is_asked_and_the_first_answer_decides(store, at_hand):
    @rule("silent")
    def silent(history, fault):
        return None

    @rule("broken", version="7")
    def broken(history, fault):
        raise KeyError("x")

    at_hand["a"] = (silent, retry(3, losses=2))
    at_hand[""] = (broken, keep_going())
    (judged,) = rehearsed(store, *BEGUN, h.begun()).judged
    assert [(said.rule, said.version) for said in judged.said] == [
        ("silent", "1"), ("retry up to 3 attempts", "1"), ("broken", "7"), ("keep going", "1"),
    ]  # fmt: skip
    answers = [said.answer for said in judged.said]
    assert (answers[0], answers[3]) == (None, None)  # keep_going leaves doubt to others
    assert isinstance(answers[1], i.Retry)
    assert "raised KeyError" in answers[2].reason
    assert judged.decision == answers[1]


def test_a_fault_that_nobody_decided_about_is_decided_now(store, at_hand):
    """The history was cut inside a commit."""
    at_hand["a"] = (rule("mine")(lambda history, fault: Skip("never mind")),)
    found = rehearsed(store, *BEGUN, h.begun(), h.broke())
    (judged,) = found.judged
    assert (judged.in_doubt, judged.fault.message) == (False, "boom")
    assert isinstance(judged.decision, i.Skip)
    assert found.starts == ("b",)


def test_a_retry_for_which_there_is_no_time_is_told_as_the_failure_that_it_becomes(store, at_hand):
    at_hand["a"] = (retry(3, wait="1h"),)
    work = strategies.workflow(strategies.task("a", deadline_s=60.0), name="w")
    row, _ = put(store.log, *BEGUN, h.begun(), h.broke(), workflow=work)
    found = rehearse(store, row, "resume", NOW, trusted=True)
    (judged,) = found.judged
    assert isinstance(judged.said[0].answer, i.Retry)
    assert isinstance(judged.decision, i.Fail)
    assert judged.decision.rule == "deadline"
    assert "its deadline has passed" in judged.decision.reason
    assert found.ends is RunStatus.FAILED


def test_what_waits_is_told_with_its_time(store):
    retry_later = attrs.evolve(h.RETRY, until=NOW + 5)
    found = rehearsed(store, *BEGUN, h.begun(), h.broke(), retry_later)
    assert (found.waits, found.starts, found.later) == ((Waits("a", NOW + 5),), (), ("b",))
    due = rehearsed(store, *BEGUN, h.begun(), h.broke(), h.RETRY, run_id="s")
    assert (due.waits, due.starts) == ((), ("a",))


@pytest.mark.parametrize(
    ("policy", "decision", "after"),
    [
        (InDoubt.RERUN, i.Retry, {"starts": ("a",)}),
        (InDoubt.FAIL, i.Fail, {"ends": RunStatus.FAILED}),
        (InDoubt.PROBE, i.ProbeFirst, {"starts": ("a",)}),
    ],
)
def test_what_a_task_declares_about_doubt_comes_before_its_rules(
    store, at_hand, policy, decision, after
):
    at_hand["a"] = (retry(3, losses=2),)
    task = strategies.task("a", in_doubt=policy, probe="jobs:look")
    workflow = strategies.workflow(task, strategies.task("b", "a"), name="w")
    row, _ = put(store.log, *BEGUN, h.begun(), workflow=workflow)
    found = rehearse(store, row, "resume", NOW, trusted=True)
    (judged,) = found.judged
    assert judged.policy is policy
    assert isinstance(judged.decision, decision)
    assert bool(judged.said) == (policy is InDoubt.RERUN)
    for name, value in after.items():
        assert getattr(found, name) == value


def test_a_person_who_would_be_asked_is_told_with_the_question(store):
    workflow = strategies.workflow(strategies.task("a", in_doubt=InDoubt.ASK), name="w")
    row, _ = put(store.log, *BEGUN, h.begun(), workflow=workflow)
    (waits,) = rehearse(store, row, "resume", NOW, trusted=True).waits
    question = "did attempt 1 of task 'a' have its effect?"
    assert waits == Waits("a", None, WaitKind.OPERATOR, question)


def test_a_task_whose_turn_it_is_to_wait_would_wait(store):
    wait = WaitFor(WaitKind.APPROVAL, question="publish?", whom="ann", timeout_s=1)
    workflow = strategies.workflow(
        strategies.task("a"), strategies.task("b", "a", wait=wait), name="w"
    )
    row, _ = put(store.log, *BEGUN, h.begun(), h.done(), workflow=workflow)
    found = rehearse(store, row, "resume", NOW, trusted=True)
    (waits,) = found.waits
    assert waits == Waits("b", NOW + 1_000_000, WaitKind.APPROVAL, "publish?", "ann")
    assert (found.starts, found.later) == ((), ())


def test_an_end_that_is_only_to_be_written_is_told(store):
    found = rehearsed(store, *BEGUN, *h.BOTH_DONE)
    assert found.ends is RunStatus.SUCCEEDED
    assert found.reused == ("a", "b")


def test_a_paused_run_would_be_resumed_but_not_recovered(store):
    found = rehearsed(store, *BEGUN, h.PAUSED, h.RELEASED)
    assert found.starts == ("a",)
    row = store.log.row("r")
    assert rehearse(store, row, "recover", NOW, trusted=True).starts == ()


def test_a_paused_run_goes_on_in_the_engine_that_holds_it(store):
    lock = locks.create(store.folder.locks, "e-1")
    found = rehearsed(store, *BEGUN, h.begun(), h.PAUSED)
    assert (found.engine, found.judged, found.starts) == ("e-1", (), ())
    row = store.log.row("r")
    with pytest.raises(OwnedElsewhere):
        rehearse(store, row, "recover", NOW, trusted=True)
    lock.release()


def test_what_cannot_be_continued_raises_as_it_would(store):
    with pytest.raises(WrongState, match="has ended"):
        rehearsed(store, *BEGUN, *h.BOTH_DONE, h.SUCCEEDED)


def test_an_old_worker_that_lives_is_named_and_left_alone(store, monkeypatch):
    monkeypatch.setattr(claiming, "clear_worker", lambda *_: pytest.fail("it was killed"))
    lock = locks.create(store.folder.locks, "w-1-0")
    assert rehearsed(store, *BEGUN, h.begun()).workers == ("w-1-0 (pid 100)",)
    lock.release()


def test_a_store_that_may_not_be_written_is_rehearsed_all_the_same(store):
    put(store.log, *BEGUN, h.begun())
    store.close()
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)  # any user can reach it
    shutil.copytree(store.folder.path, place / "s")

    def look() -> int:
        copy = open_store(place / "s", readonly=True)
        found = rehearse(copy, copy.log.row("r"), "resume", NOW, trusted=False)
        return int(found.starts != ("a",))

    try:
        assert as_nobody(place / "s", look) == 0
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize(
    ("task", "executor", "said"),
    [
        ({"resources": Resources(cpu=8)}, "parallel", "task 'a' needs 8 cpu of 2"),
        ({"resources": Resources(pools=(("db", 1),))}, "parallel",
         "task 'a' needs pool 'db', which the engine was not given"),
        ({"timeout_s": 5.0}, "sequential",
         ("task 'a' has a timeout, which the sequential executor cannot enforce; "
          "use executor_type='parallel'")),
        ({"timeout_s": 5.0}, "parallel", None),
    ],
)  # fmt: skip
def test_what_such_an_engine_could_not_run_is_refused(store, task, executor, said):
    workflow = strategies.workflow(strategies.task("a", **task), name="w")
    row, _ = put(store.log, *BEGUN, workflow=workflow)
    engine = settings(
        executor=executor, workers=2, cpus=2, memory=None, gpus=0, pools={}, grace_s=0,
        trust=False,
    )  # fmt: skip
    found = rehearse(store, row, "resume", NOW, trusted=True, settings=engine)
    assert found.refused == (() if said is None else (said,))


# --- code and rules ---


def test_changed_code_is_refused_unless_it_is_accepted(store, monkeypatch):
    def load(recorded, state, log):
        other = FunctionRef("work", "jobs", fingerprint="new")
        tasks = tuple(attrs.evolve(task, function=other) for task in recorded.tasks)
        functions = {task.name: print for task in tasks}
        return attrs.evolve(recorded, tasks=tasks, functions=functions)

    monkeypatch.setattr(code, "load_trusted", load)
    found = rehearsed(store, *BEGUN, h.begun(), h.done())
    assert found.changed.tasks == ("b",)  # a has ended, its code is of no concern
    assert found.refused == ("the code of 1 unfinished task has changed: b",)
    row = store.log.row("r")
    accepted = rehearse(store, row, "resume", NOW, trusted=True, accept_changes=True)
    assert (accepted.changed.tasks, accepted.refused) == (("b",), ())


@pytest.mark.parametrize("error", [NotFound("no such script"), ImportError("gone"), SystemExit(3)])
def test_code_that_cannot_be_loaded_leaves_the_default(store, monkeypatch, error):
    def load(*_):
        raise error

    monkeypatch.setattr(code, "load_trusted", load)
    found = rehearsed(store, *BEGUN, h.begun())
    assert found.no_code
    assert found.refused == (f"its code is not at hand: {found.no_code}",)
    assert isinstance(found.judged[0].decision, i.Retry)
    assert found.starts == ("a",)


def test_the_code_of_a_foreign_store_is_not_loaded(store, monkeypatch):
    loaded = []
    monkeypatch.setattr(code, "load_trusted", lambda *given: loaded.append(given))
    row, _ = put(store.log, *BEGUN, h.begun())
    found = rehearse(store, row, "resume", NOW, trusted=False)
    assert "was not made by this user" in found.no_code
    assert loaded == []
    assert found.starts == ("a",)


def test_rules_that_came_or_went_are_named(store, at_hand):
    at_hand["a"] = (retry(3),)
    workflow = attrs.evolve(h.A_THEN_B, rules=("keep going (version 1)",))
    row, _ = put(store.log, *BEGUN, workflow=workflow)
    found = rehearse(store, row, "resume", NOW, trusted=True)
    assert found.lost_rules == ("keep going (version 1)",)
    assert found.new_rules == ("retry up to 3 attempts (version 1)",)


# --- it is what a claim does ---


@pytest.mark.parametrize("seed", range(80))
def test_a_rehearsal_says_what_the_claim_then_does(store, at_hand, seed):
    """Of any history, cut anywhere: the same decisions, and the same tasks may start."""
    rng = Random(seed)
    workflow = strategies.random_workflow(rng)
    walk = walks.walked(rng, workflow)
    history = walk.events[1 : rng.randint(1, len(walk.events))]
    kept = [one.event for one in history if not isinstance(one.event, e.CodeAccepted)]
    events = [h.CREATED, *kept]
    row, state = put(store.log, *events, workflow=workflow)
    if state.final:
        return
    at_hand[""] = (retry(2, losses=1),)
    found = rehearse(store, row, "recover", NOW, trusted=True)

    again = replayed(store.log, row, workflow)
    judge = rehearsal.Judge(rehearsal.Rules.of(at_hand), lambda: 0.0)
    claimed = claim(store.log, store.folder.locks, row, again, "e-9", "recover", NOW, judge)
    decided = [
        (r.event.task, r.event.rule) for r in claimed.events if getattr(r.event, "rule", "")
        and not getattr(r.event, "upstream", "")
    ]  # fmt: skip
    late = {task for task, rule in decided if rule == "deadline"}  # a retry would come after it
    ruled = [
        (judged.task, "deadline" if judged.task in late else judged.decision.rule)
        for judged in found.judged
    ]
    assert [one for one in decided if one[1] not in {"draining", "answer"}] == ruled
    assert found.starts == tuple(again.graph.names[k] for k in again.all_ready())
    waiting = again.waiting.keys() | again.waits.keys()
    assert {one.task for one in found.waits} == {again.graph.names[k] for k in waiting}
    assert store.log.row("r").n == row.n
