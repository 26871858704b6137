"""`dwf why`: the answer about a run in a store, now and at events of the past."""

from __future__ import annotations

import json
import sqlite3
import time

import attrs
import histories_of as h
import pytest
import strategies
from click.testing import CliRunner
from engine_rig import Gate
from loop_rig import put

import durable_wf as wf
from durable_wf.cli.around import around, lived
from durable_wf.cli.main import dwf
from durable_wf.core import events as e
from durable_wf.core.breaker import Breaker
from durable_wf.core.circuit import Outcome, What, lease_of
from durable_wf.core.status import WaitKind
from durable_wf.core.task import WaitFor
from durable_wf.core.witness import Witness
from durable_wf.engine.view import load_definition
from durable_wf.store import locks
from durable_wf.store.opening import open_store
from durable_wf.store.port import Batch, LeaseTake

BEGUN = (h.CREATED, h.CLAIMED, h.STARTED)


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    yield store
    store.close()


@pytest.fixture
def living(store):
    """Engine e-1, which the histories name, is alive."""
    lock = locks.create(store.folder.locks, "e-1")
    yield lock
    lock.release()


@pytest.fixture
def ask(store):
    def run(*args):
        return CliRunner().invoke(dwf, ["--store", str(store.folder.path), "why", *map(str, args)])

    return run


def document(shown):
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)


def test_the_screen_says_what_holds_the_task_back_and_what_is_at_the_bottom(store, living, ask):
    put(store.log, *BEGUN, h.begun(), h.broke(), h.RETRY)
    shown = ask("r", "b")
    assert shown.exit_code == 0, shown.output
    assert "task b of run r is pending" in shown.output
    assert "it waits for a, which is waiting: it waits for a retry that was due at" in shown.output
    assert "by rule: because" in shown.output


def test_a_task_of_a_run_over_which_engines_died_may_have_to_wait_for_its_turn(store, ask):
    """Whether it does depends on what its engine allows, which the log does not have."""
    died = (h.begun(), e.RunClaimed("e-2", "recover"), e.AttemptReturned("a", 1))
    put(store.log, *BEGUN, *died, *died)
    other = locks.create(store.folder.locks, "e-2")
    try:
        shown, told = ask("r", "a").output, document(ask("r", "a", "--json"))
    finally:
        other.release()
    assert "task a of run r could start" in shown
    assert "2 engines in a row have died over its run, which may have to wait for its turn" in shown
    assert (told["may_start"], told["crashes"]) == (True, 2)


def test_each_event_of_the_past_can_be_asked_about(store, living, ask):
    put(store.log, *BEGUN, h.PAUSED, h.RESUMED, h.begun(), h.done(), h.begun("b"))
    said = {
        n: [reason["cause"] for reason in document(ask("r", "b", "--at", n, "--json"))["reasons"]]
        for n in range(1, 9)
    }
    assert said == {
        1: ["run_not_begun", "no_engine", "upstream"],
        2: ["run_not_begun", "upstream"],
        3: ["upstream"],
        4: ["run_paused", "upstream"],
        5: ["upstream"],
        6: ["upstream"],
        7: [],
        8: ["begun"],
    }
    then = document(ask("r", "b", "--at", 7, "--json"))
    assert (then["n"], then["may_start"], then["since"]["n"]) == (7, True, 7)
    assert "could start at event 7" in ask("r", "b", "--at", 7).output


def test_a_dead_engine_is_told_with_the_line_that_resumes(store, ask):
    put(store.log, *BEGUN)
    shown = ask("r", "a")
    assert "its engine e-1 does not run any more" in shown.output
    assert "next  dwf resume r" in shown.output


def test_who_has_to_answer_is_told_what_to_type(store, living, ask):
    wait = WaitFor(WaitKind.APPROVAL, question="publish?", whom="ann")
    workflow = strategies.workflow(
        strategies.task("a", wait=wait), strategies.task("b", "a"), name="w"
    )
    put(store.log, *BEGUN, e.TaskWaiting("a", WaitKind.APPROVAL), workflow=workflow)
    for task in ("a", "b"):
        shown = ask("r", task)
        assert "it waits for an approval of ann: publish?" in shown.output
        assert "next  dwf approve r a" in shown.output
        assert "next  dwf reject r a" in shown.output
    assert "next" not in ask("r", "a", "--at", 3).output


