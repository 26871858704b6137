"""A restored backup, resumed while the engine of the original goes on: nobody harms the other."""

from __future__ import annotations

import subprocess
from pathlib import Path

from engine_rig import dwf, finish, script, wait_for

SCRIPT = """
import subprocess, sys
import durable_wf as wf

WAITING = '''
import pathlib, time
folder = pathlib.Path.cwd()
with (folder / "came").open("a") as file:
    file.write("came\\\\n")
deadline = time.monotonic() + 50
while not (folder / "go").exists() and time.monotonic() < deadline:
    time.sleep(0.01)
'''

def wait():
    return subprocess.run([sys.executable, "-c", WAITING], check=True).returncode

workflow = wf.WorkflowBuilder("w").add_task("wait", wait).build()
if __name__ == "__main__":
    with wf.WorkflowEngine(sys.argv[1], workers=1) as engine:
        print(engine.run(workflow, run_id="r")["wait"])
"""

DWF = "import runpy; runpy.run_module('durable_wf', run_name='__main__')"


def came(folder: Path) -> int:
    """How many programs of the task wait."""
    file = folder / "came"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_resuming_a_restored_backup_leaves_the_tasks_of_the_original_alone(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with script(tmp_path, SCRIPT, tmp_path / "s") as original:
        wait_for(lambda: came(tmp_path) == 1, "the task")
        assert dwf(tmp_path / "s", "db", "backup", "b.tar").returncode == 0
        subprocess.run(["tar", "-xf", "b.tar"], check=True, timeout=30)
        (copy,) = tmp_path.glob("durable-wf-*/")
        with script(copy, DWF, "--store", copy, "resume", "r") as restored:
            wait_for(lambda: came(tmp_path) == 2, "the task of the restored run")
            (tmp_path / "go").touch()
            code, out, errors = finish(original)
            assert (code, out.strip()) == (0, "0"), errors
            code, out, errors = finish(restored)
            assert code == 0, errors
    assert "AttemptFailed" not in dwf(tmp_path / "s", "events", "r").stdout
    assert "in_doubt" in dwf(copy, "events", "r").stdout
