"""The code of a run comes back as it was started: scripts, targets, modules, their arguments."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from cli_rig import DEADLINE_S, Ended, Rig, end, environment, kill, wait_for

from durable_wf.cli.exits import Exit

TASKS = '''
import sys, time
from pathlib import Path
import durable_wf as wf

HERE = Path(__file__).resolve().parent
with (HERE / "executed").open("a") as file:
    file.write("once\\n")

def wait():
    """Says that it has come, and waits until it may go on."""
    (HERE / "came").touch()
    while not (HERE / "go").exists():
        time.sleep(0.01)
    return 20

def flow(name="w", offset=1):
    return (
        wf.WorkflowBuilder(name)
        .add_task("wait", wait)
        .add_task("end", lambda wait, plus: wait + plus, parameters={"plus": offset})
        .depends_on("wait")
        .build()
    )
'''
RUN = "engine = wf.WorkflowEngine(HERE / '.durable-wf', workers=1)\n"


@pytest.fixture
def dwf(tmp_path):
    return Rig(tmp_path)


def write(dwf: Rig, body: str, name: str = "script.py") -> Path:
    path = dwf.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TASKS + textwrap.dedent(body))
    return path


def start(dwf: Rig, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=dwf.folder, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment({}),
    )  # fmt: skip


def die(dwf: Rig, process: subprocess.Popen[str], came: str = "came") -> None:
    """Kill the process in the middle of its first task; the task may go on later."""
    wait_for(lambda: (dwf.folder / came).exists() or process.poll() is not None)
    assert process.poll() is None, end(process)
    kill(process)
    (dwf.folder / came).with_name("go").touch()


def goes_on(dwf: Rig, run: str = "r", *words: object) -> Ended:
    """Resume the run from another folder, as a program would."""
    store = dwf.folder / ".durable-wf"
    elsewhere = dwf.folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    ended = Rig(elsewhere)("resume", run, "--json", "--store", store, *words)
    assert ended.code == 0, ended.err
    return ended


# --- scripts that speak to an engine while they are loaded ----------------------------------------


@pytest.mark.parametrize(
    "before",
    [
        "engine.recover()",
        "assert not engine.cancel('r').accepted",
        "assert engine.history(workflow='w')[0].run_id == 'r'",
    ],
    ids=["recover", "cancel", "history"],
)
def test_what_a_script_asks_of_its_engine_first_does_nothing_while_it_is_loaded(dwf, before):
    body = f"{RUN}if (HERE / '.durable-wf').exists():\n    {before}\nengine.run(flow(), run_id='r')"
    die(dwf, start(dwf, write(dwf, body)))
    assert goes_on(dwf).document["status"] == "succeeded"
    events = [event["kind"] for event in dwf("events", "r", "--json").lines]
    assert events.count("RunClaimed") == 2
    assert (dwf.folder / "executed").read_text().split() == ["once", "once"]


def test_a_script_that_resumes_its_own_run_is_loaded_up_to_there(dwf):
    body = f"{RUN}w = flow()\nif sys.argv[1:]: engine.resume('r')\nengine.run(w, run_id='r')"
    path = write(dwf, body)
    die(dwf, start(dwf, path))
    (dwf.folder / "go").unlink()
    (dwf.folder / "came").unlink()
    die(dwf, start(dwf, path, "again"))
    assert goes_on(dwf).document["status"] == "succeeded"


def test_a_script_that_makes_another_run_first_says_so_and_does_not_make_it(dwf):
    body = f"""
    {RUN}
    if sys.argv[1:]: engine.run(flow(), run_id="r")
    engine.run(flow("first"), run_id="f")
    """
    die(dwf, start(dwf, write(dwf, body, "other.py"), "now"))
    write(dwf, body.replace("if sys.argv[1:]:", "if False:"), "other.py")
    ended = dwf("resume", "r")
    assert ended.code == Exit.WRONG_STATE
    assert "other.py asks for run 'f' before it comes to run r" in ended.err
    assert "engine.resume('r', workflow=workflow)" in ended.err
    assert [row["run_id"] for row in dwf("list", "--json").lines] == ["r"]


# --- what was typed -------------------------------------------------------------------------------

GUARD = """
if __name__ == "__main__":
    (HERE / "guarded").touch()
    raise SystemExit("the guard passed")
"""
BODIES = {
    "at module level": ("workflow = flow()", "workflow"),
    "a factory": ("def make():\n    return flow(offset=5)", "make"),
    "a factory that runs it": ("def make():\n    wf.WorkflowEngine().run(flow())", "make"),
    "arguments": (
        """from argparse import ArgumentParser
p = ArgumentParser()
p.add_argument("--offset", type=int, default=3)
workflow = flow(offset=p.parse_args().offset)""",
        "workflow",
    ),
}


@pytest.mark.parametrize(
    ("body", "form"),
    [(body, form) for body in BODIES for form in ("file", "module")][:-1],  # sys.argv is dwf's own
)
def test_a_target_is_loaded_again_as_it_was_typed(dwf, body, form):
    text, name = BODIES[body]
    write(dwf, text + GUARD, "flows.py")
    target = f"flows.py:{name}" if form == "file" else f"flows:{name}"
    die(dwf, dwf.start("run", target, "--id", "r"))
    assert goes_on(dwf).document["status"] == "succeeded"
    assert not (dwf.folder / "guarded").exists()
    created = dwf("events", "r", "--json").lines[0]["body"]
    assert created["target"].endswith(target)
    assert "argv" not in created


def test_a_script_without_a_name_is_executed_again_with_its_guard(dwf):
    write(dwf, f"if __name__ == '__main__':\n    {RUN}    engine.run(flow())", "flows.py")
    die(dwf, dwf.start("run", "flows.py", "--id", "r"))
    assert goes_on(dwf).document["status"] == "succeeded"


def test_a_script_gets_its_own_arguments_again(dwf):
    body = f"{RUN}assert sys.argv[1] == '--offset'\nengine.run(flow(offset=7), run_id='r')"
    die(dwf, start(dwf, write(dwf, body), "--offset", "7"))
    assert goes_on(dwf).document["status"] == "succeeded"
    created = dwf("events", "r", "--json").lines[0]["body"]
    assert created["argv"][1:] == ["--offset", "7"]


def test_a_module_of_a_namespace_package_is_executed_again_as_one(dwf):
    write(dwf, "", "space/flows.py")
    body = f"""
    from .helpers import OFFSET
    {RUN}
    engine.run(flow(offset=OFFSET), run_id="r")
    """
    (dwf.folder / "space" / "main.py").write_text(
        TASKS.replace("parent\n", "parent.parent\n") + textwrap.dedent(body)
    )
    (dwf.folder / "space" / "helpers.py").write_text("OFFSET = 9")
    die(dwf, start(dwf, "-m", "space.main"))
    assert goes_on(dwf).document["status"] == "succeeded"
    created = dwf("events", "r", "--json").lines[0]["body"]
    assert created["module"] == "space.main"


def test_a_definition_from_a_file_goes_on_when_the_file_is_gone(dwf):
    write(dwf, "workflow = flow()", "flows.py")
    script = "from flows import workflow; print(workflow.to_json())"
    definition = dwf.folder / "flow.json"
    made = subprocess.run(
        [sys.executable, "-c", script], cwd=dwf.folder, text=True, capture_output=True,
        check=True, timeout=DEADLINE_S, env=environment({}),
    )  # fmt: skip
    definition.write_text(made.stdout)
    die(dwf, dwf.start("run", "flow.json", "--id", "r"))
    definition.unlink()
    assert goes_on(dwf).document["status"] == "succeeded"
