"""WorkflowBuilder: the fluent way to write a workflow.

Owns: the fluent calls.
Must never: raise for a wrong definition before `build()`, which reports everything at once.
Read next: `data_flow.py` (the data-flow rules), `factory.py`, `core/soundness.py` (the checks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, Unpack, cast

from durable_wf.authoring.breakers import breaker as make_breaker
from durable_wf.authoring.factory import Draft, TaskFactory
from durable_wf.authoring.options import Compensation, TaskOptions, read_metadata, read_tags
from durable_wf.authoring.task import TaskFunction
from durable_wf.core import soundness
from durable_wf.core.breaker import Breaker
from durable_wf.core.compensation import SUFFIX
from durable_wf.core.definition import Task, WaitFor, Workflow
from durable_wf.core.names import name_problem
from durable_wf.core.units import Duration, Size, parse_limit
from durable_wf.core.wording import count_of
from durable_wf.errors import DefinitionError
from durable_wf.recovery.combine import Exceptions
from durable_wf.recovery.ready import LOSSES
from durable_wf.recovery.ready import retry as retry_rule
from durable_wf.recovery.rule import NamedRule, Rule, named_all
from durable_wf.recovery.waits import Wait


class WorkflowBuilder:
    """Describes a workflow task by task; `build()` checks it and gives the Workflow.

    Calls after `add_task` speak of the task that was added last. `tags` and `metadata` are for
    people and searches. `rules` are asked about every task that failed, after its own. A run that
    has not ended within `deadline` of its creation fails.
    Raises DefinitionError from `build()` only, with all problems together.
    """

    def __init__(
        self,
        name: str,
        description: str = "",
        *,
        tags: Sequence[str] = (),
        metadata: Mapping[str, object] | None = None,
        rules: Sequence[Rule] = (),
        deadline: Duration | None = None,
    ) -> None:
        self.name = name
        self._description: object = description
        self._tags = tags
        self._metadata = metadata or {}
        self._rules = rules
        self._deadline = deadline
        self._factory = TaskFactory()
        self._drafts: list[Draft] = []

    def add_task(
        self,
        name: str | Callable[..., Any],
        function: Callable[..., Any] | WaitFor | None = None,
        parameters: Mapping[str, object] | None = None,
        **options: Unpack[TaskOptions],
    ) -> Self:
        """Add a task that calls `function`, with `parameters` as given values. In place of a
        function stands what it waits for: `approval`, `wait_for_signal` or `sleep`.

        A function alone, `add_task(extract)`, gives the task its own name. Options are those of
        `@task` and win over them: `timeout="10m"`, `cpu=2`, `optional=True` (see `TaskOptions`).
        """
        if function is None and callable(name):
            function = name
            own = function.name if isinstance(function, TaskFunction) else ""
            name = own or str(getattr(function, "__name__", ""))
        first: object = name
        if isinstance(first, WaitFor):  # it stands where the name should
            name, function = "", first
        settings = cast("Mapping[str, object]", options)
        draft = self._factory.draft(cast("str", name), function, parameters, settings)
        self._drafts.append(draft)
        return self

    def depends_on(self, *names: str | TaskFunction[..., Any]) -> Self:
        """The task runs after these and receives their results (the rules are in the guide)."""
        self._last("depends_on").order(names, data=True)
        return self

    def after(self, *names: str | TaskFunction[..., Any]) -> Self:
        """The task runs after these and receives nothing of them."""
        self._last("after").order(names, data=False)
        return self

    def bind(self, **sources: object) -> Self:
        """Say which parameter receives what: `bind(rows="extract", key=ref("cfg")["key"])`."""
        self._last("bind").bind(sources)
        return self

    def optional(self, optional: bool = True) -> Self:
        """A failure of the task does not fail the run; downstream receives a `Missing`."""
        return self._set(optional=optional)

    def timeout(self, duration: Duration | None) -> Self:
        """An attempt is killed after this time: seconds, a timedelta, "10m", "1h30m"."""
        return self._set(timeout=duration)

    def deadline(self, duration: Duration | None) -> Self:
        """All attempts of the task together, with the waits between them, may take this long."""
        return self._set(deadline=duration)

    def heartbeat(self, duration: Duration | None) -> Self:
        """An attempt that sends no heartbeat for this long is killed."""
        return self._set(heartbeat=duration)

    def breaker(
        self,
        key: str | Breaker,
        *,
        failures: int = 5,
        within: Duration = "1m",
        cooldown: Duration = "30s",
        when_open: str = "wait",
        on: Exceptions | None = None,
    ) -> Self:
        """Start the task only while this circuit breaker lets it. The arguments are those of
        `wf.breaker`, or one such breaker.
        """
        if isinstance(key, Breaker):
            return self._set(breaker=key)
        try:
            made = make_breaker(
                key,
                failures=failures,
                within=within,
                cooldown=cooldown,
                when_open=when_open,
                on=on,
            )
        except DefinitionError as error:
            self._last("breaker").problems += (f"breaker: {error.message}",)
            return self
        return self._set(breaker=made)

    def priority(self, priority: int) -> Self:
        """Among tasks that could start, higher ones do first. The default is 0."""
        return self._set(priority=priority)

    def resources(
        self,
        *,
        cpu: float | None = None,
        memory: Size | None = None,
        gpu: int | None = None,
        pools: Mapping[str, int] | None = None,
    ) -> Self:
        """What an attempt occupies: cores, bytes (or "4GB"), GPUs, units of named pools."""
        given = {"cpu": cpu, "memory": memory, "gpu": gpu, "pools": pools}
        return self._set(**{name: value for name, value in given.items() if value is not None})

    def estimate(self, duration: Duration) -> Self:
        """How long it will probably take; used for order and plans until runs were recorded."""
        return self._set(estimate=duration)

    def describe(self, description: str) -> Self:
        """A sentence for people."""
        return self._set(description=description)

    def retry(
        self,
        attempts: int | Rule | None = 3,
        *,
        wait: Wait | Duration | None = None,
        on: Exceptions | None = None,
        within: Duration | None = None,
        budget: int | None = None,
        losses: int = LOSSES,
    ) -> Self:
        """Try the task again when it fails: up to `attempts` in all. The arguments are those of
        `wf.retry`, or one such rule.
        """
        if callable(attempts):
            return self._set(retry=attempts)
        try:
            rule = retry_rule(
                attempts, wait=wait, on=on, within=within, budget=budget, losses=losses
            )
        except DefinitionError as error:
            self._last("retry").problems += (f"retry: {error.message}",)
            return self
        return self._set(retry=rule)

    def on_fault(self, *rules: Rule) -> Self:
        """Ask these rules when the task fails, after those that were given before."""
        given = self._last("on_fault").options.get("on_fault", ())
        before = (given,) if callable(given) else tuple(cast("Sequence[Rule]", given))
        return self._set(on_fault=(*before, *rules))

    def fallback(self, instead: object) -> Self:
        """When the task has failed, take this value, or call this function with its arguments."""
        return self._set(fallback=instead)

    def in_doubt(self, policy: str | Callable[..., Any]) -> Self:
        """What becomes of an attempt that its worker or engine took with it: "rerun", "fail",
        "ask", or a probe function (see `TaskOptions`).
        """
        return self._set(in_doubt=policy)

    def compensate(
        self,
        function: Callable[..., Any] | None,
        *,
        retry: int | Rule | None = None,
        on_fault: Rule | Sequence[Rule] = (),
    ) -> Self:
        """When the run fails or is cancelled, call this function to take back what the task did.

        It gets by name what the task was given, and what the task returned as `result`. When it
        fails itself, `retry` and `on_fault` are asked, then a person is. It may take as long and as
        much as the task, unless `@task` gives it limits of its own.
        """
        options: dict[str, object] = {} if retry is None else {"retry": retry}
        if on_fault != ():
            options["on_fault"] = on_fault
        return self._set(compensate=function and Compensation(function, options))

    def build(self) -> Workflow:
        """The workflow, checked. Raises DefinitionError listing everything that is wrong;
        CycleError when cycles are all that is.
        """
        problems = [problem] if (problem := name_problem("the workflow's name", self.name)) else []
        fields = self._own_fields(problems)
        if not self._drafts:
            problems.append("it has no tasks; add one with add_task(name, function)")
        tasks = self._tasks(problems)
        problems += soundness.of_tasks(tasks)
        wrong, cycles = soundness.of_graph(
            [(draft.name, _upstream(draft)) for draft in self._drafts]
        )
        problems += wrong
        count = count_of(len(problems) + len(cycles), "problem")
        soundness.refuse(f"workflow {self.name!r} cannot be built: {count}", problems, cycles)
        functions = {draft.name: draft.known.function for draft in self._drafts if draft.known}
        rules: tuple[NamedRule, ...] = fields.pop("recovery")
        recovery = {draft.name: draft.rules for draft in self._drafts if draft.rules}
        recovery |= {d.name + SUFFIX: d.undo_rules for d in self._drafts if d.undo_rules}
        recovery |= {"": rules} if rules else {}
        companions = {p: f for draft in self._drafts for p, f in draft.companions.items()}
        return Workflow(
            self.name, tuple(tasks), functions=functions, recovery=recovery, companions=companions,
            rules=tuple(rule.label for rule in rules), beside=self._factory.fallbacks(rules),
            **fields,
        )  # fmt: skip

    def _set(self, **options: object) -> Self:
        draft = self._last(next(iter(options), "resources"))
        draft.options = {**draft.options, **options}
        return self

    def _last(self, call: str) -> Draft:
        if not self._drafts:
            raise DefinitionError(f"{call}() speaks of the last task, but none has been added")
        return self._drafts[-1]

    def _own_fields(self, problems: list[str]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if isinstance(self._description, str):
            fields["description"] = self._description
        else:
            problems.append(f"the description must be a text, not {self._description!r:.60}")
        try:
            fields["tags"] = read_tags(self._tags)
            fields["metadata"] = read_metadata(self._metadata)
            fields["recovery"] = named_all(self._rules)
        except DefinitionError as error:
            problems.append(error.message)
        try:
            if self._deadline is not None:
                fields["deadline_s"] = parse_limit(self._deadline)
        except DefinitionError as error:
            problems.append(f"deadline: {error.message}")
        return fields

    def _tasks(self, problems: list[str]) -> list[Task]:
        tasks = []
        finish = self._factory.finish
        for draft in self._drafts:
            task, wrong = finish(draft)
            if task is not None:
                tasks.append(task)
            problems += [f"task {draft.name!r}: {text}" for text in wrong]
        return tasks


def _upstream(draft: Draft) -> tuple[str, ...]:
    if not draft.bound and not draft.after:
        return draft.depends
    return (*draft.depends, *(source.task for source in draft.bound.values()), *draft.after)
