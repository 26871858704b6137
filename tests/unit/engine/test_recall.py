"""recall: what a script is told by its engine when it is loaded again for one of its runs."""

from __future__ import annotations

from types import SimpleNamespace

import attrs
import pytest
from histories_of import (
    CANCELLED,
    CANCELLING,
    CLAIMED,
    CREATED,
    STARTED,
    SUCCEEDED,
    begun,
    closed,
    done,
)
from loop_rig import put

from durable_wf.authoring import loading
from durable_wf.authoring.loading import Call, Does, LoadingEnded
from durable_wf.core.definition import FunctionRef, Literal, Task, Workflow
from durable_wf.core.digests import code_digest, inputs_digest, structure_digest
from durable_wf.core.status import RunStatus, TaskStatus
from durable_wf.engine import recall as recall_module
from durable_wf.engine.recall import Recall
from durable_wf.engine.result import RunHandle
from durable_wf.errors import WrongState
from durable_wf.store.memory import MemoryLog

ENDED = (begun(), done(), SUCCEEDED)
STOPPED = (CANCELLING, closed(1, TaskStatus.CANCELLED), CANCELLED)


def flow(name="w", value="1", code="code", *more):
    """A workflow of one task, and more of these names."""
    tasks = [
        Task(task, FunctionRef("f", "", "s.py", code), kwargs=(("x", Literal(value)),))
        for task in ("a", *more)
    ]
    return Workflow(name, tuple(tasks))


class Script:
    """The runs that a script has made, in a log, and what it is told when it is loaded again."""

    def __init__(self, folder):
        self.log = MemoryLog()
        self.folder = folder
        self.count, self.last = 0, ""
        self.states = {}

    def makes(self, run_id, workflow, *events, counts=True, **fields):
        """It makes a run, which comes to this."""
        if counts:
            self.count += 1
            fields = {"call": self.count, "previous": self.last, **fields}
            self.last = run_id
        created = attrs.evolve(
            CREATED, script="s.py", structure=structure_digest(workflow),
            inputs=inputs_digest(workflow), code=code_digest(workflow), **fields,
        )  # fmt: skip
        history = (created, CLAIMED, STARTED, *events)
        self.states[run_id] = workflow, put(self.log, *history, workflow=workflow, run_id=run_id)[1]
        return self

    def loaded_for(self, run_id):
        """What answers its calls when it is loaded for that run."""
        path = SimpleNamespace(path=self.folder)
        store = SimpleNamespace(log=self.log, folder=path, id="s")
        return Recall(store, *self.states[run_id])


@pytest.fixture
def script(tmp_path):
    return Script(tmp_path)


def told(recall, workflow=None, run_id="", does=Does.RUN, **more):
    """The run that a call gets; None where it is the one that is looked for."""
    answer = recall(Call(does, workflow, run_id, **more))
    assert recall.reached is (answer is None)
    return None if answer is None else answer(lambda *_: None).run_id


def refusal(recall, *args, **more):
    with pytest.raises(WrongState) as caught:
        told(recall, *args, **more)
    assert not recall.reached
    return str(caught.value)


# --- calls that make a new run each time ----------------------------------------------------------


def test_calls_get_their_runs_in_order_up_to_the_one(script):
    script.makes("r1", flow(), *ENDED).makes("r2", flow(), *ENDED).makes("r3", flow())
    recall = script.loaded_for("r3")
    assert [told(recall, flow()) for _ in range(3)] == ["r1", "r2", None]


def test_the_outcome_is_the_recorded_one_with_the_workflow_that_is_given(script):
    script.makes("r1", flow(), *STOPPED).makes("r2", flow())
    given = flow()
    answer = script.loaded_for("r2")(Call(Does.RUN, given))
    handle = answer(lambda *_: None)
    assert handle.done()
    result = handle.result()
    assert (result.status, result.workflow) == (RunStatus.CANCELLED, given)
    assert result.workflow is given


def test_a_call_gets_the_run_of_its_code_before_the_next_one(script):
    """The order of calls in threads is another one each time, and a script may be edited."""
    eu, us = flow(code="eu"), flow(code="us")
    script.makes("eu", eu, *ENDED).makes("us", us)
    assert told(script.loaded_for("us"), us) is None
    both = script.loaded_for("us")
    assert (told(both, eu), told(both, us)) == ("eu", None)


def test_values_and_code_may_have_changed_since(script):
    script.makes("r1", flow(value="1"), *ENDED).makes("r2", flow(code="old"))
    recall = script.loaded_for("r2")
    assert (told(recall, flow(value="2")), told(recall, flow(code="new"))) == ("r1", None)