def test_of_many_reasons_the_first_are_shown_and_all_are_in_the_json(store, ask):
    names = [f"t{k:02}" for k in range(30)]
    workflow = strategies.workflow(
        *map(strategies.task, names), strategies.task("z", *names), name="w"
    )
    put(store.log, *BEGUN, workflow=workflow)
    shown = ask("r", "z").output
    assert "its engine e-1 does not run any more" in shown
    assert "and 21 more (--json)" in shown
    assert len(shown.splitlines()) < 25
    assert len(document(ask("r", "z", "--json"))["reasons"]) == 31


def test_a_run_that_cannot_be_read_is_passed_over(store, living, ask):
    put(store.log, *BEGUN, h.begun(), run_id="s")
    put(store.log, *BEGUN, workflow=attrs.evolve(h.A_THEN_B, name="other"))
    with sqlite3.connect(store.folder.db) as connection:
        connection.execute("UPDATE runs SET definition = 'gone' WHERE run_id = 's'")
    connection.close()
    assert document(ask("r", "a", "--json"))["may_start"]
    assert ask("s", "a").exit_code == 5


def test_when_an_engine_had_died_is_known_from_the_claim_that_followed(store, ask):
    taken = h.CLAIMED.__class__("e-2", "recover")
    row, _ = put(store.log, *BEGUN, h.begun(), taken, h.broke())
    assert [lived(store, row, n) for n in range(1, 6)] == [False, True, True, False, True]
    document_then = document(ask("r", "a", "--at", 4, "--json"))
    assert [r["cause"] for r in document_then["reasons"]] == ["in_doubt", "no_engine"]


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (("r", "c"), 3, "dwf show r"),
        (("r", "aa"), 3, "did you mean 'a'"),
        (("s", "a"), 3, "dwf list"),
        (("r", "a", "--at", "9"), 2, "run r has 3 events"),
        (("r", "a", "--at", "0"), 2, "--help"),
    ],
)
def test_a_wrong_question_is_a_clear_error(store, ask, args, code, text):
    put(store.log, *BEGUN)
    shown = ask(*args)
    assert shown.exit_code == code
    assert text in shown.output


# --- circuit breakers ---

GUARDED = strategies.workflow(
    strategies.task("a", breaker=Breaker("pay", failures=1, cooldown_s=1e6)), name="guarded"
)
QUICK = strategies.workflow(
    strategies.task("a", breaker=Breaker("pay", failures=1, cooldown_s=0.0)), name="quick"
)


def fails_at(store, at):
    """A recorded failure that opens the breaker; `at` counts from the beginning of the run."""
    store.log.append(Batch(outcomes=[Outcome("pay", at, What.FAILED, "r/a/1", at)]))


