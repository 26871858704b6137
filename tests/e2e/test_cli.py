"""`dwf` from the outside: what it prints, how it ends, what it keeps."""

from __future__ import annotations

import re
import sqlite3
import subprocess

import pytest
from cli_rig import DEADLINE_S, rig_in

from durable_wf.cli.exits import Exit

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


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
    assert past("show", "bad-1", "--task", "bom").code == 3
    assert "did you mean 'boom'" in past("show", "bad-1", "--task", "bom").err


def test_names_that_are_not_there_are_told_with_the_nearest_that_are(past):
    for command in ("logs", "events", "show"):
        ended = past(command, "etl-1", "--task", "doubel")
        assert (ended.code, ended.out) == (3, "")
        assert "run etl-1 has no task 'doubel'\n  hint: did you mean 'double'?" in ended.err
    ended = past("events", "etl-1", "--kind", "TaskFail")
    assert ended.code == 2
    assert "there are no events of kind 'TaskFail'; did you mean TaskFailed?" in ended.err
    ended = past("list", "--workflow", "elt")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == "no runs of workflow 'elt' at all; did you mean 'etl'?\n"
    assert past("list", "--workflow", "etl", "--status", "failed").err == "no such runs\n"


def test_no_help_names_a_limit_that_nobody_comes_to(past):
    for command in ("list", "events", "why", "inbox", "cancel", "retry", "fork", "resolve"):
        assert "2147483648" not in past.look(command, "--help").out
    assert "is not in the range" in past("list", "-n", "-1").err


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


@pytest.mark.parametrize("reader", ["head -n 1", "true"])
def test_whoever_stops_reading_hears_no_complaint(past, reader):
    command = " ".join(past.command("events", "etl-1", "--json"))
    done = subprocess.run(
        ["bash", "-c", f"{command} | {reader}; echo ${{PIPESTATUS[0]}}"],
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
    (("list", "--store", ""), 2, "--help"),
    (("run", "pipeline.py:workflow", "--store", ""), 2, "--help"),
    (("run", "pipeline.py:workflow", "--id", ""), 2, "letters"),
    (("list", "--since", "soon"), 2, "2d"),
    (("list", "--status", "happy"), 2, "succeeded"),
    (("frobnicate",), 2, "--help"),
    (("cancel", "etl-1"), 4, "dwf show etl-1"),
    (("pause", "etl-1"), 4, "dwf show etl-1"),
    (("resume", "etl-1"), 4, "dwf show etl-1"),
    (("run", "pipeline.py:workflow", "--id", "a/b"), 2, "letters"),
    (("run", "pipeline.py:workflow", "--work", "cpu"), 2, "--help"),
    (("audit", "verify", "--kept", "x"), 2, "'x' is not of the form SEQ:HASH"),
    (("audit", "verify", "--kept", "5:abc"), 2, "'5:abc' is not of the form SEQ:HASH"),
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
    made = past("db", "backup", tmp_path / "b.tar", "--json").document
    assert made["files"] >= 0
    subprocess.run(["tar", "-xf", "b.tar"], cwd=tmp_path, timeout=DEADLINE_S, check=True)
    restored = tmp_path / made["folder"]
    names = [run["run_id"] for run in past("list", "--store", restored, "--json").lines]
    assert names == ["bad-1", "etl-1"]
    assert past("db", "check", "--store", restored).code == 0


def test_a_backup_says_how_it_is_used(past, tmp_path):
    told = past("db", "backup", tmp_path / "b c.tar").err
    lines = [line.split(": ", 1)[1] for line in told.splitlines() if line.startswith("to use it")]
    unpack, look = lines[0].split("   then   ")
    subprocess.run(unpack, shell=True, cwd=tmp_path, timeout=DEADLINE_S, check=True)
    assert look.startswith("dwf list --store durable-wf-backup-")
    assert past("list", "--store", tmp_path / look.split()[-1]).code == 0


@pytest.mark.parametrize("words", [("db", "backup", "-"), ("export", "etl-1", "-")], ids=" ".join)
def test_a_minus_is_no_name_of_a_file(past, words):
    """Elsewhere it stands for stdout: no file of that name is made by surprise."""
    ended = past(*words)
    assert ended.code == Exit.USAGE
    assert "'-'" in ended.err
    assert "./-" in ended.err
    assert not (past.folder / "-").exists()
    assert ended.out == ""


def test_an_import_that_fails_leaves_no_store_behind(past, tmp_path):
    (tmp_path / "junk.dwf").write_bytes(b"junk" * 5000)
    assert past("export", "bad", tmp_path / "bad.dwf").code == 0
    database = sqlite3.connect(tmp_path / "bad.dwf")
    with database:
        database.execute("UPDATE events SET body = replace(body, 'such', 'much')")
    database.close()
    for file in ("none.dwf", "junk.dwf", "bad.dwf"):
        ended = past("import", tmp_path / file, "--store", tmp_path / "elsewhere")
        assert ended.code != 0, file
        assert not (tmp_path / "elsewhere").exists()


def test_the_store_tells_about_itself(past):
    info = past("db", "info", "--json").document
    assert info["runs"] == {"failed": 1, "succeeded": 1}
    assert info["trusted"]
    assert past("db", "info").code == 0
    nothing = {"files": 0, "rows": 0, "size": 0, "breakers": 0}
    assert past("db", "prune", "--json").document == nothing
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
