"""Every run leaves its history; here it is read back from the store, by name and in order."""

import durable_wf as wf


def hello() -> str:
    return "hello"


engine = wf.WorkflowEngine(executor_type="sequential")
engine.register(wf.WorkflowBuilder("greeting").add_task("hello", hello).build())
engine.run("greeting", run_id="greeting-1", tags=["example"])

for recorded in engine.history("greeting-1"):
    print(recorded.n, type(recorded.event).__name__)

# -> 1 RunCreated
# -> 2 RunClaimed
# -> 3 RunStarted
# -> 4 AttemptStarted
# -> 5 AttemptSucceeded
# -> 6 RunSucceeded
