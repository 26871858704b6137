"""Known: definitions and code that many runs share, read once for all of them.

Owns: the last few of each.
Must never: outlive its session: code that changes on the disk is read again by the next one.
Read next: `waking.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from durable_wf.core.definition import Workflow
from durable_wf.core.graph import Graph
from durable_wf.core.state import RunState
from durable_wf.core.summary import RunRow
from durable_wf.engine.view import load_definition
from durable_wf.store.port import Log

T = TypeVar("T")

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


class Known:
    """What one engine has read of definitions and code."""

    def __init__(self) -> None:
        self._definitions: Newest[tuple[Workflow, Graph]] = Newest()
        self._code: Newest[Workflow] = Newest()

    def definition(self, log: Log, row: RunRow) -> tuple[Workflow, Graph]:
        """The definition that a run follows, and its graph. Raises PayloadMissing."""

        def load() -> tuple[Workflow, Graph]:
            workflow = load_definition(log, row)
            return workflow, Graph(workflow.tasks)

        return self._definitions.get(row.definition, load)

    def code(self, state: RunState, load: Callable[[], Workflow]) -> Workflow:
        """The workflow of a run with its functions. Raises what `load` does."""
        created = state.created
        assert created is not None
        key = (
            state.definition, created.target, created.script, created.module, created.argv,
            created.cwd,
        )  # fmt: skip
        return self._code.get(key, load)
