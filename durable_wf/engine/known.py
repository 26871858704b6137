"""Known: definitions and code that many runs share, read once for all of them.

Owns: the last few of each.
Must never: outlive its session: code that changes on the disk is read again by the next one.
Read next: `waking.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import attrs

from durable_wf.core.definition import Workflow
from durable_wf.core.digests import code_digest, inputs_digest, structure_digest
from durable_wf.core.graph import Graph
from durable_wf.core.state import RunState
from durable_wf.core.summary import RunRow
from durable_wf.engine.view import load_definition
from durable_wf.store.port import Log

T = TypeVar("T")

SMALL = 1_000
"""Definitions with more tasks than this are not kept for further runs."""

MOST = 16
"""So many definitions are kept: those of the workflows that are really used side by side."""


class Newest(Generic[T]):
    """The values that were asked for last, by key."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made when it is not there."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        value = self._kept[key] = make()
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return value


@attrs.frozen(eq=False)
class Written:
    """A definition as its runs name it: its bytes, its graph, the three digests."""

    workflow: Workflow
    graph: Graph
    data: bytes
    structure: str
    inputs: str
    code: str

    @classmethod
    def of(cls, workflow: Workflow) -> Written:
        """Write the definition. Raises DefinitionError."""
        return cls(
            workflow,
            Graph(workflow.tasks),
            workflow.to_json().encode(),
            structure_digest(workflow),
            inputs_digest(workflow),
            code_digest(workflow),
        )


class Known:
    """What one engine has read, or written, of definitions and code."""

    def __init__(self) -> None:
        self._written: Newest[Written] = Newest()
        self._definitions: Newest[tuple[Workflow, Graph]] = Newest()
        self._code: Newest[Workflow] = Newest()

    def written(self, workflow: Workflow) -> Written:
        """The definition of new runs, written once for all that are started with this very
        object; large ones are written for each, since runs of them take longer than that.
        """
        if len(workflow.tasks) > SMALL:
            return Written.of(workflow)
        # It keeps the workflow, so nothing else can have its id meanwhile.
        return self._written.get(id(workflow), lambda: Written.of(workflow))

    def definition(self, log: Log, row: RunRow) -> tuple[Workflow, Graph]:
        """The definition that a run follows, and its graph. Raises PayloadMissing."""

        def load() -> tuple[Workflow, Graph]:
            workflow = load_definition(log, row)
            return workflow, Graph(workflow.tasks)

        return self._definitions.get(row.definition, load)

    def code(self, state: RunState, load: Callable[[], Workflow]) -> Workflow:
        """The workflow of a run with its functions. Raises what `load` does.

        Runs share it whose code a target names. That of a script's run is had from the very call
        that made it: what differs between two of them need not be seen.
        """
        created = state.created
        assert created is not None
        own = state.run_id if created.script else ""
        key = state.definition, created.target, created.cwd, own
        return self._code.get(key, load)
