"""Scripts are loaded up to what they would run, and run nothing."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from durable_wf.authoring import loading
from durable_wf.authoring.builder import WorkflowBuilder
from durable_wf.core.definition import Workflow
from durable_wf.errors import DefinitionError, NotFound, WrongState

HEAD = """
import sys, os
from durable_wf.authoring.builder import WorkflowBuilder
from durable_wf.authoring import loading
def intercept(workflow, run_id=""):
    return loading.intercept(loading.Call(loading.Does.RUN, workflow, run_id))
def work(): return 42
def flow(name="w"):
    return WorkflowBuilder(name).add_task("a", work).add_task("b", lambda: 43).build()
"""


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """Loading puts the script into `__main__` and its folder into the path; undo that."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def script(tmp_path):
    def write(body: str, name: str = "script.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEAD + body)
        return path

    return write


def load(path: Path, *argv: str, cwd: Path | None = None) -> list[Workflow]:
    return loading.load_script(path, argv, cwd)


def test_a_run_ends_the_loading_with_its_workflow(script):
    path = script("intercept(flow())\nraise SystemError('went on')")
    (found,) = load(path)
    assert found.name == "w"
    assert found.functions["a"]() == 42
    assert found.functions["b"]() == 43
    assert found.tasks[0].function.file == str(path)


def test_the_guard_passes(script):
    (found,) = load(script("if __name__ == '__main__':\n    intercept(flow('guarded'))"))
    assert found.name == "guarded"


@pytest.mark.parametrize(
    "how",
    [
        "try:\n    intercept(flow())\nexcept Exception: pass\nraise SystemError",
        "import asyncio\nasync def main(): intercept(flow())\nasyncio.run(main())",
        "import threading as t\no = t.Timer(0, intercept, [flow()])\no.start()\no.join(9)",
    ],
    ids=["except Exception", "asyncio", "thread"],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_it_ends_the_loading_from_everywhere(script, how):
    (found,) = load(script(how))
    assert found.name == "w"


def test_module_level_workflows_follow_each_once(script):
    body = """
one = flow("one")
again = one
two = WorkflowBuilder("two").add_task("a", work)
unfinished = WorkflowBuilder("three")
intercept(one)
"""
    assert [workflow.name for workflow in load(script(body))] == ["one", "two"]


def test_arguments_and_folder_are_those_given_and_restored(script, tmp_path):
    before = (list(sys.argv), os.getcwd())
    path = script("intercept(flow('-'.join([os.path.basename(os.getcwd()), *sys.argv[1:]])))")
    folder = tmp_path / "there"
    folder.mkdir()
    (found,) = load(path, str(path), "x", "y", cwd=folder)
    assert found.name == "there-x-y"
    assert (sys.argv, os.getcwd()) == before


def test_a_folder_that_is_gone_is_no_obstacle(script, tmp_path):
    (found,) = load(script("intercept(flow())"), cwd=tmp_path / "gone")
    assert found.name == "w"


def test_it_imports_its_neighbours_and_relatives(script):
    script("name = 'from a neighbour'", "neighbour.py")
    (found,) = load(script("import neighbour\nintercept(flow(neighbour.name))"))
    assert found.name == "from a neighbour"
    script("name = 'relative'", "some_package/other.py")
    script("", "some_package/__init__.py")
    path = script("from .other import name\nintercept(flow(name))", "some_package/tool.py")
    assert load(path)[0].name == "relative"


def test_what_it_prints_goes_to_standard_error(script, capsys):
    load(script("print('hello')\nintercept(flow())"))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hello\n")


def test_it_stays_main_so_that_its_classes_are_found(script):
    path = script("class Row: ...\nintercept(flow())")
    load(path)
    assert sys.modules["__main__"].__file__ == str(path)
    assert sys.modules["__main__"].Row.__module__ == "__main__"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("x = 1 / 0", "line 10, failed: ZeroDivisionError: division by zero"),
        ("import no_such_module_here", "ModuleNotFoundError"),
        ("x = = 1", "line 10 is not Python"),
        ("sys.exit(3)", "ended itself with exit(3)"),
    ],
)
def test_a_script_that_fails_is_told_with_its_line_and_is_not_main(script, body, words):
    main = sys.modules["__main__"]
    path = script(body)
    with pytest.raises(DefinitionError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert sys.modules["__main__"] is main
    assert not loading.is_loading()


def test_an_exit_after_a_workflow_was_made_is_fine(script):
    (found,) = load(script("made = flow('made')\nsys.exit(0)"))
    assert found.name == "made"


ENDINGS = {
    "exits": "except:\n    sys.exit(5)",
    "raises": "except BaseException:\n    x = 1 / 0",
    "cleans up in vain": "finally:\n    os.remove('x')",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_what_a_script_does_with_its_end_does_not_matter(script, ending):
    (found,) = load(script(f"try:\n    intercept(flow())\n{ending}"))
    assert found.name == "w"


def test_a_script_that_goes_on_after_its_end_comes_no_further_than_its_next_call(script):
    body = "try: intercept(flow())\nexcept BaseException: pass\nintercept(flow('next'))\nx = 1 / 0"
    (found,) = load(script(body))
    assert found.name == "w"


def test_a_script_can_ask_whether_it_is_being_loaded(script, capsys):
    load(script("import durable_wf as wf\nprint(wf.is_loading())\nintercept(flow())"))
    assert capsys.readouterr().err == "True\n"
    assert not loading.is_loading()


def test_calls_of_threads_that_were_there_before_are_not_the_scripts():
    """A program goes on while its engine loads a script for a run that is woken."""
    may_call, told = threading.Event(), []

    def of_the_program() -> None:
        may_call.wait(9)
        told.append(loading.intercept(loading.Call(loading.Does.RUN, None)))
        told.append(loading.is_loading())

    thread = threading.Thread(target=of_the_program)
    thread.start()
    with loading.capturing() as capture:
        may_call.set()
        thread.join(9)
        assert loading.is_loading()
    assert told == [None, False]
    assert not capture.ended


# --- with answers ---------------------------------------------------------------------------------


def executed(path: Path, answer: loading.Answer) -> loading.Capture:
    return loading.execute(path, (), None, guarded=True, answer=answer)[1]


def test_calls_before_the_one_are_answered(script, capsys):
    path = script("for i in 'abc': print(intercept(flow(), i))")
    capture = executed(path, lambda call: None if call.run_id == "c" else call.run_id.upper())
    assert capsys.readouterr().err == "A\nB\n"
    assert [workflow.name for workflow in capture.workflows] == ["w"]


def test_a_script_that_fails_between_its_calls_is_told_that_this_is_done_again(script):
    path = script("intercept(flow(), 'r')\nos.remove('x')")
    with pytest.raises(DefinitionError, match=r"wf\.is_loading\(\)"):
        executed(path, lambda call: call.run_id)
    with pytest.raises(DefinitionError) as caught:
        load(script("os.remove('x')"))
    assert caught.value.hint is None


@pytest.mark.parametrize("ending", ["finally: pass", ENDINGS["exits"]])
def test_an_answer_that_is_refused_is_why_the_loading_fails(script, ending):
    def refuse(call: loading.Call) -> None:
        raise WrongState(f"not {call.run_id}")

    main = sys.modules["__main__"]
    path = script(
        f"try:\n    intercept(flow(), 'r')\n{ending or 'finally: pass'}\nraise SystemError"
    )
    with pytest.raises(WrongState, match="not r"):
        executed(path, refuse)
    assert sys.modules["__main__"] is main


def test_an_answer_may_end_the_loading_later(script):
    """As the handle of a run does whose outcome is not known."""
    path = script("intercept(flow())()\nx = 1 / 0")
    with pytest.raises(WrongState, match="later"):
        executed(path, lambda _call: lambda: loading.end(WrongState("later")))
    with pytest.raises(WrongState, match="outside"):
        loading.end(WrongState("outside"))


def test_a_file_that_is_not_there_is_not_found(tmp_path):
    with pytest.raises(NotFound, match=r"cannot read the script .*No such file"):
        load(tmp_path / "none.py")


def test_outside_of_a_loading_nothing_is_intercepted():
    workflow = WorkflowBuilder("w").add_task("a", lambda: 1).build()
    call = loading.Call(loading.Does.RUN, workflow)
    assert not loading.is_loading()
    assert loading.intercept(call) is None
    with loading.capturing() as capture:
        assert loading.is_loading()
        loading.intercept(call)
    assert capture.workflows == [workflow]


def test_capturing_catches_only_its_own_end():
    with pytest.raises(KeyError), loading.capturing():
        raise KeyError
    assert not loading.is_loading()


def test_fingerprints_are_the_same_before_and_after_loading(script):
    path = script("intercept(flow())")
    first, second = load(path)[0], load(path)[0]
    assert first == second
    assert first.functions["a"] is not second.functions["a"]
