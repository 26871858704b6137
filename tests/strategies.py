"""Hypothesis strategies that tests share: tasks, resources, graphs and workflows of any shape.

Owns: how a random definition is drawn.
Must never: know what a run of it does; `walks.py` plays that.
Read next: `walks.py`.
"""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from durable_wf.core.definition import FunctionRef, Task, Workflow
from durable_wf.core.resources import DEFAULT_RESOURCES, Resources

FUNCTION = FunctionRef("work", "jobs")


def task(name: str, *upstream: str, **fields: object) -> Task:
    """A task that needs nothing but its name."""
    return Task(name, FUNCTION, upstream, **fields)


def workflow(*tasks: Task, name: str = "w") -> Workflow:
    """A workflow of these tasks."""
    return Workflow(name, tasks)


RESOURCES = st.builds(
    Resources,
    cpu=st.sampled_from([0.1, 0.5, 1.0, 2.0, 3.0]),
    memory=st.sampled_from([0, 0, 100, 700]),
    gpu=st.sampled_from([0, 0, 0, 1, 2]),
    pools=st.sampled_from([(), (), (("db", 1),), (("api", 2), ("db", 1))]),
) | st.just(DEFAULT_RESOURCES)


@st.composite
def upstreams(draw: st.DrawFn, max_tasks: int = 8) -> dict[str, tuple[str, ...]]:
    """A sound graph by names, its tasks in any order."""
    size = draw(st.integers(1, max_tasks))
    names = [f"t{number}" for number in range(size)]
    pairs = [(a, b) for b in range(size) for a in range(b)]
    edges = draw(st.sets(st.sampled_from(pairs), max_size=2 * size)) if pairs else set()
    found = {name: tuple(names[a] for a, b in sorted(edges) if names[b] == name) for name in names}
    return {name: found[name] for name in draw(st.permutations(names))}


@st.composite
def workflows(draw: st.DrawFn, max_tasks: int = 8) -> Workflow:
    """A sound workflow: optional tasks, priorities, resources and estimates."""
    return workflow(
        *(
            task(
                name,
                *upstream,
                optional=draw(st.booleans()),
                priority=draw(st.integers(-1, 1)),
                resources=draw(RESOURCES),
                estimate_s=draw(st.sampled_from([None, 0.5, 2.0, 3.0])),
            )
            for name, upstream in draw(upstreams(max_tasks)).items()
        )
    )


def random_workflow(rng: Random, max_tasks: int = 6) -> Workflow:
    """A sound workflow drawn without hypothesis."""
    size = rng.randint(1, max_tasks)
    names = [f"t{number}" for number in range(size)]
    tasks = [
        task(
            name,
            *rng.sample(names[:at], min(at, rng.choice([0, 1, 1, 2]))),
            optional=rng.random() < 0.3,
        )
        for at, name in enumerate(names)
    ]
    rng.shuffle(tasks)
    return workflow(*tasks)
