"""Verbs for many runs: which are meant, the question, the report, the exit code."""

from __future__ import annotations

import json

import attrs
import histories_of as h
import pytest
from click.testing import CliRunner
from loop_rig import put

from durable_wf.cli import bulk
from durable_wf.cli.bulk import Told, each, report
from durable_wf.cli.choosing import Filter, choose, select
from durable_wf.cli.exits import Exit
from durable_wf.cli.main import dwf
from durable_wf.cli.states import INTERRUPTED
from durable_wf.core.status import RunStatus
from durable_wf.store.opening import open_store

BEGUN = (h.CREATED, h.CLAIMED, h.STARTED)
PAUSED = (*BEGUN, h.PAUSED, h.RELEASED)
DONE = (*BEGUN, *h.BOTH_DONE, h.SUCCEEDED)
OTHER = attrs.evolve(h.A_THEN_B, name="other")


@pytest.fixture
def store(tmp_path):
    """Three runs of w (interrupted, paused, succeeded) and one of another workflow, interrupted."""
    store = open_store(tmp_path / "store", create=True)
    put(store.log, *BEGUN, run_id="broken")
    put(store.log, *PAUSED, run_id="paused")
    put(store.log, *DONE, run_id="done")
    put(store.log, *BEGUN, run_id="other-1", workflow=OTHER)
    yield store
    store.close()


@pytest.fixture
def run(store):
    def call(*args, answer=None):
        words = ["--store", str(store.folder.path), *map(str, args)]
        return CliRunner().invoke(dwf, words, input=answer, prog_name="dwf")

    return call


@pytest.fixture
def at_a_terminal(monkeypatch):
    monkeypatch.setattr(bulk, "_can_ask", lambda: True)


def states(store):
    return {row.run_id: row.status.value for row in store.log.rows()}


# --- which ---


def chosen(store, **wanted):
    return [row.run_id for row, _ in select(store, Filter(**wanted))]


def test_filters_choose_what_a_list_would_show(store):
    assert chosen(store) == ["other-1", "done", "paused", "broken"]
    assert chosen(store, workflow="w") == ["done", "paused", "broken"]
    assert chosen(store, states=frozenset({INTERRUPTED})) == ["other-1", "broken"]
    assert chosen(store, states=frozenset({RunStatus.RUNNING})) == []
    both = frozenset({RunStatus.PAUSED, RunStatus.SUCCEEDED})
    assert chosen(store, states=both) == ["done", "paused"]
    assert chosen(store, tags=frozenset({"nightly"})) == []
    assert chosen(store, since=11) == []
    assert chosen(store, since=10) == chosen(store)


def test_all_tags_that_are_asked_for_must_be_there(tmp_path):
    import durable_wf as wf

    workflow = wf.WorkflowBuilder("w").add_task("a", lambda: 1).build()
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        engine.run(workflow, run_id="both", tags=["x", "y"])
        engine.run(workflow, run_id="one", tags=["x"])
    words = ["--store", str(tmp_path / "s"), "list", "--json", "--tag", "x"]
    one = CliRunner().invoke(dwf, words).stdout.splitlines()
    two = CliRunner().invoke(dwf, [*words, "--tag", "y"]).stdout.splitlines()
    assert [json.loads(line)["run_id"] for line in one] == ["one", "both"]
    assert [json.loads(line)["run_id"] for line in two] == ["both"]


def test_names_and_filters_together_choose_what_fits_both(store):
    paused = Filter(frozenset({RunStatus.PAUSED}))
    assert [row.run_id for row, _ in choose(store, ("broken", "pau"), paused)] == ["paused"]
    assert [row.run_id for row, _ in choose(store, ("broken", "broken"), Filter())] == ["broken"]


# --- the question ---


def test_off_a_terminal_nothing_is_done_without_yes(store, run):
    before = states(store)
    shown = run("cancel", "--workflow", "w")
    assert shown.exit_code == Exit.USAGE
    assert "This would cancel 2 runs: paused (paused), broken (interrupted)" in shown.output
    assert "--yes" in shown.output
    assert states(store) == before


def test_at_a_terminal_it_asks_and_a_no_changes_nothing(store, run, at_a_terminal):
    before = states(store)
    shown = run("pause", "--status", "interrupted", answer="n\n")
    assert shown.exit_code == Exit.OK
    assert "pause 2 runs: other-1 (interrupted), broken (interrupted)? [y/N]" in shown.output
    assert "nothing was changed" in shown.output
    assert states(store) == before


def test_at_a_terminal_a_yes_does_it(store, run, at_a_terminal):
    shown = run("pause", "--status", "interrupted", answer="y\n")
    assert shown.exit_code == Exit.OK, shown.output
    assert states(store)["broken"] == states(store)["other-1"] == "paused"
    assert "broken: pause accepted" in shown.output


def test_one_run_by_name_is_not_asked_about_and_two_are(store, run):
    assert run("pause", "broken", "other-1").exit_code == Exit.USAGE
    assert run("pause", "broken").exit_code == Exit.OK
    assert run("cancel", "broken", "other-1", "--yes").exit_code == Exit.OK
    assert states(store)["broken"] == states(store)["other-1"] == "cancelled"


def test_many_are_counted_and_the_first_are_named(store, run):
    for number in range(6):
        put(store.log, *BEGUN, run_id=f"more-{number}")
    shown = run("cancel", "-w", "w")
    assert "cancel 8 runs: more-5 (interrupted), " in shown.output
    assert "more-1 (interrupted) and 3 more" in shown.output


