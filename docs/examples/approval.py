"""A run waits for a person, who is asked by name; another program pays by a signal."""

import durable_wf as wf


def build() -> dict[str, int]:
    return {"rows": 1200}


def publish(build: dict[str, int], review: dict[str, object], paid: dict[str, int]) -> str:
    return f"{build['rows']} rows, {paid['amount']} paid, approved: {review['comment']}"


workflow = (
    wf.WorkflowBuilder("report")
    .add_task("build", build)
    .add_task("review", wf.approval("publish 1,200 rows?", whom="ann"))
    .after("build")
    .add_task("paid", wf.wait_for_signal("payment"))
    .after("review")
    .add_task("publish", publish)
    .depends_on("build", "review", "paid")
    .build()
)

engine = wf.WorkflowEngine()
result = engine.run(workflow, run_id="report-1")
for one in result.waiting:
    print(f"{one.task} waits for {one.what} of {one.whom}: {one.question}")

# Anybody may answer: this process, another one, or a person with
# `dwf approve report-1 review -m "looks good"` and `dwf signal report-1 payment '{"amount": 5}'`
engine.approve("report-1", "review", "looks good")
engine.signal("report-1", "payment", {"amount": 5})

print(engine.run(workflow, run_id="report-1")["publish"])

# -> review waits for approval of ann: publish 1,200 rows?
# -> 1200 rows, 5 paid, approved: looks good
