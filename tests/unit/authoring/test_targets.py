"""What a person types to name a workflow, and what is said when it names none."""

from __future__ import annotations

import sys

import pytest

from durable_wf.authoring.targets import load
from durable_wf.core.definition import FunctionRef, Task, Upstream, Workflow
from durable_wf.errors import DefinitionError, NotFound

SOURCE = """
from durable_wf.authoring.builder import WorkflowBuilder
from durable_wf.authoring import loading
def intercept(workflow):
    loading.intercept(loading.Call(loading.Does.RUN, workflow))

def work(): return 42

builder = WorkflowBuilder("built").add_task("a", work)
flow = WorkflowBuilder("flow").add_task("a", work).add_task("b", lambda: 43).build()

class Flows:
    nested = flow

def make(name="made"):
    return WorkflowBuilder(name).add_task("a", work)

def run():
    intercept(make("run").build())

def needs(argument): ...
def fails(): return {}["key"]
number = 5
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows.py").write_text(SOURCE)
    (tmp_path / "flows_module.py").write_text(SOURCE)
    yield tmp_path
    for name in ("flows_module", "runs_module"):
        sys.modules.pop(name, None)


FILE_AND_MODULE = pytest.mark.parametrize("where", ["flows.py", "./flows.py", "flows_module"])


@FILE_AND_MODULE
@pytest.mark.parametrize(
    ("name", "workflow"),
    [("flow", "flow"), ("builder", "built"), ("make", "made"), ("run", "run"),
     ("Flows.nested", "flow")],
)  # fmt: skip
def test_a_name_gives_a_workflow_a_builder_or_what_a_function_returns(where, name, workflow):
    found = load(f"{where}:{name}")
    assert found.name == workflow
    assert found.functions["a"]() == 42


@FILE_AND_MODULE
@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("flo", NotFound, ":flow?"),
        ("workflow", NotFound, "has no 'workflow'"),
        ("number", DefinitionError, "is no workflow but 'int'"),
        ("work", DefinitionError, "is no workflow but 'int'"),
        ("needs", DefinitionError, "missing 1 required positional argument"),
        ("fails", DefinitionError, "KeyError: 'key'"),
    ],
)
def test_what_is_no_workflow_is_told_with_what_to_do(where, name, kind, words):
    with pytest.raises(kind) as caught:
        load(f"{where}:{name}")
    assert words in str(caught.value)


def test_with_a_name_the_guard_does_not_pass(folder):
    (folder / "guarded.py").write_text(SOURCE + "if __name__ == '__main__':\n    1 / 0\n")
    assert load("guarded.py:flow").name == "flow"


def test_without_a_name_the_script_gives_what_it_would_run(folder):
    (folder / "script.py").write_text(SOURCE + "if '__main__' == __name__:\n    run()\n")
    with pytest.raises(NotFound, match=r"several workflows"):
        load("script.py")
    only = SOURCE.replace("builder =", "_ = lambda:").replace("flow =", "_ = lambda:")
    only = only.replace("nested = flow", "nested = None")
    (folder / "script.py").write_text(only + "if '__main__' == __name__:\n    run()\n")
    assert load("script.py").name == "run"


def test_a_script_without_any_workflow_says_what_to_do(folder):
    (folder / "empty.py").write_text("x = 1")
    with pytest.raises(NotFound, match="no workflow"):
        load("empty.py")


def test_a_module_that_runs_a_workflow_when_imported_is_told(folder):
    (folder / "runs_module.py").write_text(SOURCE + "run()\n")
    with pytest.raises(DefinitionError, match="while it is imported"):
        load("runs_module:flow")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("flow.py:flow", "did you mean flows.py? (looked in {folder})"),
        ("nothing.py", "looked in {folder}, where there is flows.py, flows_module.py"),
        ("some/nothing.py", "looked in {folder}/some, where there is no .py file"),
        ("some.py", "some.py is a folder"),
        ("flows", "did you mean flows.py?"),
        ("flows:", "did you mean flows.py? "),
        ("nowhere/flow.py:flow", "there is no folder nowhere"),
        ("no_such_module:flow", "there is no module 'no_such_module'"),
        ("flows", "give file.py:name"),
        ("", "give file.py:name"),
        ("a b:c", "give file.py:name"),
        ("flow.json", "there is no file flow.json"),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest_that_is(folder, target, words):
    (folder / "some").mkdir()
    (folder / "some.py").mkdir()
    with pytest.raises(NotFound) as caught:
        load(target)
    assert words.format(folder=folder) in str(caught.value)


def test_of_many_files_some_are_named(folder):
    for number in range(9):
        (folder / f"x{number}.py").touch()
    with pytest.raises(NotFound) as caught:
        load("nothing.py")
    words = "where there is flows.py, flows_module.py, x0.py, x1.py, x2.py and 6 more"
    assert words in str(caught.value)


def test_a_missing_import_inside_a_module_is_not_taken_for_the_module(folder):
    (folder / "runs_module.py").write_text("import no_such_thing\n")
    with pytest.raises(DefinitionError, match="no_such_thing"):
        load("runs_module:flow")


def test_a_definition_finds_the_functions_of_its_script_again(folder):
    (folder / "flow.json").write_text(load("flows.py:flow").to_json())
    (folder / "flows.py").write_text(
        SOURCE.replace("builder =", "_ = lambda:") + "x = flow\nintercept(flow)"
    )
    found = load("flow.json")
    assert (found.functions["a"](), found.functions["b"]()) == (42, 43)


def test_a_definition_of_a_module_leaves_functions_to_the_engine(folder):
    (folder / "flow.json").write_text(load("flows_module:flow").to_json())
    assert load("flow.json").functions == {}


F = FunctionRef("len", "builtins")


@pytest.mark.parametrize(
    ("workflow", "kind", "words"),
    [
        (Workflow("w", ()), DefinitionError, "no tasks"),
        (Workflow("w\n", (Task("a", F),)), DefinitionError, "no usable name"),
        (Workflow("w", (Task("a", F), Task("a", F))), DefinitionError, "2 tasks are called 'a'"),
        (Workflow("w", (Task("a", F, ("b",)),)), DefinitionError, "'b', which does not exist"),
        (Workflow("w", (Task("a", F, ("a",)),)), DefinitionError, "a -> a"),
        (Workflow("w", (Task("a", F, args=(Upstream("b"),)),)), DefinitionError, "no upstream"),
        (Workflow("w", (Task("a", F, ("b", "b")), Task("b", F))), DefinitionError, "twice"),
        (Workflow("w", (Task("a", FunctionRef("f")),)), NotFound, "is in no file"),
        (
            Workflow("w", (Task("a", FunctionRef("f", file="flows.py")),)),
            NotFound,
            "does not define workflow 'w' any more",
        ),
    ],
)
def test_a_definition_that_is_not_sound_is_refused(folder, workflow, kind, words):
    (folder / "flow.json").write_text(workflow.to_json())
    with pytest.raises(kind) as caught:
        load("flow.json")
    assert words in str(caught.value)


def test_a_file_that_is_no_definition_is_refused_with_its_name(folder):
    (folder / "flow.json").write_text("{'a': 1}")
    with pytest.raises(DefinitionError, match=r"flow\.json: the workflow definition is not JSON"):
        load("flow.json")
