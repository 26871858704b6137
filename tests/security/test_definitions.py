"""Definitions and recordings from elsewhere: bounded in time and memory, or refused in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from cli_rig import environment

from durable_wf.authoring.targets import load
from durable_wf.core.definition import Workflow
from durable_wf.errors import CallerError

MIB = 1 << 20

BOUNDED = """
import resource, sys
limit = int(sys.argv[1])
from durable_wf.authoring.targets import load
from durable_wf.errors import DurableWorkflowError
with open("/proc/self/statm") as file:
    limit += int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
try:
    workflow = load(sys.argv[2], code=False)
except DurableWorkflowError as error:
    print("refused:", str(error)[:300])
else:
    print("loaded:", len(workflow.tasks))
"""


def bounded(file, memory):
    """What becomes of a file when only so much memory, and 20 s, may be used."""
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(memory), str(file)],
        env=environment({}), capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def definition(**changed):
    task = {"name": "t", "function": 0}
    data = {
        "durable_wf": "workflow/1",
        "name": "w",
        "functions": [{"qualname": "f", "module": "m"}],
    }
    return json.dumps({**data, "tasks": [task], **changed})


def recording(tasks=None, executed=None, **changed):
    tasks = [{"name": "a", "id": "a"}] if tasks is None else tasks
    executed = [{"id": "a", "runtimeInSeconds": 1.0}] if executed is None else executed
    flow = {"specification": {"tasks": tasks}, "execution": {"tasks": executed}}
    return json.dumps({"name": "r", "schemaVersion": "1.5", "workflow": flow, **changed})


def nested(opening, closing, depth=200_000):
    return opening * depth + closing * depth


def with_task(text):
    """A definition with a task's field as raw text, which json.dumps would not write."""
    return definition().replace('"function": 0', f'"function": 0, {text}')


def executed(text):
    return recording().replace('"runtimeInSeconds": 1.0', text)


