"""Companions: the functions that stand beside a task's own, a probe and a compensation.

Owns: what each of them is called with, and the checks of that.
Must never: know the other tasks, or call a function.
Read next: `factory.py`, which asks for them; `core/compensation.py`, which makes tasks of
compensations.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

import attrs

from durable_wf.authoring.data_flow import Bound, spread
from durable_wf.authoring.options import RECOVERY, Compensation
from durable_wf.authoring.signature import Shape
from durable_wf.authoring.task import TaskFunction
from durable_wf.core.compensation import SUFFIX
from durable_wf.core.definition import FunctionRef, Literal, Source, Undo, Upstream
from durable_wf.core.names import LONGEST
from durable_wf.core.resolver import nearest
from durable_wf.core.status import InDoubt
from durable_wf.errors import DefinitionError
from durable_wf.recovery.chain import label_of
from durable_wf.recovery.rule import NamedRule

RESULT: Final = "result"
"""The parameter of a compensation that receives what its task returned."""

_FOR_PEOPLE: Final = frozenset({"description", "tags", "metadata"})
_LIMITS: Final = ("timeout", "memory_limit", "memory_hard", "cpu", "memory", "gpu", "pools")
"""What a compensation may say of its own; the fields that come of these are `_FIELDS`."""

_FIELDS: Final = ("timeout_s", "memory_limit", "memory_hard", "resources")


PROBE: Final = "probe"
COMPENSATION: Final = "compensation"
"""What companions are called beside a task, in `Task.beside` and in messages."""


class Learned(Protocol):
    """What is known of a function."""

    function: Callable[..., Any]
    shape: Shape
    options: tuple[dict[str, Any], list[str]]
    problem: str

    def literal(self, name: str, value: object) -> Literal:
        """A value as it is stored. Raises DefinitionError."""

    def ref(self) -> FunctionRef:
        """Where it is found, and its fingerprint."""


Learn = Callable[[Callable[..., Any]], Learned]


def fallbacks(rules: Iterable[NamedRule], learn: Learn, of: str = "") -> dict[str, str]:
    """The fingerprints of the functions that rules may fall back to, by what they are called
    beside a task; `of` says whose rules they are, where not its own.
    """
    functions = (function for rule in rules for function in rule.functions)
    return {f"{of}fallback {label_of(one)}": learn(one).ref().fingerprint for one in functions}


@attrs.frozen
class Companions:
    """What the companions of a task add to its definition: fields of Task, their functions by
    place and label (the place of a probe is its task, that of a compensation its own name), and
    the rules of the compensation. `beside` has the fingerprints of all of these. `problems` are
    sentences that do not name the task.
    """

    fields: Mapping[str, Any] = attrs.field(factory=dict)
    functions: Mapping[tuple[str, str], Callable[..., Any]] = attrs.field(factory=dict)
    rules: tuple[NamedRule, ...] = ()
    beside: Mapping[str, str] = attrs.field(factory=dict)
    problems: tuple[str, ...] = ()


def companions(
    name: str, known: Learned, bound: Bound, said: Mapping[str, Any], learn: Learn
) -> Companions:
    """Those of the task `name`, which calls `known` with `bound`, by the options `said`."""
    fields: dict[str, Any] = {}
    functions: dict[tuple[str, str], Callable[..., Any]] = {}
    problems: list[str] = []
    rules: tuple[NamedRule, ...] = ()
    beside: dict[str, str] = {}
    doubt: InDoubt | Callable[..., Any] = said.get("in_doubt", InDoubt.RERUN)
    if isinstance(doubt, InDoubt):
        fields["in_doubt"] = doubt
    else:
        fields |= {"in_doubt": InDoubt.PROBE, "probe": label_of(doubt)}
        functions[name, label_of(doubt)] = doubt
        problems += unfit("probe", (doubt,), bound)
        beside[PROBE] = learn(doubt).ref().fingerprint
        if trouble := learn(doubt).problem:
            problems.append(f"its probe {_called(doubt)}: {trouble}")
    given: Compensation | None = said.get("compensate")
    if given is not None:
        function: Any = given.function
        own = learn(function)
        rules = given.rules or own.options[0].get("recovery", ())
        undo, wrong = _undo(name, known, bound, own)
        problems += wrong
        if undo is not None:
            fields["undo"] = attrs.evolve(undo, rules=tuple(rule.label for rule in rules))
            functions[name + SUFFIX, undo.function] = function
            beside[COMPENSATION] = own.ref().fingerprint
            beside |= fallbacks(rules, learn, f"{COMPENSATION}'s ")
            problems += _unfit_rules(rules, undo)
    return Companions(fields, functions, rules, beside, tuple(problems))


def unfit(what: str, functions: Iterable[Callable[..., Any]], bound: Bound | Undo) -> list[str]:
    """Those of the functions that could not be called with these arguments."""
    problems = []
    for function in functions:
        try:
            shape = inspect.signature(function)
        except (TypeError, ValueError):  # built-in ones may not tell
            continue
        try:
            shape.bind(*bound.args, **dict(bound.kwargs))
        except TypeError as error:
            problems.append(f"its {what} {_called(function)} cannot take its arguments: {error}")
    return problems


def _unfit_rules(rules: Iterable[NamedRule], undo: Undo) -> list[str]:
    functions = [function for rule in rules for function in rule.functions]
    return unfit("compensation's fallback", functions, undo)


def _called(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__name__', repr(function))}()"


# --- compensations --------------------------------------------------------------------------------


def _undo(name: str, known: Learned, bound: Bound, own: Learned) -> tuple[Undo | None, list[str]]:
    """The call of the compensation `own`, or what is wrong with it."""
    title = f"its compensation {_called(own.function)}"
    problems = [f"{title}: {text}" for text in (*own.options[1], *_foreign(own.function))]
    if own.problem:
        problems.append(f"{title}: {own.problem}")
    if len(name) + len(SUFFIX) > LONGEST:
        most = LONGEST - len(SUFFIX)
        problems.append(f"{title}: the task's name may have {most} characters, to have {SUFFIX}")
    limits = {field: own.options[0][field] for field in _FIELDS if field in own.options[0]}
    made = Undo(label_of(own.function), **limits)
    if not own.shape.known:
        return (None if problems else attrs.evolve(made, args=(Upstream(name),))), problems
    try:
        sources, missing = _sources(name, known, bound, own.shape)
        if missing:
            problems.append(f"{title} {_lacks(missing, known, bound)}")
        if problems:
            return None, problems
        call = spread(own.shape, sources, [], own.literal)
    except DefinitionError as error:
        return None, [*problems, f"{title}: {error.message}"]
    return attrs.evolve(made, args=call.args, kwargs=call.kwargs), problems


def _foreign(function: Callable[..., Any]) -> list[str]:
    """Options of tasks that a compensation does not have."""
    settings = function.settings if isinstance(function, TaskFunction) else {}
    known = {*RECOVERY, *_FOR_PEOPLE, *_LIMITS}
    foreign = [option for option in settings if option not in known]
    if not foreign:
        return []
    return [f"it has {', '.join(foreign)}; of the options of tasks it may have {_MAY_HAVE}"]


_MAY_HAVE: Final = ", ".join([*RECOVERY, *_LIMITS])


def _sources(
    name: str, known: Learned, bound: Bound, shape: Shape
) -> tuple[dict[str, Source], list[str]]:
    """What each parameter of the compensation receives, and those that receive nothing."""
    given = _given(known.shape, bound)
    sources: dict[str, Source] = {}
    missing: list[str] = []
    for parameter in shape.names:
        if parameter == RESULT:
            sources[parameter] = Upstream(name)
        elif parameter in given:
            sources[parameter] = given[parameter]
        elif parameter in known.shape.defaults:
            value = known.shape.defaults[parameter]
            try:
                sources[parameter] = known.literal(parameter, value)
            except DefinitionError:
                if parameter in shape.required:
                    raise
        elif parameter in shape.required:
            missing.append(parameter)
    if len(missing) == 1 and RESULT not in sources:
        sources[missing.pop()] = Upstream(name)
    if shape.var_kwargs:
        result = {} if Upstream(name) in sources.values() else {RESULT: Upstream(name)}
        sources = {**given, **sources, **result}
    return sources, missing


def _given(shape: Shape, bound: Bound) -> dict[str, Source]:
    """What the task itself receives, by parameter."""
    return {**dict(zip(shape.positional, bound.args, strict=False)), **dict(bound.kwargs)}


def _lacks(missing: list[str], known: Learned, bound: Bound) -> str:
    may_take = list({**_given(known.shape, bound), **known.shape.defaults})
    several = "s" * (len(missing) > 1)
    guess = nearest(missing[0], [*may_take, RESULT])
    return (
        f"has no value for its parameter{several} {', '.join(missing)}"
        + (f"; did you mean {guess!r}?" if guess else "")
        + f" (there is {', '.join([*may_take, RESULT])})"
    )
