"""Rules: a flaky task is tried again, another one falls back, and the log says why."""

import durable_wf as wf


def prices() -> dict[str, float]:
    if wf.current().attempt < 3:
        raise ConnectionError("the service is busy")
    return {"apple": 2.0}


def rates() -> dict[str, float]:
    raise TimeoutError("no answer")


def report(prices: dict[str, float], rates: dict[str, float]) -> str:
    return f"an apple costs {prices['apple'] * rates['EUR']:.2f} EUR"


workflow = (
    wf.WorkflowBuilder("report")
    .add_task("prices", prices)
    .retry(3, wait=wf.fixed(0.1), on=ConnectionError)
    .add_task("rates", rates)
    .fallback({"EUR": 0.9})
    .add_task("report", report)
    .depends_on("prices", "rates")
    .build()
)

result = wf.WorkflowEngine().run(workflow)
print(result["report"])
for task in ("prices", "rates"):
    for recorded in result.history():
        if getattr(recorded.event, "task", "") == task and hasattr(recorded.event, "reason"):
            print(f"{task}: {recorded.event.reason}")

# -> an apple costs 1.80 EUR
# -> prices: attempt 1 of 3 failed (ConnectionError); again in 0.1 s
# -> prices: attempt 2 of 3 failed (ConnectionError); again in 0.1 s
# -> rates: TimeoutError: {"EUR":0.9} is taken instead
