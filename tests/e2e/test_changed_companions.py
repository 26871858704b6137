"""Companions with other code: whoever goes on with a run is asked, as about a task's own code."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_rig import Gate, dwf, finish, script
from saga_rig import note, noted

import durable_wf as wf
from durable_wf.core.events import CodeAccepted
from durable_wf.errors import CodeChanged


def fails(gate: Gate) -> None:
    gate.pass_through()
    raise ValueError("no")


def back(path: Path, word: str):
    """A compensation; all of these have one label, and each has other code."""
    if word == "first":

        def undo(result: int) -> None:
            note(path, "first", result)
    else:

        def undo(result: int) -> None:
            note(path, "second", result, "and last")

    return undo


def flow(gate: Gate, undo) -> wf.Workflow:
    builder = wf.WorkflowBuilder("w").add_task("a", lambda: 1, compensate=undo)
    return builder.add_task("b", lambda: fails(gate)).after("a").build()


def interrupted(store: Path, workflow: wf.Workflow, gate: Gate) -> None:
    """A run `r` of this workflow whose engine was closed while its last task ran."""
    with wf.WorkflowEngine(store, workers=1, grace_s=0) as engine:
        handle = engine.submit(workflow, run_id="r")
        gate.wait_for_one()
        engine.close()
        assert handle.done()


def another(result: int) -> None:
    """A compensation of another name."""


@pytest.mark.parametrize("kind", ["another body", "another function"])
def test_another_compensation_has_to_be_accepted_before_it_is_called(tmp_path, kind):
    gate, store, undone = Gate(tmp_path / "gate"), tmp_path / "store", tmp_path / "n"
    interrupted(store, flow(gate, back(undone, "first")), gate)
    other = flow(gate, back(undone, "second") if kind == "another body" else another)
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        before = len(engine.history("r"))
        with pytest.raises(CodeChanged) as refused:
            engine.resume("r", workflow=other)
        assert "the compensation of task 'a' has changed" in refused.value.message
        assert len(engine.history("r")) == before
        gate.open()
        result = engine.resume("r", workflow=other, accept_changes=True, check=False)
        accepted = [r.event for r in result.history() if isinstance(r.event, CodeAccepted)]
        assert [one.tasks for one in accepted] == [("a",)]
        assert noted(undone) == ["second 1 and last"] * (kind == "another body")


def test_the_same_compensation_is_not_asked_about(tmp_path):
    """The positive control."""
    gate, store, undone = Gate(tmp_path / "gate"), tmp_path / "store", tmp_path / "n"
    interrupted(store, flow(gate, back(undone, "first")), gate)
    gate.open()
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        engine.resume("r", workflow=flow(gate, back(undone, "first")), check=False)
    assert noted(undone) == ["first 1"]


def test_a_retry_asks_about_a_compensation_as_well(tmp_path):
    """The new run may come to call it."""
    gate, undone = Gate(tmp_path / "gate"), tmp_path / "n"
    gate.open()
    with wf.WorkflowEngine(tmp_path / "store", executor_type="sequential") as engine:
        engine.run(flow(gate, back(undone, "first")), run_id="r", check=False)
        other = flow(gate, back(undone, "second"))
        with pytest.raises(CodeChanged, match="the compensation of task 'a' has changed"):
            engine.retry("r", workflow=other)
        engine.retry("r", workflow=other, accept_changes=True, check=False)
    assert noted(undone) == ["first 1", "second 1 and last"]


SCRIPT = """
    import os, signal, sys
    import durable_wf as wf

    def undo(result):
        pass  # HERE

    def other(city):
        return "other"

    def find(city):
        return wf.NotDone()

    def die(city):
        if not os.path.exists(sys.argv[2]):
            open(sys.argv[2], "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return city

    builder = wf.WorkflowBuilder("w").add_task("a", lambda: 1, compensate=undo)
    builder.add_task("b", die, {"city": "Rome"}, in_doubt=find, fallback=other).after("a")
    engine = wf.WorkflowEngine(sys.argv[1], executor_type="sequential")
    engine.run(builder.build(), run_id="r")
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("pass  # HERE", "print(result)", "the compensation of task 'a'"),
        ("wf.NotDone()", "wf.NotDone(city)", "the probe of task 'b'"),
        ('return "other"', 'return "another"', "the fallback __main__:other of task 'b'"),
    ],
)
def test_a_script_with_other_companions_is_asked_about_on_the_command_line(
    tmp_path, old, new, told
):
    store = tmp_path / "store"
    with script(tmp_path, SCRIPT, store, tmp_path / "died") as process:
        assert finish(process)[0] == -9
    file = tmp_path / "script.py"
    file.write_text(file.read_text().replace(old, new))
    rehearsed = dwf(store, "resume", "r", "--dry-run")
    assert f"{told} has changed" in rehearsed.stdout
    refused = dwf(store, "resume", "r")
    assert refused.returncode == 4
    assert f"{told} has changed" in refused.stderr
    assert "dwf resume r --accept-changes" in refused.stderr
    file.write_text(file.read_text().replace(new, old))
    assert dwf(store, "resume", "r").returncode == 0
