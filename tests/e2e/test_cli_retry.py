"""`dwf retry` and `dwf fork`, as people type them; the code is loaded where a run names it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_rig import DEADLINE_S, Rig, end, environment, kill
from security.evil import forget

FLOW = """
import os
import time
from pathlib import Path
import durable_wf as wf

def mark(name):
    with Path("marks").open("a") as file:
        file.write(f"{name}\\n")

def extract(source, day=1):
    mark("extract")
    print("extracting")
    return b"x" * int(os.environ.get("SIZE", "10"))

def load(extract, table):
    mark("load")
    if Path("broken").exists():
        raise ValueError("no such table")
    while not Path("go").exists():
        time.sleep(0.01)
    return len(extract)

def report(load):
    mark("report")
    return f"{load} rows"

etl = (
    wf.WorkflowBuilder("etl", tags=["nightly"])
    .add_task("extract", extract, parameters={"source": "db"})
    .add_task("load", load, parameters={"table": "t"}).depends_on("extract")
    .add_task("report", report).depends_on("load")
    .build()
)
"""


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith("-shm")
    }


@pytest.fixture
def dwf(tmp_path):
    """`dwf` where the run `r` has failed in its second task."""
    rig = Rig(tmp_path)
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "broken").touch()
    failed = rig("run", "flow.py:etl", "--id", "r", "--quiet", "--tag", "mine")
    assert failed.code == 1, failed.err
    assert "next: dwf show r, then dwf retry r" in failed.err
    (tmp_path / "broken").unlink()
    rig.go()
    return rig


def test_a_retry_runs_what_failed_and_says_what_it_took_over(dwf):
    told = dwf("retry", "r")
    assert told.code == 0, told.err
    first, *_ = told.err.splitlines()
    assert first == (
        "r.2: retry of r: 1 result is taken over, 2 tasks run again: load, report"
    )  # fmt: skip
    assert dwf.marks() == ["extract", "load", "load", "report"]
    new = dwf("show", "r.2", "--json").document
    assert (new["origin"], new["origin_event"], new["chain"]) == ("r", None, "r")
    assert (new["status"], new["tags"]) == ("succeeded", ["nightly", "mine"])
    assert new["task_states"]["extract"]["origin"] == "r"
    assert new["task_states"]["extract"]["attempts"] == 0
    assert "origin" not in new["task_states"]["load"]
    assert dwf("db", "check").code == 0


def test_people_see_which_run_was_made_from_which(dwf):
    assert "dwf retry r" in dwf("show", "r").out.splitlines()[-1]
    dwf("retry", "r", "--quiet")
    dwf("fork", "r", "--at", "5", "--quiet")
    old = dwf("show", "r")
    assert "retried as  r.2 (succeeded)" in old.out
    assert "forks       r.f1 (succeeded)" in old.out
    assert old.out.splitlines()[-1] == "next    dwf show r.2   (the newest retry)"
    new = dwf("show", "r.2")
    assert "origin    retry of r" in new.out
    assert "taken over from r" in new.out
    assert dwf("show", "r", "--json").document["retries"] == ["r.2"]
    assert dwf("show", "r", "--json").document["forks"] == ["r.f1"]
    lines = dwf("list").out.splitlines()
    assert lines[0].endswith("ORIGIN")
    assert lines[1].endswith("fork of r after event 5")
    assert lines[2].endswith("retry of r")
    for looks in ("events", "logs"):
        assert "run r has a newer retry: r.2" in dwf(looks, "r").err
        assert "newer" not in dwf(looks, "r.2").err
    assert "whose results it has: dwf logs r" in dwf("logs", "r.2").err
    assert "ORIGIN" not in dwf("list", "--limit", "1", "--status", "failed").out


def test_a_dry_run_tells_what_the_retry_then_does_and_writes_nothing(dwf):
    before = bytes_of(dwf.folder)
    told = dwf("retry", "r", "--dry-run")
    assert told.code == 0, told.err
    assert "run r would be retried as r.2; nothing was written" in told.out
    assert "taken over   1: extract" in told.out
    assert "it had failed: load" in told.out
    assert "it had been skipped: report" in told.out
    document = dwf("retry", "r", "--dry-run", "--json").document
    assert document["taken_over"] == ["extract"]
    assert document["again"] == [
        {"task": "load", "why": "failed"}, {"task": "report", "why": "skipped"},
    ]  # fmt: skip
    assert (document["action"], document["new_run_id"]) == ("retry", "r.2")
    assert bytes_of(dwf.folder) == before
    assert dwf("retry", "r", "--quiet").code == 0
    refused = dwf("retry", "r", "--dry-run")
    assert refused.code == 4
    assert "run r.2 would not be retried" in refused.out
    assert "nothing of it would run again" in refused.out


def test_a_task_is_run_again_by_its_name(dwf):
    dwf("retry", "r", "--quiet")
    told = dwf("retry", "r", "--from", "report")
    assert told.code == 0, told.err
    assert told.err.splitlines()[0] == "r stands for its newest retry, r.2"
    assert dwf.marks()[4:] == ["report"]
    assert dwf("retry", "r", "--from", "repotr").code == 3
    assert "did you mean 'report'" in dwf("retry", "r", "--from", "repotr").err


def test_values_are_set_as_json(dwf):
    told = dwf("retry", "r", "--set", 'table="other"', "--set", "extract.day=2", "--json")
    assert told.code == 0, told.err
    assert dwf.marks()[2:] == ["extract", "load", "report"]
    wrong = dwf("retry", "r", "--set", "table=other", "--set", "extract.dya=2")
    assert wrong.code == 2
    assert "'other' is not JSON; a text stands in double quotes" in wrong.err
    assert "did you mean 'day'?" in wrong.err
    assert dwf("retry", "r", "--set", "table").code == 2
    assert len(dwf("list", "--json").lines) == 2


def test_code_that_was_corrected_is_accepted_first(dwf):
    script = dwf.folder / "flow.py"
    script.write_text(FLOW.replace("return len(extract)", "return len(extract) + 1"))
    refused = dwf("retry", "r")
    assert refused.code == 4
    assert "dwf retry r --accept-changes" in refused.err
    assert dwf("retry", "r", "--dry-run").code == 4
    assert dwf("retry", "r", "--accept-changes", "--quiet").code == 0
    assert dwf.marks() == ["extract", "load", "load", "report"]
    # What had succeeded keeps its result, and that is said.
    script.write_text(FLOW.replace("return b", "return b'y' + b"))
    told = dwf("retry", "r", "--from", "report", "--accept-changes")
    assert "taken over, though the code has changed since: extract, load" in told.err


def test_a_script_that_was_changed_gives_the_new_graph(dwf):
    script = dwf.folder / "flow.py"
    more = '    .add_task("check", abs, parameters={"x": 1})\n    .build()'
    script.write_text(FLOW.replace("    .build()", more))
    refused = dwf("retry", "r")
    assert refused.code == 4
    assert "task 'check' is new" in refused.err
    assert dwf("retry", "r", "--accept-changes", "--quiet").code == 0
    states = dwf("show", "r.2", "--json").document["task_states"]
    assert {task for task, state in states.items() if "origin" in state} == {"extract"}
    assert states["check"]["status"] == "succeeded"


def test_values_stay_as_recorded_though_the_script_gives_others(dwf):
    (dwf.folder / "flow.py").write_text(FLOW.replace('"source": "db"', '"source": "files"'))
    told = dwf("retry", "r")
    assert told.code == 0, told.err
    assert "as recorded, though the code gives another value today: extract.source" in told.err
    assert dwf.marks() == ["extract", "load", "load", "report"]


def test_code_can_be_taken_from_elsewhere(dwf):
    (dwf.folder / "flow.py").rename(dwf.folder / "moved.py")
    assert dwf("retry", "r").code == 3
    told = dwf("retry", "r", "--code", "moved.py:etl", "--quiet")
    assert told.code == 0, told.err
    assert dwf.marks() == ["extract", "load", "load", "report"]
    dwf("retry", "r", "--from", "report", "--quiet")  # the new run names the new place
    assert dwf.marks()[4:] == ["report"]


def test_a_retry_that_was_killed_goes_on_under_either_id(dwf):
    (dwf.folder / "go").unlink()
    process = dwf.start("retry", "r")
    dwf.wait_for_marks(3)
    kill(process)
    assert dwf("list", "--json").lines[0]["status"] == "interrupted"
    refused = dwf("retry", "r")
    assert refused.code == 4
    assert "run r.2 was interrupted" in refused.err
    dwf.go()
    told = dwf("resume", "r")
    assert told.code == 0, told.err
    assert "r stands for its newest retry, r.2" in told.err
    assert dwf.marks() == ["extract", "load", "load", "load", "report"]
    again = dwf("run", "flow.py:etl", "--id", "r")
    assert again.code == 0
    assert "run r.2 had ended before" in again.err


def test_large_results_are_taken_over_by_reference(dwf):
    (dwf.folder / "broken").touch()
    big = {"SIZE": "1000000"}
    assert dwf("run", "flow.py:etl", "--id", "big", "--quiet", env=big).code == 1
    (dwf.folder / "broken").unlink()
    payloads = dwf.folder / ".durable-wf" / "payloads"
    files = {path: path.stat().st_ino for path in payloads.rglob("*") if path.is_file()}
    assert files
    assert dwf("retry", "big", "--quiet").code == 0
    now = {path: path.stat().st_ino for path in payloads.rglob("*") if path.is_file()}
    assert now == files
    for path in files:
        path.write_bytes(b"damaged")
    told = dwf("retry", "big", "--from", "report")
    assert "the result of task 'extract' is lost, so it runs again" in told.err
    assert "its content is not what was stored" in told.err
    assert told.code == 0, told.err


# --- many runs ------------------------------------------------------------------------------------


def test_of_many_runs_only_the_newest_of_each_chain_is_retried(dwf):
    (dwf.folder / "broken").touch()
    for name in ("s", "t"):
        dwf("run", "flow.py:etl", "--id", name, "--quiet")
    (dwf.folder / "broken").unlink()
    dwf("retry", "r", "--quiet")
    asked = dwf("retry", "--status", "failed")
    assert asked.code == 2
    assert "This would retry 2 runs: t (failed), s (failed)" in asked.err
    told = dwf("retry", "--tag", "nightly", "--yes", "--json")
    assert told.code == 0, told.err
    assert {line["run_id"] for line in told.lines} == {"s.2", "t.2"}
    nothing = dwf("retry", "--status", "failed", "--yes")
    assert nothing.code == 0
    assert nothing.err == "nothing to retry; left out: 3 retried already\n"
    assert dwf("retry", "--status", "paused", "--yes").err == "no such runs\n"


def test_one_of_many_that_cannot_be_retried_is_told_and_the_others_are(dwf):
    dwf("retry", "r", "--quiet")
    (dwf.folder / "broken").touch()
    dwf("run", "flow.py:etl", "--id", "s", "--quiet")
    (dwf.folder / "broken").unlink()
    told = dwf("retry", "r", "s", "--yes")
    assert told.code == 4
    assert "r.2: left out: it has ended: succeeded\n" in told.err
    assert "s.2: retry of s: 1 result is taken over" in told.err
    rehearsed = dwf("retry", "r", "s", "--dry-run")
    assert rehearsed.code == 4
    assert dwf("retry", "r", "s", "--id", "x", "--yes").code == 2


# --- forks ----------------------------------------------------------------------------------------


def test_a_run_that_runs_can_be_forked(dwf):
    (dwf.folder / "go").unlink()
    process = dwf.start("run", "flow.py:etl", "--id", "live")
    dwf.wait_for_marks(4)
    assert dwf("retry", "live").code == 4
    dwf.go()
    told = dwf("fork", "live", "--at", "5", "--id", "mine")
    assert told.code == 0, told.err
    assert told.err.splitlines()[0] == (
        "mine: fork of live after event 5: 1 result is taken over, 2 tasks run: load, report"
    )  # fmt: skip
    assert end(process).code == 0
    document = dwf("show", "mine", "--json").document
    assert (document["origin"], document["origin_event"], document["chain"]) == ("live", 5, "mine")


def test_an_event_that_is_not_there_cannot_be_forked(dwf):
    told = dwf("fork", "r", "--at", "99")
    assert told.code == 2
    assert "run r has no event 99: it has events 1 to" in told.err
    assert dwf("fork", "r", "--at", "0").code == 2
    assert dwf("fork", "r", "--id", "r").code == 4


# --- whose code it is -----------------------------------------------------------------------------


def test_the_code_of_a_foreign_store_is_not_loaded(dwf):
    (dwf.folder / "flow.py").write_text(FLOW + "\nPath('loaded').touch()\n")
    forget(dwf.folder / ".durable-wf")
    for words in (["retry", "r"], ["retry", "r", "--dry-run"], ["fork", "r", "--at", "5"]):
        assert dwf(*words).code in {2, 4, 5}, words
    assert not (dwf.folder / "loaded").exists()
    assert dwf("retry", "r", "--dry-run", "--trust").code == 0
    assert (dwf.folder / "loaded").exists()


def test_the_code_that_an_imported_run_names_is_not_loaded(dwf, tmp_path_factory):
    file = dwf.folder / "r.run"
    assert dwf("export", "r", file).code == 0
    other = Rig(tmp_path_factory.mktemp("other"))
    (other.folder / "mine.py").write_text(FLOW)
    (other.folder / "go").touch()
    assert other("run", "mine.py:etl", "--id", "own", "--quiet").code == 0
    assert other("import", file).code == 0
    (dwf.folder / "flow.py").write_text(FLOW + "\nPath('loaded').touch()\n")
    retried = other("retry", "r")
    assert retried.code == 4
    assert "cannot be retried here, only forked" in retried.err
    forked = other("fork", "r")
    assert forked.code == 4
    assert "--code" in forked.err
    assert not (other.folder / "loaded").exists()
    told = other("fork", "r", "--code", "mine.py:etl", "--quiet", "--accept-changes")
    assert told.code == 0, told.err
    assert other.marks()[-2:] == ["load", "report"]


def test_functions_that_no_file_gives_are_those_that_were_stored(tmp_path):
    text = (
        FLOW
        + """
