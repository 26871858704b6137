"""Sagas in whole engines: what is taken back, in which order, with what, and who sees it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from engine_rig import Gate, dwf, finish, run_python, script, wait_for
from saga_rig import ALL_BACK, note, noted, trip

import durable_wf as wf
from durable_wf.core.status import RunStatus, TaskStatus
from durable_wf.errors import CallerError, NotFound, RunConflict


@pytest.fixture(params=["sequential", "parallel"])
def engine(request, tmp_path):
    with wf.WorkflowEngine(tmp_path / "store", executor_type=request.param, workers=2) as made:
        yield made


@pytest.fixture
def quick(tmp_path):
    with wf.WorkflowEngine(tmp_path / "store", executor_type="sequential") as made:
        yield made


def test_a_failed_run_takes_back_what_it_did_the_last_first(engine, tmp_path):
    result = engine.run(trip(tmp_path / "n").build(), check=False)
    assert noted(tmp_path / "n") == ALL_BACK
    assert result.status is RunStatus.FAILED
    assert result.row.cause == "task 'car' failed: ValueError: no cars"


def test_the_result_tells_what_was_taken_back(engine, tmp_path):
    workflow = trip(tmp_path / "n").build()
    live = engine.run(workflow, run_id="r", check=False)
    recorded = engine.run(workflow, run_id="r", check=False)
    for result in (live, recorded):
        assert result.compensations() == dict.fromkeys(
            ("dinner", "hotel", "flight"), TaskStatus.SUCCEEDED
        )
        assert result["hotel~undo"] == "no more hotel"
        assert list(result.values()) == ["flight", "hotel", "dinner"]
        assert list(result.failures()) == ["car"]


def test_a_run_that_succeeds_takes_nothing_back(engine, tmp_path):
    result = engine.run(trip(tmp_path / "n", last=lambda: 5).build())
    assert not noted(tmp_path / "n")
    assert result.compensations() == {}
    with pytest.raises(NotFound):
        result["hotel~undo"]


def test_a_cancelled_run_takes_back_what_it_did(tmp_path):
    gate = Gate(tmp_path / "gate")
    with wf.WorkflowEngine(tmp_path / "store", workers=1) as engine:
        handle = engine.submit(trip(tmp_path / "n", last=gate.pass_through).build(), run_id="r")
        gate.wait_for_one()
        engine.cancel("r")
        assert handle.result(30).status is RunStatus.CANCELLED
    assert noted(tmp_path / "n") == ALL_BACK


def test_a_run_may_be_cancelled_and_left_as_it_is(tmp_path):
    gate, store = Gate(tmp_path / "gate"), tmp_path / "store"
    with wf.WorkflowEngine(store, workers=1) as engine:
        for run_id in ("api", "handle", "dwf"):
            workflow = trip(tmp_path / "n", last=gate.pass_through).build()
            handle = engine.submit(workflow, run_id=run_id)
            wait_for(lambda: gate.came() > 0, "the task")
            (tmp_path / "gate.came").unlink()
            if run_id == "api":
                engine.cancel(run_id, compensate=False)
            elif run_id == "handle":
                handle.cancel(compensate=False)
            else:
                assert dwf(store, "cancel", run_id, "--no-compensate").returncode == 0
            assert handle.result(30).status is RunStatus.CANCELLED
            assert handle.result().compensations() == {}
        with pytest.raises(CallerError, match="compensate must be True or False"):
            engine.cancel("api", compensate="no")
    assert not noted(tmp_path / "n")


def test_an_interrupted_run_that_is_cancelled_takes_back_when_it_goes_on(tmp_path):
    """Nothing starts without an engine; who cancels is told how to start one."""
    marks, store = tmp_path / "marks", tmp_path / "store"
    with script(tmp_path, SAGA, store, marks, "car") as process:
        assert finish(process)[0] == -9
    cancelled = dwf(store, "cancel", "r")
    assert cancelled.returncode == 0
    assert "2 tasks are to be taken back, which an engine does: dwf resume r" in cancelled.stderr
    assert not noted(marks)
    assert "interrupted" in dwf(store, "show", "r").stdout
    resumed = dwf(store, "resume", "r")
    assert resumed.returncode == 8, resumed.stderr
    assert noted(marks) == ["cancel hotel hotel-7", "cancel flight flight-7"]


def test_only_what_was_completed_is_taken_back(quick, tmp_path):
    """Neither what never started, nor what failed, nor what a fallback did in its place."""
    undone = tmp_path / "n"
    undo = lambda: note(undone, wf.current().task)

    def fails() -> None:
        raise ValueError("no")

    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("done", lambda: 1, compensate=undo)
        .add_task("stood in for", fails, fallback=lambda: 2, compensate=undo)
        .after("done")
        .add_task("given up", fails, optional=True, compensate=undo)
        .after("stood in for")
        .add_task("fails", fails, compensate=undo)
        .after("given up")
        .add_task("never", lambda: 3, compensate=undo)
        .after("fails")
        .build()
    )
    quick.run(workflow, check=False)
    assert noted(undone) == ["done~undo"]


def test_a_rule_may_have_a_failed_task_taken_back_too(quick, tmp_path):
    """Its compensation receives a `Missing` for the result that there is not."""
    undone = tmp_path / "n"

    def fails() -> None:
        raise ValueError("half done")

    undo = lambda result: note(undone, wf.current().task, type(result).__name__, result.message)
    builder = wf.WorkflowBuilder("w").add_task("a", fails, compensate=undo)
    quick.run(builder.on_fault(wf.compensate("to be sure")).build(), check=False)
    assert noted(undone) == ["a~undo Missing half done"]


def test_a_compensation_is_tried_again_by_rules_of_its_own(engine, tmp_path):
    """The rules of the workflow are not asked."""
    calls = tmp_path / "n"

    def undo() -> None:
        note(calls, "undo", wf.current().attempt)
        if wf.current().attempt < 3:
            raise ConnectionError("not now")

    def fails() -> None:
        raise ValueError("no")

    workflow = (
        wf.WorkflowBuilder("w", rules=[wf.fail_fast()])
        .add_task("a", lambda: 1)
        .compensate(undo, retry=wf.retry(3, wait=0.01))
        .add_task("b", fails)
        .after("a")
        .build()
    )
    result = engine.run(workflow, check=False)
    assert noted(calls) == ["undo 1", "undo 2", "undo 3"]
    assert result.compensations() == {"a": TaskStatus.SUCCEEDED}


def test_a_compensation_may_be_given_up_by_its_rules(quick, tmp_path):
    """The next one runs all the same, and the result names the one that did not."""
    undone = tmp_path / "n"

    def undo(what: str) -> None:
        if what == "hotel":
            raise ValueError("no refund")
        note(undone, what)

    builder = wf.WorkflowBuilder("w")
    for what in ("flight", "hotel"):
        builder.add_task(what, lambda what: what, {"what": what}).compensate(
            undo, on_fault=wf.skip("nobody pays")
        )

    def fails() -> None:
        raise ValueError("no")

    builder.add_task("car", fails).after("flight", "hotel")
    result = quick.run(builder.build(), run_id="r", check=False)
    assert noted(undone) == ["flight"]
    assert result.compensations() == {"hotel": TaskStatus.SKIPPED, "flight": TaskStatus.SUCCEEDED}
    shown = dwf(tmp_path / "store", "show", "r")
    assert "taken back  1 of 2 tasks; not hotel (skipped)" in shown.stdout


def test_a_compensation_may_fall_back_to_another_function(quick, tmp_path):
    undone = tmp_path / "n"

    def undo(what: str) -> None:
        raise ConnectionError("the hotel does not answer")

    def fails() -> None:
        raise ValueError("no")

    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("hotel", lambda what: what, {"what": "hotel"})
        .compensate(undo, on_fault=wf.fallback_to(lambda what: note(undone, "by mail", what)))
        .add_task("car", fails)
        .after("hotel")
        .build()
    )
    quick.run(workflow, check=False)
    assert noted(undone) == ["by mail hotel"]


# --- continued ------------------------------------------------------------------------------------

SAGA = """
    import os, signal, sys
    import durable_wf as wf

    STORE, MARKS, DIE = sys.argv[1:4]

    def note(*words):
        with open(MARKS, "a") as file:
            print(*words, file=file)

    def book(what):
        return what + "-7"

    def fails():
        if DIE == "car":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError("no cars")

    def cancel(what, result):
        note("cancel", what, result)
        if what == DIE and not os.path.exists(MARKS + ".died"):
            open(MARKS + ".died", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)

    workflow = (
        wf.WorkflowBuilder("trip")
        .add_task("flight", book, {"what": "flight"}).compensate(cancel, retry=2)
        .add_task("hotel", book, {"what": "hotel"}).after("flight")
        .compensate(lambda what, result: cancel(what, result))
        .add_task("car", fails).after("hotel")
        .build()
    )
    engine = wf.WorkflowEngine(STORE, executor_type="sequential")
    engine.run(workflow, run_id="r", check=False)
