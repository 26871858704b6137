"""A run can be awaited, here two at once; in a notebook the same lines work in a cell."""

import asyncio

import durable_wf as wf


def double(x: int) -> int:
    return 2 * x


def workflow(x: int) -> wf.Workflow:
    return wf.WorkflowBuilder("double").add_task("double", double, parameters={"x": x}).build()


async def main() -> None:
    with wf.WorkflowEngine(workers=2) as engine:
        first, second = await asyncio.gather(
            engine.submit(workflow(1)), engine.submit(workflow(21))
        )
    print(first["double"], second["double"])


asyncio.run(main())

# -> 2 42
