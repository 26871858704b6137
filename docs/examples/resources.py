"""What a task occupies: cores, memory, and units of pools that the engine shares out."""

import durable_wf as wf


def fetch(page: int) -> int:
    return page * 100


def train(*pages: int) -> int:
    return sum(pages)


builder = wf.WorkflowBuilder("resources")
pages = [f"fetch/{page}" for page in range(6)]
for page, name in enumerate(pages):
    # At most two of these run at once, however many workers there are.
    builder.add_task(name, fetch, parameters={"page": page}, pools={"api": 1}, timeout="30s")
builder.add_task("train", train, cpu=2, memory="200MB", priority=5).depends_on(*pages)
workflow = builder.build()

plan = workflow.plan(wf.Resources(cpu=2))
print("critical path:", " -> ".join(plan.critical_path))

engine = wf.WorkflowEngine(workers=4, cpus=4, memory=1_000_000_000, pools={"api": 2})
print(engine.run(workflow)["train"])

# -> critical path: fetch/0 -> train
# -> 1500
