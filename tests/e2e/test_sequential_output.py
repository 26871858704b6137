"""Output of runs in the caller's own process: on its terminal, and in the store."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import logging, sys
import durable_wf as wf

logging.basicConfig(level=logging.WARNING, format="%(levelname)s|%(message)s")

def load():
    print("loading")
    print("to stderr", file=sys.stderr)
    wf.current().logger.info("of the task")
    logging.getLogger("mine").warning("careful")

async def later():
    print("in a loop")

def fails():
    print("failing")
    raise ValueError("no")

workflow = (
    wf.WorkflowBuilder("spoken")
    .add_task("load", load)
    .add_task("later", later).after("load")
    .add_task("fails", fails).after("later")
    .build()
)
wf.WorkflowEngine(executor_type="sequential").run(workflow, run_id="spoken", check=False)
print("done")
"""


def run(*command, cwd):
    command = [sys.executable, *command]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


def test_it_is_seen_as_before_and_kept_for_dwf_logs(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run("script.py", cwd=tmp_path)
    assert done.stdout == "loading\nin a loop\nfailing\ndone\n", done.stderr
    assert done.stderr == "to stderr\nWARNING|careful\n"

    logs = run("-m", "durable_wf", "logs", "spoken", cwd=tmp_path)
    told = logs.stdout.splitlines()
    assert [line for line in told if "of the task" not in line] == [
        "==> load <==", "loading", "to stderr", "WARNING|careful", "",
        "==> later <==", "in a loop", "",
        "==> fails <==", "failing",
    ]  # fmt: skip
    assert "INFO durable_wf.task.load: of the task" in logs.stdout

    one = run("-m", "durable_wf", "logs", "spoken", "--task", "later", cwd=tmp_path)
    assert one.stdout == "in a loop\n"
