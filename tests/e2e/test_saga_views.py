"""What the command line shows of runs that have taken back what they did."""

from __future__ import annotations

import json

import pytest
from engine_rig import dwf
from saga_rig import trip

import durable_wf as wf


@pytest.fixture
def quick(tmp_path):
    with wf.WorkflowEngine(tmp_path / "store", executor_type="sequential") as made:
        yield made


def test_every_view_knows_the_added_tasks(quick, tmp_path):
    quick.run(trip(tmp_path / "n").build(), run_id="r", check=False)
    store = tmp_path / "store"
    document = json.loads(dwf(store, "show", "r", "--json").stdout)
    assert document["tasks"]["total"] == 7
    assert document["task_states"]["hotel~undo"]["status"] == "succeeded"
    assert document["taken_back"] == dict.fromkeys(("dinner", "hotel", "flight"), "succeeded")
    graph = json.loads(dwf(store, "graph", "r", "--json").stdout)
    assert graph["tasks"][5] == {
        "task": "hotel~undo", "upstream": ["hotel", "dinner~undo"], "status": "succeeded",
    }  # fmt: skip
    for words in (
        ("graph", "r"), ("logs", "r"), ("watch", "r"), ("list",), ("why", "r", "hotel~undo"),
        ("show", "r", "--task", "hotel~undo"), ("db", "check"), ("audit", "verify"),
        ("rules", "explain", "r", "car"),
    ):  # fmt: skip
        shown = dwf(store, *words)
        assert shown.returncode == (1 if words == ("watch", "r") else 0), (words, shown.stderr)
        assert "Traceback" not in shown.stderr


def test_plans_and_rules_tell_of_what_may_be_taken_back(tmp_path):
    """Nothing of it is in the plan, since it is done only when things go wrong."""
    (tmp_path / "trip.py").write_text(
        "import durable_wf as wf\n"
        "workflow = (wf.WorkflowBuilder('trip').add_task('hotel', lambda: 1, in_doubt='ask')"
        ".compensate(lambda result: 1, retry=3).build())\n"
    )
    target = f"{tmp_path / 'trip.py'}:workflow"
    plan = dwf(tmp_path / "store", "plan", target).stdout
    assert "trip, 1 task\n" in plan
    assert "1 task, if the run fails or is cancelled" in plan
    rules = dwf(tmp_path / "store", "rules", "show", target)
    assert "task hotel\n  in doubt: ask\ntask hotel~undo" in rules.stdout, rules.stderr
    assert "retry up to 3 attempts (version 1)\n  the default: a person is asked" in rules.stdout
    document = json.loads(dwf(tmp_path / "store", "rules", "show", target, "--json").stdout)
    assert [rule["name"] for rule in document["tasks"]["hotel~undo"]] == ["retry up to 3 attempts"]


def test_a_saga_can_be_exported_and_looked_at_elsewhere(quick, tmp_path):
    quick.run(trip(tmp_path / "n").build(), run_id="r", check=False)
    file, other = tmp_path / "r.json", tmp_path / "other"
    assert dwf(tmp_path / "store", "export", "r", str(file)).returncode == 0
    assert dwf(other, "import", str(file)).returncode == 0
    assert "taken back  3 of 3 tasks" in dwf(other, "show", "r").stdout
    assert dwf(other, "db", "check").returncode == 0
    assert dwf(other, "audit", "verify").returncode == 0
