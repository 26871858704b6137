"""The six rules of data flow, each in use."""

import durable_wf as wf


def config() -> dict[str, int]:
    return {"factor": 10, "offset": 1}


def numbers() -> list[int]:
    return [1, 2, 3]


def scale(numbers: list[int], factor: int) -> list[int]:
    return [factor * n for n in numbers]


def shift(rows: list[int], by: int = 0) -> list[int]:
    return [row + by for row in rows]


def report(**results: list[int]) -> str:
    return ", ".join(f"{name}={rows}" for name, rows in sorted(results.items()))


def join(*texts: str) -> str:
    return " | ".join(texts)


def clean_up() -> str:
    return "done"


workflow = (
    wf.WorkflowBuilder("data-flow")
    .add_task("config", config)
    .add_task("numbers", numbers)
    # 1. A parameter named like an upstream task receives its result (numbers);
    # 4. bind is explicit, may look into a result, and wins (factor).
    .add_task("scale", scale)
    .depends_on("numbers")
    .bind(factor=wf.ref("config")["factor"])
    # 2. One upstream left and one required parameter left belong together (rows).
    .add_task("shift", shift, parameters={"by": 1})
    .depends_on("scale")
    # 3. **kwargs takes the upstreams that are left by name, *args in their order.
    .add_task("report", report)
    .depends_on("scale", "shift")
    .add_task("join", join)
    .depends_on("report", "clean")
    # 6. after orders without data. (5. A name that is both a parameter and an upstream
    #    is an error, and so is an upstream that nothing takes.)
    .add_task("clean", clean_up)
    .after("shift")
    .build()
)

result = wf.WorkflowEngine(executor_type="sequential").run(workflow)
print(result["join"])

# -> scale=[10, 20, 30], shift=[11, 21, 31] | done
