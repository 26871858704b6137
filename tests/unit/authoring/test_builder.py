"""The builder: what it makes of the calls, and how it reports what is wrong."""

from __future__ import annotations

import gc
from decimal import Decimal

import attrs
import pytest

from durable_wf.authoring.builder import WorkflowBuilder
from durable_wf.authoring.data_flow import ref
from durable_wf.authoring.task import task
from durable_wf.core import values
from durable_wf.core.definition import Literal, Upstream
from durable_wf.core.resources import Resources
from durable_wf.errors import CycleError, DefinitionError


def extract(source): ...
def transform(rows): ...
def load(rows): ...
def nothing(): ...


def refused(builder: WorkflowBuilder) -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as caught:
        builder.build()
    return caught.value.problems


def test_the_pipeline_of_the_readme():
    workflow = (
        WorkflowBuilder("data_pipeline", "Process data workflow", tags=["etl"], metadata={"v": 2})
        .add_task("extract", extract, parameters={"source": "database"})
        .add_task("transform", transform).depends_on("extract")
        .add_task("load", load).depends_on("transform")
        .build()
    )  # fmt: skip
    assert (workflow.name, workflow.description) == ("data_pipeline", "Process data workflow")
    assert (workflow.tags, workflow.metadata) == (("etl",), (("v", "2"),))
    assert [task.name for task in workflow.tasks] == ["extract", "transform", "load"]
    assert workflow.tasks[0].kwargs == (("source", Literal('"database"')),)
    assert workflow.tasks[2].kwargs == (("rows", Upstream("transform")),)
    assert workflow.functions == {"extract": extract, "transform": transform, "load": load}


def test_fluent_calls_speak_of_the_last_task():
    first, last = (
        WorkflowBuilder("w")
        .add_task("a", nothing, timeout="1m", cpu=3).timeout("10m")
        .add_task("b", transform).bind(rows=ref("a")["k"]).after("a").optional().priority(5)
        .resources(cpu=2, memory="4GB", gpu=1, pools={"db": 1}).estimate("90s").describe("Text")
        .timeout(60).deadline("2h").heartbeat(5)
        .build().tasks
    )  # fmt: skip
    assert (first.timeout_s, first.resources) == (600.0, Resources(cpu=3.0))
    assert last.kwargs == (("rows", Upstream("a", ("k",))),)
    assert last.upstream == ("a",)
    assert (last.optional, last.priority, last.timeout_s) == (True, 5, 60.0)
    assert last.resources == Resources(2.0, 4 * 10**9, 1, (("db", 1),))
    assert (last.estimate_s, last.description) == (90.0, "Text")
    assert (last.deadline_s, last.heartbeat_s) == (7200.0, 5.0)
    assert (first.deadline_s, first.heartbeat_s) == (None, None)


def test_a_workflow_may_have_a_deadline():
    def built(**more):
        return WorkflowBuilder("w", **more).add_task("a", nothing).build()

    assert built().deadline_s is None
    assert built(deadline=None).deadline_s is None
    assert built(deadline="1h30m").deadline_s == 5400.0


@pytest.mark.parametrize("deadline", [0, -1, "soon", True, 1e300])
def test_a_deadline_that_is_no_time_is_told_with_the_other_problems(deadline):
    problems = refused(WorkflowBuilder("w", deadline=deadline).add_task("a", nothing, cpu=-1))
    assert problems[0].startswith(f"deadline: {deadline!r} is")
    assert problems[1].startswith("task 'a': cpu")


def test_a_decorated_task_brings_its_name_and_options():
    @task(name="fetch", timeout="10m", tags=["net"])
    def get(url): ...

    @task
    def parse(fetch): ...

    first, second = (
        WorkflowBuilder("w").add_task(get, parameters={"url": "x"}, timeout="1m")
        .add_task(parse).depends_on(get).build().tasks
    )  # fmt: skip
    assert (first.name, first.timeout_s, first.tags) == ("fetch", 60.0, ("net",))
    assert (second.name, second.kwargs) == ("parse", (("fetch", Upstream("fetch")),))


def test_a_plain_function_gives_its_name_too():
    assert WorkflowBuilder("w").add_task(nothing).build().tasks[0].name == "nothing"
    assert "no usable name" in refused(WorkflowBuilder("w").add_task(lambda: 1))[0]


def test_all_problems_are_reported_together():
    builder = (
        WorkflowBuilder("bad name!")
        .add_task("extract", extract)
        .add_task("transform", transform).depends_on("extrct")
        .add_task("load", load).depends_on("transform", "extract").timeout("soon")
        .add_task("load", nothing)
        .add_task("x" * 201, nothing)
        .add_task("five", 5)
        .add_task("p", nothing).after("q")
        .add_task("q", nothing).after("p")
        .add_task("r", nothing).after("s")
        .add_task("s", nothing).after("r")
    )  # fmt: skip
    found = "\n".join(refused(builder))
    for words in (
        "the workflow's name 'bad name!'",
        "task 'extract': required parameter source has no value",
        "task 'transform' depends on 'extrct', which does not exist; did you mean 'extract'?",
        "task 'load': timeout: 'soon' is not a duration",
        "task 'load': cannot tell which",
        "2 tasks are called 'load'",
        "x': the task's name",
        "task 'five': 5 is not a function",
        "in a circle: p -> q -> p",
        "in a circle: r -> s -> r",
    ):
        assert (words in found) or words == "task 'load': cannot tell which", words
    assert "no parameter takes" in found or "cannot tell which" in found


