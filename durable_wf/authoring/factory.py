"""TaskFactory: from a function and what is said about it to a Task definition.

Owns: Draft (a task while it is being described), what is learned once about each function, the
checks of a single task.
Must never: know the other tasks; what needs the whole graph is the builder's.
Read next: `builder.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Unpack, cast

import attrs

from durable_wf.authoring.companions import companions, fallbacks, unfit
from durable_wf.authoring.data_flow import Bound, Inputs, Ref, bind
from durable_wf.authoring.fingerprint import function_ref, innermost
from durable_wf.authoring.options import TaskOptions, read_options
from durable_wf.authoring.signature import Shape, shape_of
from durable_wf.authoring.task import TaskFunction
from durable_wf.authoring.waits import MAKERS, waiting_task
from durable_wf.core import values
from durable_wf.core.definition import (
    FunctionRef,
    Literal,
    Source,
    Task,
    Upstream,
    WaitFor,
)
from durable_wf.core.names import task_name_problem
from durable_wf.core.values_classes import Classes, classes_of
from durable_wf.errors import DefinitionError, NotStorable
from durable_wf.recovery.rule import NamedRule

_ASYNC_GENERATOR: Final = 0x0200
"""Flag of code objects. A coroutine is fine: whoever runs the task runs it to its end."""


class Known:
    """What is learned once about a function: the same for all tasks that use it."""

    __slots__ = ("_classes", "_ref", "function", "last", "options", "problem", "shape")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.shape: Shape = shape_of(function)
        settings = function.settings if isinstance(function, TaskFunction) else {}
        self.options = read_options(settings)
        self.problem = ""
        code = getattr(innermost(function), "__code__", None)
        if code is not None and code.co_flags & _ASYNC_GENERATOR:
            self.problem = (
                "the function is an asynchronous generator; give one that returns its result"
            )
        if any(function is maker for maker in MAKERS):
            called = getattr(function, "__name__", "")
            self.problem = f"call it: add_task('review', {called}(...))"
        self.last: tuple[tuple[str, ...], Bound] | None = None
        self._classes: Classes | None = None
        self._ref: FunctionRef | None = None

    def ref(self) -> FunctionRef:
        """Where it is found. Asked for late, when the module around it stands."""
        if self._ref is None:
            self._ref = function_ref(self.function)
        return self._ref

    def literal(self, name: str, value: object) -> Literal:
        """The value as it is stored. Raises DefinitionError when it cannot be."""
        if self._classes is None:
            self._classes = classes_of(self.function)
        try:
            return Literal(values.encode(value, self._classes, name=name))
        except NotStorable as error:
            raise DefinitionError(f"parameter {name!r} cannot be stored: {error.message}") from None


@attrs.define(eq=False)
class Draft:
    """A task while it is being described. `given` are stored values already, so that what its
    writer changes later changes nothing here.
    """

    name: str
    known: Known | None
    given: Mapping[str, Source]
    depends: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    bound: Mapping[str, Upstream] = attrs.field(factory=dict)
    options: Mapping[str, object] = attrs.field(factory=dict)
    problems: tuple[str, ...] = ()
    rules: tuple[NamedRule, ...] = ()
    wait: WaitFor | None = None
    companions: Mapping[tuple[str, str], Callable[..., Any]] = attrs.field(factory=dict)
    undo_rules: tuple[NamedRule, ...] = ()

    def order(self, names: Iterable[object], *, data: bool) -> None:
        """Add upstreams; with `data` their results are to be bound to parameters."""
        found = tuple(self._name_of(name) for name in names)
        if data:
            self.depends = tuple(dict.fromkeys(self.depends + found)) if self.depends else found
        else:
            self.after += found

    def bind(self, sources: Mapping[str, object]) -> None:
        """Say where parameters come from: a task's name, or a `ref`."""
        for name, source in sources.items():
            if isinstance(source, Ref):
                self.bound = {**self.bound, name: Upstream(source.task, source.path)}
            elif isinstance(source, str | TaskFunction):
                self.bound = {**self.bound, name: Upstream(self._name_of(source))}
            else:
                self._problem(
                    f"bind {name}={source!r:.60}: give the name of a task or ref(...); "
                    "plain values go into parameters"
                )

    def _name_of(self, task: object) -> str:
        if isinstance(task, TaskFunction):
            return task.name
        if not isinstance(task, str):
            self._problem(f"{task!r:.60} is no name of a task; give names one by one")
            return str(task)
        return task

    def _problem(self, text: str) -> None:
        self.problems += (text,)


_NO_OPTIONS: Final[Mapping[str, object]] = {}
_NONE_GIVEN: Final[Mapping[str, Source]] = {}


