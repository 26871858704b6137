"""The parts of a sound definition: what each field of a task and of a workflow may be.

Owns: what is wrong with one field, as a sentence that does not name the task.
Must never: know the other tasks, but for the names that a task depends on.
Read next: `soundness.py`, which asks.

Whoever builds a definition by hand may put anything anywhere, so types are looked at, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, Final, Protocol

import attrs

from durable_wf.core.breaker import Breaker, wrong_with
from durable_wf.core.names import LONGEST, SUFFIX, is_pool_name
from durable_wf.core.resources import MOST_CORES, Resources
from durable_wf.core.status import InDoubt
from durable_wf.core.task import FunctionRef, Literal, Task, Undo, Upstream, WaitFor
from durable_wf.core.units import LONGEST_S, is_number, is_time
from durable_wf.core.waits import problems_of_task

EXECUTORS: Final = ("", "sequential", "parallel")
CODECS: Final = ("", "json", "pickle")
"""What a task may name; "" is the default of whoever runs it."""


class Defined(Protocol):
    """What is asked of a workflow."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Its tasks."""

    @property
    def description(self) -> str:
        """For people."""

    @property
    def tags(self) -> tuple[str, ...]:
        """For searches."""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """For people and searches."""

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of its recovery rules."""

    @property
    def beside(self) -> tuple[tuple[str, str], ...]:
        """Fingerprints of functions that its rules may call."""

    @property
    def deadline_s(self) -> float | None:
        """When a run fails that has not ended."""


def of_workflow(workflow: Defined) -> Iterator[str]:
    """What is wrong with the workflow's own fields, its name aside."""
    tasks: object = workflow.tasks
    if isinstance(tasks, tuple) and not tasks:
        yield "it has no tasks"
    for field in ("description", "tags", "metadata", "rules", "beside", "deadline_s"):
        if wrong := _MUST_BE[field](getattr(workflow, field)):
            yield f"{field} {wrong}"


def of_function(function: object) -> Iterator[str]:
    """What is wrong with the place of a task's code."""
    if not isinstance(function, FunctionRef):
        yield f"function must be a FunctionRef, not {function!r:.60}"
    elif wrong := [n for n in _TEXTS_OF_FUNCTION if not isinstance(getattr(function, n), str)]:
        yield f"{', '.join(wrong)} of its function must be texts"


_TEXTS_OF_FUNCTION = tuple(field.name for field in attrs.fields(FunctionRef))


def of_resources(need: object) -> Iterator[str]:
    """What is wrong with what an attempt occupies."""
    if not isinstance(need, Resources):
        yield f"resources must be Resources, not {need!r:.60}"
        return
    if not (is_number(need.cpu) and 0 <= need.cpu < MOST_CORES):
        yield f"cpu must be a number of cores, not {need.cpu!r:.60}"
    for name in ("memory", "gpu"):
        value: object = getattr(need, name)
        if type(value) is not int or value < 0:
            yield f"{name} must be a whole number of 0 or more, not {value!r:.60}"
    if not _are_pairs(need.pools):
        yield f"pools must be pairs of names and units, not {need.pools!r:.60}"
        return
    for pool, units in need.pools:
        if not is_pool_name(pool):
            yield f"{pool!r:.120} is no name for a pool"
        elif type(units) is not int or units < 1:
            yield f"pool {pool!r} needs at least 1 unit, not {units!r:.60}"
    if len({pool for pool, _ in need.pools}) != len(need.pools):
        yield "a pool stands there twice"


# --- what a task is called with -------------------------------------------------------------------