"""


@pytest.mark.parametrize("die", ["hotel", "flight"])
def test_a_run_killed_while_it_takes_back_goes_on_with_that_from_the_command_line(die, tmp_path):
    """The functions, a lambda too, are those of the script that built the workflow."""
    marks, store = tmp_path / "marks", tmp_path / "store"
    with script(tmp_path, SAGA, store, marks, die) as process:
        assert finish(process)[0] == -9
    before = dwf(store, "show", "r")
    assert "interrupted" in before.stdout
    rehearsed = dwf(store, "resume", "r", "--dry-run")
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert f"{die}~undo" in rehearsed.stdout
    resumed = dwf(store, "resume", "r")
    assert resumed.returncode == 1, resumed.stderr
    assert "taken back: hotel, flight" in resumed.stdout
    expected = ["cancel hotel hotel-7", "cancel flight flight-7"]
    expected.insert(expected.index(f"cancel {die} {die}-7"), f"cancel {die} {die}-7")
    assert noted(marks) == expected


def test_a_run_whose_compensations_are_not_at_hand_is_not_continued(tmp_path):
    """Its tasks are there, in a module; the script that has their compensations is gone."""
    store = tmp_path / "store"
    text = """
        import os, sys
        import durable_wf as wf
        from chores import where

        def undo(result):
            pass
        builder = wf.WorkflowBuilder("w").add_task("a", where)
        builder.compensate(undo).add_task("b", where).after("a")
        die = lambda progress: os.kill(os.getpid(), 9)
        engine = wf.WorkflowEngine(sys.argv[1], executor_type="sequential")
        engine.run(builder.build(), run_id="r", on_progress=die)
    """
    with script(tmp_path, text, store) as process:
        assert finish(process)[0] == -9
    (tmp_path / "script.py").unlink()
    refused = dwf(store, "resume", "r")
    assert refused.returncode == 3, refused.stderr
    assert "script.py" in refused.stderr


def interrupted(store: Path, workflow: wf.Workflow, gate: Gate) -> None:
    """A run `r` of this workflow whose engine was closed while its last task ran."""
    with wf.WorkflowEngine(store, workers=1, grace_s=0) as engine:
        handle = engine.submit(workflow, run_id="r")
        gate.wait_for_one()
        engine.close()
        assert handle.done()


def test_a_run_continued_without_its_compensations_is_refused_in_words(tmp_path):
    gate = Gate(tmp_path / "gate")
    store, given = tmp_path / "store", trip(tmp_path / "n", last=gate.pass_through).build()
    interrupted(store, given, gate)
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        without = trip(tmp_path / "n", last=gate.pass_through)
        for draft in without._drafts:
            draft.options = {**draft.options, "compensate": None}
        with pytest.raises(RunConflict, match="its compensation was .*cancel and is none"):
            engine.run(without.build(), run_id="r")
        json_only = wf.Workflow.from_json(given.to_json())
        bare = wf.Workflow(json_only.name, json_only.tasks, functions=given.functions)
        with pytest.raises(NotFound, match="the compensation of task 'flight', .* not at hand"):
            engine.resume("r", workflow=bare)
        gate.open()
        assert engine.resume("r", workflow=given).status is RunStatus.SUCCEEDED


def test_a_run_of_a_prompt_keeps_its_compensations_by_value(tmp_path):
    """There is no file to load them from; they were stored with the tasks, and signed."""
    store, marks = tmp_path / "store", tmp_path / "marks"
    code = f"""
