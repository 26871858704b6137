"""A worker dies after it has charged a card: a probe finds out, and nobody is charged twice."""

import os
import signal
from pathlib import Path

import durable_wf as wf

BANK = Path("bank.txt").absolute()


def charge(amount: int) -> str:
    key = wf.current().idempotency_key
    with BANK.open("a") as bank:
        bank.write(f"{key} {amount}\n")
    os.kill(os.getpid(), signal.SIGKILL)  # the machine fails at the worst moment
    return f"receipt for {amount}"


def was_it_charged(amount: int) -> str | wf.NotDone:
    """Asked in place of `charge` when nobody knows how far that came."""
    key = wf.current().idempotency_key
    if BANK.exists() and f"{key} {amount}" in BANK.read_text().splitlines():
        return f"receipt for {amount}"
    return wf.NotDone()


workflow = (
    wf.WorkflowBuilder("shop")
    .add_task("charge", charge, parameters={"amount": 30})
    .in_doubt(was_it_charged)
    .build()
)

result = wf.WorkflowEngine().run(workflow)
print(result["charge"])
print("charges at the bank:", len(BANK.read_text().splitlines()))
for recorded in result.history():
    if getattr(recorded.event, "task", ""):
        print(type(recorded.event).__name__)

# -> receipt for 30
# -> charges at the bank: 1
# -> AttemptStarted
# -> AttemptFailed
# -> TaskProbeScheduled
# -> AttemptStarted
# -> AttemptSucceeded
