"""`dwf` and runs that do not go straight: killed, interrupted, steered, recorded, very wide."""

from __future__ import annotations

import json
import re
import signal

import pytest
from cli_rig import PIPELINE, Ended, Rig, end, kill, rig_in, wait_for

from durable_wf.cli.exits import Exit


@pytest.fixture
def dwf(tmp_path):
    """`dwf` in an empty folder with a script."""
    return rig_in(tmp_path)


# --- interrupted --------------------------------------------------------------------------------


def finished_once(dwf: Rig, run_id: str) -> None:
    """No finished task ran again, and the log is as it was written."""
    events = dwf("events", run_id, "--json").lines
    succeeded = [event["task"] for event in events if event["kind"] == "AttemptSucceeded"]
    assert sorted(succeeded) == [f"step{number}" for number in range(6)]
    for at, event in enumerate(events):
        if event["kind"] == "AttemptSucceeded":
            later = [e for e in events[at + 1 :] if e["kind"] == "AttemptStarted"]
            assert event["task"] not in {e["task"] for e in later}
    assert dwf("audit", "verify").code == 0
    assert dwf("db", "check").code == 0


def test_a_killed_run_is_shown_as_interrupted_and_goes_on(dwf):
    process = dwf.start("run", "pipeline.py:steps", "--id", "s")
    dwf.wait_for_marks(4)
    assert dwf("list", "--json").document["status"] == "running"
    kill(process)
    run = dwf("show", "s", "--json").document
    assert (run["status"], run["recorded_status"]) == ("interrupted", "running")
    assert run["task_states"]["step3"]["status"] == "interrupted"
    assert dwf("list", "--json", "-s", "interrupted").document["run_id"] == "s"
    assert dwf("list", "--json", "-s", "running").lines == []
    assert "dwf resume s" in dwf("show", "s").out
    assert dwf("watch", "s").code == Exit.WRONG_STATE
    dwf.go()
    ended = dwf("resume", "@last", "--json")
    assert (ended.code, ended.document["status"]) == (0, "succeeded")
    assert dwf.marks() == ["0", "1", "2", "3", "3", "4", "5"]
    finished_once(dwf, "s")


def test_recover_continues_everything_that_was_interrupted(dwf):
    process = dwf.start("run", "pipeline.py:steps", "--id", "s")
    dwf.wait_for_marks(4)
    kill(process)
    dwf.go()
    ended = dwf("recover", "--json")
    assert ended.code == 0
    assert [(run["run_id"], run["status"]) for run in ended.lines] == [("s", "succeeded")]
    assert dwf("recover").code == 0


def test_recover_names_what_it_could_not_continue(dwf):
    process = dwf.start("run", "pipeline.py:steps", "--id", "s")
    dwf.wait_for_marks(4)
    kill(process)
    (dwf.folder / "pipeline.py").unlink()
    ended = dwf("recover")
    assert ended.code == Exit.WRONG_STATE
    assert "dwf resume s" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_in_order_and_says_how_to_go_on(dwf, number):
    process = dwf.start("run", "pipeline.py:steps", "--id", "s")
    dwf.wait_for_marks(4)
    process.send_signal(number)
    dwf.go()
    ended = end(process)
    assert ended.code == Exit.INTERRUPTED
    assert "dwf resume s" in ended.err
    assert "Traceback" not in ended.err
    assert dwf("show", "s", "--json").document["status"] == "interrupted"
    assert dwf("resume", "s").code == 0
    finished_once(dwf, "s")


def test_changed_code_is_named_and_asked_for(dwf):
    process = dwf.start("run", "pipeline.py:steps", "--id", "s")
    dwf.wait_for_marks(4)
    kill(process)
    dwf.go()
    script = dwf.folder / "pipeline.py"
    script.write_text(PIPELINE.replace("return number", "return number + 1"))
    refused = dwf("resume", "s", "--json")
    assert refused.code == Exit.WRONG_STATE
    assert refused.error["type"] == "CodeChanged"
    assert "--accept-changes" in refused.error["hint"]
    assert dwf("resume", "s", "--accept-changes").code == 0
    finished_once(dwf, "s")


