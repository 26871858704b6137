"""Twenty slow tasks and a sum. Kill it while it runs, then run it again: it goes on."""

import time

import durable_wf as wf


def square(x: int) -> int:
    time.sleep(0.4)
    return x * x


def total(*squares: int) -> int:
    return sum(squares)


builder = wf.WorkflowBuilder("squares")
names = [f"square/{x}" for x in range(20)]
for x, name in enumerate(names):
    builder.add_task(name, square, parameters={"x": x})
builder.add_task("total", total).depends_on(*names)

result = wf.WorkflowEngine(workers=2).run(builder.build(), run_id="squares-1")
print("total:", result["total"])

# -> total: 2470
