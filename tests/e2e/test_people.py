"""People in the loop: a run that waits for them holds no worker, survives its engine, and goes on
with what they said, once.
"""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from crash.dying import check_log
from engine_rig import DEADLINE_S, finish, kinds, script, wait_for

import durable_wf as wf
from durable_wf.core import events as e
from durable_wf.core.status import RunStatus, Verdict, WaitKind
from durable_wf.engine import control
from durable_wf.engine.commands import answer_body
from durable_wf.recovery import escalate
from durable_wf.store.opening import open_store
from durable_wf.store.port import Verb

RUN = "r"

_pause = threading.Event()  # never set: a wait with a deadline


def publish(review: dict[str, object], paid: dict[str, object]) -> list[object]:
    return [review["approved"], review["comment"], paid["amount"]]


def reviewed() -> wf.Workflow:
    return (
        wf.WorkflowBuilder("reviewed")
        .add_task("build", lambda: 1)
        .add_task("review", wf.approval("publish?", whom="ann")).depends_on("build")
        .add_task("rest", wf.sleep(0.05)).after("review")
        .add_task("paid", wf.wait_for_signal("payment")).after("rest")
        .add_task("publish", publish).depends_on("review", "paid")
        .build()
    )  # fmt: skip


def events(store: Path) -> list[str]:
    with wf.WorkflowEngine(store) as engine:
        return kinds(engine.history(RUN))  # type: ignore[arg-type]


# --- in one process -------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_a_run_waits_for_people_and_signals_and_goes_on(executor: str, tmp_path: Path) -> None:
    with wf.WorkflowEngine(tmp_path / "s", executor_type=executor, workers=1) as engine:
        result = engine.run(reviewed(), run_id=RUN)
        (asked,) = result.waiting
        assert result.status is RunStatus.RUNNING
        assert (asked.task, asked.what, asked.question, asked.whom) == (
            "review", "approval", "publish?", "ann",
        )  # fmt: skip
        assert "review" not in result

        assert engine.approve(RUN, "review", "looks good").accepted
        (asked,) = engine.resume(RUN).waiting
        assert (asked.task, asked.what, asked.signal) == ("paid", "signal", "payment")

        assert engine.signal(RUN, "payment", {"amount": 5}).accepted
        result = engine.run(reviewed(), run_id=RUN)

    assert result["publish"] == [True, "looks good", 5]
    assert result["rest"] is None
    assert result["review"]["by"]
    assert result.waiting == ()
    check_log(tmp_path / "s", RUN)


def test_a_rejection_fails_the_run_and_says_who_and_why(tmp_path: Path) -> None:
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        engine.run(reviewed(), run_id=RUN)
        engine.reject(RUN, "review", "not on a Friday")
        with pytest.raises(wf.RunFailed, match="not on a Friday") as caught:
            engine.run(reviewed(), run_id=RUN)

    result = caught.value.result
    assert result.failures()["review"].kind is wf.FaultKind.REJECTED
    assert "publish" not in result
    decided = [r.event for r in result.history() if isinstance(r.event, e.OperatorDecided)]
    assert [(d.actor != "", d.comment) for d in decided] == [(True, "not on a Friday")]
    check_log(tmp_path / "s", RUN)


def test_a_submitted_run_is_awaited_until_it_ends_however_long_people_take(tmp_path: Path) -> None:
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        handle = engine.submit(reviewed())
        wait_for(handle.waiting)
        assert not handle.done()
        handle.approve("review", "fine")
        handle.signal("payment", {"amount": 7})
        assert handle.result(DEADLINE_S)["publish"] == [True, "fine", 7]


def test_a_signal_that_comes_early_is_kept(tmp_path: Path) -> None:
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        engine.run(reviewed(), run_id=RUN)
        engine.signal(RUN, "payment", {"amount": 1})
        engine.approve(RUN, "review")
        assert engine.run(reviewed(), run_id=RUN)["publish"] == [True, "", 1]


