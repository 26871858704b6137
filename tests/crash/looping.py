"""A script with a workflow whose task kills its engine, and one with tasks that only take long.

`python looping.py STORE FOLDER` starts a guilty run among innocent ones, `... recover` takes up
what the engine before has left, `... RUN_ID` runs the guilty one alone. Which process is the engine
is told by a file, since workers are children of another process.
"""

import os
import signal
import sys
import time
from pathlib import Path

import durable_wf as wf


def note(folder, word):
    with open(Path(folder) / "marks", "a") as file:
        print(word, wf.current().run_id, wf.current().task, wf.current().attempt, file=file)


def kill_the_engine(folder):
    """After a moment, in which the others begin."""
    note(folder, "begin")
    if not (Path(folder) / "cured").exists():
        time.sleep(0.2)
        os.kill(int((Path(folder) / "engine").read_text()), signal.SIGKILL)
        time.sleep(30)


def take_long(folder, seconds):
    note(folder, "begin")
    time.sleep(seconds)
    note(folder, "end")
    return seconds


STORE, FOLDER, *WORDS = sys.argv[1:]

guilty = (
    wf.WorkflowBuilder("guilty")
    .add_task("good", take_long, {"folder": FOLDER, "seconds": 0})
    .add_task("kills", kill_the_engine, {"folder": FOLDER}).after("good")
    .build()
)  # fmt: skip
innocent = (
    wf.WorkflowBuilder("innocent")
    .add_task("long", take_long, {"folder": FOLDER, "seconds": 0.7})
    .add_task("longer", take_long, {"folder": FOLDER, "seconds": 0.7}).after("long")
    .build()
)  # fmt: skip

if __name__ == "__main__":
    Path(FOLDER, "engine").write_text(str(os.getpid()))
    engine = wf.WorkflowEngine(STORE, workers=4, cpus=4)
    if WORDS == ["recover"]:
        results = engine.recover()
    elif WORDS:
        results = [engine.run(guilty, run_id=WORDS[0], check=False)]
    else:
        handles = [engine.submit(innocent, run_id=f"innocent-{k}") for k in range(3)]
        handles.append(engine.submit(guilty, run_id="guilty"))
        results = [handle.result() for handle in handles]
    for result in results:
        print(result.run_id, result.status.value, result.row.cause, flush=True)
