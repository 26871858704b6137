"""facade: what an engine is given is judged before anything comes of it."""

from __future__ import annotations

import pytest
from histories_of import A_THEN_B

from durable_wf.engine.facade import WorkflowEngine
from durable_wf.errors import CallerError
from durable_wf.store.opening import open_store


@pytest.fixture
def engine(tmp_path):
    with WorkflowEngine(tmp_path / "store", executor_type="sequential") as engine:
        yield engine


@pytest.mark.parametrize(
    ("store", "words"),
    [("", "'' is no path"), (5, "5 is no path"), (b"here", "b'here' is no path"),
     (["a"], r"\['a'\] is no path"), (True, "True is no path"), ("a\0b", "is no path")],
)  # fmt: skip
def test_what_names_no_folder_is_no_store(tmp_path, monkeypatch, store, words):
    """An empty name would be the working folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CallerError, match=words):
        WorkflowEngine(store)
    with pytest.raises(CallerError, match=words):
        open_store(store, create=True)
    assert list(tmp_path.iterdir()) == []


def test_any_kind_of_path_names_a_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in ("s", tmp_path / "s"):
        open_store(given, create=True).close()
        assert WorkflowEngine(given).history() == []


@pytest.mark.parametrize("run_id", ["", 5, "a/b", "@last", " "])
def test_a_run_id_that_is_none_is_refused_before_a_store_is_made(engine, tmp_path, run_id):
    """An empty one too: a random id in its place would make a new run with each call."""
    for start in (engine.run, engine.submit):
        with pytest.raises(CallerError, match="is not usable"):
            start(A_THEN_B, run_id=run_id)
    assert not (tmp_path / "store").exists()


def test_an_empty_name_is_no_executor(engine):
    with pytest.raises(CallerError, match="there is no executor ''"):
        engine.run(A_THEN_B, executor_type="")
