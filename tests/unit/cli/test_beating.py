"""The last heartbeat of a task, as people and programs see it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from histories_of import CLAIMED, CREATED, STARTED, begun, broke
from loop_rig import put

from durable_wf.cli.beating import heartbeat_line, note_heartbeats
from durable_wf.cli.facts import Beaten, TaskFacts, fold
from durable_wf.execute.mark import BegunMark, path_of
from durable_wf.store.memory import MemoryLog
from durable_wf.store.port import Batch, Beat

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("beaten", "line"),
    [
        (None, ""),
        (Beaten(1, 90 * SECOND, ""), "heartbeat 10.0 s ago"),
        (Beaten(1, 90 * SECOND, '{"row":41}'), 'heartbeat 10.0 s ago: {"row":41}'),
        (Beaten(1, 200 * SECOND, "1"), "heartbeat 0.0 ms ago: 1"),
        (Beaten(1, 90 * SECOND, '"\\u001b[2J"'), "heartbeat 10.0 s ago: "),
    ],
)
def test_a_line_says_how_long_ago_and_how_far(beaten, line):
    said = heartbeat_line(TaskFacts(beaten=beaten), 100 * SECOND)
    assert said.startswith(line)
    assert said.isprintable()


def test_a_long_detail_is_cut():
    said = heartbeat_line(TaskFacts(beaten=Beaten(1, 0, '"' + "x" * 5_000 + '"')), 0)
    assert len(said) < 160


# --- where it is read -----------------------------------------------------------------------------


class Look:
    """A run whose task `a` has had these events, with what the log and its worker's mark know."""

    def __init__(self, folder, *events):
        self.log = MemoryLog()
        self.row, _ = put(self.log, CREATED, CLAIMED, STARTED, *events)
        self.folder = folder

    def recorded(self, attempt, detail):
        self.log.append(Batch(beats=[Beat(self.row.run, "a", attempt, 5 * SECOND, detail)]))

    def marked(self, seq, detail):
        mark = BegunMark(path_of(self.folder, "w-1-0"), create=True)
        mark.begin(seq, 1, 0)
        mark.beat(seq, time.monotonic_ns(), detail)
        mark.close()

    def beaten(self):
        facts = fold(self.row, ("a", "b"), self.log.history(self.row.run), alive=True)
        store = SimpleNamespace(log=self.log, folder=SimpleNamespace(locks=self.folder))
        note_heartbeats(store, self.row.run, facts.tasks)
        assert facts.tasks["b"].beaten is None
        return facts.tasks["a"].beaten


def test_without_heartbeats_there_is_nothing(tmp_path):
    assert Look(tmp_path).beaten() is None
    assert Look(tmp_path, begun()).beaten() is None


def test_what_the_log_has_is_told(tmp_path):
    look = Look(tmp_path, begun())
    look.recorded(1, "41")
    assert look.beaten() == Beaten(1, 5 * SECOND, "41")


def test_the_mark_of_the_worker_knows_more(tmp_path):
    look = Look(tmp_path, begun())
    look.recorded(1, "41")
    look.marked(4, b"42")  # the AttemptStarted is event 4 of an empty log
    found = look.beaten()
    assert (found.attempt, found.detail) == (1, "42")
    assert abs(found.at - time.time_ns() // 1000) < 60 * SECOND


def test_a_mark_about_another_attempt_is_not_believed(tmp_path):
    look = Look(tmp_path, begun())
    look.recorded(1, "41")
    look.marked(3, b"42")
    assert look.beaten().detail == "41"


def test_an_attempt_that_is_only_alive_shows_the_detail_before(tmp_path):
    look = Look(tmp_path, begun())
    look.recorded(1, "41")
    look.marked(4, None)
    found = look.beaten()
    assert found.detail == "41"
    assert found.at > 5 * SECOND


def test_a_task_that_waits_for_its_next_attempt_shows_the_last_one(tmp_path):
    look = Look(tmp_path, begun(), broke())
    look.recorded(1, "41")
    assert look.beaten() == Beaten(1, 5 * SECOND, "41")
