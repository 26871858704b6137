"""Retries and forks of runs, by engines: what is taken over, what runs again, under which keys."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from engine_rig import kinds

import durable_wf as wf
from durable_wf.core.events import AttemptSucceeded, RunCreated, TaskImported
from durable_wf.core.status import RunStatus
from durable_wf.engine import entering
from durable_wf.errors import (
    CallerError,
    CodeChanged,
    NotFound,
    OwnedElsewhere,
    RunConflict,
    RunFailed,
    WrongState,
)
from durable_wf.store.check import check
from durable_wf.store.opening import open_store

BROKEN = Path("broken")


def mark(*more: object) -> None:
    """Leaves a line: the task that ran, its idempotency key, and what it was given."""
    current = wf.current()
    with Path("marks").open("a") as file:
        file.write(f"{current.task} {current.idempotency_key} {' '.join(map(str, more))}\n")


def extract(source: str) -> list[int]:
    mark(source)
    return [1, 2, 3]


def double(rows: list[int]) -> list[int]:
    mark()
    return [2 * row for row in rows] * (1000 if Path("large").exists() else 1)


def load(double: list[int], table: str) -> int:
    mark(table)
    if BROKEN.exists():
        raise ValueError("no such table")
    return len(double)


def report(load: int) -> str:
    mark()
    return f"{load} rows"


def flow(source: str = "db") -> wf.Workflow:
    return (
        wf.WorkflowBuilder("etl")
        .add_task("extract", extract, parameters={"source": source})
        .add_task("double", double).depends_on("extract")
        .add_task("load", load, parameters={"table": "t"}).depends_on("double")
        .add_task("report", report).depends_on("load")
        .build()
    )  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def engine(folder):
    with wf.WorkflowEngine(folder / "s", executor_type="sequential") as engine:
        yield engine


@pytest.fixture
def failed(engine):
    """The engine, with a run `nightly` that failed in `load`."""
    BROKEN.touch()
    assert engine.run(flow(), run_id="nightly", check=False).status is RunStatus.FAILED
    BROKEN.unlink()
    return engine


def ran() -> list[str]:
    """The tasks that have run, in order."""
    return [line.split()[0] for line in Path("marks").read_text().splitlines()]


def keys(task: str) -> set[str]:
    """The idempotency keys under which a task has run."""
    lines = (line.split() for line in Path("marks").read_text().splitlines())
    return {words[1] for words in lines if words[0] == task}


def imports(result: wf.RunResult) -> list[tuple[str, str]]:
    return [
        (one.event.task, one.event.origin)
        for one in result.history()
        if isinstance(one.event, TaskImported)
    ]


# --- retry ----------------------------------------------------------------------------------------


def test_only_what_failed_and_what_comes_after_it_runs_again(failed):
    result = failed.retry("nightly", workflow=flow())
    assert (result.status, result["report"]) == (RunStatus.SUCCEEDED, "3 rows")
    assert (result.run_id, result.origin) == ("nightly.2", "nightly")
    assert ran() == ["extract", "double", "load", "load", "report"]
    assert imports(result) == [("extract", "nightly"), ("double", "nightly")]
    assert result["double"] == [2, 4, 6]
    created = result.history()[0].event
    assert isinstance(created, RunCreated)
    assert (created.origin, created.origin_n, created.root) == ("nightly", 0, "nightly")
    assert len(keys("load")) == 1


def test_a_chain_of_retries_goes_on_from_its_newest(failed):
    BROKEN.touch()
    for number in (2, 3):
        with pytest.raises(RunFailed):
            failed.retry("nightly", workflow=flow())
        assert failed.history(workflow="etl")[0].run_id == f"nightly.{number}"
    BROKEN.unlink()
    result = failed.retry("nightly.2", workflow=flow())
    assert (result.run_id, result.origin, result.row.root) == ("nightly.4", "nightly.3", "nightly")
    assert ran().count("extract") == 1
    assert imports(result)[0] == ("extract", "nightly")
    assert len(keys("load")) == 1


def test_a_run_id_stands_for_the_newest_of_its_chain(failed):
    new = failed.retry("nightly", workflow=flow())
    for run_id in ("nightly", "nightly.2"):
        again = failed.run(flow(), run_id=run_id)
        assert (again.run_id, again["report"]) == (new.run_id, "3 rows")
    with pytest.raises(RunConflict, match=r"nightly\.2 exists with another definition"):
        failed.run(flow("other"), run_id="nightly")
    with pytest.raises(WrongState, match=r"nightly\.2 has ended"):
        failed.resume("nightly", workflow=flow())


def test_from_runs_a_task_again_with_all_that_comes_after_it(failed):
    failed.retry("nightly", workflow=flow())
    result = failed.retry("nightly", from_="double", workflow=flow())
    assert imports(result) == [("extract", "nightly")]
    assert ran()[5:] == ["double", "load", "report"]
    result = failed.retry("nightly", from_=["report", "extract"], workflow=flow())
    assert imports(result) == []


def test_a_value_that_is_set_runs_its_task_again(failed):
    result = failed.retry("nightly", set={"load.table": "other"}, workflow=flow())
    assert Path("marks").read_text().splitlines()[3].endswith(" other")
    assert ran()[3:] == ["load", "report"]
    result = failed.retry("nightly", set={"source": "files"}, workflow=flow(), accept_changes=True)
    assert ran()[5:] == ["extract", "double", "load", "report"]
    assert imports(result) == []
    # Who knows only the first values asks by the id, and gets the newest outcome.
    assert failed.run(flow(), run_id="nightly").run_id == "nightly.3"


def test_what_is_wrong_is_told_before_anything_is_written(failed):
    with pytest.raises(NotFound, match="did you mean 'double'"):
        failed.retry("nightly", from_="duble", workflow=flow())
    with pytest.raises(CallerError, match="did you mean 'table'"):
        failed.retry("nightly", set={"load.tabel": 1}, workflow=flow())
    with pytest.raises(CallerError, match="cannot be stored|not storable|object"):
        failed.retry("nightly", set={"load.table": object()}, workflow=flow())
    with pytest.raises(NotFound, match="no run 'nigthly'"):
        failed.retry("nigthly", workflow=flow())
    with pytest.raises(RunConflict, match="a run 'nightly' already"):
        failed.retry("nightly", new_id="nightly", workflow=flow())
    with pytest.raises(CallerError, match="not usable"):
        failed.retry("nightly", new_id="../x", workflow=flow())
    with pytest.raises(CallerError, match="event"):
        failed.fork("nightly", at=99, workflow=flow())
    assert [row.run_id for row in failed.history()] == ["nightly"]


def test_a_run_of_which_nothing_would_run_is_not_retried(failed):
    failed.retry("nightly", workflow=flow())
    with pytest.raises(WrongState, match=r"nightly\.2 succeeded: nothing of it would run again"):
        failed.retry("nightly", workflow=flow())


def test_a_run_that_has_not_ended_is_not_retried(engine):
    rule = wf.retry(3, wait="1h")
    waits = wf.WorkflowBuilder("w").add_task("a", int, parameters={"x": "?"}).on_fault(rule).build()
    engine.run(waits, run_id="r", wait=0)
    with pytest.raises(WrongState, match="r is running") as told:
        engine.retry("r", workflow=waits)
    assert "dwf cancel r" in told.value.hint
    engine.close()
    with wf.WorkflowEngine("s", executor_type="sequential") as engine:
        with pytest.raises(WrongState, match="r was interrupted") as told:
            engine.retry("r", workflow=waits)
        assert told.value.hint == "dwf resume r"
        engine.pause("r")
        with pytest.raises(WrongState, match="r is paused") as told:
            engine.retry("r", workflow=waits)
        assert told.value.hint == "dwf resume r, or first: dwf cancel r"
        engine.cancel("r")
        assert engine.submit_retry("r", workflow=waits).run_id == "r.2"


# --- another definition ---------------------------------------------------------------------------


def test_changed_code_of_what_runs_again_has_to_be_accepted(failed):
    def load(double: list[int], table: str) -> int:
        mark(table, "corrected")
        return len(double) + 1

    corrected = (
        wf.WorkflowBuilder("etl")
        .add_task("extract", extract, parameters={"source": "db"})
        .add_task("double", double).depends_on("extract")
        .add_task("load", load, parameters={"table": "t"}).depends_on("double")
        .add_task("report", report).depends_on("load")
        .build()
    )  # fmt: skip
    with pytest.raises(CodeChanged) as told:
        failed.retry("nightly", workflow=corrected)
    assert told.value.tasks == ("load",)
    assert "dwf retry nightly --accept-changes" in told.value.hint
    result = failed.retry("nightly", workflow=corrected, accept_changes=True)
    assert result["report"] == "4 rows"
    assert ran()[3:] == ["load", "report"]


def test_of_a_changed_workflow_what_is_not_affected_is_taken_over(failed):
    changed = (
        wf.WorkflowBuilder("etl")
        .add_task("extract", extract, parameters={"source": "db"})
        .add_task("double", double).depends_on("extract")
        .add_task("load", load, parameters={"table": "t2"}).depends_on("double")
        .add_task("check", lambda double: len(double)).depends_on("double")
        .build()
    )  # fmt: skip
    with pytest.raises(RunConflict) as told:
        failed.retry("nightly", workflow=changed)
    assert "task 'report' is gone" in told.value.message
    assert "task 'check' is new" in told.value.message
    assert "--accept-changes" in told.value.hint
    result = failed.retry("nightly", workflow=changed, accept_changes=True)
    assert (result.status, result["check"]) == (RunStatus.SUCCEEDED, 3)
    assert imports(result) == [("extract", "nightly"), ("double", "nightly")]


# --- fork -----------------------------------------------------------------------------------------


def test_a_fork_is_the_run_as_it_stood_with_keys_of_its_own(failed):
    history = failed.history("nightly")
    at = next(one.n for one in history if getattr(one.event, "task", "") == "double")
    result = failed.fork("nightly", at=at, workflow=flow())
    assert (result.run_id, result.origin, result.row.origin_n) == ("nightly.f1", "nightly", at)
    assert result.row.root == ""
    assert imports(result) == [("extract", "nightly")]
    assert ran()[3:] == ["double", "load", "report"]
    assert len(keys("load")) == len(keys("double")) == 2
    # A fork is no retry: the id of its origin does not stand for it.
    assert failed.run(flow(), run_id="nightly", check=False).status is RunStatus.FAILED
    assert failed.fork("nightly", workflow=flow()).run_id == "nightly.f2"
    assert failed.fork("nightly", workflow=flow(), new_id="mine").run_id == "mine"


def test_the_retry_of_a_fork_keeps_the_keys_of_the_fork(failed):
    BROKEN.touch()
    with pytest.raises(RunFailed):
        failed.fork("nightly", workflow=flow())
    BROKEN.unlink()
    result = failed.retry("nightly.f1", workflow=flow())
    assert (result.run_id, result.row.root) == ("nightly.f1.2", "nightly.f1")
    assert len(keys("load")) == 2


def test_every_event_of_a_run_can_be_forked_and_driven_to_the_end(engine):
    first = engine.run(flow(), run_id="r")
    succeeded: list[str] = []
    for recorded in first.history():
        if type(recorded.event).__name__ == "AttemptSucceeded":
            succeeded.append(recorded.event.task)
        before = len(ran())
        fork = engine.fork("r", at=recorded.n, workflow=flow())
        assert fork.status is RunStatus.SUCCEEDED
        assert fork.values() == first.values()
        assert [task for task, _ in imports(fork)] == succeeded
        assert sorted([*ran()[before:], *succeeded]) == ["double", "extract", "load", "report"]
    assert kinds(fork)[-2:] == ["TaskImported", "RunSucceeded"]


# --- results --------------------------------------------------------------------------------------


@pytest.fixture
def damaged(folder):
    """The engine's store, where the result of `double` of the failed run `r` is damaged."""
    Path("large").touch()
    BROKEN.touch()
    with wf.WorkflowEngine(folder / "s", executor_type="sequential") as engine:
        engine.run(flow(), run_id="r", check=False)
        (given,) = (
            one.event for one in engine.history("r")
            if isinstance(one.event, AttemptSucceeded) and one.event.task == "double"
        )  # fmt: skip
    BROKEN.unlink()
    with contextlib.closing(sqlite3.connect(folder / "s" / "log.db", isolation_level=None)) as db:
        db.execute("UPDATE payloads SET data = x'00' WHERE digest = ?", (given.value.digest,))
    return folder / "s"


