"""`dwf` and people: a run says how to answer it, the inbox lists what waits, answers come once."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from cli_rig import Rig, end, kill, wait_for
from crash.dying import check_log

FLOW = """
import time
from pathlib import Path
import durable_wf as wf

def build():
    return 3

def load():
    raise OSError("no such server")

def publish(review, build):
    return {"rows": build, "by": review["by"], "why": review["comment"]}

def use(load, paid):
    return [load, paid]

workflow = (
    wf.WorkflowBuilder("etl")
    .add_task("build", build)
    .add_task("review", wf.approval("publish?", whom="ann")).depends_on("build")
    .add_task("publish", publish).depends_on("review", "build")
    .build()
)
both = (
    wf.WorkflowBuilder("both")
    .add_task("load", load, on_fault=wf.escalate("what now?", whom="ops"))
    .add_task("paid", wf.wait_for_signal("payment"))
    .add_task("use", use).depends_on("load", "paid")
    .build()
)
def one():
    while not Path("go").exists():
        time.sleep(0.01)
    return 1

ready = (
    wf.WorkflowBuilder("ready")
    .add_task("review", wf.approval("go on?"))
    .add_task("check", wf.approval("really?"))
    .add_task("one", one)
    .add_task("two", lambda one: one).depends_on("one")
    .add_task("three", lambda check: check).depends_on("check")
    .build()
)
tired = (
    wf.WorkflowBuilder("tired")
    .add_task("load", load, retry=wf.retry(2, wait="2h"))
    .build()
)
timed = (
    wf.WorkflowBuilder("timed")
    .add_task("review", wf.approval("now?", timeout="2h", on_timeout="skip"))
    .build()
)
"""


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    (tmp_path / "flow.py").write_text(FLOW)
    return Rig(tmp_path)


def run(rig: Rig, name: str = "workflow", *more: str) -> None:
    """A run that waits, and whose engine has let go of it."""
    ended = rig("run", f"flow.py:{name}", "--id", "r", "-e", "sequential", "-q", *more)
    assert ended.code == 7, ended.err


def test_a_run_that_waits_for_people_says_how_to_answer_and_exits_7(rig: Rig) -> None:
    ended = rig("run", "flow.py:workflow", "--id", "r", "-e", "sequential")
    assert ended.code == 7
    assert "waiting  r" in ended.out
    assert "review waits for an approval of ann, since just now" in ended.out
    assert "    publish?\n    dwf approve r review\n    dwf reject r review\n" in ended.out
    assert "next: dwf resume r" in ended.err
    assert "waits for an approval (review)" in ended.err
    assert "dwf approve" not in ended.err
    shown = rig("show", "r")
    assert "waiting: review for an approval" in shown.out
    assert "dwf approve r review" in shown.out
    assert rig("list").out.splitlines()[1].split()[2:4] == ["◷", "waiting"]
    assert rig("watch", "r").code == 7


def test_a_run_that_waits_for_a_time_says_meanwhile_how_to_answer(rig: Rig) -> None:
    """It does not end before that time, so its outcome would tell too late."""
    process = rig.start("run", "flow.py:timed", "--id", "t", "-e", "sequential")
    wait_for(lambda: rig("inbox", "--json").out)
    assert rig("approve", "t", "review").code == 0
    ended = end(process)
    assert ended.code == 0, ended.err
    assert ended.err.count("    now?\n    dwf approve t review\n    dwf reject t review\n") == 1
    assert "then it is skipped" in ended.err


def test_the_lines_that_are_shown_do_what_they_say(rig: Rig) -> None:
    """Typed as they stand, in a shell; the store that was named is named in them too."""
    store = rig.folder / "my store"
    ended = rig(
        "run", "flow.py:workflow", "--id", "r", "-e", "sequential", "-q", "--store", str(store)
    )
    (line,) = [line.strip() for line in ended.out.splitlines() if "dwf approve" in line]
    assert shlex.split(line)[-2:] == ["--store", str(store)]
    words = [*rig.command(), *shlex.split(line)[1:]]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        words, cwd=rig.folder, env=environment, capture_output=True, text=True, timeout=40,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "approve accepted" in done.stderr


def test_a_store_that_was_named_is_named_in_all_lines_to_type(rig: Rig) -> None:
    more = ("--store", str(rig.folder / "far away"))
    ended = rig("run", "flow.py:both", "--id", "r", "-e", "sequential", "-q", *more)
    shown = [ended, rig("show", "r", *more), rig("inbox", *more), rig("why", "r", "use", *more)]
    shown.append(rig("show", "r", "--task", "load", *more))
    lines = [line for one in shown for line in (one.out + one.err).splitlines() if "dwf " in line]
    assert len(lines) > 15
    assert [line for line in lines if "--store" not in line] == []


def test_an_approval_is_kept_and_the_run_goes_on_with_it(rig: Rig) -> None:
    run(rig)
    said = rig("approve", "r", "review", "-m", "looks good")
    assert said.code == 0
    assert said.err == "r: approve accepted; no engine runs it; to go on: dwf resume r\n"
    resumed = rig("resume", "r", "-e", "sequential", "--json")
    assert (resumed.code, resumed.document["status"]) == (0, "succeeded")
    events = rig("events", "r", "--json").lines
    (decided,) = [one for one in events if one["kind"] == "OperatorDecided"]
    assert decided["body"]["comment"] == "looks good"
    assert "@" in decided["body"]["actor"]
    (last,) = [
        one for one in events if one["kind"] == "AttemptSucceeded" and one["task"] == "publish"
    ]
    assert last["body"]["value"]["why"] == "looks good"
    check_log(rig.folder / ".durable-wf", "r")


def test_a_rejection_ends_the_run(rig: Rig) -> None:
    run(rig)
    said = rig("reject", "r", "review", "-m", "wrong month", "--json")
    assert said.document == {
        "run_id": "r", "command": "reject", "task": "review", "accepted": True,
        "text": "reject accepted; the run has ended: failed",
    }  # fmt: skip
    assert "rejected by" in rig("show", "r").out
    late = rig("approve", "r", "review")
    assert late.code == 4
    assert "has ended: failed (answered by" in late.err


def test_the_inbox_lists_what_waits_for_whom(rig: Rig) -> None:
    run(rig, "both")
    listed = rig("inbox")
    assert listed.code == 0
    assert "r  load\n  waits for a decision of ops" in listed.out
    assert "what now?" in listed.out
    assert "dwf resolve r load --retry --attempt 1" in listed.out
    assert "dwf signal r payment JSON" in listed.out
    assert "no engine runs it; then: dwf resume r" in listed.out
    (one,) = rig("inbox", "--whom", "ops", "--json").lines
    assert (one["run_id"], one["workflow"], one["task"], one["alive"]) == (
        "r",
        "both",
        "load",
        False,
    )
    assert one["commands"][0] == "dwf resolve r load --retry --attempt 1"
    assert len(rig("inbox", "--json", "--workflow", "both").lines) == 2
    assert rig("inbox", "--whom", "nobody", "--json").out == ""
    assert "nothing waits for anybody like that" in rig("inbox", "--whom", "nobody").err
    assert "(the first 1 of" in rig("inbox", "-n", "1").err


def test_what_ends_first_stands_first(rig: Rig) -> None:
    run(rig, "both")
    rig("run", "flow.py:timed", "--id", "t", "-e", "sequential", "-q", "--wait", "0")
    tasks = [(one["run_id"], one["on_timeout"]) for one in rig("inbox", "--json").lines]
    assert tasks[0] == ("t", "skip")
    assert {run_id for run_id, _ in tasks[1:]} == {"r"}


@pytest.mark.parametrize("option", ["--retry", "--skip", "--fail", "--value"])
def test_a_failed_task_is_resolved(rig: Rig, option: str) -> None:
    run(rig, "both")
    more = ['{"rows": 3}'] if option == "--value" else []
    assert rig("resolve", "r", "load", option, *more, "--attempt", "1", "-m", "why").code == 0
    assert rig("signal", "r", "payment", "5").code == (4 if option == "--fail" else 0)
    resumed = rig("resume", "r", "-e", "sequential", "--json")
    states = rig("show", "r", "--json").document["task_states"]
    expected = {"--retry": "waiting", "--skip": "skipped", "--fail": "failed"}
    assert states["load"]["status"] == expected.get(option, "succeeded")
    assert resumed.code == {"--retry": 7, "--fail": 4}.get(option, 0)
    if option == "--retry":
        assert states["load"]["attempts"] == 2
        assert states["load"]["waits_for"]["attempt"] == 2
    check_log(rig.folder / ".durable-wf", "r")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("approve r reviw", 3, "did you mean 'review'?"),
        ("approve s review", 3, "there is no run 's'"),
        ("approve r build", 4, "waits for nobody; it has succeeded"),
        ("approve r publish", 4, "waits for nobody; it is pending"),
        ("approve r review --attempt 3", 4, "has come to attempt 0; this is about 3"),
        ("approve r review --attempt -1", 2, "--attempt"),
        ("resolve r review --retry", 4, "has nothing to try again"),
        ("resolve r review", 2, "give one of --retry, --skip, --value JSON and --fail"),
        ("resolve r review --skip --fail", 2, "give one of"),
        ("resolve r review --value yes", 2, "is not JSON"),
        ("resolve r review --value '{\"a\":'", 2, "is not JSON"),
        ("resolve r review --value NaN", 2, "NaN is no number of JSON"),
        ("resolve r review --value 1e999", 2, "too large a number"),
        ("signal r payment", 3, "none of its tasks waits for a signal 'payment'"),
        ("signal r payment '{'", 2, "is not JSON"),
    ],
)
def test_what_cannot_be_is_a_clear_error_and_nothing_is_written(
    rig: Rig, words: str, code: int, told: str
) -> None:
    run(rig)
    before = rig("show", "r", "--json").document["events"]
    ended = rig(*shlex.split(words))
    assert ended.code == code, ended.err
    assert told in ended.err
    error = rig(*shlex.split(words), "--json").error
    assert error["code"] == code
    assert rig("show", "r", "--json").document["events"] == before


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("approve r review", "comment"),
        ("resolve r review --skip", "comment"),
        ("cancel r", "reason"),
        ("pause r", "reason"),
        ("cancel --workflow reviewed", "reason"),
    ],
)
def test_what_is_said_about_it_has_a_length(rig: Rig, words: str, what: str) -> None:
    run(rig)
    before = rig("show", "r", "--json").document["events"]
    ended = rig(*words.split(), "-m", "x" * 10_001)
    assert ended.code == 2
    assert f"the {what} has 10,001 characters; 10,000 fit" in ended.err
    assert rig("show", "r", "--json").document["events"] == before


def test_a_text_is_told_to_need_quotes(rig: Rig) -> None:
    run(rig)
    assert "a text needs quotes of its own" in rig("resolve", "r", "review", "--value", "yes").err


def test_a_living_engine_is_answered_and_goes_on_at_once(rig: Rig) -> None:
    """It holds the run because a timer is due some time; the answer is faster."""
    process = rig.start("run", "flow.py:timed", "--id", "r")
    try:
        wait_for(lambda: rig("list").code == 0 and "waiting" in rig("list").out)
        (one,) = rig("inbox", "--json").lines
        assert (one["alive"], one["on_timeout"]) == (True, "skip")
        assert "no engine" not in rig("inbox").out
        said = rig("approve", "r", "review")
        assert (said.code, said.err) == (0, "r: approve accepted\n"), said.err
        ended = end(process)
    finally:
        kill(process) if process.poll() is None else None
    assert ended.code == 0, ended.err
    assert "succeeded" in ended.out


def states(rig: Rig, run_id: str = "r") -> set[str]:
    """What commands call the run's state."""
    (listed,) = [one["status"] for one in rig("list", "--json").lines if one["run_id"] == run_id]
    (counted,) = rig("db", "info", "--json").document["runs"]
    return {listed, counted, rig("show", run_id, "--json").document["status"]}