def test_the_first_call_is_the_one_where_no_run_came_before(script):
    script.makes("r1", flow())
    assert told(script.loaded_for("r1"), flow(code="changed", value="7")) is None


def test_a_call_of_another_graph_is_not_taken_for_the_one_of_then(script):
    script.makes("r1", flow(), *ENDED).makes("r2", flow())
    said = refusal(script.loaded_for("r2"), flow("w", "1", "code", "more"))
    assert "s.py has changed: its call number 1 made run r1" in said
    assert "task 'more' is new" in said
    assert "engine.resume('r2', workflow=workflow)" in said


def test_a_call_that_was_put_before_the_others_is_noticed_when_theirs_come(script):
    """It has taken the place of one whose code comes after it."""
    eu, us = flow(code="eu"), flow(code="us")
    script.makes("eu", eu, *ENDED).makes("us", us)
    recall = script.loaded_for("us")
    assert told(recall, flow(code="asia")) == "eu"
    said = refusal(recall, eu)
    assert "makes other runs before it comes to run us than it did then" in said


def test_nor_is_another_workflow_taken_for_that_of_the_run(script):
    script.makes("r1", flow())
    said = refusal(script.loaded_for("r1"), flow("other"))
    assert "runs workflow 'other' where it ran 'w' when it made run r1" in said


def test_a_run_that_is_not_in_the_store_is_missed(script):
    """It was made in another store."""
    script.makes("r2", flow(), call=3, previous="elsewhere").makes("r3", flow(), call=4)
    recall = script.loaded_for("r2")
    assert "elsewhere, is not in this store" in refusal(recall, flow(code="first"))


@pytest.mark.parametrize("call", [0, 2, 7])
def test_numbers_that_do_not_fit_together_are_not_believed(script, call):
    script.makes("r1", flow(), *ENDED, call=call).makes("r2", flow(), call=2)
    assert "r1, is not in this store" in refusal(script.loaded_for("r2"), flow(code="other"))


def test_a_run_that_was_imported_says_nothing_about_what_came_before_it(script, monkeypatch):
    """It may name any run."""
    script.makes("r1", flow(), *ENDED).makes("r2", flow())
    monkeypatch.setattr(recall_module, "came_from_elsewhere", lambda _log, row: row.run_id == "r1")
    assert "r1, is not in this store" in refusal(script.loaded_for("r2"), flow(code="other"))


def test_what_is_known_of_an_old_log_is_the_first_call_alone(script):
    script.makes("r1", flow(), counts=False)
    recall = script.loaded_for("r1")
    assert recall(Call(Does.RUN, flow("any"))) is None
    assert (recall.reached, recall.known) == (False, False)


# --- calls that name their run --------------------------------------------------------------------


def test_a_call_that_names_the_run_is_the_one_whatever_came_before(script):
    script.makes("r1", flow(), *ENDED).makes("mine", flow(code="old"))
    assert told(script.loaded_for("mine"), flow(code="new"), "mine") is None


def test_a_call_that_names_another_run_gets_that_one_and_takes_no_turn(script):
    script.makes("day-1", flow(), *ENDED, counts=False)  # by an earlier process
    script.makes("named", flow(), *ENDED).makes("r2", flow(), *ENDED).makes("r3", flow())
    recall = script.loaded_for("r3")
    got = [told(recall, flow(), run_id) for run_id in ("day-1", "named", "", "")]
    assert got == ["day-1", "named", "r2", None]


def test_a_name_stands_for_the_newest_of_its_retries_by_then(script):
    script.makes("x", flow(), *STOPPED)
    script.makes("x.2", flow(), *ENDED, counts=False, origin="x", root="x")
    script.makes("r", flow())
    assert told(script.loaded_for("r"), flow(), "x") == "x.2"


def test_a_name_that_no_run_has_is_refused(script):
    script.makes("r", flow())
    said = refusal(script.loaded_for("r"), flow(), "x")
    assert "there is no run 'x' in" in said
    assert "none is made while a script is loaded" in said


def test_a_call_that_resumes_the_run_is_the_one_too(script):
    script.makes("day-1", flow(), *ENDED).makes("r", flow())
    recall = script.loaded_for("r")
    assert told(recall, run_id="day-1", does=Does.RESUME) == "day-1"
    assert told(recall, run_id="r", does=Does.RESUME) is None


@pytest.mark.parametrize("made", [{"root": "x"}, {"origin_n": 2}], ids=["retry", "fork"])
def test_a_run_made_from_another_has_the_code_of_the_call_of_that_one(script, made):
    script.makes("first", flow(), *ENDED).makes("x", flow(code="x"), *STOPPED)
    like = {"call": 2, "previous": "first"}
    script.makes("x.new", flow(code="x"), counts=False, origin="x", **made, **like)
    assert told(script.loaded_for("x.new"), flow(code="x"), "x") is None
    recall = script.loaded_for("x.new")
    assert [told(recall, flow()), told(recall, flow(code="x"))] == ["first", None]


