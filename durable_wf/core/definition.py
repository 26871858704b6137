"""Definitions: what a workflow is, before any run of it exists.

Owns: Workflow, and its JSON form's place: `to_json`, `from_json`. All values are frozen; two
definitions are equal when their JSON is.
Must never: call, import or inspect a user's function. `Workflow.functions` carries the callables
from the builder to the engine and takes no part in equality or JSON.
Read next: `task.py` for the tasks, `digests.py` for what makes two definitions the same, `graph.py`
for order and levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import attrs

from durable_wf.core import definition_json, soundness
from durable_wf.core.plan import ExecutionPlan, plan
from durable_wf.core.resources import Capacity, Resources
from durable_wf.core.task import FunctionRef as FunctionRef
from durable_wf.core.task import Literal as Literal
from durable_wf.core.task import PayloadRef as PayloadRef
from durable_wf.core.task import Source as Source
from durable_wf.core.task import Task as Task
from durable_wf.core.task import Undo as Undo
from durable_wf.core.task import Upstream as Upstream
from durable_wf.core.task import Value as Value
from durable_wf.core.task import WaitFor as WaitFor

_MOST_TOLD_OF_TEXT = 20
"""Problems. Who has crafted a file is not to fill a screen."""


@attrs.frozen
class Workflow:
    """A named graph of tasks.

    `tasks` keeps the order in which they were added. `functions` maps task names to callables and
    is present only where the definition was built, not where it was read back from JSON. The same
    holds for `recovery`, the recovery rules by task, those for all tasks under ""; `rules` and
    `Task.rules` are their names and versions, which the JSON keeps. `companions` are the functions
    that stand beside a task's own, by place and label: probes by the name of their task,
    compensations by their own. `beside` holds the fingerprints of the fallbacks of its own rules
    (see Task). A run that has not ended after `deadline_s` fails.
    """

    name: str
    tasks: tuple[Task, ...]
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    rules: tuple[str, ...] = ()
    deadline_s: float | None = None
    beside: tuple[tuple[str, str], ...] = ()
    functions: Mapping[str, Callable[..., Any]] = attrs.field(
        factory=dict, eq=False, repr=False, hash=False
    )
    recovery: Mapping[str, tuple[Any, ...]] = attrs.field(
        factory=dict, eq=False, repr=False, hash=False
    )
    companions: Mapping[tuple[str, str], Callable[..., Any]] = attrs.field(
        factory=dict, eq=False, repr=False, hash=False
    )

    def plan(self, has: Resources | Capacity | None = None) -> ExecutionPlan:
        """What a run would look like on a machine that `has` these, or, if nothing is said, has
        room for all tasks at once; by estimates, without running.

        Raises DefinitionError for a graph that is not sound or a task that could never start.
        """
        if has is None:
            has = Capacity.for_all(task.resources for task in self.tasks)
        return plan(self.tasks, Capacity.of(has) if isinstance(has, Resources) else has)

    def to_json(self) -> str:
        """The definition as a JSON document, without its callables; `from_json` gives it back."""
        own = {
            "name": self.name, "description": self.description, "tags": self.tags,
            "rules": self.rules, "deadline_s": self.deadline_s, "metadata": self.metadata,
            "beside": self.beside,
        }  # fmt: skip
        return definition_json.write(own, self.tasks)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The definition that `to_json` wrote.

        Raises DefinitionError for text that is not JSON, another format or version, fields that
        are unknown, missing or of the wrong type, and then for all that is not sound; CycleError
        where cycles are all that is.
        """
        workflow = cls.as_recorded(text)
        soundness.check(workflow, most=_MOST_TOLD_OF_TEXT)
        return workflow

    @classmethod
    def as_recorded(cls, text: str | bytes) -> Self:
        """The same, of a definition that stands in a log: it was judged when it was written there,
        perhaps by a version that knew less, and what has run can always be looked at.
        """
        return cls(**definition_json.read(text))
