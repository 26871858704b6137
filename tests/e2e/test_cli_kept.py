"""A result that could not be stored is kept aside; `dwf` says where it is and how to read it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest
from cli_rig import DEADLINE_S, Rig, environment

LABORIOUS = """
from durable_wf import WorkflowBuilder

class Model:
    def __init__(self, weights):
        self.weights = weights

def train():
    return {"model": Model([1, 2, 3])}

def stream():
    yield 1

workflow = WorkflowBuilder("learn").add_task("train", train).build()
streams = WorkflowBuilder("streams").add_task("stream", stream).build()
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """`dwf` where tasks have returned what cannot be stored."""
    rig = Rig(tmp_path_factory.mktemp("kept it"))
    (rig.folder / "learn.py").write_text(LABORIOUS)
    assert rig("run", "learn.py:workflow", "--id", "learn-1").code == 1
    assert rig("run", "learn.py:streams", "--id", "streams-1").code == 1
    return rig


def kept_file(rig):
    (event,) = [one for one in rig("events", "learn-1", "--json").lines if one["body"].get("kept")]
    return rig.folder / ".durable-wf" / "output" / event["body"]["kept"]


def test_the_end_of_the_run_says_that_the_result_is_kept(rig):
    again = rig("run", "learn.py:workflow", "--id", "learn-1", "--json")
    message = again.document["failures"]["train"]["message"]
    assert f"is kept in output/kept/{kept_file(rig).name} of the store" in message


def test_the_line_that_is_shown_reads_what_was_kept(rig):
    told = rig("show", "learn-1", "--task", "train").out
    assert f"kept      {kept_file(rig)}" in told
    assert "unpickling runs the code" in told
    (line,) = re.findall(r"^ *(python -i -c .*)$", told, re.MULTILINE)
    command = shlex.split(line)
    assert command[:2] == ["python", "-i"]
    done = subprocess.run(
        [sys.executable, *command[1:]], input='print(value["model"].weights)', text=True,
        cwd=rig.folder, env=environment({}), capture_output=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert "[1, 2, 3]" in done.stdout, done.stderr


def test_the_logs_say_where_to_look(rig):
    assert "dwf show learn-1 --task train" in rig("logs", "learn-1").err
    assert "dwf show" not in rig("logs", "streams-1").err


def test_programs_are_told_the_file(rig):
    task = rig("show", "learn-1", "--json").document["task_states"]["train"]
    assert task["kept"] == f"output/kept/{kept_file(rig).name}"
    assert "kept" not in rig("show", "streams-1", "--json").document["task_states"]["stream"]


def test_where_nothing_could_be_kept_nothing_is_said_of_it(rig):
    told = rig("show", "streams-1", "--task", "stream").out
    assert "cannot be stored" in told
    assert "kept" not in told


def test_of_a_file_of_a_stranger_no_line_is_shown_that_runs_it(rig, tmp_path):
    stranger = {"XDG_STATE_HOME": str(tmp_path / "other")}
    told = rig("show", "learn-1", "--task", "train", env=stranger).out
    assert str(kept_file(rig)) in told
    assert "python" not in told
    assert "comes from elsewhere" in told


def test_a_file_that_is_gone_is_said_to_be_gone(rig, tmp_path):
    file = kept_file(rig)
    moved = file.rename(tmp_path / "kept.pickle")
    try:
        told = rig("show", "learn-1", "--task", "train").out
    finally:
        moved.rename(file)
    assert "it is not there any more" in told
    assert "python -i" not in told