# --- steering -----------------------------------------------------------------------------------


def test_pause_and_resume_reach_the_engine_that_runs(dwf):
    process = dwf.start("run", "pipeline.py:steps", "--id", "s", "--json")
    dwf.wait_for_marks(4)
    answer = dwf("pause", "s", "-m", "lunch", "--json")
    assert (answer.code, answer.document["accepted"]) == (0, True)
    wait_for(lambda: dwf("show", "s", "--json").document["status"] == "paused")
    assert "lunch" in dwf("show", "s").out
    dwf.go()
    ended = end(process)
    assert ended.code == Exit.WAITING
    assert ended.document["status"] == "paused"
    assert dwf("recover").code == 0
    assert dwf("show", "s", "--json").document["status"] == "paused"
    assert dwf("resume", "s").code == 0
    finished_once(dwf, "s")


def test_cancel_stops_what_runs(dwf):
    process = dwf.start("run", "pipeline.py:steps", "--id", "s", "--json")
    dwf.wait_for_marks(4)
    assert dwf("cancel", "s", "-m", "enough").code == 0
    ended = end(process)
    assert ended.code == Exit.CANCELLED
    assert ended.document["status"] == "cancelled"
    assert dwf("resume", "s").code == Exit.WRONG_STATE


def test_a_dead_run_can_be_cancelled_without_an_engine(dwf):
    process = dwf.start("run", "pipeline.py:steps", "--id", "s")
    dwf.wait_for_marks(4)
    kill(process)
    assert dwf("cancel", "s").code == 0
    assert dwf("show", "s", "--json").document["status"] == "cancelled"


def test_a_run_can_be_watched_and_followed_while_it_goes(dwf):
    process = dwf.start("run", "pipeline.py:steps", "--id", "s")
    dwf.wait_for_marks(4)
    wait_for(lambda: "step 3" in dwf("logs", "s").out)
    lookers = [dwf.start(*args) for args in (("watch", "s"), ("logs", "s", "-f"))]
    follower = dwf.start("events", "s", "--follow", "--json")
    dwf.go()
    assert end(process).code == 0
    watched, logged = map(end, lookers)
    assert (watched.code, logged.code) == (0, 0)
    assert "succeeded" in watched.out
    printed = re.findall(r"^step (\d)$", logged.out, re.MULTILINE)
    assert sorted(printed) == list("012345")
    followed = end(follower)
    assert followed.code == 0
    assert followed.lines[-1]["kind"] == "RunSucceeded"
    assert [e["n"] for e in followed.lines] == list(range(1, len(followed.lines) + 1))


@pytest.mark.parametrize("words", [["resume", "s"], ["recover"], ["retry", "s"], ["fork", "s"]])
def test_a_run_that_was_exported_to_a_file_can_be_read_but_not_continued_there(dwf, words):
    process = dwf.start("run", "pipeline.py:steps", "--id", "s")
    dwf.wait_for_marks(2)
    kill(process)
    assert dwf("export", "s", "s.dwf").code == 0
    beside = sorted(path.name for path in dwf.folder.iterdir())

    refused = dwf(*words, "--store", "s.dwf")

    assert refused.code != 0
    assert "is a single file" in refused.err
    assert "dwf import" in refused.err
    assert sorted(path.name for path in dwf.folder.iterdir()) == beside
    assert dwf("audit", "verify", "--store", "s.dwf").code == 0


def test_a_program_can_watch_a_run_and_read_its_graph(dwf):
    process = dwf.start("run", "pipeline.py:steps", "--id", "s")
    dwf.wait_for_marks(4)
    watcher = dwf.start("watch", "s", "--json")
    tasks = {task["task"]: task for task in dwf("graph", "s", "--json").document["tasks"]}
    assert tasks["step2"] == {"task": "step2", "upstream": ["step1"], "status": "succeeded"}
    assert tasks["step5"]["status"] == "pending"
    assert tasks["step3"]["status"] == "running"
    dwf.go()
    assert end(process).code == 0
    watched = end(watcher)
    assert watched.code == 0
    assert watched.lines[-1]["status"] == "succeeded"
    assert {line["run_id"] for line in watched.lines} == {"s"}
    assert dwf("export", "s", "s.dwf").code == 0
    info = dwf("db", "info", "--json", "--store", "s.dwf").document
    file = dwf.folder / "s.dwf"
    assert (info["path"], info["bytes"]) == (str(file), file.stat().st_size)


