"""Over all definitions: the hand-made JSON is exact, and says what cattrs would say."""

from __future__ import annotations

import hashlib
import json

import attrs
import cattrs
from hypothesis import given
from hypothesis import strategies as st

from durable_wf.core.breaker import Breaker, WhenOpen
from durable_wf.core.definition import (
    FunctionRef,
    Literal,
    Source,
    Task,
    Undo,
    Upstream,
    WaitFor,
    Workflow,
)
from durable_wf.core.digests import code_digest, code_of, inputs_digest, structure_digest
from durable_wf.core.resources import Resources
from durable_wf.core.status import InDoubt, Otherwise, WaitKind

texts = st.text(max_size=8)
shown = st.characters(exclude_categories=["C", "Z"])
labels = st.text(shown, max_size=8)
names = st.text(shown, min_size=1, max_size=4)
numbers = st.integers(-(10**15), 10**15)
reals = st.floats(allow_nan=False, allow_infinity=False)
sources: st.SearchStrategy[Source] = st.one_of(
    st.builds(Literal, texts),
    st.builds(Upstream, names, st.lists(st.one_of(texts, numbers), max_size=3).map(tuple)),
)


def pairs(values):
    return st.dictionaries(names, values, max_size=3).map(lambda d: tuple(d.items()))


functions = st.builds(FunctionRef, *[texts] * 6)
undos = st.builds(
    Undo,
    texts,
    st.lists(sources, max_size=2).map(tuple),
    pairs(sources),
    st.lists(texts, max_size=2).map(tuple),
    st.none() | reals,
    st.none() | numbers,
    st.booleans(),
    st.none() | st.builds(Resources, reals, numbers, numbers, pairs(numbers)),
)
breakers = st.builds(
    Breaker,
    texts,
    numbers,
    reals,
    reals,
    st.sampled_from(WhenOpen),
    st.lists(texts, max_size=2).map(tuple),
)
tasks = st.builds(
    Task,
    name=labels,
    function=functions,
    upstream=st.lists(names, max_size=3).map(tuple),
    args=st.lists(sources, max_size=3).map(tuple),
    kwargs=pairs(sources),
    resources=st.builds(Resources, reals, numbers, numbers, pairs(numbers)),
    priority=numbers,
    optional=st.booleans(),
    timeout_s=st.none() | reals,
    memory_limit=st.none() | numbers,
    memory_hard=st.booleans(),
    estimate_s=st.none() | reals,
    executor=texts,
    codec=texts,
    description=texts,
    tags=st.lists(texts, max_size=2).map(tuple),
    metadata=pairs(texts),
    deadline_s=st.none() | reals,
    heartbeat_s=st.none() | reals,
    in_doubt=st.sampled_from(InDoubt),
    probe=texts,
    undo=st.none() | undos,
    breaker=st.none() | breakers,
    wait=st.none()
    | st.builds(
        WaitFor,
        st.sampled_from(WaitKind),
        texts,
        texts,
        texts,
        st.none() | reals,
        st.none() | numbers,
        st.sampled_from(Otherwise),
        st.sampled_from(Otherwise),
    ),
    beside=pairs(texts),
)
workflows = st.builds(
    Workflow,
    name=labels,
    tasks=st.lists(tasks, max_size=4).map(tuple),
    description=texts,
    tags=st.lists(texts, max_size=2).map(tuple),
    metadata=pairs(texts),
    deadline_s=st.none() | reals,
    beside=pairs(texts),
)


def converter() -> cattrs.Converter:
    """cattrs, told only what our JSON means by an argument and by pairs of names and values."""
    made = cattrs.Converter(forbid_extra_keys=True, prefer_attrib_converters=False)

    def source(data, _):
        if "value" in data:
            return Literal(**data)
        return Upstream(data["task"], tuple(data.get("path", ())))

    made.register_structure_hook(Source, source)
    hooks = {
        tuple[tuple[str, str], ...]: lambda data, _: tuple(data.items()),
        tuple[tuple[str, int], ...]: lambda data, _: tuple(data.items()),
        tuple[tuple[str, Source], ...]: lambda data, _: tuple(
            (name, source(value, None)) for name, value in data.items()
        ),
    }
    for kind, hook in hooks.items():
        made.register_structure_hook_func(lambda cls, kind=kind: cls == kind, hook)
    return made


CONVERTER = converter()


@given(workflows)
def test_what_is_written_is_read_back_equal(workflow):
    text = workflow.to_json()
    back = Workflow.as_recorded(text)
    assert back == workflow
    assert back.to_json() == text
    assert Workflow.as_recorded(json.dumps(json.loads(text), indent=1)) == workflow


@given(workflows)
def test_cattrs_reads_the_same_from_what_is_written(workflow):
    data = json.loads(workflow.to_json())
    for task in data["tasks"]:
        task["function"] = data["functions"][task["function"]]
    assert CONVERTER.structure(data["tasks"], tuple[Task, ...]) == workflow.tasks


def plain_digests(workflow):
    """The lines behind the digests as `ascii` says them of plain tuples."""

    def shape(source):
        if isinstance(source, Literal):
            return ("value",)
        return ("task", source.task, *source.path)

    def arguments(called):
        named = sorted((name, shape(source)) for name, source in called.kwargs)
        return [shape(source) for source in called.args], named

    def structure(task):
        if task.undo is not None:
            own = structure(attrs.evolve(task, undo=None))
            return f"{own} undo {arguments(task.undo)!a}"
        if task.wait is not None:
            waits = (task.wait.kind.value, task.wait.name)
            return ascii((task.name, sorted(task.upstream), waits, task.optional))
        return ascii((task.name, sorted(task.upstream), *arguments(task), task.optional))

    def given(called):
        named = sorted((k, arg.value) for k, arg in called.kwargs if isinstance(arg, Literal))
        return [(k, a.value) for k, a in enumerate(called.args) if isinstance(a, Literal)] + named

    def inputs(task):
        undone = given(task.undo) if task.undo is not None else []
        if undone:
            return ascii((task.name, given(task), undone))
        return ascii((task.name, given(task))) if given(task) else ""

    def digest(head, lines):
        text = "\n".join([*head, *sorted(lines)])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    return (
        digest([workflow.name], map(structure, workflow.tasks)),
        digest([], filter(None, map(inputs, workflow.tasks))),
        digest([], (ascii((task.name, code_of(task))) for task in workflow.tasks)),
    )


@given(workflows)
def test_digests_are_those_of_plain_tuples(workflow):
    """They stand in stores: another way to make them must give the same."""
    ours = (structure_digest(workflow), inputs_digest(workflow), code_digest(workflow))
    assert ours == plain_digests(workflow)


@given(workflows, st.randoms())
def test_digests_do_not_depend_on_the_order_of_tasks(workflow, random):
    shuffled = list(workflow.tasks)
    random.shuffle(shuffled)
    other = Workflow(workflow.name, tuple(shuffled))
    for digest in (structure_digest, inputs_digest, code_digest):
        assert digest(other) == digest(workflow)
