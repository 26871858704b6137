"""Judging: how a run's rules are asked, and which functions they may fall back to.

Owns: Judge, which gives a rule its view of the state and reports one that is slow.
Must never: decide by itself, or let a rule stop the engine.
Read next: `recovery/chain.py`; `loop.py`, which asks at the obligation to judge.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from durable_wf.core import inputs as i
from durable_wf.core.circuit import Outcome
from durable_wf.core.compensation import SUFFIX
from durable_wf.core.definition import Workflow
from durable_wf.core.judge import declared, judge
from durable_wf.core.state import RunState
from durable_wf.core.status import TASK_FINAL
from durable_wf.core.values_classes import NO_CLASSES, Classes, classes_of
from durable_wf.engine.watchdog import Asked, Watchdog
from durable_wf.errors import NotFound
from durable_wf.recovery.chain import Rules, answer_of, decide, label_of
from durable_wf.recovery.decisions import Decision
from durable_wf.recovery.history import Fault, History, no_outcomes
from durable_wf.recovery.rule import NamedRule

log = logging.getLogger("durable_wf.engine")

SLOW_S = 1.0
"""A rule that takes longer is named in the log: the whole engine waits for it."""

_WATCHDOG = Watchdog(SLOW_S)

Fallbacks = dict[tuple[str, str], Callable[..., Any]]
"""(task, or "" for all tasks; name of the function in the log) -> fallback function."""


@attrs.define(eq=False)
class Judge:
    """Decides about FAULTED tasks of one run by its rules. `monotonic_s` times them, `outcomes`
    reads how the last attempts behind a breaker ended.
    """

    rules: Rules
    monotonic_s: Callable[[], float]
    outcomes: Callable[[str], Sequence[Outcome]] = no_outcomes

    def __call__(self, state: RunState, index: int) -> i.Decision:
        """The decision; always one, whatever the rules do."""
        if (decision := declared(state, index)) is not None:
            return decision
        name = state.graph.names[index]
        rules = self.rules.of_task(name)
        if not rules:
            return judge(state, index)
        return decide(
            index,
            rules,
            History.of(state, index, self.outcomes),
            Fault.of(state.faults[index], state.attempts[index]),
            lambda budget: judge(state, index, budget),
            ask=self._ask,
            classes=_classes(state, name),
        )

    def each(self, state: RunState, index: int) -> Iterator[tuple[NamedRule, i.Decision | None]]:
        """What every rule says about a FAULTED task, in order; None: it has no answer. The first
        that has one decides.
        """
        name = state.graph.names[index]
        history = History.of(state, index, self.outcomes)
        fault = Fault.of(state.faults[index], state.attempts[index])
        classes = _classes(state, name)
        for rule in self.rules.of_task(name):
            yield rule, answer_of(index, rule, history, fault, ask=self._ask, classes=classes)

    def _ask(self, rule: NamedRule, history: History, fault: Fault) -> Decision | None:
        began = self.monotonic_s()
        try:
            with _WATCHDOG.watching(Asked(rule.name, history.task, history.run_id)):
                return rule(history, fault)
        finally:
            took = self.monotonic_s() - began
            if took > SLOW_S:
                log.warning(
                    "rule %r took %.1f s to decide about task %r of run %s; nothing else "
                    "happened meanwhile", rule.name, took, history.task, history.run_id,
                )  # fmt: skip


def _classes(state: RunState, task: str) -> Classes:
    """The classes that may stand in fallback values of a task."""
    function = state.workflow.functions.get(task)
    return classes_of(function) if function is not None else NO_CLASSES


def fallbacks_of(workflow: Workflow, rules: Rules) -> Fallbacks:
    """The functions that the rules may fall back to."""
    found: Fallbacks = {}
    for task, own in rules.tasks.items():
        for rule in own:
            found.update(((task, label_of(function)), function) for function in rule.functions)
    for rule in rules.engine:
        for function in rule.functions:
            found.setdefault(("", label_of(function)), function)
    names = {task.name for task in workflow.tasks} | {""}
    names |= {task.name + SUFFIX for task in workflow.tasks if task.undo is not None}
    return {place: function for place, function in found.items() if place[0] in names}


def refuse_lost_fallbacks(state: RunState, known: Fallbacks) -> None:
    """Raise NotFound when an unfinished task has fallen back to a function that is not at hand."""
    for index, past in state.past.items():
        name = state.graph.names[index]
        there = {(name, past.fallback), ("", past.fallback)} & known.keys()
        if past.fallback and state.tasks[index] not in TASK_FINAL and not there:
            raise NotFound(
                f"run {state.run_id}: task {name!r} has fallen back to {past.fallback}, "
                "which none of its rules gives any more",
                hint="resume it with the rules that it had",
            )


def rules_named(workflow: Workflow) -> set[str]:
    """The names and versions of all rules that a definition names."""
    named = {label for task in workflow.tasks for label in task.rules} | set(workflow.rules)
    return named | {label for task in workflow.tasks if task.undo for label in task.undo.rules}


def warn_of_lost_rules(run_id: str, workflow: Workflow) -> None:
    """Say it when the definition names rules that did not come with its code."""
    named = rules_named(workflow)
    if named and not workflow.recovery:
        log.warning(
            "run %s: its recovery rules (%s) are not at hand, so the default decides; they come "
            "with the script or module that builds the workflow",
            run_id, ", ".join(sorted(named)[:5]),
        )  # fmt: skip
