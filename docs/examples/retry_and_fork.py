"""A run that failed is tried again: only what failed runs; and forked, to see what would have been.

The tasks leave marks, so that one can see which of them ran, and how often.
"""

from pathlib import Path

import durable_wf as wf

marks = Path("marks.txt")
marks.write_text("")
repaired = Path("repaired")
repaired.unlink(missing_ok=True)


def mark(task: str) -> None:
    with marks.open("a") as file:
        file.write(f"{task}\n")


def extract(source: str) -> list[int]:
    mark("extract")
    return [1, 2, 3] if source == "orders" else [10, 20]


def load(extract: list[int]) -> int:
    mark("load")
    if not repaired.exists():
        raise ConnectionError("the warehouse is down")
    return sum(extract)


workflow = (
    wf.WorkflowBuilder("etl")
    .add_task("extract", extract, parameters={"source": "orders"})
    .add_task("load", load)
    .depends_on("extract")
    .build()
)

engine = wf.WorkflowEngine()
first = engine.run(workflow, run_id="nightly", check=False)
print(first.run_id, first.status.value)

repaired.touch()
second = engine.retry("nightly", workflow=workflow)
print(second.run_id, second.status.value, second["load"], "from", second.origin)
print("ran:", *marks.read_text().split())

# From now on the id stands for the newest run of the chain.
print(engine.run(workflow, run_id="nightly").run_id)

# What if it had been another source? A fork is a run of its own.
other = engine.fork("nightly", at=3, set={"extract.source": "returns"}, workflow=workflow)
print(other.run_id, other["load"])

# -> nightly failed
# -> nightly.2 succeeded 6 from nightly
# -> ran: extract load load
# -> nightly.2
# -> nightly.f1 30