def test_time_limits_of_answers_need_nobody(tmp_path: Path) -> None:
    """The control is the one without a limit: it is still waited for."""
    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("skipped", wf.approval("a?", timeout=0.05, on_timeout="skip"))
        .add_task("approved", wf.approval("b?", timeout=0.05, on_timeout="approve"))
        .add_task("went_on", wf.wait_for_signal("s", timeout=0.05, on_timeout="continue"))
        .add_task("refused", wf.approval("c?", timeout=0.05, on_timeout="continue"))
        .add_task("control", wf.approval("d?"))
        .build()
    )
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        result = engine.run(workflow, run_id=RUN)
        assert [one.task for one in result.waiting] == ["control"]
        assert isinstance(result["skipped"], wf.Missing)
        assert result["approved"] == {"approved": True, "by": "", "comment": ""}
        assert result["refused"] == {"approved": False, "by": "", "comment": ""}
        assert result["went_on"] is None
        with pytest.raises(wf.WrongState):
            result["control"]


def test_a_failed_task_asks_a_person_and_is_run_again(tmp_path: Path) -> None:
    """Then is given a value, is skipped, or is given up: whatever the person decides."""
    broken = tmp_path / "broken"
    broken.touch()

    def load() -> int:
        if broken.exists():
            raise OSError("no such server")
        return 1

    def use(load: object) -> object:
        return load

    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("load", load, on_fault=escalate(whom="ops", timeout="1h"))
        .add_task("use", use)
        .depends_on("load")
        .build()
    )
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        (asked,) = engine.run(workflow, run_id=RUN, wait=0).waiting
        assert (asked.what, asked.whom, asked.attempt, asked.on_timeout) == (
            WaitKind.OPERATOR.value, "ops", 1, "fail",
        )  # fmt: skip
        assert "no such server" in asked.question
        engine.resolve(RUN, "load", "retry", "try it once more")
        (asked,) = engine.resume(RUN, wait=0).waiting
        assert asked.attempt == 2
        with pytest.raises(wf.WrongState, match="has come to attempt 2; this is about 1"):
            engine.resolve(RUN, "load", "skip", attempt=1)
        broken.unlink()
        engine.resolve(RUN, "load", "retry", attempt=2)
        assert engine.run(workflow, run_id=RUN)["use"] == 1

        broken.touch()
        for run_id, how, value, expected in (
            ("value", "value", {"rows": 3}, {"rows": 3}),
            ("skip", "skip", None, wf.Missing),
        ):
            engine.run(workflow, run_id=run_id, wait=0)
            engine.resolve(run_id, "load", how, value=value)
            used = engine.run(workflow, run_id=run_id)["use"]
            assert used == expected or isinstance(used, wf.Missing)
        engine.run(workflow, run_id="fail", wait=0)
        engine.resolve("fail", "load", "fail", "we give up")
        with pytest.raises(wf.RunFailed, match="we give up"):
            engine.run(workflow, run_id="fail")
    check_log(tmp_path / "s", RUN)


def test_a_question_is_recorded_as_it_was_asked(tmp_path: Path) -> None:
    """Whoever builds the workflow again with other words goes on with what people have read."""

    def asking(question: str, **more: str) -> wf.Workflow:
        return wf.WorkflowBuilder("w").add_task("a", wf.approval(question, **more)).build()

    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        engine.run(asking("publish?"), run_id=RUN)
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        (asked,) = engine.run(asking("delete?", on_reject="skip"), run_id=RUN).waiting
        assert asked.question == "publish?"
        engine.reject(RUN, "a")
        with pytest.raises(wf.RunFailed):
            engine.run(asking("delete?", on_reject="skip"), run_id=RUN)
        other = wf.WorkflowBuilder("w").add_task("a", wf.wait_for_signal("s")).build()
        with pytest.raises(wf.RunConflict, match="it waited for approval 'publish"):
            engine.run(other, run_id=RUN)


