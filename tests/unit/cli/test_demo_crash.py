"""The proof of `dwf demo --crash` is read from the events, and it can fail."""

from __future__ import annotations

import attrs
import pytest

from durable_wf.cli.demo_crash import Proof, kill_half_way, proof
from durable_wf.core import events as e
from durable_wf.core.events import Fault, Recorded
from durable_wf.core.status import FaultKind
from durable_wf.errors import VerificationFailed


def started(task: str, attempt: int = 1) -> e.AttemptStarted:
    return e.AttemptStarted(task, attempt, "w-00000000-1", 1, 1)


def succeeded(task: str, attempt: int = 1) -> e.AttemptSucceeded:
    return e.AttemptSucceeded(task, attempt, "null", 0, 0)


def in_doubt(task: str) -> e.AttemptFailed:
    return e.AttemptFailed(task, 1, Fault(FaultKind.IN_DOUBT))


KILLED_AND_RESUMED: list[e.Event] = [
    e.RunCreated("w", "00", 4),
    e.RunClaimed("e-1", "create"),
    e.RunStarted(),
    started("a"),
    succeeded("a"),
    started("b"),
    started("c"),
    e.RunClaimed("e-2", "resume"),
    in_doubt("b"),
    e.TaskRetryScheduled("b", 0, "in_doubt", "again"),
    e.AttemptReturned("c", 1),
    started("b", 2),
    started("c"),
    succeeded("b", 2),
    succeeded("c"),
    started("d"),
    succeeded("d"),
    e.RunSucceeded(),
]


def read(history: list[e.Event]) -> Proof:
    return proof(Recorded(n, 0, event) for n, event in enumerate(history, 1))


def test_the_proof_counts_what_was_finished_in_doubt_and_returned():
    found = read(KILLED_AND_RESUMED)
    assert attrs.astuple(found) == (4, 1, 0, 1, 1, ())
    assert found.holds


def test_a_finished_task_that_starts_again_is_caught():
    found = read([*KILLED_AND_RESUMED[:8], started("a", 2), succeeded("a", 2)])
    assert (found.again, found.twice) == (1, ("a",))
    assert not found.holds


def test_a_run_without_a_kill_has_nothing_finished_before():
    found = read([e.RunCreated("w", "00", 1), e.RunClaimed("e-1", "create"), started("a")])
    assert found.finished == 0
    assert found.holds


def test_an_engine_that_ends_by_itself_is_told_with_what_it_said(tmp_path):
    with pytest.raises(VerificationFailed, match="ended by itself"):
        kill_half_way(["no-such-command"], tmp_path / "store", "run")
