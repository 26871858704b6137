"""Names and texts that users give: safe in every path, command and screen, or refused at once."""

from __future__ import annotations

import contextlib
import json
import os
import re

import pytest
from cli_rig import rig_in
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from security.evil import EVIL, STEERING, Texts, everything, forge, written

from durable_wf.authoring.builder import WorkflowBuilder
from durable_wf.cli.main import COMMANDS, dwf
from durable_wf.core.definition import Workflow
from durable_wf.engine.facade import WorkflowEngine
from durable_wf.engine.origin import check_run_id, new_run_id
from durable_wf.errors import CallerError, DefinitionError, DurableWorkflowError, NotFound
from durable_wf.store.opening import open_store

HOSTILE = [
    "", " ", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "%2e%2e%2fx", "%252f", "a\0b",
    "a\nb", "-x", "--help", "@last", "@store", "~", "$HOME", "`id`", "$(id)", "; rm -rf .", "|",
    "a\tb", "'", "' OR 1=1 --", '"', "%", "_%", "*", "?", "con", "é", "\U0001f600", "\u202egpj",
    "\udcff", "{}", "{0}", "%s", "x" * 129, "x" * 100_000, "a" * 128 + "\n", EVIL, *STEERING,
]  # fmt: skip
SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")


def one():
    return 1


def unstorable():
    print("printed")
    return object()


FLOW = WorkflowBuilder("w").add_task("t", one).build()


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names") / "s"
    with WorkflowEngine(folder, executor_type="sequential") as made:
        made.run(FLOW, run_id="known")
        yield made


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in {"con", ""}])
def test_a_hostile_run_id_is_refused_before_anything_is_written(engine, name):
    before = [row.run_id for row in engine.history()]
    with pytest.raises(CallerError, match="is not usable"):
        engine.run(FLOW, run_id=name)
    for ask in (engine.resume, engine.cancel, engine.pause, engine.history):
        with pytest.raises(CallerError):
            ask(name)
    assert [row.run_id for row in engine.history()] == before


@pytest.mark.parametrize("name", [5, b"x", object(), 1.0, ["x"]])
def test_a_run_id_is_a_text(engine, name):
    with pytest.raises(CallerError):
        engine.run(FLOW, run_id=name)


@given(st.text())
def test_a_run_id_that_is_taken_is_safe_everywhere(name):
    """Whatever is not refused is one part of a path, no option, and needs no quoting."""
    try:
        check_run_id(name)
    except CallerError:
        return
    assert SAFE.fullmatch(name)
    assert len(name) <= 128
    assert os.path.basename(name) == name not in {".", ".."}


@given(st.text(), st.integers(0, 2**53))
def test_an_id_that_is_made_from_a_workflow_s_name_is_taken(name, at):
    assert check_run_id(new_run_id(name, at))


@pytest.mark.parametrize("name", [n for n in HOSTILE if n != "con" and not n.startswith("_")])
def test_hostile_names_of_tasks_and_workflows_are_refused(name):
    if name == "é" or re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.\-~\[\]/ ]{0,199}", name):
        return  # letters are fine; slashes and blanks may stand inside, see below
    for build in (
        lambda: WorkflowBuilder(name).add_task("t", one).build(),
        lambda: WorkflowBuilder("w").add_task(name, one).build(),
    ):
        with pytest.raises(DefinitionError):
            build()


@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_names_with_slashes_and_dots_make_no_paths(tmp_path, executor):
    """Output, kept results and payloads lie in the store, whatever the tasks are called."""
    names = ["a/../../../b", "x/..", "a b", "a~[1]/./~"]
    builder = WorkflowBuilder("w/../../w")
    for name in names:
        builder.add_task(name, unstorable)
    home = tmp_path / "home"
    home.mkdir()
    with WorkflowEngine(home / "s", executor_type=executor, workers=1) as engine:
        result = engine.run(builder.build(), check=False, run_id="r")
    if executor == "parallel":
        assert any(b"printed" in data for data in everything(home / "s" / "output").values())
    assert set(result.failures()) <= set(names)
    assert result.failures()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert [path.name for path in home.iterdir()] == ["s"]
    dwf_in = rig_in(tmp_path)
    for args in (["show", "r"], ["show", "r", "-t", names[0]], ["logs", "r"], ["graph", "r"]):
        assert dwf_in(*args, "--store", home / "s").code == 0


# --- tags and metadata ----------------------------------------------------------------------------

BAD_LABELS = [
    {"tags": "abc"}, {"tags": 5}, {"tags": [1]}, {"tags": [None]}, {"tags": [""]}, {"tags": [b"x"]},
    {"tags": ["x" * 1001]}, {"metadata": {1: "x"}}, {"metadata": {"x": None}}, {"metadata": "abc"},
    {"metadata": {"x": object()}}, {"metadata": {"x": "y" * 65_537}},
    {"metadata": {"x" * 1001: ""}}, {"metadata": [("a", "b")]},
]  # fmt: skip


@pytest.mark.parametrize("labels", BAD_LABELS, ids=lambda d: f"{d!r:.30}")
def test_tags_and_metadata_that_are_no_texts_are_refused_and_later_runs_go_on(engine, labels):
    """Written, they would make the run, and with it the next ones, unreadable."""
    with pytest.raises(CallerError):
        engine.run(FLOW, **labels)
    with pytest.raises(CallerError):
        engine.submit(FLOW, **labels)
    assert engine.run(FLOW)["t"] == 1


