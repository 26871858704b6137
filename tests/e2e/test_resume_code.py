"""The code of a run comes back as it was started: scripts, targets, modules, their arguments."""

from __future__ import annotations

import signal
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
    """Resume the run from another folder; it succeeds."""
    store = dwf.folder / ".durable-wf"
    elsewhere = dwf.folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    ended = Rig(elsewhere)("resume", run, "--json", "--store", store, *words)
    assert ended.code == 0, ended.err
    assert ended.document["status"] == "succeeded"
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
    goes_on(dwf)
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
    goes_on(dwf)
