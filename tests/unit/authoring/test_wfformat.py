"""Recorded workflows become workflows; what is wrong with a file is one clear line."""

from __future__ import annotations

import json
import os

import pytest
from recordings import generate, samples, text

from durable_wf.authoring import replayed
from durable_wf.authoring.targets import load
from durable_wf.authoring.wfformat import MAX_BYTES, Replay, from_wfformat, is_wfformat
from durable_wf.core.definition import Literal, Workflow
from durable_wf.core.resources import Resources
from durable_wf.core.soundness import check
from durable_wf.errors import DefinitionError, NotFound


@pytest.mark.parametrize("shape", ["chain", "fork", "levels"])
@pytest.mark.parametrize("tasks", [1, 2, 50, 2_000])
def test_every_task_and_dependency_is_there(tasks, shape):
    document = generate(tasks, seed=tasks, shape=shape)
    workflow = from_wfformat(json.dumps(document))
    check(workflow)
    recorded = document["workflow"]["specification"]["tasks"]
    assert [(task.name, task.upstream) for task in workflow.tasks] == [
        (task["id"], tuple(task["parents"])) for task in recorded
    ]
    assert Workflow.from_json(workflow.to_json()) == workflow


def test_a_task_spends_its_scaled_time_with_its_cores_and_memory():
    document = generate(1)
    document["workflow"]["execution"]["tasks"][0] |= {
        "runtimeInSeconds": 20, "coreCount": 4, "memoryInBytes": 5000, "priority": 7,
    }  # fmt: skip
    (task,) = from_wfformat(json.dumps(document), Replay(time_scale=0.01)).tasks
    assert task.kwargs == (("seconds", Literal("0.2")),)
    assert (task.estimate_s, task.priority) == (0.2, 7)
    assert task.resources == Resources(cpu=4.0, memory=5000)
    capped = from_wfformat(json.dumps(document), Replay(cores=2, memory=100)).tasks[0]
    assert capped.resources == Resources(cpu=2.0, memory=100)


def test_work_is_a_function_that_workers_can_import():
    for work, function in (("sleep", replayed.sleep), ("cpu", replayed.burn)):
        workflow = from_wfformat(text(2), Replay(work=work))
        assert workflow.functions == {task.name: function for task in workflow.tasks}
        assert workflow.tasks[0].function.module == "durable_wf.authoring.replayed"
        assert workflow.tasks[0].function.qualname == function.__name__
        function(0.001)


def test_the_recorded_makespan_is_kept():
    metadata = dict(from_wfformat(text(50), Replay(time_scale=0.5)).metadata)
    assert metadata["recorded_makespan_s"] == "50"
    assert metadata["time_scale"] == "0.5"
    assert metadata["recorded_by"] == "Generator"


def test_dependencies_may_be_told_from_either_side():
    document = generate(3, shape="chain")
    first, second, third = document["workflow"]["specification"]["tasks"]
    del second["parents"]
    del third["parents"]
    assert [task.upstream for task in from_wfformat(json.dumps(document)).tasks] == [
        (), (first["id"],), (second["id"],),
    ]  # fmt: skip


def test_ids_that_cannot_be_names_become_names_that_differ():
    raw = text(3, shape="chain").replace("step_ID0000001", "a:b").replace("step_ID0000002", "a?b")
    workflow = from_wfformat(raw)
    check(workflow)
    assert [task.name for task in workflow.tasks] == ["ta_b", "ta_b~2", "step_ID0000003"]
    assert workflow.tasks[1].upstream == ("ta_b",)


