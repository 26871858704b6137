"""A script to be killed: tasks with an effect on the world outside, and what they say of doubt.

`python doubtful.py STORE MARKS RUN_ID POLICY` runs six tasks, side by side in two workers. Each
leaves a mark at its begin, has its effect (a line in `MARKS.effects`, under its idempotency key),
and leaves a mark at its end. POLICY is rerun, fail, ask or probe.
"""

import os
import sys
import time

import durable_wf as wf

STORE, MARKS, RUN, POLICY = sys.argv[1:5]
EFFECTS = MARKS + ".effects"
TASKS = 6


def write(path, line):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, f"{line}\n".encode())
    os.close(fd)


def note(word):
    current = wf.current()
    write(MARKS, f"{word} {current.task} {current.attempt} {time.monotonic_ns()} {os.getpid()}")


def effect(k):
    note("begin")
    time.sleep(0.02)
    write(EFFECTS, f"{wf.current().idempotency_key} {k}")
    time.sleep(0.02)
    note("end")
    return k


def probe(k):
    """Whether the attempt in doubt had its effect; the key is the same over all attempts."""
    note("probe")
    if not os.path.exists(EFFECTS):
        return wf.NotDone()
    with open(EFFECTS) as file:
        keys = [line.split()[0] for line in file]
    return k if wf.current().idempotency_key in keys else wf.NotDone()


builder = wf.WorkflowBuilder("doubtful")
for k in range(TASKS):
    policy = probe if POLICY == "probe" else POLICY
    builder.add_task(f"t{k}", effect, {"k": k}, optional=True, in_doubt=policy, retry=3)
result = wf.WorkflowEngine(STORE, workers=2).run(builder.build(), run_id=RUN, check=False)
print(result.status.value, flush=True)
