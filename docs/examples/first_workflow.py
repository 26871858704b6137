"""Three tasks, one after the other; each receives what the one before it returned."""

import durable_wf as wf


def extract(source: str) -> list[int]:
    print(f"reading {source}")
    return [3, 1, 2]


def transform(rows: list[int]) -> list[int]:
    return sorted(rows)


def load(rows: list[int]) -> str:
    return f"loaded {len(rows)} rows, the largest is {rows[-1]}"


workflow = (
    wf.WorkflowBuilder("first", "Extract, transform, load")
    .add_task("extract", extract, parameters={"source": "orders"})
    .add_task("transform", transform)
    .depends_on("extract")
    .add_task("load", load)
    .depends_on("transform")
    .build()
)

result = wf.WorkflowEngine().run(workflow)
print(result["load"])
print(result.status.value, "after", len(result.history()), "events")

# -> loaded 3 rows, the largest is 3
# -> succeeded after 10 events
