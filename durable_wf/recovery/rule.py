"""Rules: functions from (History, Fault) to a decision, with a name and a version.

Owns: NamedRule, `rule`, and what makes a plain function one.
Must never: know a particular rule.
Read next: `ready.py`, `combine.py`, `chain.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from durable_wf.errors import DefinitionError
from durable_wf.recovery.decisions import Decision
from durable_wf.recovery.history import Fault, History

Rule = Callable[[History, Fault], Decision | None]
"""None: this rule has no answer, ask the next one. Must be pure: same history, same decision."""

_NAME_MAX = 200


@attrs.frozen
class NamedRule:
    """A rule with a name and a version, both of which are written down with its decisions.

    `functions` are those it may fall back to. `losses` is how many faults of the machine it allows
    a task; it also bounds what is done about in-doubt attempts when no rule answers. `parts` are
    the rules that it only puts in order; they are asked, and written down, in its place.
    """

    name: str
    ask: Rule = attrs.field(repr=False)
    version: str = "1"
    functions: tuple[Callable[..., Any], ...] = attrs.field(default=(), repr=False)
    losses: int | None = attrs.field(default=None, repr=False)
    parts: tuple[NamedRule, ...] = attrs.field(default=(), repr=False)

    def __call__(self, history: History, fault: Fault) -> Decision | None:
        """What the rule answers."""
        return self.ask(history, fault)

    @property
    def label(self) -> str:
        """Name and version, as the definition of a workflow records them."""
        return f"{self.name} (version {self.version})"


def rule(
    name: str | Rule | None = None,
    *,
    version: str = "1",
    functions: Sequence[Callable[..., Any]] = (),
) -> Any:
    """Make a rule of a function: `@rule`, or `@rule("night only", version="2")`.

    Raise the version when the function decides otherwise than before. `functions` are those that
    it may fall back to.
    """
    if callable(name):
        return named(name)
    given = name
    return lambda function: _named(function, given, version, tuple(functions))


def named(found: object) -> NamedRule:
    """The rule itself, or a plain function as one. Raises DefinitionError for anything else."""
    return _named(found, None, "1", ())


def _named(
    found: object, name: str | None, version: str, functions: tuple[Callable[..., Any], ...]
) -> NamedRule:
    if isinstance(found, NamedRule):
        return found
    if not callable(found) or isinstance(found, type):
        raise DefinitionError(
            f"{found!r:.80} is no rule: give a function of (history, fault), or one of "
            "retry(...), fallback(...), skip(...), fail_fast(), keep_going()"
        )
    if not all(callable(function) for function in functions):
        raise DefinitionError(f"functions= of a rule must be functions, not {functions!r:.80}")
    said = name or getattr(found, "__qualname__", type(found).__name__)
    return NamedRule(str(said)[:_NAME_MAX], found, str(version), functions)


def named_all(found: object) -> tuple[NamedRule, ...]:
    """One rule or several, as a tuple. Raises DefinitionError."""
    if isinstance(found, Iterable) and not isinstance(found, str):
        return tuple(named(one) for one in found)
    return (named(found),)


def tightest(rules: Iterable[NamedRule]) -> int | None:
    """The smallest budget for faults of the machine that any of these rules names."""
    return min((one.losses for one in rules if one.losses is not None), default=None)