def test_a_lost_result_is_made_again_and_that_is_said(damaged, caplog):
    with wf.WorkflowEngine(damaged, executor_type="sequential") as engine:
        assert check(open_store(damaged, readonly=True))
        result = engine.retry("r", workflow=flow())
        assert "the result of task 'double' is lost" in caplog.text
        assert imports(result) == [("extract", "r")]
        assert result["report"] == "3000 rows"
        assert len(result["double"]) == 3000
        # What was made again is what had been lost.
        assert check(open_store(damaged, readonly=True)) == []


# --- what was taken back --------------------------------------------------------------------------


def book(hotel: str, nights: int = 1) -> str:
    mark(hotel, nights)
    return f"booked {hotel}"


def cancel_booking(hotel: str, nights: int, result: str) -> None:
    mark("undone", hotel, nights, result)


def pay(book: str) -> str:
    mark()
    if BROKEN.exists():
        raise ValueError("no money")
    return f"paid for {book}"


def trip(*rules: object) -> wf.Workflow:
    return (
        wf.WorkflowBuilder("trip")
        .add_task("look", lambda: mark()).add_task("book", book, parameters={"hotel": "A"})
        .compensate(cancel_booking).after("look")
        .add_task("pay", pay).depends_on("book").on_fault(*rules)
        .build()
    )  # fmt: skip