def test_a_time_limit_that_passed_with_no_engine_alive_is_kept(tmp_path: Path) -> None:
    """An answer after it is too late, though nobody was there to notice; the next engine does what
    was said to happen. The control has more time.
    """

    def asking(timeout: object) -> wf.Workflow:
        question = wf.approval("?", timeout=timeout, on_timeout="skip")
        return wf.WorkflowBuilder("w").add_task("a", question).build()

    store = tmp_path / "s"
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        engine.run(asking("1h"), run_id="control", wait=0)
        (asked,) = engine.run(asking(0.2), run_id=RUN, wait=0).waiting
    wait_for(lambda: time.time_ns() // 1000 > (asked.until or 0))
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        before = len(engine.history(RUN))
        with pytest.raises(wf.WrongState, match="too late"):
            engine.approve(RUN, "a")
        assert len(engine.history(RUN)) == before
        assert isinstance(engine.resume(RUN)["a"], wf.Missing)
        assert engine.approve("control", "a").accepted
    check_log(store, RUN)


# --- over the death of engines --------------------------------------------------------------------

KILLED = """
import sys
import durable_wf as wf

def build():
    return 1

def publish(review):
    return review

workflow = (
    wf.WorkflowBuilder("w")
    .add_task("build", build)
    .add_task("review", wf.approval("publish?")).depends_on("build")
    .add_task("publish", publish).depends_on("review")
    .build()
)
if __name__ == "__main__":
    handle = wf.WorkflowEngine(sys.argv[1], workers=1).submit(workflow, run_id="r")
    handle.result()
"""


def is_waiting(store: Path) -> bool:
    """Whether the run waits, as any reader sees it."""
    try:
        connection = sqlite3.connect(f"file:{store}/log.db?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return False
    try:
        return connection.execute("SELECT max(waiting) FROM runs").fetchone() == (1,)
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()


def killed(folder: Path) -> Path:
    """A store with a run that waits for an approval, and whose engine was killed."""
    store = folder / "s"
    with script(folder, KILLED, store) as process:
        wait_for(lambda: is_waiting(store), "the run to wait")
        process.send_signal(signal.SIGKILL)
        finish(process)
    return store


def test_the_question_is_still_there_after_a_crash(tmp_path: Path) -> None:
    """And the answer given meanwhile, with no engine alive, is what the next one goes on with."""
    store = killed(tmp_path)
    with wf.WorkflowEngine(store, workers=1) as engine:
        (asked,) = engine.waiting(RUN)
        assert (asked.task, asked.question) == ("review", "publish?")
        answer = engine.approve(RUN, "review", "while nobody was there")
        assert answer.accepted
        assert "dwf resume r" in answer.text
        assert events(store)[-2:] == ["OperatorDecided", "TaskCompleted"]
        result = engine.resume(RUN)

    assert result["publish"]["comment"] == "while nobody was there"
    assert kinds(result).count("OperatorDecided") == 1
    assert kinds(result).count("AttemptStarted") == 2, "nothing that had ended ran again"
    check_log(store, RUN)


def test_an_engine_that_takes_over_asks_the_same_and_is_answered(tmp_path: Path) -> None:
    store = killed(tmp_path)
    with wf.WorkflowEngine(store, workers=1) as engine:
        (result,) = engine.recover()
        assert [one.task for one in result.waiting] == ["review"]
        engine.approve(RUN, "review")
        assert engine.resume(RUN)["publish"]["approved"]
    assert events(store).count("TaskWaiting") == 1
    check_log(store, RUN)


def eight_answers(store: Path) -> tuple[int, int]:
    """Eight people answer at once, half of them with a no: how many counted, how many were told
    that another was faster.
    """

    def say(number: int) -> str:
        opened = open_store(store)
        body = answer_body("review", Verdict.APPROVE if number % 2 else Verdict.REJECT)
        try:
            return control.send(opened, RUN, Verb.ANSWER, f"p{number}", more=body).text
        except wf.WrongState as error:
            return str(error)
        finally:
            opened.close()

    with ThreadPoolExecutor(8) as pool:
        texts = [*pool.map(say, range(8))]
    won = [text for text in texts if "accepted" in text]
    return len(won), len([text for text in texts if "answered by p" in text])


def test_of_many_that_answer_at_once_one_counts_and_the_others_are_told(tmp_path: Path) -> None:
    store = killed(tmp_path)
    assert eight_answers(store) == (1, 7)
    assert events(store).count("OperatorDecided") == 1
    check_log(store, RUN)


def test_so_it_is_where_an_engine_lives(tmp_path: Path) -> None:
    store = tmp_path / "s"
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        handle = engine.submit(reviewed(), run_id=RUN)
        wait_for(handle.waiting)
        assert eight_answers(store) == (1, 7)
    assert events(store).count("OperatorDecided") == 1
    check_log(store, RUN)


def test_an_answer_and_a_timeout_race_and_one_of_them_counts(tmp_path: Path) -> None:
    """Whichever comes first stands in the log, and the other has no effect. The controls: one that
    has much time is answered, one that has none is not.
    """

    def asking(timeout: object) -> wf.Workflow:
        question = wf.approval("?", timeout=timeout, on_timeout="skip")
        return wf.WorkflowBuilder("w").add_task("a", question).build()

    def answered(handle: wf.RunHandle) -> bool:
        try:
            handle.approve("a")
        except wf.WrongState:
            return False
        return True

    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        assert answered(engine.submit(asking("1h"))), "control"
        handle = engine.submit(asking(0.01))
        assert isinstance(handle.result(DEADLINE_S)["a"], wf.Missing)
        assert not answered(handle), "control"
        for number in range(10):
            handle = engine.submit(asking(0.1))
            _pause.wait(0.02 * number)
            won = answered(handle)
            said = kinds(handle.result(DEADLINE_S))
            assert said.count("TaskCompleted") + said.count("TaskSkipped") == 1
            assert said.count("TaskCompleted") == said.count("OperatorDecided") == int(won)


def test_a_reason_has_a_length_whoever_gives_it(tmp_path: Path) -> None:
    """Also to a handle, and in a turn of the engine, which goes on."""
    refused = []

    def look(progress: object) -> None:
        with pytest.raises(wf.CallerError, match="10,001 characters"):
            engine.pause(RUN, "x" * 10_001)
        refused.append(progress)

    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        handle = engine.submit(reviewed(), run_id=RUN, on_progress=look)
        wait_for(handle.waiting)
        wait_for(lambda: refused, "an onlooker to be told")
        for wish in (handle.cancel, partial(engine.cancel, RUN), partial(engine.pause, RUN)):
            with pytest.raises(wf.CallerError, match="the reason has 10,001 characters"):
                wish("x" * 10_001)
        before = events(tmp_path / "s")
        handle.approve("review")
        handle.signal("payment", {"amount": 5})
        assert handle.result(DEADLINE_S).status is RunStatus.SUCCEEDED
    assert not {"RunPaused", "RunDraining"} & {*before}


def test_an_onlooker_that_names_what_is_not_there_does_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot wait for the answer, so the engine's log has it."""
    said = []

    def look(progress: object) -> None:
        if not said:
            said.append(engine.signal(RUN, "paymnt").text)

    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        handle = engine.submit(reviewed(), run_id=RUN, on_progress=look)
        wait_for(lambda: "did you mean 'payment'" in caplog.text, "the engine to say so")
        assert said == ["signal follows"]
        handle.approve("review")
        handle.signal("payment", {"amount": 5})
        assert handle.result(DEADLINE_S).status is RunStatus.SUCCEEDED
