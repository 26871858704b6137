"""Data flow: which argument of a task's function comes from where.

Owns: `ref`, and the six data-flow rules.
Must never: look at a value, or at any task but the one it binds.
Read next: `factory.py`.

The rules, for a task with its upstreams (`depends_on`), its `parameters` and its `bind`:
1. a parameter named like an upstream task receives that task's result;
2. else, one upstream left and one required parameter left belong together;
3. `**kwargs` takes the upstreams that are left by name; else `*args` takes them in their order;
4. `bind` is explicit and wins; it makes its task an upstream where it was none;
5. the same name in `parameters` and among the upstreams is an error;
6. `after` orders without data and takes no part in this.
An upstream that no rule binds is an error: its result would be lost without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs

from durable_wf.authoring.signature import Shape
from durable_wf.core.definition import Literal, Source, Upstream
from durable_wf.core.resolver import nearest
from durable_wf.errors import DefinitionError


class Ref:
    """The result of a task, or what is found in it: `ref("cfg")["key"][0]`."""

    __slots__ = ("path", "task")
    __iter__ = None
    __contains__ = None

    def __init__(self, task: str, path: tuple[str | int, ...] = ()) -> None:
        self.task = task
        self.path = path

    def __getitem__(self, key: str | int) -> Ref:
        if type(key) not in (str, int):
            raise DefinitionError(
                f"ref({self.task!r})[{key!r:.60}]: only texts and whole numbers can be looked up"
            )
        return Ref(self.task, (*self.path, key))

    def __repr__(self) -> str:
        return f"ref({self.task!r})" + "".join(f"[{key!r}]" for key in self.path)


def ref(task: str) -> Ref:
    """The result of the task `task`, to be given to another one by `.bind(...)`.

    Keys and indexes may follow: `ref("cfg")["tables"][0]`. They are looked up where the value is.
    """
    if not isinstance(task, str):
        raise DefinitionError(f"ref() takes the name of a task, not {task!r:.60}")
    return Ref(task)


@attrs.frozen
class Inputs:
    """What a task was given. `depends` carry data, in order; `given` are its `parameters`,
    `bound` its `bind`.
    """

    depends: Sequence[str] = ()
    given: Mapping[str, Source] = attrs.field(factory=dict)
    bound: Mapping[str, Upstream] = attrs.field(factory=dict)


@attrs.frozen
class Bound:
    """The arguments of the call, and what is wrong (sentences that do not name the task)."""

    args: tuple[Source, ...] = ()
    kwargs: tuple[tuple[str, Source], ...] = ()
    problems: tuple[str, ...] = ()


Fill = Callable[[str, object], Literal]
"""Makes a literal of a parameter's default; raises DefinitionError when it cannot be stored."""

_NOTHING: Final = Bound()


def bind(shape: Shape, inputs: Inputs, fill: Fill) -> Bound:
    """Apply the rules."""
    if not inputs.depends and not inputs.given and not inputs.bound and not shape.required:
        return _NOTHING
    problems = _conflicts(shape, inputs)
    sources: dict[str, Source] = {**inputs.given, **inputs.bound}
    left = _by_name(shape, inputs, sources)
    missing = [name for name in shape.required if name not in sources]
    if len(left) == 1 and len(missing) == 1:
        sources[missing.pop()] = Upstream(left.pop())
    extra: list[Source] = []
    if left and shape.var_kwargs:
        sources.update((name, Upstream(name)) for name in left)
        left = []
    elif left and (shape.var_args or not shape.known):
        extra = [Upstream(name) for name in left]
        left = []
    problems += _unbound(missing, left, shape)
    if problems:
        return Bound(problems=tuple(problems))
    try:
        return spread(shape, sources, extra, fill)
    except DefinitionError as error:
        return Bound(problems=(error.message,))


def _conflicts(shape: Shape, inputs: Inputs) -> list[str]:
    problems = []
    for name in inputs.given:
        if name in inputs.depends:
            problems.append(
                f"{name!r} is both in parameters and an upstream task; "
                f"rename the parameter, or use .bind(other={name!r}) or .after({name!r})"
            )
        elif name in inputs.bound:
            problems.append(f"parameter {name!r} is both in parameters and in bind")
    for name in {**inputs.given, **inputs.bound}:
        if not shape.takes(name):
            guess = nearest(name, shape.names)
            taken = ", ".join(shape.names) or "none"
            problems.append(
                f"the function has no parameter {name!r}"
                + (f"; did you mean {guess!r}?" if guess else f" (it has {taken})")
            )
    return problems


def _by_name(shape: Shape, inputs: Inputs, sources: dict[str, Source]) -> list[str]:
    """Rule 1; returns the upstreams that are left."""
    if not inputs.depends:
        return []
    explicit = {source.task for source in inputs.bound.values()}
    left = []
    for name in inputs.depends:
        if name in inputs.given:
            continue  # reported as a conflict
        if name in shape.names and name not in inputs.bound:
            sources[name] = Upstream(name)
        elif name not in explicit:
            left.append(name)
    return left


def _unbound(missing: list[str], left: list[str], shape: Shape) -> list[str]:
    problems = []
    if missing and left:
        example = f".bind({missing[0]}={left[0]!r})"
        problems.append(
            f"cannot tell which of the parameters {', '.join(missing)} takes which of the "
            f"upstreams {', '.join(left)}; say it with {example}"
        )
    elif missing:
        several = len(missing) > 1
        problems.append(
            f"required parameter{'s' * several} {', '.join(missing)} {'have' if several else 'has'}"
            f" no value; give parameters={{{missing[0]!r}: ...}} or .depends_on(...)"
        )
    elif left:
        taken = ", ".join(shape.names) or "none"
        problems.append(
            f"no parameter takes the result of {', '.join(left)} (parameters: {taken}); "
            f"use .after({', '.join(map(repr, left))}) if only the order matters, or .bind(...)"
        )
    return problems


def spread(shape: Shape, sources: dict[str, Source], extra: list[Source], fill: Fill) -> Bound:
    """Spread the sources over positions and names. What can go by name does. Raises what `fill`
    raises.
    """
    count = shape.positional_only
    if extra and shape.known:
        count = len(shape.positional)
    while not extra and count and shape.positional[count - 1] not in sources:
        count -= 1
    args: list[Source] = []
    for name in shape.positional[:count]:
        source = sources.pop(name, None)
        args.append(source if source is not None else fill(name, shape.defaults[name]))
    if not shape.names or len(sources) < 2:
        return Bound((*args, *extra), tuple(sources.items()))
    ordered = [(name, sources.pop(name)) for name in shape.names if name in sources]
    return Bound((*args, *extra), (*ordered, *sources.items()))
