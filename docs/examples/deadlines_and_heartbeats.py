"""A long task says how far it is; when it is stopped, the next attempt goes on from there."""

import time

import durable_wf as wf


def convert(pages: int) -> str:
    me = wf.current()
    first = me.last_heartbeat or 0
    if first:
        me.logger.info("going on after page %d", first)
    for page in range(first + 1, pages + 1):
        if page == 300 and me.attempt == 1:
            time.sleep(60)  # a page on which the converter hangs
        me.heartbeat(page)
    return f"attempt {me.attempt} converted pages {first + 1} to {pages}"


workflow = (
    wf.WorkflowBuilder("archive", deadline="1h")
    .add_task("convert", convert, parameters={"pages": 500})
    .heartbeat("1s")
    .deadline("10m")
    .retry(3, wait=0)
    .build()
)

result = wf.WorkflowEngine().run(workflow)
print(result["convert"])
for recorded in result.history():
    if type(recorded.event).__name__ == "AttemptFailed":
        print(recorded.event.fault.kind.value, "-", recorded.event.fault.message.split(" (")[0])

# -> attempt 2 converted pages 300 to 500
# -> timeout - the attempt sent no heartbeat for 1 s