def test_a_limit_takes_the_newest_and_says_that_there_are_more(store, run):
    shown = run("cancel", "-w", "w", "--limit", "1")
    assert "cancel 1 run (the newest of more): paused (paused)" in shown.output
    assert run("cancel", "-w", "w", "--limit", "1", "--yes").exit_code == Exit.OK
    assert (states(store)["paused"], states(store)["broken"]) == ("cancelled", "running")


def test_neither_a_name_nor_a_filter_is_a_usage_error(run):
    shown = run("cancel", "--yes")
    assert shown.exit_code == Exit.USAGE
    assert "Name a RUN, or say which" in shown.output


# --- which of them by themselves ---


def test_without_a_state_those_are_meant_that_the_verb_can_change(store, run):
    shown = run("cancel", "--workflow", "w", "--yes", "--json")
    assert shown.exit_code == Exit.OK
    told = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [one["run_id"] for one in told] == ["paused", "broken"]
    assert all(one["accepted"] and one["command"] == "cancel" for one in told)
    assert states(store) == {
        "broken": "cancelled", "paused": "cancelled", "done": "succeeded", "other-1": "running",
    }  # fmt: skip


def test_a_refusal_is_reported_and_the_others_are_done(store, run):
    shown = run("cancel", "done", "broken", "--yes", "--json")
    assert shown.exit_code == Exit.WRONG_STATE
    told = {one["run_id"]: one for one in map(json.loads, shown.stdout.splitlines())}
    assert not told["done"]["accepted"]
    assert "has ended: succeeded" in told["done"]["text"]
    assert told["broken"]["accepted"]
    assert states(store)["broken"] == "cancelled"


def test_only_those_are_counted_to_which_the_verb_can_do_something(store, run, at_a_terminal):
    """And it is said how many are left out, and why."""
    states = ("--status", "succeeded", "--status", "paused", "--status", "interrupted")
    put(store.log, *DONE, run_id="done-2")
    shown = run("pause", *states, answer="n\n")
    assert "pause 2 runs: other-1 (interrupted), broken (interrupted)? [y/N]" in shown.output
    assert "left out: 2 succeeded, 1 paused\n" in shown.output
    shown = run("cancel", *states, answer="n\n")
    assert "cancel 3 runs: other-1 (interrupted), paused (paused), broken" in shown.output
    assert "left out: 2 succeeded\n" in shown.output


@pytest.mark.parametrize("verb", ["pause", "cancel", "resume", "retry"])
def test_where_nothing_is_left_nothing_is_done_and_that_is_no_error(store, run, verb):
    """A script that repeats itself finds that all is as it should be."""
    before = states(store)
    shown = run(verb, "--status", "succeeded", "--yes")
    assert shown.exit_code == Exit.OK, shown.output
    assert shown.output == f"nothing to {verb}; left out: 1 succeeded\n"
    shown = run(verb, "--workflow", "nobody-has", "--yes")
    assert (shown.exit_code, shown.output) == (Exit.OK, "no runs of workflow 'nobody-has' at all\n")
    assert states(store) == before


def test_a_copy_is_left_out(store, run, tmp_path):
    text = tmp_path / "run.jsonl"
    assert run("export", "broken", str(text)).exit_code == Exit.OK
    other = str(tmp_path / "other")
    open_store(other, create=True).close()
    assert run("import", str(text), "--store", other).exit_code == Exit.OK
    shown = run("cancel", "--status", "interrupted", "--yes", "--store", other)
    assert shown.output == "nothing to cancel; left out: 1 copied from another store\n"


@pytest.mark.parametrize("verb", ["pause", "cancel", "resume", "retry"])
def test_one_that_was_named_and_is_left_out_is_refused(store, run, verb):
    """Who names it wants something of it; and nobody is asked about nothing."""
    put(store.log, *DONE, run_id="done-2")
    shown = run(verb, "done", "done-2", "--json")
    assert shown.exit_code == Exit.WRONG_STATE, shown.output
    told = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [(one["run_id"], one["accepted"]) for one in told] == [
        ("done", False),
        ("done-2", False),
    ]
    assert {one["text"] for one in told} == {"left out: it has ended: succeeded"}


def test_pausing_what_is_paused_is_no_error_where_it_is_named(store, run):
    """As of one run alone."""
    assert run("pause", "paused").exit_code == Exit.OK
    assert run("pause", "paused", "broken", "--yes").exit_code == Exit.OK
    assert run("pause", "--status", "paused", "--yes").output == (
        "nothing to pause; left out: 2 paused\n"
    )


def test_no_run_at_all_is_said_and_is_no_error(run):
    shown = run("cancel", "--tag", "nowhere", "--yes")
    assert shown.exit_code == Exit.OK
    assert "no such runs" in shown.output


def test_a_name_that_nobody_has_changes_nothing(store, run):
    before = states(store)
    assert run("cancel", "broken", "nobody", "--yes").exit_code == Exit.NOT_FOUND
    assert states(store) == before


# --- any verb ---


def test_any_verb_can_be_reported(store, capsys):
    def act(row):
        return Told(row.run_id, accepted=row.run_id != "done", text="so it is")

    rows = [row for row, _ in select(store, Filter())]
    assert report("greet", each(rows, act), as_json=True) == Exit.WRONG_STATE
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told[0] == {
        "run_id": "other-1", "command": "greet", "accepted": True, "text": "so it is",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        ((True, True), Exit.OK),
        ((True, None), Exit.WAITING),
        ((None, False), Exit.WRONG_STATE),
        ((), Exit.OK),
    ],
)
def test_the_exit_code_is_that_of_the_worst(accepted, code):
    assert report("x", (Told("r", one, "") for one in accepted), as_json=True) == code
