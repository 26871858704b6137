"""Hypothesis strategies that tests share: tasks, resources, graphs and workflows of any shape.

Owns: how a random definition is drawn.
Must never: know what a run of it does; `walks.py` plays that.
Read next: `walks.py`.
"""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from durable_wf.core.definition import FunctionRef, Task, Undo, WaitFor, Workflow
from durable_wf.core.resources import DEFAULT_RESOURCES, Resources
from durable_wf.core.status import InDoubt, Otherwise, WaitKind

FUNCTION = FunctionRef("work", "jobs")


def task(name: str, *upstream: str, **fields: object) -> Task:
    """A task that needs nothing but its name."""
    return Task(name, FUNCTION, upstream, **fields)


def workflow(*tasks: Task, name: str = "w") -> Workflow:
    """A workflow of these tasks."""
    return Workflow(name, tasks)


WAITS = st.one_of(
    st.builds(
        WaitFor,
        kind=st.just(WaitKind.APPROVAL),
        timeout_s=st.sampled_from([None, None, 0.01]),
        on_timeout=st.sampled_from([one for one in Otherwise if one is not Otherwise.RETRY]),
        on_reject=st.sampled_from([Otherwise.FAIL, Otherwise.SKIP, Otherwise.CONTINUE]),
    ),
    st.builds(
        WaitFor,
        kind=st.just(WaitKind.SIGNAL),
        name=st.sampled_from(["go", "stop"]),
        timeout_s=st.sampled_from([None, None, 0.01]),
        on_timeout=st.sampled_from([Otherwise.FAIL, Otherwise.SKIP, Otherwise.CONTINUE]),
    ),
    st.builds(WaitFor, kind=st.just(WaitKind.SLEEP), timeout_s=st.sampled_from([0.0, 0.004])),
)

RECOVERY = st.fixed_dictionaries(
    {},
    optional={
        "undo": st.just(Undo("jobs:undo")),
        "in_doubt": st.sampled_from(InDoubt),
        "deadline_s": st.just(0.006),
    },
)

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


_PLAIN = st.just({})
_WAITING = st.fixed_dictionaries({"wait": WAITS})
_RECOVERED = st.one_of(_PLAIN, _PLAIN, RECOVERY, _WAITING)
"""What few tasks have; a task that waits calls no function that could fail."""


@st.composite
def workflows(draw: st.DrawFn, max_tasks: int = 8) -> Workflow:
    """A sound workflow: optional tasks, priorities, resources, estimates, waits, compensations."""
    return workflow(
        *(
            task(
                name,
                *upstream,
                optional=draw(st.booleans()),
                priority=draw(st.integers(-1, 1)),
                resources=draw(RESOURCES),
                estimate_s=draw(st.sampled_from([None, 0.5, 2.0, 3.0])),
                **draw(_RECOVERED),
            )
            for name, upstream in draw(upstreams(max_tasks)).items()
        )
    )


def _some_recovery(rng: Random) -> dict[str, object]:
    """As `_RECOVERED`, of the commonest shapes."""
    return rng.choice(
        (
            {},
            {},
            {},
            {"undo": Undo("jobs:undo")},
            {"in_doubt": rng.choice(list(InDoubt)), "probe": "jobs:probe"},
            {"deadline_s": 0.006},
            {"wait": WaitFor(WaitKind.APPROVAL, timeout_s=rng.choice((None, 0.01)))},
            {"wait": WaitFor(WaitKind.SIGNAL, "go")},
            {"wait": WaitFor(WaitKind.SLEEP, timeout_s=0.004)},
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
            **_some_recovery(rng),
        )
        for at, name in enumerate(names)
    ]
    rng.shuffle(tasks)
    return workflow(*tasks)