def test_any_text_may_be_a_tag_or_metadata_and_comes_back(engine):
    texts = ("\udcff", "\0", "é\U0001f600", EVIL, "x" * 1000, "' OR 1=1 --", "{}")
    result = engine.run(FLOW, tags=texts, metadata={text: text for text in texts})
    assert engine.history(workflow="w")[0].tags == texts
    created = result.history()[0].event
    assert created.tags == texts
    assert dict(created.metadata) == {text: text for text in texts}


def test_an_earlier_run_that_cannot_be_read_does_not_stop_later_ones(tmp_path):
    folder = tmp_path / "s"
    with WorkflowEngine(folder, executor_type="sequential") as made:
        made.run(FLOW, run_id="old")
    with written(folder / "log.db") as connection:
        connection.execute("UPDATE events SET body = '[]' WHERE run = 1")
    with WorkflowEngine(folder, executor_type="sequential") as made:
        with pytest.raises(DurableWorkflowError):
            made.history("old")
        assert made.run(FLOW, run_id="new")["t"] == 1


@pytest.mark.parametrize(
    "given",
    [
        {"workers": 0}, {"workers": "x"}, {"cpus": float("nan")}, {"cpus": float("inf")},
        {"cpus": -1}, {"memory": "x"}, {"memory": -1}, {"gpus": -1}, {"pools": {"a": "x"}},
        {"pools": {"a": 0}}, {"grace_s": float("nan")}, {"grace_s": -1}, {"executor_type": "x"},
        {"store": "a\0b"}, {"store": "/dev/null"}, {"store": "x" * 5000},
    ],
    ids=repr,
)  # fmt: skip
def test_settings_that_cannot_be_are_errors_of_ours(tmp_path, given):
    with (
        pytest.raises(DurableWorkflowError),
        WorkflowEngine(**{"store": tmp_path / "s", "executor_type": "sequential", **given}) as made,
    ):
        made.run(FLOW)


@pytest.mark.parametrize("workflow", [None, 5, "nope", object(), WorkflowBuilder("w"), Workflow])
def test_what_is_no_workflow_is_not_run(engine, workflow):
    with pytest.raises(CallerError):
        engine.run(workflow)


# --- garbage on the command line ------------------------------------------------------------------


@pytest.fixture(scope="module")
def forged(tmp_path_factory):
    return forge(tmp_path_factory.mktemp("cli") / "s", Texts(free=EVIL))


COMMAND_NAMES = sorted(set(COMMANDS) - {"demo", "watch"})
OPTIONS = """--json --store --debug --help -n -t -k -f -s -w --last --limit --since --task --kind
--id --tag --workflow --format --cpus --time-scale --executor --workers --status --kept --trust --
--accept-changes --older-than --yes --reason check backup prune accept-loss verify head""".split()
VALUES = [
    "forged", "@last", "@store", "for", "t", "0", "-1", "9" * 30, "1e999", "nan", "svg", "dot",
    "ascii", "running", "AttemptFailed", "2d", "2026-99-99", "9" * 30 + "d", "1:ff", "x:y",
    "nothing.py:x", "nothing.json", "nothing:x", ".", "/dev/null", *HOSTILE,
]  # fmt: skip


@given(
    st.sampled_from(COMMAND_NAMES),
    st.lists(st.one_of(st.sampled_from(OPTIONS), st.sampled_from(VALUES), st.text(max_size=20))),
)
def test_no_arguments_lead_to_an_error_that_nobody_thought_of(forged, command, given_):
    """Nor change a store that is not ours to change."""
    values = [value.replace("\0", "") for value in given_ if not value.endswith((".py", ".tar"))]
    before = everything(forged)
    with contextlib.chdir(forged.parent):
        shown = CliRunner().invoke(dwf, [command, "--store", str(forged), *values], prog_name="dwf")
    assert shown.exit_code in {0, 1, 2, 3, 4, 5, 6, 7, 8}, (shown.exit_code, shown.output)
    assert everything(forged) == before


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_run_is_not_found_by_any_command(forged, name):
    name = name.replace("\0", "")
    if name in {"@last", "--help", ""}:
        return
    dwf_in = rig_in(forged.parent)
    for command in ("show", "events", "logs", "export"):
        more = [forged.parent / "x.dwf"] if command == "export" else []
        if name == "@store" and command == "events":
            continue
        shown = dwf_in(command, "--store", forged, "--json", "--", name, *more)
        assert shown.code in {2, 3}, shown
        assert isinstance(json.loads(shown.err)["error"]["message"], str)
    assert not (forged.parent / "x.dwf").exists()


def test_beginnings_of_ids_know_no_wildcards(forged):
    store = open_store(forged, readonly=True)
    for prefix in ("%", "_", "*", "for%", "?orged", "forge_"):
        assert store.log.rows(prefix=prefix) == []
    assert [row.run_id for row in store.log.rows(prefix="for")] == ["forged"]
    store.close()
    with pytest.raises(NotFound), WorkflowEngine(forged) as engine:
        engine.history("for")
