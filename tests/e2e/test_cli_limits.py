"""What tasks may use together: asked for on the command line, recorded, and kept on a resume."""

from __future__ import annotations

import json

import pytest
from cli_rig import Rig, kill, wait_for

from durable_wf.authoring.wfformat import Replay, from_wfformat
from durable_wf.cli.exits import Exit
from durable_wf.engine.settings import machine_memory

SCRIPT = """
import time
from pathlib import Path
import durable_wf as wf

def use(number):
    with Path("came").open("a") as file:
        file.write(f"{number}\\n")
    while not Path("go").exists():
        time.sleep(0.01)

builder = wf.WorkflowBuilder("guarded")
for number in range(4):
    builder.add_task(f"t{number}", use, parameters={"number": number}, pools={"db": 1}, gpu=0,
                     memory="1GB", cpu=0.5)
workflow = builder.build()
"""
GIVEN = ("--pool", "db=1", "--memory", "4GB", "--cpus", "8", "--gpus", "1")


@pytest.fixture
def dwf(tmp_path):
    (tmp_path / "guarded.py").write_text(SCRIPT)
    return Rig(tmp_path)


def test_limits_are_kept_when_a_run_is_resumed(dwf):
    came = dwf.folder / "came"
    process = dwf.start("run", "guarded.py:workflow", "--id", "r", "-j", "4", *GIVEN)
    wait_for(came.exists)
    kill(process)
    created = dwf("events", "r", "--json").lines[0]["body"]
    assert dict(created["limits"]) == {
        "pool:db": "1", "memory": "4000000000", "cpus": "8", "gpus": "1",
    }  # fmt: skip
    (dwf.folder / "go").touch()
    assert dwf("resume", "r", "-j", "4").code == 0
    open_at_once, most = set(), 0
    for event in dwf("events", "r", "--json").lines:
        if event["kind"] == "AttemptStarted":
            open_at_once.add(event["task"])
        elif event["kind"] == "AttemptSucceeded":
            open_at_once.discard(event["task"])
        most = max(most, len(open_at_once))
    assert most == 1


@pytest.mark.parametrize("limits", [(), ("--pool", "other=1")])
def test_a_pool_that_the_engine_does_not_know_is_refused(dwf, limits):
    ended = dwf("run", "guarded.py:workflow", "--id", "r", *limits)
    assert ended.code == Exit.USAGE
    assert "pool 'db', which the engine was not given" in ended.err
    assert "--pool NAME=N" in ended.err
    assert "pools={'name': n}" in ended.err
    assert dwf("list", "--json").lines == []


@pytest.mark.parametrize("words", [("--pool", "db"), ("--pool", "db=0"), ("--memory", "much")])
def test_limits_that_cannot_be_read_are_a_usage_error(dwf, words):
    ended = dwf("run", "guarded.py:workflow", *words)
    assert ended.code == Exit.USAGE
    assert words[0] in ended.err


def test_how_often_engines_may_die_over_a_run_is_said_on_the_command_line(dwf):
    """Here not once, so that one death pauses it; with 0 none does."""
    came = dwf.folder / "came"
    process = dwf.start("run", "guarded.py:workflow", "--id", "r", "-j", "4", *GIVEN)
    wait_for(came.exists)
    kill(process)
    cause = "crash loop: 1 engine has died while it ran"
    assert cause in dwf("recover", "--dry-run", "--crash-limit", "1").out
    assert cause not in dwf("recover", "--dry-run").out
    ended = dwf("recover", "--crash-limit", "1")
    assert ended.code == Exit.WAITING
    assert cause in dwf("show", "r").out
    (dwf.folder / "go").touch()
    again = ("run", "guarded.py:workflow", "--id", "r", *GIVEN, "--crash-limit")
    assert dwf(*again, "1").code == Exit.WAITING, "what loops is not resumed by a script"
    assert dwf(*again, "0").code == Exit.OK
    assert dwf(*again, "-1").code == Exit.USAGE


def recording(memory: int) -> str:
    tasks = [{"name": n, "id": n, "parents": [], "children": []} for n in "ab"]
    executed = [{"id": n, "runtimeInSeconds": 1.0, "memoryInBytes": memory} for n in "ab"]
    workflow = {"specification": {"tasks": tasks}, "execution": {"tasks": executed}}
    return json.dumps({"name": "big", "schemaVersion": "1.5", "workflow": workflow})


def test_memory_of_recorded_tasks_counts_against_that_of_the_machine(dwf):
    (dwf.folder / "big.json").write_text(recording(10 * machine_memory()))
    ended = dwf("run", "big.json", "--time-scale", "0.01", "--id", "r", "--json")
    assert (ended.code, ended.document["status"]) == (0, "succeeded")
    kinds = [e["kind"] for e in dwf("events", "r", "--json").lines if e["task"]]
    assert kinds == ["AttemptStarted", "AttemptSucceeded"] * 2  # both need all of it
    created = dwf("events", "r", "--json").lines[0]["body"]
    assert created["limits"] == [["memory", str(machine_memory())]]


def test_a_replay_caps_memory():
    workflow = from_wfformat(recording(10**12), Replay(memory=10**9))
    assert {task.resources.memory for task in workflow.tasks} == {10**9}


BROKEN = {
    "a huge whole number": ("1" + "0" * 400, "runtimeInSeconds"),
    "more digits than are read": ("1" + "0" * 5000, "digits"),
    "a huge number": ("1e308", "runtimeInSeconds"),
    "infinite": ("1e999", "runtimeInSeconds"),
    "negative": ("-1", "runtimeInSeconds"),
    "no number": ("NaN", "runtimeInSeconds"),
    "longer than a life": ("1e17", "would take 1e+17 s"),
    "a huge priority": ('1, "priority": 1' + "0" * 400, "priority"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_recording_with_impossible_numbers_is_refused_in_one_line(dwf, broken):
    number, words = BROKEN[broken]
    text = recording(0).replace('"runtimeInSeconds": 1.0', f'"runtimeInSeconds": {number}')
    (dwf.folder / "broken.json").write_text(text)
    for scale in ("1", "1e300"):
        ended = dwf.look("plan", "broken.json", "--time-scale", scale)
        assert ended.code == Exit.USAGE
        assert words in ended.err or scale != "1"
        assert ended.err.count("\n") == 1
        assert len(ended.err) < 400


def test_a_recording_without_a_version_is_told_what_it_is_not(dwf):
    text = recording(0).replace('"schemaVersion": "1.5", ', "")
    (dwf.folder / "old.json").write_text(text)
    ended = dwf.look("plan", "old.json")
    assert ended.code == Exit.USAGE
    assert "neither a definition" in ended.err
    assert "schemaVersion" in ended.err
