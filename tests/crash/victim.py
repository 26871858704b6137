"""A script without a `__main__` guard, to be killed: functions and a lambda of its own.

`python victim.py STORE MARKS RUN_ID [TASKS]` runs a fan-out whose tasks hold the GIL in C for a
moment, so that nothing in their process can notice that the engine has died. Each task leaves a
mark with the monotonic time at its begin and at its end.
"""

import os
import sys
import time

import durable_wf as wf

STORE, MARKS, RUN = sys.argv[1:4]
TASKS = int(sys.argv[4]) if len(sys.argv) > 4 else 6
NUMBER = (1 << 400_000) - 1  # its fourth power keeps the GIL for a tenth of a second or two


def note(word):
    current = wf.current()
    line = f"{word} {current.task} {current.attempt} {time.monotonic_ns()} {os.getpid()}\n"
    fd = os.open(MARKS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)


def hold_the_gil(k):
    note("begin")
    power = pow(NUMBER, 4)
    note("end")
    return k + (power < 0)


def total(*parts):
    note("begin")
    note("end")
    return sum(parts)


builder = wf.WorkflowBuilder("victim")
names = [f"hold{k}" for k in range(TASKS)]
for k, name in enumerate(names):
    builder.add_task(name, hold_the_gil, parameters={"k": k})
builder.add_task("total", total).depends_on(*names)
builder.add_task("report", lambda total: f"total={total}").depends_on("total")
print(wf.WorkflowEngine(STORE, workers=2).run(builder.build(), run_id=RUN)["report"], flush=True)
