"""Tasks that are coroutine functions."""

from __future__ import annotations

import asyncio

import pytest

import durable_wf as wf


@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_a_coroutine_function_is_a_task_like_any_other(tmp_path, executor):
    async def fetch(n: int) -> int:
        await asyncio.sleep(0)
        return n + 1

    @wf.task
    async def double(fetch: int) -> int:
        return 2 * fetch

    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("fetch", fetch, parameters={"n": 20})
        .add_task("double", double)
        .depends_on("fetch")
        .build()
    )
    with wf.WorkflowEngine(tmp_path / "s", executor_type=executor, workers=1) as engine:
        assert engine.run(workflow)["double"] == 42
