"""A trip that falls through: what was booked is cancelled, the last booking first."""

from pathlib import Path

import durable_wf as wf

LETTERS = Path("letters.txt").absolute()


def book(what: str) -> dict[str, str]:
    return {"number": f"{what}-7"}


def cancel(what: str, result: dict[str, str]) -> None:
    with LETTERS.open("a") as letters:
        letters.write(f"please cancel my {what}, booking {result['number']}\n")


def rent_a_car() -> None:
    raise ValueError("no cars are left")


workflow = (
    wf.WorkflowBuilder("trip")
    .add_task("flight", book, parameters={"what": "flight"})
    .compensate(cancel, retry=5)
    .add_task("hotel", book, parameters={"what": "hotel"})
    .after("flight")
    .compensate(cancel, retry=5)
    .add_task("car", rent_a_car)
    .after("hotel")
    .build()
)

result = wf.WorkflowEngine().run(workflow, check=False)
print(result.status.value, "-", result.row.cause)
print(LETTERS.read_text(), end="")
for task, state in result.compensations().items():
    print(f"{task}~undo: {state.value}")

# -> failed - task 'car' failed: ValueError: no cars are left
# -> please cancel my hotel, booking hotel-7
# -> please cancel my flight, booking flight-7
# -> hotel~undo: succeeded
# -> flight~undo: succeeded
