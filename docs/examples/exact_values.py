"""What a task receives is what was returned: same value, same type. Or it is refused."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import durable_wf as wf


@dataclass(frozen=True)
class Invoice:
    number: int
    due: date
    lines: tuple[tuple[str, Decimal], ...]


def make() -> Invoice:
    return Invoice(7, date(2026, 11, 23), (("tea", Decimal("2.10")), ("cake", Decimal("3.00"))))


def check(invoice: Invoice) -> str:
    total = sum((price for _, price in invoice.lines), Decimal(0))
    return f"{type(invoice).__name__} {invoice.number}, due {invoice.due}: {total!r}"


def generator() -> object:
    return (n for n in range(3))


engine = wf.WorkflowEngine()
workflow = wf.WorkflowBuilder("exact").add_task("make", make).add_task("check", check)
print(engine.run(workflow.depends_on("make").build())["check"])

refused = wf.WorkflowBuilder("refused").add_task("generator", generator).build()
print(engine.run(refused, check=False).failures()["generator"].kind.value)

# -> Invoice 7, due 2026-11-23: Decimal('5.10')
# -> not_storable
