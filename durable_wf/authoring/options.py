"""Options of a task: what `add_task(...)`, `@task(...)` and the fluent calls may say besides data.

Owns: their names, their forms as people write them, and the turning of these into fields of Task.
Must never: know about data flow.
Read next: `task.py` and `factory.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict

import attrs

from durable_wf.authoring.breakers import read_breaker
from durable_wf.core.breaker import Breaker
from durable_wf.core.names import is_pool_name
from durable_wf.core.resolver import nearest
from durable_wf.core.resources import MOST_CORES, Resources
from durable_wf.core.soundness_parts import CODECS, EXECUTORS
from durable_wf.core.status import InDoubt
from durable_wf.core.units import Duration, Size, parse_duration, parse_limit, parse_size
from durable_wf.errors import DefinitionError
from durable_wf.recovery.ready import fallback, fallback_to, retry
from durable_wf.recovery.rule import NamedRule, Rule, named, named_all


class TaskOptions(TypedDict, total=False):
    """What may be said of a task. Times and sizes as in `units.py`.

    `timeout` is how long an attempt may take, `deadline` all attempts together, from the beginning
    of the first, with the waits between them. An attempt that sends no heartbeat (see
    `Current.heartbeat`) for as long as `heartbeat` is stopped.
    `optional`: its failure does not fail the run. `priority`: higher starts earlier.
    `cpu` (cores), `memory`, `gpu` (devices) and `pools` (units by pool name) are what an attempt
    occupies; `memory_limit` is where it is stopped (`memory_hard`: by the kernel). `estimate` is
    how long it will probably take. `executor` and `codec` name another than the default.
    `breaker` is a circuit breaker (see `breaker`), or the key of one with the default settings.
    When the task fails, `retry` (a number of attempts, or a rule), `on_fault` (a rule, or several)
    and `fallback` (a value, or a function to call instead) are asked, in the order given.
    `in_doubt` says what becomes of an attempt that its worker or engine took with it: "rerun" (the
    default), "fail", "ask" (a person) or a probe, a function that is called with the task's
    arguments and returns its result, or `wf.NotDone()` where the attempt had no effect.
    `compensate` is a function that takes back what the task did, when its run fails or is
    cancelled. It gets by name what the task was given, and what the task returned as `result`.
    """

    timeout: Duration | None
    deadline: Duration | None
    heartbeat: Duration | None
    optional: bool
    priority: int
    cpu: float
    memory: Size
    gpu: int
    pools: Mapping[str, int]
    memory_limit: Size | None
    memory_hard: bool
    executor: str
    codec: str
    estimate: Duration | None
    description: str
    tags: Iterable[str]
    metadata: Mapping[str, object]
    breaker: Breaker | str | None
    retry: int | Rule
    on_fault: Rule | Sequence[Rule]
    fallback: object
    in_doubt: str | Callable[..., Any]
    compensate: Callable[..., Any] | None


@attrs.frozen(eq=False)
class Compensation:
    """What takes a task back, and the options that say which rules are asked when it fails."""

    function: object
    options: Mapping[str, object] = attrs.field(factory=dict)
    rules: tuple[NamedRule, ...] = ()


class _Wrong(Exception):
    """What is wrong with an option's value."""


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(f"must be True or False, not {value!r:.60}")
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Wrong(f"must be a whole number, not {value!r:.60}")
    return value


def _count(value: object) -> int:
    if _whole(value) < 0:
        raise _Wrong(f"must not be negative, but is {value!r}")
    return _whole(value)


