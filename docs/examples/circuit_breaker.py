"""A circuit breaker: five tasks call a service that is down, and leave it alone until it is up."""

from pathlib import Path

import durable_wf as wf

CALLS = Path("calls.txt")  # stands for the service: its first three calls fail


def charge(customer: str) -> str:
    with CALLS.open("a") as calls:
        calls.write(f"{customer}\n")
    if len(CALLS.read_text().splitlines()) <= 3:
        raise ConnectionError("the service is down")
    return f"{customer} has paid"


guard = wf.breaker("payments", failures=2, within="1m", cooldown=0.3)
builder = wf.WorkflowBuilder("billing")
for customer in ("ann", "ben", "cem", "dee", "eve"):
    builder.add_task(customer, charge, parameters={"customer": customer}, breaker=guard)
    builder.retry(5, wait=0.01)
workflow = builder.build()

result = wf.WorkflowEngine().run(workflow, executor_type="sequential")
print(result["eve"])
failed = [one for one in result.history() if type(one.event).__name__ == "AttemptFailed"]
print(f"{len(CALLS.read_text().splitlines())} calls, {len(failed)} of them failed:")
print("two opened the circuit, one was a probe that came too early")

# -> eve has paid
# -> 8 calls, 3 of them failed:
# -> two opened the circuit, one was a probe that came too early
