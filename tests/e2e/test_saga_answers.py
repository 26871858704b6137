"""A compensation that fails is a matter for people, and the run drains until they have answered."""

from __future__ import annotations

import time

import pytest
from engine_rig import dwf
from saga_rig import note, noted

import durable_wf as wf
from durable_wf.core.events import AttemptFailed
from durable_wf.core.status import RunStatus, TaskStatus
from durable_wf.errors import WrongState


@pytest.fixture
def asking(tmp_path):
    """A run whose first compensation has failed, and asks."""

    def undo(what: str) -> None:
        note(tmp_path / "n", what, wf.current().attempt)
        if what == "hotel" and not (tmp_path / "answers").exists():
            raise ConnectionError("the hotel does not answer")

    def fails() -> None:
        raise ValueError("no cars")

    builder = wf.WorkflowBuilder("trip")
    for what in ("flight", "hotel"):
        builder.add_task(what, lambda what: what, {"what": what}, compensate=undo)
    workflow = builder.add_task("car", fails).after("flight", "hotel").build()
    with wf.WorkflowEngine(tmp_path / "store", executor_type="sequential") as engine:
        yield engine, workflow, engine.run(workflow, run_id="r")


def test_a_compensation_that_fails_asks_a_person_and_keeps_the_run_draining(asking, tmp_path):
    engine, workflow, result = asking
    assert result.status is RunStatus.DRAINING
    (asked,) = result.waiting
    assert (asked.task, asked.what) == ("hotel~undo", "operator")
    assert "what it should take back is still there" in asked.question
    assert result.compensations()["hotel"] is TaskStatus.WAITING
    assert engine.resume("r", workflow=workflow).status is RunStatus.DRAINING
    assert noted(tmp_path / "n") == ["hotel 1"], "the next one waits for its turn"
    with pytest.raises(WrongState, match="takes back what it did and cannot be cancelled"):
        engine.cancel("r")
    shown = dwf(tmp_path / "store", "show", "r")
    assert "taken back  0 of 2 tasks; not hotel (waiting), flight (pending)" in shown.stdout


@pytest.mark.parametrize(
    ("how", "state"),
    [
        ("retry", TaskStatus.SUCCEEDED),
        ("skip", TaskStatus.SKIPPED),
        ("value", TaskStatus.SUCCEEDED),
        ("fail", TaskStatus.FAILED),
    ],
)
def test_the_answer_decides_and_the_next_one_runs(how, state, asking, tmp_path):
    engine, workflow, _ = asking
    (tmp_path / "answers").touch()
    engine.resolve("r", "hotel~undo", how, "I have called them")
    result = engine.run(workflow, run_id="r", check=False)
    assert result.status is RunStatus.FAILED
    assert result.row.cause == "task 'car' failed: ValueError: no cars"
    assert result.compensations() == {"hotel": state, "flight": TaskStatus.SUCCEEDED}
    retried = ["hotel 2"] if how == "retry" else []
    assert noted(tmp_path / "n") == ["hotel 1", *retried, "flight 1"]


def test_what_was_answered_with_no_engine_alive_is_followed_by_the_next(asking, tmp_path):
    engine, workflow, _ = asking
    engine.close()
    (tmp_path / "answers").touch()
    store = tmp_path / "store"
    assert wf.WorkflowEngine(store).resolve("r", "hotel~undo", "retry").accepted
    assert noted(tmp_path / "n") == ["hotel 1"]
    with wf.WorkflowEngine(store, executor_type="sequential") as other:
        assert other.resume("r", workflow=workflow, check=False).status is RunStatus.FAILED
    assert noted(tmp_path / "n") == ["hotel 1", "hotel 2", "flight 1"]


def hangs(result: object) -> None:
    time.sleep(60)


@pytest.mark.parametrize(
    ("compensate", "limits"),
    [(hangs, {"timeout": 0.5}), (wf.task(timeout=0.5)(hangs), {})],
    ids=["as its task", "of its own"],
)
def test_a_compensation_that_hangs_is_stopped_and_a_person_is_asked(tmp_path, compensate, limits):
    """It would keep the run draining for ever."""

    def fails() -> None:
        raise ValueError("no")

    builder = wf.WorkflowBuilder("w").add_task("a", lambda: 1, compensate=compensate, **limits)
    workflow = builder.add_task("b", fails).after("a").build()
    with wf.WorkflowEngine(tmp_path / "store", workers=1) as engine:
        result = engine.run(workflow, run_id="r", check=False)
        assert result.status is RunStatus.DRAINING
        (question,) = result.waiting
        assert question.task == "a~undo"
    failed = [one.event for one in result.history() if isinstance(one.event, AttemptFailed)]
    fault = failed[-1].fault
    assert fault.message.startswith("the attempt ran longer than its timeout of 0.5 s")
