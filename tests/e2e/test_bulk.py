"""`dwf resume` for many runs: each goes on, and what cannot is named."""

from __future__ import annotations

import json

import pytest
from cli_rig import kill, rig_in

from durable_wf.cli.exits import Exit


@pytest.fixture
def dwf(tmp_path):
    """`dwf` where two runs were killed in their fourth step, and a third was of another script."""
    rig = rig_in(tmp_path)
    text = (tmp_path / "pipeline.py").read_text()
    (tmp_path / "gone.py").write_text(text)
    for count, (run_id, target) in enumerate(
        [("one", "pipeline.py:steps"), ("two", "pipeline.py:steps"), ("three", "gone.py:steps")], 1
    ):
        process = rig.start("run", target, "--id", run_id)
        rig.wait_for_marks(4 * count)
        kill(process)
    (tmp_path / "gone.py").unlink()
    rig.go()
    return rig


def states(dwf):
    return {run["run_id"]: run["status"] for run in dwf("list", "--json").lines}


def test_those_that_can_go_on_do_and_the_other_is_named(dwf):
    refused = dwf("resume", "--status", "interrupted")
    assert refused.code == Exit.USAGE
    assert "This would resume 3 runs: three (interrupted), two (interrupted)" in refused.err

    rehearsed = dwf("resume", "--status", "interrupted", "--dry-run", "--json")
    assert rehearsed.code == Exit.WRONG_STATE
    assert [run["run_id"] for run in rehearsed.lines] == ["three", "two", "one"]
    assert [bool(run["refused"]) for run in rehearsed.lines] == [True, False, False]

    ended = dwf("resume", "--status", "interrupted", "--yes", "--json")
    assert ended.code == Exit.WRONG_STATE
    told = {run["run_id"]: run for run in map(json.loads, ended.out.splitlines())}
    assert told["one"]["status"] == told["two"]["status"] == "succeeded"
    assert not told["three"]["accepted"]
    assert "gone.py" in told["three"]["text"]
    assert states(dwf) == {"one": "succeeded", "two": "succeeded", "three": "interrupted"}

    nothing = dwf("resume", "--workflow", "steps", "--status", "paused", "--yes")
    assert nothing.code == Exit.OK
    assert "no such runs" in nothing.err
