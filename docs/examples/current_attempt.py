"""What a task may ask about itself; the key is the same in every attempt of the task."""

import durable_wf as wf


def charge(amount: int) -> str:
    attempt = wf.current()
    attempt.logger.info("charging %d", amount)
    # A payment service that is given this key answers a second request with its first answer.
    assert attempt.idempotency_key
    return f"{attempt.workflow}/{attempt.task}, attempt {attempt.attempt}: charged {amount}"


workflow = wf.WorkflowBuilder("shop").add_task("charge", charge, parameters={"amount": 5}).build()
print(wf.WorkflowEngine().run(workflow)["charge"])

# -> shop/charge, attempt 1: charged 5