def _cores(value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < MOST_CORES:  # type: ignore[operator]
        raise _Wrong(f"must be a number of cores, not {value!r:.60}")
    return float(value)  # type: ignore[arg-type]


def _memory(value: object) -> int:
    return 0 if value == 0 and not isinstance(value, bool) else parse_size(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"must be a text, not {value!r:.60}")
    return value


def _name_of(words: str, *allowed: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in allowed:
            choice = ", ".join(repr(name) for name in allowed if name)
            raise _Wrong(f"{value!r:.60} is no {words}; there are {choice}")
        return _text(value)

    return read


def _pools(value: object) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, Mapping):
        raise _Wrong(f"must map pool names to units, as in {{'db': 1}}, not {value!r:.60}")
    for name, units in value.items():
        if not is_pool_name(_text(name)):
            raise _Wrong(f"{name!r:.120} is no name for a pool")
        if _whole(units) < 1:
            raise _Wrong(f"pool {name!r} needs at least 1 unit, not {units}")
    return tuple(sorted(value.items()))


_LONGEST_TAG = 1_000
_LONGEST_TEXT = 65_536
"""Characters. Tags and metadata stand in every list and in the first event of each run."""


def read_tags(value: object) -> tuple[str, ...]:
    """Tags as a tuple of texts; a single text is refused, it is nearly always a slip."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise DefinitionError(f"tags must be a list of texts, not {value!r:.60}")
    tags = tuple(value)
    if not all(isinstance(tag, str) and tag for tag in tags):
        raise DefinitionError(f"tags must be texts, not {tags!r:.80}")
    if any(len(tag) > _LONGEST_TAG for tag in tags):
        raise DefinitionError(f"a tag is longer than {_LONGEST_TAG:,} characters")
    return tags


def read_metadata(value: object) -> tuple[tuple[str, str], ...]:
    """Metadata as sorted pairs of texts; numbers and truth values are written out."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise DefinitionError(f"metadata must map texts to texts, not {value!r:.60}")
    for key, item in value.items():
        if not isinstance(item, str | int | float):
            raise DefinitionError(f"metadata {key!r} must be a text or a number, not {item!r:.60}")
        if len(key) > _LONGEST_TAG or len(str(item)) > _LONGEST_TEXT:
            raise DefinitionError(
                f"metadata {key!r:.80} is too long ({_LONGEST_TEXT:,} characters at most)",
                hint="return it from a task, or write it to a file and name that",
            )
    return tuple(sorted((key, str(item)) for key, item in value.items()))


def _retry(value: object) -> tuple[NamedRule, ...]:
    return (named(value),) if callable(value) else (retry(_whole(value)),)


def _fallback(value: object) -> tuple[NamedRule, ...]:
    if isinstance(value, NamedRule):
        return (value,)
    return (fallback_to(value) if callable(value) else fallback(value),)


def _in_doubt(value: object) -> InDoubt | Callable[..., Any]:
    if value in _POLICIES:
        return InDoubt(value)
    if callable(value) and not isinstance(value, NamedRule | type):
        return value
    choice = ", ".join(map(repr, _POLICIES))
    raise _Wrong(f"must be one of {choice} or a probe function, not {value!r:.60}")


_POLICIES = tuple(one.value for one in InDoubt if one is not InDoubt.PROBE)


def _compensation(value: object) -> Compensation:
    given = value if isinstance(value, Compensation) else Compensation(value)
    function = given.function
    if isinstance(function, NamedRule):
        raise _Wrong("takes the function that takes the task back; rules go into on_fault")
    if not callable(function):
        raise _Wrong(f"must be a function, not {function!r:.60}")
    rules: tuple[NamedRule, ...] = ()
    for name, said in given.options.items():
        try:
            rules += RECOVERY[name](said)
        except _Wrong as wrong:
            raise _Wrong(f"({name}=) {wrong}") from None
    return attrs.evolve(given, rules=rules)


def _or_none(read: Callable[[object], Any]) -> Callable[[object], Any]:
    return lambda value: None if value is None else read(value)


_READERS: Mapping[str, tuple[str, Callable[[object], Any]]] = {
    "timeout": ("timeout_s", _or_none(parse_limit)),
    "deadline": ("deadline_s", _or_none(parse_limit)),
    "heartbeat": ("heartbeat_s", _or_none(parse_limit)),
    "optional": ("optional", _truth),
    "priority": ("priority", _whole),
    "memory_limit": ("memory_limit", _or_none(parse_size)),
    "memory_hard": ("memory_hard", _truth),
    "executor": ("executor", _name_of("executor", *EXECUTORS)),
    "codec": ("codec", _name_of("codec", *CODECS)),
    "estimate": ("estimate_s", _or_none(parse_duration)),
    "description": ("description", _text),
    "tags": ("tags", read_tags),
    "metadata": ("metadata", read_metadata),
    "in_doubt": ("in_doubt", _in_doubt),
    "compensate": ("compensate", _or_none(_compensation)),
    "breaker": ("breaker", read_breaker),
}
_RESOURCES: Mapping[str, Callable[[object], Any]] = {
    "cpu": _cores, "memory": _memory, "gpu": _count, "pools": _pools,
}  # fmt: skip

RECOVERY: Mapping[str, Callable[[object], tuple[NamedRule, ...]]] = {
    "retry": _retry, "on_fault": named_all, "fallback": _fallback,
}  # fmt: skip
"""Options that are recovery rules."""

NOT_SENT = frozenset({*RECOVERY, "in_doubt", "compensate"})
"""Options that only the engine needs, and no worker."""

NAMES = frozenset({*_READERS, *_RESOURCES, *RECOVERY})


def read_options(options: Mapping[str, object]) -> tuple[dict[str, Any], list[str]]:
    """Fields of Task, and what is wrong with the options, each as a sentence without the task.

    What is no field of Task stands under its own name: the recovery rules under "recovery", the
    compensation as it was given, and a probe under "in_doubt" (see `companions.py`).
    """
    fields: dict[str, Any] = {}
    resources: dict[str, Any] = {}
    rules: tuple[NamedRule, ...] = ()
    problems: list[str] = []
    for name, value in options.items():
        try:
            if (found := _READERS.get(name)) is not None:
                field, read = found
                fields[field] = read(value)
            elif (read_need := _RESOURCES.get(name)) is not None:
                resources[name] = read_need(value)
            elif (read_rules := RECOVERY.get(name)) is not None:
                rules += read_rules(value)
            else:
                guess = nearest(name, NAMES)
                problems.append(
                    f"{name!r} is no option" + (f"; did you mean {guess!r}?" * bool(guess))
                )
        except _Wrong as wrong:
            problems.append(f"{name} {wrong}")
        except DefinitionError as error:
            problems.append(f"{name}: {error.message}")
    if rules:
        fields["recovery"] = rules
    if fields.get("memory_hard") and fields.get("memory_limit") is None:
        problems.append("memory_hard needs memory_limit, which says how much")
    problems += _unreachable(fields)
    if resources:
        fields["resources"] = attrs.evolve(Resources(), **resources)
    return fields, problems


def _unreachable(fields: Mapping[str, Any]) -> list[str]:
    """A silence that is longer than the attempt may be is no limit, without a word."""
    heartbeat_s = fields.get("heartbeat_s")
    limits = {"timeout": fields.get("timeout_s"), "deadline": fields.get("deadline_s")}
    return [
        f"heartbeat ({heartbeat_s:g} s) must be shorter than its {name} ({limit_s:g} s), "
        "or no silence is ever noticed"
        for name, limit_s in limits.items()
        if heartbeat_s is not None and limit_s is not None and heartbeat_s >= limit_s
    ]