def test_a_run_that_was_stopped_with_tasks_to_start_is_interrupted_for_all_commands(
    rig: Rig,
) -> None:
    """Though it asks something, too: it is not people alone who can bring it on."""
    process = rig.start("run", "flow.py:ready", "--id", "r")
    wait_for(lambda: "running" in rig("show", "r").out if rig("list", "--json").out else False)
    process.send_signal(signal.SIGINT)
    (rig.folder / "go").touch()
    stopped = end(process)
    assert stopped.code == 130
    shown = rig("show", "r")
    assert "1 succeeded" in shown.out
    assert "next    dwf resume r\n" in shown.out
    assert states(rig) == {"interrupted"}
    ended = rig("resume", "r", "-q")
    assert ended.code == 7
    assert "waiting  r" in ended.out
    assert "next: dwf resume r   (once somebody has answered)" in ended.err
    assert states(rig) == {"waiting"}


def test_an_answer_with_no_engine_alive_lets_the_run_go_on_though_another_is_open(rig: Rig) -> None:
    (rig.folder / "go").touch()
    run(rig, "ready")
    assert states(rig) == {"waiting"}
    said = rig("approve", "r", "review").err
    assert said == "r: approve accepted; it still waits for somebody: dwf show r\n"
    assert states(rig) == {"waiting"}, "nothing comes after it"
    said = rig("approve", "r", "check").err
    assert said == "r: approve accepted; no engine runs it; to go on: dwf resume r\n"
    assert states(rig) == {"interrupted"}
    assert rig("resume", "r", "-q").code == 0