# --- calls that make runs from runs ---------------------------------------------------------------


def test_a_retry_that_brought_its_own_code_is_where_its_run_was_made(script):
    script.makes("x", flow(), *STOPPED)
    script.makes("x.2", flow(code="mended"), counts=False, origin="x", root="x", previous="x")
    recall = script.loaded_for("x.2")
    assert told(recall, flow(), "x") == "x", "which was the newest of its chain by then"
    assert told(recall, flow(code="mended"), "x", Does.RETRY) is None


def test_a_retry_before_it_gets_the_newest_of_the_chain(script):
    script.makes("x", flow(), *STOPPED)
    script.makes("x.2", flow(), *ENDED, counts=False, origin="x", root="x").makes("r", flow())
    assert told(script.loaded_for("r"), None, "x", Does.RETRY) == "x.2"
    assert told(script.loaded_for("r"), None, "x", Does.RETRY, new_id="x.2") == "x.2"


def test_a_fork_before_it_gets_the_only_one_or_the_one_that_it_names(script):
    script.makes("x", flow(), *ENDED)
    script.makes("x.f1", flow(), *ENDED, counts=False, origin="x", origin_n=3)
    script.makes("r", flow())
    assert told(script.loaded_for("r"), None, "x", Does.FORK) == "x.f1"
    script.makes("x.f2", flow(), *ENDED, counts=False, origin="x", origin_n=3)
    assert "cannot be told" in refusal(script.loaded_for("r"), None, "x", Does.FORK)
    assert told(script.loaded_for("r"), None, "x", Does.FORK, new_id="x.f2") == "x.f2"


@pytest.mark.parametrize("does", [Does.RETRY, Does.FORK])
def test_one_that_was_not_made_is_refused(script, does):
    script.makes("x", flow(), *ENDED).makes("r", flow())
    assert f"makes a {does.value} of run 'x'" in refusal(script.loaded_for("r"), None, "x", does)


# --- outcomes that are not known ------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask", [lambda h: h.result(5), lambda h: h.done(), lambda h: next(h.__await__())]
)
def test_asking_for_the_outcome_of_an_unfinished_run_ends_the_loading(script, ask):
    script.makes("r1", flow(), begun()).makes("r2", flow())
    with loading.capturing(script.loaded_for("r2")) as capture:
        handle = loading.intercept(Call(Does.RUN, flow()))(lambda *_: None)
        assert isinstance(handle, RunHandle)
        with pytest.raises(LoadingEnded):
            ask(handle)
        with pytest.raises(LoadingEnded):  # though somebody caught that
            loading.intercept(Call(Does.RUN, flow()))
    assert "run r1 has not ended" in str(capture.refusal)
    assert "dwf resume r1" in str(capture.refusal)
    assert capture.workflows == []


def test_who_does_not_ask_comes_to_the_next_call(script):
    script.makes("r1", flow(), begun()).makes("r2", flow())
    recall = script.loaded_for("r2")
    assert [told(recall, flow()), told(recall, flow())] == ["r1", None]


def test_a_future_of_it_is_not_waited_for_in_vain(script):
    script.makes("r1", flow(), begun()).makes("r2", flow())
    with loading.capturing(script.loaded_for("r2")) as capture:
        handle = loading.intercept(Call(Does.RUN, flow()))(lambda *_: None)
        handle.future.result(timeout=5)
    assert "run r1 has not ended" in str(capture.refusal)


# --- several stores -------------------------------------------------------------------------------


def test_a_store_that_was_moved_is_the_same_one(script, tmp_path):
    script.makes("r", flow())
    assert told(script.loaded_for("r"), flow(), "r", store=tmp_path / "where it was") is None
    (tmp_path / "empty").mkdir()
    assert told(script.loaded_for("r"), flow(), "r", store=tmp_path / "empty") is None


def test_a_run_of_that_name_in_another_store_is_another_run(script, tmp_path):
    from durable_wf.store.opening import open_store

    other = open_store(tmp_path / "other", create=True)
    put(other.log, CREATED, CLAIMED, STARTED, *ENDED, workflow=flow(), run_id="x")
    other.close()
    script.makes("x", flow()).makes("r", flow())
    recall = script.loaded_for("x")
    answer = recall(Call(Does.RUN, flow(), "x", store=tmp_path / "other"))
    assert answer(lambda *_: None).result().status is RunStatus.SUCCEEDED
    assert told(recall, flow(), "x", store=tmp_path) is None
