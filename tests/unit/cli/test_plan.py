"""`dwf plan`: what it says of small workflows."""

from __future__ import annotations

from click.testing import CliRunner

import durable_wf as wf
from durable_wf.cli.main import dwf


def plan(folder, builder, *more):
    target = folder / "w.json"
    target.write_text(builder.build().to_json())
    return CliRunner().invoke(dwf, ["plan", str(target), *more], prog_name="dwf").output


def test_one_task_on_one_core_is_said_in_the_singular(tmp_path):
    one = wf.WorkflowBuilder("tiny").add_task("a", print).compensate(print)
    told = plan(tmp_path, one, "--cpus", "1")
    assert "tiny, 1 task\n" in told
    assert "1.0 s on 1 core\n" in told
    assert "1.0 s, 1 task\n" in told
    assert "1 task, if the run fails" in told


def test_two_are_many(tmp_path):
    two = wf.WorkflowBuilder("tiny").add_task("a", print).add_task("b", print).after("a")
    told = plan(tmp_path, two, "--cpus", "2")
    assert "tiny, 2 tasks\n" in told
    assert "2.0 s on 2 cores\n" in told