def test_an_answer_comes_before_the_line_that_goes_on_with_it(rig: Rig) -> None:
    run(rig)
    steps = [line for line in rig("why", "r", "publish").out.splitlines() if "next" in line]
    assert steps == [
        "next  dwf approve r review",
        "next  dwf reject r review",
        "next  dwf resume r",
    ]


def test_a_run_that_waits_for_its_retry_says_so(rig: Rig) -> None:
    """Nobody is asked anything, and everybody else calls its state the same."""
    ended = rig("run", "flow.py:tired", "--id", "r", "-e", "sequential", "-q", "--wait", "0")
    assert ended.code == 7
    assert "interrupted  r" in ended.out
    assert "load waits for a retry" in ended.out
    assert "next: dwf resume r   (load is tried again at" in ended.err
    assert "answered" not in ended.err
    again = rig("resume", "r", "-e", "sequential", "-q", "--wait", "0", "--json")
    assert (again.code, again.document["status"]) == (7, "interrupted")
    assert states(rig) == {"interrupted"}


def test_wait_0_leaves_a_run_that_sleeps(rig: Rig) -> None:
    """Only an engine brings what a timer brings, so it is interrupted once it has none."""
    run(rig, "timed", "--wait", "0")
    assert "(the time limit of review is at" in rig("show", "r").out
    document = rig("show", "r", "--json").document
    assert (document["status"], document["recorded_status"]) == ("interrupted", "running")
    assert document["task_states"]["review"]["waits_for"]["on_timeout"] == "skip"
    assert rig("resume", "r", "-e", "sequential", "-q", "--wait", "0").code == 7
    assert rig("recover", "-e", "sequential", "-q", "--wait", "0").code == 7
    assert rig("run", "flow.py:timed", "--id", "r", "--wait", "soon").code == 2
    negative = rig("run", "flow.py:timed", "--id", "r", "--wait", "-5m")
    assert "'-5m' is negative, which no time may be" in negative.err


def test_recover_takes_runs_that_wait_and_says_what_for(rig: Rig) -> None:
    run(rig)
    recovered = rig("recover", "-e", "sequential", "-q")
    assert recovered.code == 7
    assert "dwf approve r review" in recovered.out
    assert "not continued" not in recovered.err
    assert "review" in rig("recover", "--dry-run").out


def test_a_pause_and_a_cancel_reach_runs_that_wait(rig: Rig) -> None:
    run(rig)
    assert rig("pause", "--workflow", "etl", "--yes").code == 0
    assert rig("show", "r", "--json").document["status"] == "paused"
    assert rig("approve", "r", "review").code == 0, "while paused, people may answer"
    assert rig("cancel", "r").code == 0
    assert rig("inbox", "--json").out == ""