class TaskFactory:
    """Makes Task definitions of functions.

    It remembers what it has learned about each function, so that many tasks of one function cost
    little. A WorkflowBuilder has one of its own.
    """

    def __init__(self) -> None:
        self._known: dict[object, Known] = {}

    def create(
        self,
        name: str,
        function: Callable[..., Any] | WaitFor,
        parameters: Mapping[str, object] | None = None,
        *,
        depends_on: Iterable[str] = (),
        after: Iterable[str] = (),
        bind: Mapping[str, object] | None = None,
        **options: Unpack[TaskOptions],
    ) -> Task:
        """One task. Raises DefinitionError with everything that is wrong with it."""
        draft = self.draft(name, function, parameters, cast("Mapping[str, object]", options))
        draft.order(depends_on, data=True)
        draft.order(after, data=False)
        draft.bind(bind or {})
        task, problems = self.finish(draft)
        if task is None:
            raise DefinitionError(f"task {name!r} cannot be made", problems=problems)
        return task

    def draft(
        self,
        name: str,
        function: object,
        parameters: Mapping[str, object] | None,
        options: Mapping[str, object],
    ) -> Draft:
        """Begin a task. Nothing is raised; what is wrong is kept for `finish`."""
        if isinstance(function, WaitFor):
            problems = ("it calls nothing, so it takes no parameters",) if parameters else ()
            options = options or _NO_OPTIONS
            return Draft(name, None, _NONE_GIVEN, options=options, problems=problems, wait=function)
        if not callable(function):
            problem = f"{function!r:.60} is not a function"
            return Draft(name, None, _NONE_GIVEN, problems=(problem,))
        known = self._learn(function)
        draft = Draft(name, known, _NONE_GIVEN, options=options or _NO_OPTIONS)
        if parameters:
            self._give(draft, known, parameters)
        return draft

    def _give(self, draft: Draft, known: Known, parameters: object) -> None:
        if not isinstance(parameters, Mapping):
            draft.problems += (f"parameters must be a mapping, not {parameters!r:.60}",)
            return
        given: dict[str, Source] = {}
        for name, value in parameters.items():
            if isinstance(value, Ref):
                draft.bind({name: value})
                continue
            try:
                given[name] = known.literal(name, value)
            except DefinitionError as error:
                draft.problems += (error.message,)
                given[name] = Literal("null")
        draft.given = given

    def _learn(self, function: Callable[..., Any]) -> Known:
        try:
            known = self._known.get(function)
            key: object = function
        except TypeError:  # a callable object that cannot be hashed
            key = id(function)
            known = self._known.get(key)
        if known is None:
            known = self._known[key] = Known(function)
        return known

    def fallbacks(self, rules: Iterable[NamedRule]) -> tuple[tuple[str, str], ...]:
        """The fingerprints of the functions that rules for all tasks may fall back to."""
        return tuple(fallbacks(rules, self._learn).items())

    def finish(self, draft: Draft) -> tuple[Task | None, list[str]]:
        """The task, or what is wrong with it: sentences that do not name it."""
        problems = list(draft.problems)
        if bad := task_name_problem(draft.name):
            problems.insert(0, bad)
        known = draft.known
        if draft.wait is not None:
            return self._waiting(draft, draft.wait, problems)
        if known is None:
            return None, problems
        fields, wrong = known.options
        if draft.options:
            settings = known.function.settings if isinstance(known.function, TaskFunction) else {}
            fields, wrong = read_options({**settings, **draft.options})
        bound, upstream = self._bind(draft, known)
        beside: dict[str, str] = {}
        if "recovery" in fields:
            fields = {**fields}
            draft.rules = fields.pop("recovery")
            fields["rules"] = tuple(rule.label for rule in draft.rules)
            functions = [function for rule in draft.rules for function in rule.functions]
            wrong = [*wrong, *unfit("fallback", functions, bound)]
            beside = fallbacks(draft.rules, self._learn)
        if ("in_doubt" in fields or "compensate" in fields) and not bound.problems:
            found = companions(draft.name, known, bound, fields, self._learn)
            own = {name: value for name, value in fields.items() if name != "compensate"}
            fields = {**own, **found.fields}
            draft.companions, draft.undo_rules = found.functions, found.rules
            beside |= found.beside
            wrong = [*wrong, *found.problems]
        problems += [*wrong, *bound.problems]
        if known.problem:
            problems.append(known.problem)
        if problems:
            return None, problems
        if beside:
            fields = {**fields, "beside": tuple(beside.items())}
        return Task(draft.name, known.ref(), upstream, bound.args, bound.kwargs, **fields), problems

    @staticmethod
    def _waiting(draft: Draft, wait: WaitFor, problems: list[str]) -> tuple[Task | None, list[str]]:
        """A task that waits: its upstreams give it order, whichever way they were named."""
        if draft.bound:
            problems.append("it calls nothing, so nothing can be bound; order it with .after(...)")
        upstream = tuple(dict.fromkeys((*draft.depends, *draft.after)))
        task, wrong = waiting_task(draft.name, wait, upstream, draft.options)
        problems += wrong
        return (None if problems else task), problems

    @staticmethod
    def _bind(draft: Draft, known: Known) -> tuple[Bound, tuple[str, ...]]:
        """Arguments and upstreams; what the previous task of this function got is used again."""
        depends = draft.depends
        if draft.given or draft.bound:
            bound = bind(known.shape, Inputs(depends, draft.given, draft.bound), known.literal)
        elif known.last is not None and known.last[0] == depends:
            depends, bound = known.last
        else:
            bound = bind(known.shape, Inputs(depends), known.literal)
            known.last = (depends, bound)
        if not draft.bound and not draft.after:
            return bound, depends
        tasks = (source.task for source in draft.bound.values())
        return bound, tuple(dict.fromkeys((*depends, *tasks, *draft.after)))