# --- recorded workflows and many tasks ------------------------------------------------------------


def recording(size: int) -> str:
    """A recorded fork and join in WfFormat."""
    middle = [f"part_{number}" for number in range(size)]
    parents = {"first": [], **{name: ["first"] for name in middle}, "last": middle}
    tasks = [{"name": n, "id": n, "parents": p, "children": []} for n, p in parents.items()]
    executed = [{"id": name, "runtimeInSeconds": 10.0, "coreCount": 1} for name in parents]
    execution = {"makespanInSeconds": 50.0, "tasks": executed}
    workflow = {"specification": {"tasks": tasks}, "execution": execution}
    return json.dumps({"name": "forkjoin", "schemaVersion": "1.5", "workflow": workflow})


def test_a_recorded_workflow_ends_with_its_makespan(dwf):
    (dwf.folder / "rec.json").write_text(recording(4))
    ended = dwf("run", "rec.json", "--time-scale", "0.001", "--json")
    assert ended.code == 0
    makespan = ended.document["makespan"]
    assert makespan["recorded_s"] == 50.0
    assert makespan["scaled_s"] == pytest.approx(0.05)
    assert makespan["scaled_work_s"] == pytest.approx(0.06)
    assert makespan["achieved_s"] >= 0.03
    people: Ended = dwf("run", "rec.json", "--time-scale", "0.001")
    assert "recorded makespan  50.0 s x 0.001 = 50 ms" in people.err
    assert "achieved makespan" in people.err


def test_a_recorded_workflow_that_was_killed_goes_on(dwf):
    (dwf.folder / "rec.json").write_text(recording(4))
    process = dwf.start("run", "rec.json", "--time-scale", "0.05", "--id", "r")
    wait_for(
        lambda: (dwf.folder / ".durable-wf" / "head").exists() and "first" in dwf("events", "r").out
    )
    kill(process)
    (dwf.folder / "rec.json").unlink()
    ended = dwf("resume", "r", "--json")
    assert (ended.code, ended.document["status"]) == (0, "succeeded")
    assert ended.document["makespan"]["recorded_s"] == 50.0


def test_junk_of_any_size_is_refused_unread(dwf):
    with (dwf.folder / "huge.json").open("wb") as file:
        file.truncate(200_000_000)
    ended = dwf("run", "huge.json")
    assert ended.code == Exit.USAGE
    assert "200 MB" in ended.err
    assert ended.err.count("\n") <= 2


def test_ten_thousand_tasks_fit_on_the_screen(dwf):
    script = (
        "from durable_wf import WorkflowBuilder\n"
        "def one(): return 1\n"
        "def end(): return 2\n"
        "b = WorkflowBuilder('wide')\n"
        "names = [f'part_{n}' for n in range(10_000)]\n"
        "for name in names: b.add_task(name, one)\n"
        "b.add_task('end', end).after(*names)\n"
        "workflow = b.build()\n"
    )
    (dwf.folder / "wide.py").write_text(script)
    ended = dwf("run", "wide.py", "--id", "w", "--json")
    assert ended.document["tasks"]["by_status"]["succeeded"] == 10_001
    screen = dwf("show", "w").out.splitlines()
    assert len(screen) < 20
    assert any("part x 10000" in line and "10000/10000" in line for line in screen)
    assert "part x 10000" in dwf("graph", "w").out
    assert len(dwf("show", "w", "--json").document["task_states"]) == 10_001
    assert "10001" in dwf("list").out
    assert (
        len(dwf("events", "w", "--kind", "AttemptSucceeded", "--json").out.splitlines()) == 10_001
    )
