"""`dwf` from the outside: what it prints, how it ends, and that a killed run goes on."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess

import pytest
from cli_rig import DEADLINE_S, PIPELINE, Ended, Rig, end, kill, wait_for

from durable_wf.cli.exits import Exit

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def rig_in(folder) -> Rig:
    (folder / "pipeline.py").write_text(PIPELINE)
    return Rig(folder)


@pytest.fixture
def dwf(tmp_path):
    """`dwf` in an empty folder with a script."""
    return rig_in(tmp_path)


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """`dwf` where a run has succeeded and another has failed. For tests that only look."""
    rig = rig_in(tmp_path_factory.mktemp("past"))
    assert rig("run", "pipeline.py:workflow", "--id", "etl-1", "--tag", "daily").code == 0
    assert rig("run", "pipeline.py:failing", "--id", "bad-1").code == 1
    return rig


# --- running ------------------------------------------------------------------------------------


def test_a_run_prints_one_document(dwf):
    ended = dwf("run", "pipeline.py:workflow", "--id", "daily", "--json")
    assert ended.code == 0
    run = ended.document
    assert (run["run_id"], run["workflow"], run["status"]) == ("daily", "etl", "succeeded")
    assert run["tasks"]["total"] == 3
    assert run["tasks"]["by_status"]["succeeded"] == 3
    assert all(ISO.fullmatch(run[key]) for key in ("created_at", "started_at", "ended_at"))
    assert ended.err.count("\n") <= 1  # where the store was made


def test_a_run_tells_people_how_it_goes_on_stderr_and_how_it_ended_on_stdout(dwf):
    ended = dwf("run", "pipeline.py:workflow", "--executor", "sequential")
    assert ended.code == 0
    assert "succeeded" in ended.out
    assert "3/3" in ended.err
    assert "\x1b" not in ended.out + ended.err


def test_a_failed_run_exits_with_1_and_names_the_failure(dwf):
    ended = dwf("run", "pipeline.py:failing")
    assert ended.code == Exit.RUN_FAILED
    assert "boom: ValueError: no such table" in ended.out
    assert "dwf show failing-" in ended.err
    document = dwf("run", "pipeline.py:failing", "--json").document
    assert document["failures"]["boom"]["message"].endswith("such table")


def test_the_same_id_gives_the_recorded_outcome(dwf):
    first = dwf("run", "pipeline.py:workflow", "--id", "x", "--json").document
    again = dwf("run", "pipeline.py:workflow", "--id", "x", "--json")
    assert again.document == first
    assert "had ended before" in again.err


def test_the_same_id_for_another_workflow_is_refused(past):
    ended = past("run", "pipeline.py:failing", "--id", "etl-1", "--json")
    assert ended.code == Exit.WRONG_STATE
    assert ended.error["type"] == "RunConflict"


TARGETS = [
    # target, exit code, what stderr says
    ("pipelin.py:workflow", 3, "did you mean pipeline.py"),
    ("pipeline.py:workflw", 3, "workflow"),
    ("pipeline.py:not_a_workflow", 2, "no workflow"),
    ("nowhere.module:x", 3, "nowhere"),
    ("nothing", 3, "file.py:name"),
    ("missing.json", 3, "missing.json"),
    ("broken.py:workflow", 2, "broken.py, line 2"),
    ("junk.json", 2, "junk.json"),
]


@pytest.mark.parametrize(("target", "code", "text"), TARGETS)
def test_a_bad_target_is_one_clear_error(past, target, code, text):
    (past.folder / "broken.py").write_text("x = 1\nraise RuntimeError('oops')\n")
    (past.folder / "junk.json").write_text("{" * 100)
    ended = past("run", target)
    assert ended.code == code, ended.err
    assert text in ended.err
    assert ended.err.startswith("error: ")
    assert "Traceback" not in ended.err


# --- looking ------------------------------------------------------------------------------------


def test_list_is_newest_first_and_can_be_sifted(past):
    assert [run["run_id"] for run in past("list", "--json").lines] == ["bad-1", "etl-1"]
    assert [run["run_id"] for run in past("list", "--json", "-n", "1").lines] == ["bad-1"]
    assert [r["run_id"] for r in past("list", "--json", "-s", "succeeded").lines] == ["etl-1"]
    assert [r["run_id"] for r in past("list", "--json", "-w", "etl").lines] == ["etl-1"]
    assert len(past("list", "--json", "--since", "1h").lines) == 2
    assert past("list", "--json", "--since", "2999-01-01").lines == []
    table = past("list").out
    assert "✓ succeeded" in table
    assert "✗ failed" in table


def test_show_has_the_states_of_all_tasks(past):
    run = past("show", "bad-1", "--json").document
    states = {name: task["status"] for name, task in run["task_states"].items()}
    assert states == {"extract": "succeeded", "boom": "failed", "after": "skipped"}
    assert run["task_states"]["extract"]["attempts"] == 1
    assert run["task_states"]["after"]["attempts"] == 0
    assert run["task_states"]["after"]["started_at"] is None
    assert ISO.fullmatch(run["task_states"]["boom"]["ended_at"])


def test_show_says_what_failed_and_what_to_do(past):
    screen = past("show", "bad").out
    assert "boom (attempt 1)" in screen
    assert "ValueError: no such table" in screen
    assert "dwf logs bad-1" in screen
    assert "no \\x1b[2J" not in screen
    task = past("show", "bad-1", "--task", "boom").out
    assert "Traceback" in task
    assert past("show", "bad-1", "--task", "bom").code == 2
    assert "did you mean 'boom'" in past("show", "bad-1", "--task", "bom").err


def test_events_are_json_lines_with_the_fields_of_the_log(past):
    events = past("events", "etl-1", "--json").lines
    fields = ["seq", "run", "n", "at", "kind", "task", "attempt", "body", "hash"]
    assert all(list(event) == fields for event in events)
    assert [event["n"] for event in events] == list(range(1, len(events) + 1))
    assert [event["kind"] for event in events[:3]] == ["RunCreated", "RunClaimed", "RunStarted"]
    assert events[-1]["kind"] == "RunSucceeded"
    assert all(ISO.fullmatch(event["at"]) and event["run"] == "etl-1" for event in events)


def test_events_can_be_sifted_and_read(past):
    kinds = {e["kind"] for e in past("events", "@last", "-k", "attemptfailed", "--json").lines}
    assert kinds == {"AttemptFailed"}
    assert {e["task"] for e in past("events", "etl", "-t", "double", "--json").lines} == {"double"}
    assert [e["kind"] for e in past("events", "etl", "-n", "1", "--json").lines] == ["RunSucceeded"]
    assert "RunSucceeded" in past("events", "etl").out
    assert "EngineStarted" in past("events", "@store").out


def test_logs_are_what_tasks_printed(past):
    assert past("logs", "etl-1").out == "==> extract <==\nreading database\n"
    assert past("logs", "etl-1", "-t", "extract").out == "reading database\n"
    line = past("logs", "etl-1", "--json").document
    assert line == {"task": "extract", "attempt": 1, "text": "reading database\n"}
    assert "nothing was printed" in past("logs", "etl-1", "-t", "double").err
    assert past("logs", "etl-1", "-t", "nope").code == Exit.NOT_FOUND


def test_whoever_stops_reading_hears_no_complaint(past):
    command = " ".join(past.command("events", "etl-1", "--json"))
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -n 1; echo ${{PIPESTATUS[0]}}"],
        cwd=past.folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


@pytest.mark.parametrize(
    ("form", "text"),
    [("ascii", "└"), ("mermaid", "flowchart"), ("dot", "digraph"), ("svg", "<svg")],
)
def test_a_run_and_a_workflow_can_be_drawn(past, form, text):
    assert text in past("graph", "bad-1", "--format", form).out
    assert text in past("graph", "pipeline.py:workflow", "--format", form).out
    assert "✗ failed" in past("graph", "bad-1", "--format", form).out


def test_a_plan_runs_nothing(past):
    plan = past("plan", "pipeline.py:workflow", "--json", "--cpus", "2").document
    assert plan["critical_path"] == ["extract", "double", "total"]
    assert plan["makespan_s"] == 3.0
    assert len(past("list", "--json").lines) == 2


def test_watch_ends_with_the_code_of_the_run(past):
    assert past("watch", "etl-1").code == 0
    ended = past("watch")
    assert ended.code == Exit.RUN_FAILED
    assert "bad-1" in ended.out


# --- errors -------------------------------------------------------------------------------------

WRONG = [
    # arguments, exit code, what to do
    (("show", "zzz"), 3, "dwf list"),
    (("show", "bda-1"), 3, "did you mean bad-1?"),
    (("list", "--store", "nowhere"), 3, "--store"),
    (("show",), 2, "--help"),
    (("list", "--since", "soon"), 2, "2d"),
    (("list", "--status", "happy"), 2, "succeeded"),
    (("frobnicate",), 2, "--help"),
    (("cancel", "etl-1"), 4, "dwf show etl-1"),
    (("pause", "etl-1"), 4, "dwf show etl-1"),
    (("resume", "etl-1"), 4, "dwf show etl-1"),
    (("run", "pipeline.py:workflow", "--id", "a/b"), 2, "letters"),
    (("run", "pipeline.py:workflow", "--work", "cpu"), 2, "--help"),
    (("audit", "verify", "--kept", "x"), 2, "--help"),
    (("export", "etl-1", "pipeline.py"), 2, "new file"),
    (("db", "accept-loss"), 2, "--yes"),
]


@pytest.mark.parametrize(("args", "code", "hint"), WRONG)
def test_each_mistake_has_its_code_and_says_what_to_do(past, args, code, hint):
    ended = past(*args)
    assert ended.code == code, ended.err
    assert ended.out == ""
    assert hint in ended.err
    assert "Traceback" not in ended.err


def test_errors_are_json_where_that_was_asked_for(past):
    ended = past("show", "zzz", "--json")
    assert ended.out == ""
    assert ended.error["type"] == "NotFound"
    assert ended.error["code"] == ended.code == Exit.NOT_FOUND
    assert ended.error["hint"]


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


# --- the store ----------------------------------------------------------------------------------


def test_an_exported_run_can_be_looked_at_and_imported(past, tmp_path):
    file = tmp_path / "bad.dwf"
    assert past("export", "bad", file).code == 0
    assert past("show", "bad-1", "--store", file, "--json").document["status"] == "failed"
    assert past("audit", "verify", "--store", file).code == 0
    assert "✗ failed" in past("graph", "@last", "--store", file).out
    elsewhere = tmp_path / "elsewhere"
    assert past("import", file, "--store", elsewhere, "--json").document["run_id"] == "bad-1"
    shown = past("show", "@last", "--store", elsewhere, "--json").document
    assert shown["imported"]
    assert past("db", "check", "--store", elsewhere).code == 0
    assert past("import", file, "--store", elsewhere).code == Exit.WRONG_STATE


def test_a_backup_is_a_store(past, tmp_path):
    assert past("db", "backup", tmp_path / "b.tar", "--json").document["files"] >= 0
    subprocess.run(["tar", "-xf", "b.tar"], cwd=tmp_path, timeout=DEADLINE_S, check=True)
    restored = tmp_path / "durable-wf-backup"
    names = [run["run_id"] for run in past("list", "--store", restored, "--json").lines]
    assert names == ["bad-1", "etl-1"]
    assert past("db", "check", "--store", restored).code == 0


def test_the_store_tells_about_itself(past):
    info = past("db", "info", "--json").document
    assert info["runs"] == {"failed": 1, "succeeded": 1}
    assert info["trusted"]
    assert past("db", "info").code == 0
    assert past("db", "prune", "--json").document == {"files": 0, "rows": 0, "size": 0}
    head = past("audit", "head").out.strip()
    assert past("audit", "verify", "--kept", head).code == 0
    assert past("audit", "verify", "@last", "--json").document["sound"]


def test_a_changed_log_is_found(dwf):
    assert dwf("run", "pipeline.py:workflow", "--id", "x").code == 0
    database = sqlite3.connect(dwf.folder / ".durable-wf" / "log.db")
    with database:
        database.execute("UPDATE events SET body = replace(body, '12', '13') WHERE n > 3")
    database.close()
    ended = dwf("audit", "verify")
    assert ended.code == Exit.VERIFICATION
    assert "run x, event" in ended.err
    assert not dwf("audit", "verify", "--json").document["sound"]
    assert dwf("db", "check").code == Exit.VERIFICATION


def test_a_foreign_store_is_read_but_not_written(dwf, tmp_path):
    assert dwf("run", "pipeline.py:workflow", "--id", "x").code == 0
    stranger = {"XDG_STATE_HOME": str(tmp_path / "other")}
    assert dwf("show", "x", env=stranger).code == 0
    refused = dwf("run", "pipeline.py:workflow", env=stranger)
    assert refused.code == Exit.STORE
    assert "--trust" in refused.err
    assert dwf("run", "pipeline.py:workflow", "--trust", env=stranger).code == 0


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