def broken(change) -> str:
    document = generate(5, shape="chain")
    change(
        document,
        document["workflow"]["specification"]["tasks"],
        document["workflow"]["execution"]["tasks"],
    )
    return json.dumps(document)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (broken(lambda d, s, e: s[0].update(parents=[s[4]["id"]])), "in a circle: "),
        (
            broken(
                lambda d, s, e: (
                    s[0].update(parents=[s[0]["id"]]),
                    s[3].update(parents=[s[4]["id"]]),
                )
            ),
            "in a circle: step_ID0000001 -> step_ID0000001; tasks depend on each other in a circle",
        ),
        (broken(lambda d, s, e: s[1].update(parents=["step_ID000001"])), "did you mean 'step_ID"),
        (broken(lambda d, s, e: s[1].update(children=["?"])), "among its children"),
        (broken(lambda d, s, e: s[1].update(parents="x")), "'parents' is not a list"),
        (broken(lambda d, s, e: s[1].update(parents=[None])), "names None"),
        (broken(lambda d, s, e: e[2].pop("runtimeInSeconds")), "has no runtimeInSeconds"),
        (broken(lambda d, s, e: e.pop()), "has no runtimeInSeconds"),
        (broken(lambda d, s, e: d["workflow"].pop("execution")), "has no runtimeInSeconds"),
        (broken(lambda d, s, e: e[2].update(runtimeInSeconds=-1)), "not a number of 0 or more"),
        (broken(lambda d, s, e: e[2].update(runtimeInSeconds="1")), "not a number of 0 or more"),
        (broken(lambda d, s, e: e[2].update(runtimeInSeconds=float("nan"))), "not a number"),
        (broken(lambda d, s, e: e[2].update(coreCount=[])), "'coreCount' is []"),
        (broken(lambda d, s, e: s.append(s[0])), "stands there twice"),
        (broken(lambda d, s, e: s[0].pop("id")), "'id' is missing"),
        (broken(lambda d, s, e: s.clear()), "it has no tasks"),
        (broken(lambda d, s, e: s.__setitem__(0, 5)), "'id' is missing"),
        (broken(lambda d, s, e: d["workflow"].pop("specification")), "'specification' is missing"),
        (broken(lambda d, s, e: d.update(workflow=[])), "'workflow' is not an object"),
        (broken(lambda d, s, e: d.update(schemaVersion="1.4")), "version '1.4'; only '1.5'"),
        (broken(lambda d, s, e: d.update(schemaVersion=None)), "version None"),
        (text(2)[:-5], "not JSON"),
        ('{"schemaVersion":' + "[" * 100_000, "nested too deeply"),
        ("\x00\x01\x02", "not JSON"),
        ("", "not JSON"),
        ("[]", "does not begin with {"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_one_line(content, words):
    with pytest.raises(DefinitionError) as caught:
        from_wfformat(content, source="flow.json")
    said = str(caught.value)
    assert said.startswith("flow.json: ")
    assert words in said
    assert "\n" not in said


def test_it_is_told_from_a_definition_without_parsing():
    assert is_wfformat(text(2))
    assert not is_wfformat(from_wfformat(text(2)).to_json())
    assert not is_wfformat("junk")


@pytest.mark.parametrize(
    "options",
    [{"time_scale": 0}, {"time_scale": -1}, {"time_scale": float("inf")}, {"work": "rest"},
     {"cores": 0}, {"memory": -5}],
)  # fmt: skip
def test_replay_options_are_checked(options):
    with pytest.raises(DefinitionError, match="must be"):
        Replay(**options)


def test_a_huge_file_is_refused_unread(tmp_path):
    junk = tmp_path / "junk.json"
    with junk.open("wb") as file:
        file.truncate(200_000_000)  # a hole: no disk is used, and reading it would be long
    assert junk.stat().st_size > MAX_BYTES
    with pytest.raises(DefinitionError, match="has 200 MB; definitions may have 67 MB"):
        load(str(junk))


def test_what_is_not_a_readable_file_is_refused(tmp_path):
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    for name, words in (("folder", "not a file"), ("pipe", "not a file"), ("binary", "not JSON")):
        with pytest.raises(DefinitionError, match=words):
            load(str(tmp_path / f"{name}.json"))
    with pytest.raises(NotFound):
        load(str(tmp_path / "none.json"))


def test_targets_load_recordings_with_their_replay(tmp_path):
    (tmp_path / "flow.json").write_text(text(50))
    workflow = load(str(tmp_path / "flow.json"), Replay(time_scale=0.001))
    assert len(workflow.tasks) == 50
    assert dict(workflow.metadata)["time_scale"] == "0.001"


def test_real_recordings_are_read():
    for path in samples():
        workflow = load(str(path), Replay(time_scale=0.001, cores=2))
        check(workflow)
        recorded = json.loads(path.read_text())["workflow"]["specification"]["tasks"]
        assert len(workflow.tasks) == len(recorded), path
        assert sum(len(task.upstream) for task in workflow.tasks) == sum(
            len(set(task["parents"])) for task in recorded
        ), path