def is_usual_call(task: Task) -> bool:
    """Whether a quick look finds nothing to look at closely in what the task is called with."""
    upstream, args, kwargs = task.upstream, task.args, task.kwargs
    if type(upstream) is not tuple or type(args) is not tuple or type(kwargs) is not tuple:
        return False
    try:
        known = upstream if len(upstream) < 2 else frozenset(upstream)
        named = dict(kwargs) if kwargs else {}
        if len(known) != len(upstream) or len(named) != len(kwargs):
            return False
        for source in (*args, *named.values()):
            if type(source) is Upstream:
                if source.path or source.task not in known:
                    return False
            elif type(source) is not Literal or type(source.value) is not str:
                return False
    except (TypeError, ValueError):  # something else stands there
        return False
    return all(type(name) is str for name in (*known, *named))


def of_call(task: Task) -> Iterator[str]:
    """What is wrong with what a task comes after, and with what its function is called with."""
    upstream: object = task.upstream
    if not _are_texts(upstream):
        yield f"upstream must be a tuple of names, not {upstream!r:.60}"
        return
    names = frozenset(task.upstream)
    if len(names) != len(task.upstream):
        yield "an upstream stands there twice"
    if wrong := _of_arguments(task):
        yield wrong
        return
    for source in _sources(task):
        if isinstance(source, Upstream) and source.task not in names:
            yield f"an argument is the result of {source.task!r}, which is no upstream"


def _sources(called: Task | Undo) -> Iterator[object]:
    yield from called.args
    for _, source in called.kwargs:
        yield source


def _of_arguments(called: Task | Undo) -> str:
    """What is wrong with the form of arguments."""
    args: object = called.args
    names = [name for name, _ in called.kwargs] if _are_pairs(called.kwargs) else None
    if not isinstance(args, tuple) or names is None:
        return "args must be a tuple, and kwargs a tuple of pairs of names and values"
    if len(names) > 1 and len(set(names)) != len(names):
        return "a parameter stands there twice"
    for source in _sources(called):
        if wrong := _of_source(source):
            return wrong
    return ""


def _of_source(source: object) -> str:
    match source:
        case Literal(value=str()) | Upstream(task=str(), path=()):
            return ""
        case Literal(value):
            return f"a given value must be JSON text, not {value!r:.60}"
        case Upstream(task=str(), path=path):
            return _path(path)
        case _:
            return f"an argument must be a Literal or an Upstream, not {source!r:.60}"


def _path(path: object) -> str:
    if isinstance(path, tuple) and all(type(key) in (str, int) for key in path):
        return ""
    return f"a path must be a tuple of keys and indexes, not {path!r:.60}"


# --- what few tasks have --------------------------------------------------------------------------


def of_unusual(task: Task) -> list[str]:
    """What is wrong with the fields that most tasks leave alone."""
    found: list[str] = []
    for name, must_be in _MUST_BE.items():
        if wrong := must_be(getattr(task, name)):
            found.append(f"{name} {wrong}")
    if found:
        return found  # what is of the wrong kind cannot be compared
    found += _of_limits(task)
    if (task.in_doubt is InDoubt.PROBE) is not bool(task.probe):
        found.append("a probe and in_doubt 'probe' go together, and it has one of them")
    if task.undo is not None:
        found += _of_undo(task, task.undo)
    if task.breaker is not None and (wrong := wrong_with(task.breaker)):
        found.append(wrong)
    return found + problems_of_task(task)


def _of_limits(task: Task) -> Iterator[str]:
    if task.memory_hard and task.memory_limit is None:
        yield "memory_hard needs memory_limit, which says how much"
    if task.heartbeat_s is None:
        return
    for name, limit_s in (("timeout_s", task.timeout_s), ("deadline_s", task.deadline_s)):
        if limit_s is not None and task.heartbeat_s >= limit_s:
            yield (
                f"heartbeat_s ({task.heartbeat_s:g} s) must be shorter than its {name} "
                f"({limit_s:g} s), or no silence is ever noticed"
            )