REFUSED = {
    "empty": "", "binary": "\x00\x01", "not JSON": "{", "another value": "7", "a list": "[]",
    "deep lists": nested("[", "]"), "deep objects": nested('{"a":', "}"),
    "only openings": "[" * 10**6,
    "deep inside": definition(tags=0).replace('"tags": 0', f'"tags": {nested("[", "]")}'),
    "deep in a recording": recording(x=0).replace('"x": 0', f'"x": {nested("[", "]")}'),
    "half a deep one": recording(x=0).replace('"x": 0', '"x": ' + '{"a":' * 100_000),
    "huge number": with_task(f'"priority": {"9" * 10_000}'),
    "huge real": with_task(f'"timeout_s": {"9" * 400}'),
    "infinite": with_task('"timeout_s": 1e999'),
    "NaN": with_task('"timeout_s": NaN'),
    "negative index": definition(tasks=[{"name": "t", "function": -1}]),
    "huge index": definition(tasks=[{"name": "t", "function": 10**30}]),
    "truth as number": definition(tasks=[{"name": "t", "function": True}]),
    "name of another kind": definition(name=[["x"]]),
    "name with an escape": definition(name="\x1b[2J"),
    "long name": definition(name="x" * 10_000),
    "cycle": definition(tasks=[{"name": f"t{i}", "function": 0, "upstream": [f"t{(i + 1) % 9000}"]}
                               for i in range(9000)]),
    "itself": definition(tasks=[{"name": "t", "function": 0, "upstream": ["t"]}]),
    "same name": definition(tasks=[{"name": "t", "function": 0}] * 2),
    "unknown field": definition(tasks=[{"name": "t", "function": 0, "__class__": "x"}]),
    "recorded huge number": executed(f'"runtimeInSeconds": {"9" * 400}'),
    "recorded infinity": executed('"runtimeInSeconds": 1e999'),
    "recorded NaN": executed('"runtimeInSeconds": NaN'),
    "recorded negative": executed('"runtimeInSeconds": -1'),
    "recorded beyond any clock": executed('"runtimeInSeconds": 1e308'),
    "recorded text": executed('"runtimeInSeconds": "1"'),
    "recorded memory": executed('"runtimeInSeconds": 1, "memoryInBytes": 1e308'),
    "recorded cores": executed(f'"runtimeInSeconds": 1, "coreCount": {10**400}'),
    "recorded cycle": recording([{"name": "a", "id": "a", "parents": ["a"]}]),
    "recorded unknown": recording([{"name": "a", "id": "a", "parents": ["b"]}]),
    "recorded twice": recording([{"name": "a", "id": "a"}] * 2),
    "no execution": recording(executed=[]),
    "another version": recording(schemaVersion="9" * 100_000),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_crafted_file_is_refused_in_words(tmp_path, name):
    file = tmp_path / "x.json"
    file.write_text(REFUSED[name])
    with pytest.raises(CallerError) as caught:
        load(str(file), code=False)
    assert len(str(caught.value)) < 3000
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("text", [definition(), recording()])
def test_the_files_that_these_are_made_from_are_fine(tmp_path, text):
    """The positive control."""
    (tmp_path / "x.json").write_text(text)
    assert len(load(str(tmp_path / "x.json"), code=False).tasks) == 1


def test_where_a_key_stands_twice_the_last_one_counts_everywhere(tmp_path):
    """Both ways of reading, line by line and at once, see the same workflow."""
    text = definition().replace('"name": "t"', '"name": "other", "name": "t"')
    flow = Workflow.from_json(text)
    assert [task.name for task in flow.tasks] == ["t"]
    by_line = flow.to_json().replace('{"name":"t"', '{"name":"other","name":"t"')
    assert Workflow.from_json(by_line) == flow


def test_a_million_tasks_with_long_names_stay_within_bounds(tmp_path):
    """200 MB of definition are refused unread."""
    file = tmp_path / "x.json"
    with file.open("w") as out:
        out.write(definition(tasks=[])[:-2])
        for i in range(1_000_000):
            out.write(f'{"," if i else ""}{{"name":"{i:0180}","function":0}}')
        out.write("]}")
    assert bounded(file, 150 * MIB).startswith("refused:")


def test_many_tasks_below_the_limit_load_within_bounds(tmp_path):
    """The positive control: what may be read is read."""
    file = tmp_path / "x.json"
    tasks = [{"name": f"{i:040}", "function": 0} for i in range(50_000)]
    file.write_text(definition(tasks=tasks))
    assert bounded(file, 600 * MIB) == "loaded: 50000"


@pytest.mark.parametrize("text", ["[" * (8 * MIB), '{"a":' * MIB, '"' + "\\u0041" * MIB])
def test_bombs_of_nesting_and_escapes_stay_within_bounds(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    assert bounded(tmp_path / "x.json", 200 * MIB).startswith("refused:")


def test_every_task_after_every_other_stays_within_bounds(tmp_path):
    """Names are shared, so a dense graph costs what its text costs."""
    tasks = [
        {"name": f"t{i}", "function": 0, "upstream": [f"t{k}" for k in range(i)]}
        for i in range(1500)
    ]
    (tmp_path / "x.json").write_text(definition(tasks=tasks))
    assert bounded(tmp_path / "x.json", 600 * MIB) == "loaded: 1500"


@pytest.mark.parametrize("kind", ["pipe", "endless", "sparse", "folder", "missing", "loop"])
def test_what_is_no_plain_file_is_refused_unread(tmp_path, kind):
    file = tmp_path / "x.json"
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "endless":
            file.symlink_to("/dev/zero")
        case "sparse":
            with file.open("wb") as out:
                out.truncate(1 << 40)
        case "folder":
            file.mkdir()
        case "loop":
            file.symlink_to(file)
        case _:
            pass
    assert bounded(file, 100 * MIB).startswith("refused:")