def test_only_a_cycle_is_a_cycle_error_with_its_path():
    builder = WorkflowBuilder("w")
    for name, upstream in (("a", "c"), ("b", "a"), ("c", "b"), ("d", "c")):
        builder.add_task(name, nothing).after(upstream)
    with pytest.raises(CycleError) as caught:
        builder.build()
    assert caught.value.path[0] == caught.value.path[-1]
    assert set(caught.value.path) == {"a", "b", "c"}


def test_two_cycles_are_told_together():
    builder = WorkflowBuilder("w")
    for name, upstream in (("a", "b"), ("b", "a"), ("x", "y"), ("y", "x"), ("z", "y")):
        builder.add_task(name, nothing).after(upstream)
    with pytest.raises(CycleError) as caught:
        builder.build()
    assert caught.value.paths == (("a", "b", "a"), ("x", "y", "x"))


def test_a_task_that_depends_on_itself_is_a_cycle():
    with pytest.raises(CycleError):
        WorkflowBuilder("w").add_task("a", transform).depends_on("a").build()


def test_a_workflow_without_tasks_is_refused():
    assert "no tasks" in refused(WorkflowBuilder("w"))[0]


def test_a_fluent_call_before_any_task_says_so():
    with pytest.raises(DefinitionError, match=r"timeout\(\) speaks of the last task"):
        WorkflowBuilder("w").timeout(5)


def test_a_value_that_cannot_be_stored_names_task_and_parameter():
    builder = WorkflowBuilder("w").add_task("a", extract, parameters={"source": object()})
    (problem,) = refused(builder)
    assert problem.startswith("task 'a': parameter 'source' cannot be stored")


@attrs.frozen
class Config:
    limit: Decimal


def configured(config: Config): ...


def test_classes_named_by_annotations_are_stored_exactly():
    given = Config(Decimal("1.10"))
    made = WorkflowBuilder("w").add_task("a", configured, parameters={"config": given}).build()
    ((_, literal),) = made.tasks[0].kwargs
    assert values.decode(literal.value, values.classes_of(configured)) == given


def test_parameters_are_taken_when_they_are_given():
    """What the caller changes afterwards, as loops do, changes nothing."""
    given: dict[str, object] = {"source": [1]}
    builder = WorkflowBuilder("w").add_task("a", extract, parameters=given)
    given["source"].append(2)  # type: ignore[attr-defined]
    given["source"] = 3
    assert builder.build().tasks[0].kwargs == (("source", Literal("[1]")),)


def test_coroutine_functions_are_tasks_and_asynchronous_generators_are_not():
    async def fetch():
        return 1

    async def stream():
        yield 1

    assert WorkflowBuilder("w").add_task("a", fetch).build().tasks[0].name == "a"
    problems = refused(WorkflowBuilder("w").add_task("a", stream))
    assert "asynchronous generator" in problems[0]


def test_a_hard_limit_of_memory_needs_a_limit():
    def work(): ...

    problems = refused(WorkflowBuilder("w").add_task("a", work, memory_hard=True))
    assert "memory_hard needs memory_limit" in problems[0]
    soft = WorkflowBuilder("w").add_task("a", work, memory_hard=True, memory_limit="1GB")
    assert soft.build().tasks[0].memory_hard


def test_building_twice_gives_equal_workflows_and_more_may_follow():
    builder = WorkflowBuilder("w").add_task("a", nothing)
    first = builder.build()
    assert builder.build() == first
    assert len(builder.add_task("b", nothing).build().tasks) == 2


def test_tags_and_metadata_are_checked():
    found = refused(WorkflowBuilder("w", tags="etl").add_task("a", nothing))  # type: ignore[arg-type]
    assert "tags must be a list" in found[0]
    found = refused(WorkflowBuilder("w", metadata={"a": [1]}).add_task("a", nothing))
    assert "metadata 'a'" in found[0]


def test_many_problems_are_cut_after_the_first_hundreds():
    builder = WorkflowBuilder("w")
    for i in range(1_000):
        builder.add_task(f"t{i}", extract)
    assert refused(builder)[-1] == "and 800 more problems"


def test_tasks_of_one_function_share_what_they_have_in_common():
    builder = WorkflowBuilder("w").add_task("root", nothing)
    for i in range(100):
        builder.add_task(f"t{i}", transform).depends_on("root")
    tasks = builder.build().tasks[1:]
    for field in ("function", "resources", "upstream", "kwargs"):
        assert len({id(getattr(task, field)) for task in tasks}) == 1, field
    assert not gc.garbage


def test_tasks_may_be_added_before_what_they_depend_on():
    builder = WorkflowBuilder("w").add_task("b", transform).depends_on("a").add_task("a", nothing)
    assert builder.build().tasks[0].upstream == ("a",)