def _of_undo(task: Task, undo: Undo) -> Iterator[str]:
    label: object = undo.function
    if not isinstance(label, str) or not label:
        yield f"its compensation must be the label of a function, not {label!r:.60}"
    if wrong := _texts(undo.rules):
        yield f"the rules of its compensation {wrong}"
    name: object = task.name
    if isinstance(name, str) and len(name) + len(SUFFIX) > LONGEST:
        most = LONGEST - len(SUFFIX)
        yield f"its name may have {most} characters, so that its compensation has one"
    yield from (f"its compensation: {wrong}" for wrong in _of_undo_limits(undo))
    if wrong := _of_arguments(undo):
        yield f"its compensation: {wrong}"
        return
    known = frozenset((task.name, *task.upstream))
    for source in _sources(undo):
        if isinstance(source, Upstream) and source.task not in known:
            yield f"its compensation is given the result of {source.task!r}, which is no upstream"


def _of_undo_limits(undo: Undo) -> Iterator[str]:
    for name in ("timeout_s", "memory_limit", "memory_hard"):
        if wrong := _MUST_BE[name](getattr(undo, name)):
            yield f"{name} {wrong}"
    if undo.memory_hard and undo.memory_limit is None:
        yield "memory_hard needs memory_limit, which says how much"
    if undo.resources is not None:
        yield from of_resources(undo.resources)


# --- the kinds of fields --------------------------------------------------------------------------


def _whole(value: object) -> str:
    return "" if type(value) is int else f"must be a whole number, not {value!r:.60}"


def _truth(value: object) -> str:
    return "" if isinstance(value, bool) else f"must be True or False, not {value!r:.60}"


def _text(value: object) -> str:
    return "" if isinstance(value, str) else f"must be a text, not {value!r:.60}"


def _texts(value: object) -> str:
    return "" if _are_texts(value) else f"must be a tuple of texts, not {value!r:.60}"


def _pairs(value: Any) -> str:
    if not _are_pairs(value) or not all(isinstance(text, str) for _, text in value):
        return f"must be a tuple of pairs of texts, not {value!r:.60}"
    return "" if len(dict(value)) == len(value) else "has a name twice"


def _limit(value: object) -> str:
    if value is None or is_time(value):
        return ""
    return f"must be more than 0 and at most {LONGEST_S:g} seconds, not {value!r:.40}"


def _estimate(value: object) -> str:
    if value is None or (is_number(value) and 0 <= value <= LONGEST_S):
        return ""
    return f"must be from 0 to {LONGEST_S:g} seconds, not {value!r:.40}"


def _bytes(value: object) -> str:
    if value is None or (type(value) is int and value > 0):
        return ""
    return f"must be a number of bytes, not {value!r:.60}"


def _one_of(*allowed: str) -> Callable[[object], str]:
    choice = ", ".join(repr(name) for name in allowed if name)
    return lambda value: "" if value in allowed else f"{value!r:.60} is unknown; there are {choice}"


def _instance(kind: type, *, optional: bool = True) -> Callable[[object], str]:
    def must_be(value: object) -> str:
        if (value is None and optional) or isinstance(value, kind):
            return ""
        return f"must be of the class {kind.__name__}, not {value!r:.60}"

    return must_be


def _are_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(text, str) for text in value)


def _are_pairs(value: Any) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in value
    )


_MUST_BE: Final[Mapping[str, Callable[[object], str]]] = {
    "priority": _whole, "optional": _truth, "timeout_s": _limit, "deadline_s": _limit,
    "heartbeat_s": _limit, "estimate_s": _estimate, "memory_limit": _bytes, "memory_hard": _truth,
    "executor": _one_of(*EXECUTORS), "codec": _one_of(*CODECS), "description": _text,
    "tags": _texts, "metadata": _pairs, "rules": _texts,
    "in_doubt": _instance(InDoubt, optional=False), "probe": _text, "undo": _instance(Undo),
    "breaker": _instance(Breaker), "wait": _instance(WaitFor), "beside": _pairs,
}  # fmt: skip

USUAL: Final = tuple(
    field.default for name in _MUST_BE for field in [getattr(attrs.fields(Task), name)]
)
"""What most tasks have in these fields."""

unusual_of: Final = attrgetter(*_MUST_BE)
"""What a task has in them."""