import durable_wf as wf, os, time
def note(*words):
    with open({str(marks)!r}, "a") as file:
        print(*words, file=file)
def book(what):
    return what + "-7"
def cancel(what, result):
    note("cancel", what, result)
def car():
    if not os.path.exists({str(marks)!r} + ".died"):
        open({str(marks)!r} + ".died", "w").close()
        os.kill(os.getpid(), 9)
    raise ValueError("no cars")
builder = wf.WorkflowBuilder("trip").add_task("hotel", book, {{"what": "hotel"}})
workflow = builder.compensate(cancel).add_task("car", car).after("hotel").build()
wf.WorkflowEngine({str(store)!r}, executor_type="sequential").run(workflow, run_id="r")
"""
    assert run_python("-c", code).returncode == -9
    resumed = dwf(store, "resume", "r")
    assert resumed.returncode == 1, resumed.stderr
    assert noted(marks) == ["cancel hotel hotel-7"]


# --- tried again ----------------------------------------------------------------------------------


def test_a_retry_does_again_what_was_taken_back(quick, tmp_path):
    """And takes it back again when it fails once more, each task once."""
    notes, works = tmp_path / "n", tmp_path / "works"

    def book(what: str) -> str:
        note(notes, "book", what)
        return what

    def cancel(what: str, result: str) -> None:
        note(notes, "cancel", what)

    def car() -> None:
        if not works.exists():
            raise ValueError("no cars")

    builder = wf.WorkflowBuilder("trip")
    builder.add_task("flight", book, {"what": "flight"}, compensate=cancel)
    builder.add_task("hotel", book, {"what": "hotel"}, compensate=cancel).after("flight")
    workflow = builder.add_task("car", car).after("hotel").build()
    saga = ["book flight", "book hotel", "cancel hotel", "cancel flight"]
    quick.run(workflow, run_id="r", check=False)
    assert noted(notes) == saga
    assert quick.retry("r", workflow=workflow, check=False).status is RunStatus.FAILED
    assert noted(notes) == saga + saga
    works.touch()
    assert quick.retry("r", workflow=workflow).status is RunStatus.SUCCEEDED
    assert noted(notes) == saga + saga + saga[:2]


def test_what_a_fork_has_taken_over_it_takes_back_with_the_values_it_was_done_with(quick, tmp_path):
    notes = tmp_path / "n"

    def book(what: str) -> str:
        return what + "-7"

    def cancel(what: str, result: str) -> None:
        note(notes, "cancel", what, result)

    def fails(limit: int) -> None:
        raise ValueError("no")

    def trip_of(*rules: object) -> wf.Workflow:
        builder = wf.WorkflowBuilder("trip")
        builder.add_task("hotel", book, {"what": "hotel"}, compensate=cancel)
        return builder.add_task("car", fails, {"limit": 1}, on_fault=rules).after("hotel").build()

    quick.run(trip_of(wf.escalate()), run_id="r", check=False)
    quick.cancel("r", compensate=False)
    forked = quick.fork("r", workflow=trip_of(), set={"limit": 2}, check=False)
    assert forked.status is RunStatus.FAILED
    assert noted(notes) == ["cancel hotel hotel-7"]


def test_a_compensation_that_is_lost_with_its_worker_is_asked_about_like_any_task(tmp_path):
    """Its own rules forgive losses; without any, a person is asked."""
    notes = tmp_path / "n"

    def undo(what: str) -> None:
        note(notes, what, wf.current().attempt)
        if wf.current().attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    def fails() -> None:
        raise ValueError("no")

    builder = wf.WorkflowBuilder("w")
    for what, retry in (("asks", None), ("again", 1)):
        builder.add_task(what, lambda what: what, {"what": what}).compensate(undo, retry=retry)
    workflow = builder.add_task("car", fails).after("asks", "again").build()
    with wf.WorkflowEngine(tmp_path / "store", workers=1) as engine:
        result = engine.run(workflow, run_id="r")
        assert result.status is RunStatus.DRAINING
        engine.resolve("r", result.waiting[0].task, "retry")
        assert engine.run(workflow, run_id="r", check=False).status is RunStatus.FAILED
    assert sorted(noted(notes)) == ["again 1", "again 2", "asks 1", "asks 2"]
