"""Adding a kind of event is routine: a class, a row in a table, an effect, and the codec knows it.

This test walks through it with a kind that does not exist: a person adds a note to a run.
"""

from __future__ import annotations

import attrs
import pytest
from histories_of import A_THEN_B, CREATED, STARTED, recorded, state_after

from durable_wf.core import events as e
from durable_wf.core import evolve as evolving
from durable_wf.core import tables
from durable_wf.core.codec import Codec
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState
from durable_wf.core.status import RunStatus, TaskStatus
from durable_wf.errors import HistoryError

# 1. A class.


@attrs.frozen
class RunNoted:
    """A person wrote something down."""

    actor: str
    text: str
    tags: tuple[str, ...] = ()


@attrs.frozen
class TaskHeld:
    """A person wants to look before the task starts."""

    task: str
    actor: str


NOTED = RunNoted("ann", "the source was late", ("ops",))
HELD = TaskHeld("a", "ann")


@pytest.fixture
def taught(monkeypatch):
    """2. A row in a table. 3. An effect, where the row does not say it all."""
    row = {**tables.RUN[RunStatus.RUNNING], RunNoted: RunStatus.RUNNING}
    monkeypatch.setattr(evolving, "RUN", {**tables.RUN, RunStatus.RUNNING: row})

    def held(state, index, event, at):
        state.waiting[index] = 0

    rule = (frozenset({RunStatus.RUNNING}), {TaskStatus.PENDING: TaskStatus.WAITING}, held)
    monkeypatch.setitem(evolving._TASK_RULES, TaskHeld, rule)


@pytest.mark.parametrize("event", [NOTED, HELD])
def test_before_it_is_known_it_is_illegal(event):
    """An event that no table names cannot stand in a history."""
    with pytest.raises(HistoryError, match=type(event).__name__):
        state_after(CREATED, STARTED, event)


def test_a_run_event_needs_a_row(taught):
    """The row alone makes it legal, where it says, and counts it."""
    state = state_after(CREATED, STARTED, NOTED)
    assert (state.n, state.status) == (3, RunStatus.RUNNING)
    with pytest.raises(HistoryError, match="RunNoted cannot stand here: the run is pending"):
        state_after(CREATED, NOTED)


def test_a_task_event_needs_a_row_and_says_what_else_changes(taught):
    """The state of the task follows from the row, the rest from the effect."""
    state = state_after(CREATED, STARTED, HELD)
    assert state.tasks[0] is TaskStatus.WAITING
    assert state.counts[TaskStatus.WAITING] == 1
    assert state.all_ready() == []
    with pytest.raises(HistoryError, match="the task is waiting"):
        replay(state, recorded(HELD, after=3))


def test_the_codec_needs_the_class_alone(taught):
    """4. Its JSON follows from its fields."""
    codec = Codec({**e.KINDS, "RunNoted": RunNoted, "TaskHeld": TaskHeld}, {})
    stored = [codec.encode(event) for event in (CREATED, STARTED, NOTED, HELD)]

    assert stored[2] == (
        "RunNoted", "", 0, '{"actor":"ann","text":"the source was late","tags":["ops"]}',
    )  # fmt: skip
    assert stored[3] == ("TaskHeld", "a", 0, '{"actor":"ann"}')
    again = recorded(*(codec.decode(*row) for row in stored))
    assert replay(RunState.of("r", A_THEN_B), again).n == 4