def test_an_open_breaker_is_named_with_its_failures_and_its_end(store, living, ask):
    put(store.log, *BEGUN, workflow=GUARDED)
    fails_at(store, time.time_ns() // 1000)
    (reason,) = document(ask("r", "a", "--json"))["reasons"]
    assert (reason["cause"], reason["name"]) == ("breaker", "pay")
    assert "breaker 'pay' is open until 20" in reason["text"]
    assert reason["until"]
    assert "1 failure, the last one in run r, task 'a', attempt 1" in ask("r", "a").output


def test_a_breaker_that_opened_later_did_not_hold_the_task_back_then(store, living, ask):
    """The events of the run are 10 microseconds apart, and it failed at 25."""
    put(store.log, *BEGUN, h.PAUSED, h.RESUMED, workflow=GUARDED)
    fails_at(store, 35)
    assert document(ask("r", "a", "--at", 3, "--json"))["may_start"]
    then = document(ask("r", "a", "--at", 5, "--json"))
    assert then["may_start"] is True  # it is the newest event: this is about now
    put(store.log, *BEGUN, h.PAUSED, h.RESUMED, h.PAUSED, workflow=GUARDED, run_id="s")
    (reason,) = document(ask("s", "a", "--at", 5, "--json"))["reasons"]
    assert reason["cause"] == "breaker"


def test_a_half_open_breaker_lets_one_through_unless_a_probe_is_on_its_way(store, living, ask):
    put(store.log, *BEGUN, workflow=QUICK)
    fails_at(store, 25)
    assert document(ask("r", "a", "--json"))["may_start"]
    store.log.append(Batch(outcomes=[Outcome("pay", 26, What.PROBE, "s/a/1")]))
    put(store.log, *BEGUN, h.begun(), workflow=QUICK, run_id="s")
    assert document(ask("r", "a", "--json"))["may_start"], "no living engine has the right to it"
    store.log.append(Batch(takes=[LeaseTake(lease_of("pay"), "e-1", "s")]))
    (reason,) = document(ask("r", "a", "--json"))["reasons"]
    assert "run s, task 'a', attempt 1 is its probe" in reason["text"]


def test_a_forged_outcome_is_no_error(store, living, ask):
    put(store.log, *BEGUN, workflow=GUARDED)
    fails_at(store, 2**62)
    assert document(ask("r", "a", "--json"))["reasons"][0]["cause"] == "breaker"


# --- resources, from real runs ---


def held_by_gate(gate):
    def hold() -> None:
        gate.pass_through()

    return hold


def test_a_pool_that_another_run_holds_is_named_with_the_run(tmp_path):
    """Both runs are of one engine; at the end, and while it lasted."""
    gate, path = Gate(tmp_path / "gate"), tmp_path / "store"

    def run(*args):
        return CliRunner().invoke(dwf, ["--store", str(path), "why", *map(str, args)])

    with wf.WorkflowEngine(path, workers=2, cpus=4, pools={"db": 1}) as engine:
        hold = held_by_gate(gate)
        one = wf.WorkflowBuilder("one").add_task("a", hold, pools={"db": 1}).build()
        two = wf.WorkflowBuilder("two").add_task("b", lambda: 1, pools={"db": 1}).build()
        first = engine.submit(one, run_id="first")
        gate.wait_for_one()
        second = engine.submit(two, run_id="second")
        (reason,) = document(run("second", "b", "--json"))["reasons"]
        text = run("second", "b").output
        gate.open()
        first.result(30)
        second.result(30)

    assert (reason["cause"], reason["resource"]) == ("resource", "pool db")
    assert (reason["needs"], reason["has"], reason["held"]) == (1, 1, 1)
    assert reason["holders"] == [{"run_id": "first", "task": "a", "amount": 1}]
    assert "it needs 1 pool db; 0 of 1 are free: a of first (1)" in text
    then = document(run("second", "b", "--at", 3, "--json"))
    assert [r["cause"] for r in then["reasons"]] == ["resource"]
    assert document(run("second", "b", "--json"))["reasons"][0]["cause"] == "ended"


def test_cores_are_counted_by_what_the_run_declared(tmp_path):
    gate, path = Gate(tmp_path / "gate"), tmp_path / "store"
    with wf.WorkflowEngine(path, workers=2, cpus=3) as engine:
        workflow = (
            wf.WorkflowBuilder("w")
            .add_task("big", held_by_gate(gate), cpu=2)
            .add_task("next", lambda: 1, cpu=2)
            .build()
        )
        handle = engine.submit(workflow, run_id="r")
        gate.wait_for_one()
        store = open_store(path, readonly=True)
        row = store.log.row("r")
        witness = Witness.of("r", load_definition(store.log, row), store.log.history(row.run))
        known = around(store, row, witness, alive=lived(store, row, row.n))
        store.close()
        shown = CliRunner().invoke(dwf, ["--store", str(path), "why", "r", "next"])
        gate.open()
        handle.result(30)
    assert known.stock.limits == {"cpu": 3.0, "gpu": 0.0}
    assert known.stock.assumed == frozenset()
    assert "it needs 2 cpu; 1 of 3 are free: big of r (2)" in shown.output