def test_a_task_whose_effect_was_taken_back_runs_again(engine):
    BROKEN.touch()
    engine.run(trip(), run_id="r", check=False)
    assert ran() == ["look", "book", "pay", "book~undo"]
    BROKEN.unlink()
    result = engine.retry("r", workflow=trip())
    assert result["pay"] == "paid for booked A"
    assert imports(result) == [("look", "r")]
    assert ran()[4:] == ["book", "pay"]
    assert len(keys("book")) == 1


def test_what_was_taken_over_is_taken_back_when_the_retry_fails(engine):
    """And with what it was given: also where that is other than it was at first."""
    BROKEN.touch()
    engine.run(trip(wf.escalate()), run_id="r", check=False)
    engine.cancel("r", compensate=False)
    fork = engine.fork("r", workflow=trip(), check=False)
    assert imports(fork) == [("look", "r"), ("book", "r")]
    assert ran()[3:] == ["pay", "book~undo"]
    engine.retry("r", set={"hotel": "B", "nights": 3}, workflow=trip(), check=False)
    assert Path("marks").read_text().splitlines()[-1].endswith("undone B 3 booked B")


def test_a_fork_as_of_a_moment_before_compensations_does_not_go_on_from_what_they_took_back(engine):
    """The booking is no more: the fork makes one of its own, and takes that back."""
    BROKEN.touch()
    first = engine.run(trip(), run_id="r", check=False)
    booked = next(r.n for r in first.history() if getattr(r.event, "value", "") == '"booked A"')
    fork = engine.fork("r", at=booked, workflow=trip(), check=False)
    assert imports(fork) == [("look", "r")]
    assert ran() == ["look", "book", "pay", "book~undo", "book", "pay", "book~undo"]
    assert len(keys("book~undo")) == 2