engine = wf.WorkflowEngine(".durable-wf", executor_type="sequential")
engine.run(etl, run_id="r", check=False)
"""
    )
    (tmp_path / "broken").touch()
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, env=environment({}), text=True,
        capture_output=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (tmp_path / "broken").unlink()
    rig = Rig(tmp_path)
    rig.go()
    told = rig("retry", "r", "--json")
    assert told.code == 0, told.err
    assert rig.marks() == ["extract", "load", "load", "report"]
    bodies = [
        json.loads(one["body"]) if isinstance(one["body"], str) else one["body"]
        for run in ("r", "r.2")
        for one in rig("events", run, "--json").lines
        if one["kind"] == "RunCreated"
    ]
    assert bodies[0]["definition"] == bodies[1]["definition"]


# --- what may have had its effect -----------------------------------------------------------------

DOUBT = """
import os
import durable_wf as wf

def charge(amount):
    os.kill(os.getpid(), 9)

def fetch():
    os.kill(os.getpid(), 9)

once = (
    wf.WorkflowBuilder("once")
    .add_task("charge", charge, parameters={"amount": 5}, in_doubt="fail")
    .build()
)
often = (
    wf.WorkflowBuilder("often", rules=[wf.retry(1, losses=0)])
    .add_task("fetch", fetch)
    .build()
)
"""


def test_a_retry_is_not_suggested_without_caution_where_a_task_may_have_had_its_effect(tmp_path):
    rig = Rig(tmp_path)
    (tmp_path / "flow.py").write_text(DOUBT)
    caution = (
        "caution: charge may have had its effect already; find out first, a retry runs it again\n"
    )
    ended = rig("run", "flow.py:once", "--id", "c", "--quiet")
    assert ended.code == 1
    assert f"{caution}next: dwf show c, then dwf retry c" in ended.err
    assert f"\n{caution}next    dwf retry c" in rig("show", "c").out
    assert caution in rig("watch", "c").err
    rehearsed = rig("retry", "c", "--dry-run").out
    may = "may have had its effect already: charge (it runs again, under "
    assert f"{may}the same idempotency key)" in rehearsed
    assert f"{may}a new idempotency key)" in rig("fork", "c", "--dry-run").out


def test_a_task_that_may_run_twice_needs_no_caution(tmp_path):
    rig = Rig(tmp_path)
    (tmp_path / "flow.py").write_text(DOUBT)
    ended = rig("run", "flow.py:often", "--id", "o", "--quiet")
    assert ended.code == 1, ended.err
    assert "caution" not in ended.err + rig("show", "o").out
    assert "may have had" not in rig("retry", "o", "--dry-run").out
