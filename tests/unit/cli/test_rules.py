"""`dwf rules explain`: what people and programs read of each decision."""

from __future__ import annotations

import json

import attrs
import histories_of as h
import pytest
from click.testing import CliRunner
from golden import put_golden
from loop_rig import put
from security.evil import EVIL, FORBIDDEN

from durable_wf.cli.main import dwf
from durable_wf.core import events as e
from durable_wf.store.opening import open_store

BEGUN = (h.CREATED, h.CLAIMED, h.STARTED)


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    yield store
    store.close()


@pytest.fixture
def explain(store):
    def call(*args):
        words = ["--store", str(store.folder.path), "rules", "explain", *args]
        return CliRunner().invoke(dwf, words)

    return call


def decisions(shown):
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)["decisions"]


def test_a_person_and_what_they_said_are_told(store, explain):
    told = about(store, explain, "escalation")
    assert {"rule", "person"} <= {one["by"] for one in told}
    for one in told:
        assert one["decision"]
        if one["by"] == "person":
            assert one["actor"]


def about(store, explain, name):
    """The decisions about all tasks of a golden history."""
    put_golden(store.log, name)
    workflow = json.loads(store.log.payload(store.log.row("r").definition))
    tasks = [task["name"] for task in workflow["tasks"]]
    return [one for task in tasks for one in decisions(explain("r", task, "--json"))]


def test_a_compensation_can_be_asked_about(store, explain):
    put_golden(store.log, "saga_escalates")
    shown = explain("r", "flight~undo")
    assert shown.exit_code == 0, shown.output
    assert "ask a person" in shown.output
    assert ", by default" in shown.output


def test_what_a_task_declares_is_told_apart_from_a_rule(store, explain):
    told = about(store, explain, "in_doubt_policies")
    assert "task" in {one["by"] for one in told}
    assert any(one["rule"] == "in doubt: ask" for one in told)


def test_a_task_about_which_nothing_was_decided_says_so(store, explain):
    put(store.log, *BEGUN)
    assert "nothing was decided about task a in run r" in explain("r", "a").output
    assert explain("r", "aa").exit_code == 3


def test_the_lines_tell_fault_decision_reason_and_facts(store, explain):
    retry = attrs.evolve(h.RETRY, version="2", facts=(("faults", 1), ("attempts", 3)))
    put(store.log, *BEGUN, h.begun(), h.broke(), retry)
    assert explain("r", "a").output.splitlines() == [
        "     6  00:00:00.000  attempt 1: error: boom",
        "        try again at once, by rule (version 2)",
        "        because",
        "        faults 1, attempts 3",
    ]


def test_what_a_rule_of_somebody_else_calls_itself_is_harmless(store, explain):
    skipped = e.TaskSkipped("a", EVIL, EVIL, EVIL, ((EVIL, 1),))
    failed = e.AttemptFailed("a", 1, e.Fault(h.FaultKind.ERROR, EVIL, EVIL))
    put(store.log, *BEGUN, h.begun(), failed, skipped)
    shown = explain("r", "a")
    assert shown.exit_code == 0
    assert not FORBIDDEN & set(shown.output)
    assert all(line.startswith("  ") for line in shown.output.splitlines())