def test_a_retry_does_not_go_on_from_what_a_fork_has_taken_back(engine):
    BROKEN.touch()
    engine.run(trip(wf.escalate()), run_id="r", check=False)
    engine.cancel("r", compensate=False)
    engine.fork("r", workflow=trip(), check=False)
    BROKEN.unlink()
    retry = engine.retry("r", workflow=trip())
    assert imports(retry) == [("look", "r")]
    assert ran()[5:] == ["book", "pay"]


# --- who comes first ------------------------------------------------------------------------------


def test_a_run_is_retried_by_one_only(failed):
    """Also within one engine, before anything of the first retry is in the log."""
    first = failed.submit_retry("nightly", workflow=flow())
    with pytest.raises(WrongState, match="is being retried already|is running|would run again"):
        failed.retry("nightly", new_id="mine", workflow=flow())
    assert first.result(30).status is RunStatus.SUCCEEDED
    assert ran().count("load") == 2


def test_of_two_engines_that_retry_a_run_one_is_refused(failed, folder):
    """However they interleave: the second one has read the run before the first had written."""
    with wf.WorkflowEngine(folder / "s", executor_type="sequential") as other:
        session = other._open()
        before = entering.create

        def late(*args):
            made = before(*args)
            if args[2] == "theirs":  # the other engine is just about to commit
                assert failed.retry("nightly", workflow=flow()).run_id == "nightly.2"
            return made

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(entering, "create", late)
            with pytest.raises(OwnedElsewhere, match="another engine has just retried run nightly"):
                other.retry("nightly", new_id="theirs", workflow=flow())
        assert session.store.log.row("theirs") is None
    assert ran() == ["extract", "double", "load", "load", "report"]
    assert check(open_store(folder / "s", readonly=True)) == []


# --- what the new run is given --------------------------------------------------------------------


def test_what_the_old_run_was_given_holds_for_the_new_one(engine):
    BROKEN.touch()
    given = {"tags": ["a", "b"], "metadata": {"who": "ann", "why": "x"}, "deadline": "1h"}
    engine.run(flow(), run_id="r", check=False, **given)
    BROKEN.unlink()
    result = engine.retry("r", workflow=flow(), tags=["b", "c"], metadata={"why": "again"})
    created = result.history()[0].event
    assert created.tags == ("a", "b", "c")
    assert dict(created.metadata) == {"who": "ann", "why": "again"}
    assert created.deadline_at - result.created_at == 3600 * 1_000_000
    fork = engine.fork("r", at=3, workflow=flow(), deadline="2h")
    assert fork.history()[0].event.deadline_at - fork.created_at == 7200 * 1_000_000


def test_an_approval_that_was_given_is_not_asked_for_again(engine):
    flow = (
        wf.WorkflowBuilder("w")
        .add_task("gate", wf.approval("go on?"))
        .add_task("work", load, parameters={"double": [1], "table": "t"}).after("gate")
        .build()
    )  # fmt: skip
    BROKEN.touch()
    engine.run(flow, run_id="r")
    engine.approve("r", "gate")
    engine.run(flow, run_id="r", check=False)
    BROKEN.unlink()
    result = engine.retry("r", workflow=flow)
    assert (result.status, imports(result)) == (RunStatus.SUCCEEDED, [("gate", "r")])
    asked = engine.retry("r", workflow=flow, from_="gate")
    assert asked.status is RunStatus.RUNNING
