"""A task can ask who it is; outside of one, asking is a clear error."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import time

import pytest

from durable_wf.errors import NotStorable, WrongState
from durable_wf.execute.context import Attempt, Current, current, enter, idempotency_key, leave
from durable_wf.execute.mark import DETAIL_MAX, BegunMark, path_of


@pytest.fixture
def attempt():
    me = Attempt("run-1", "etl", "base", "load", 2, time.monotonic() + 60)
    token = enter(me)
    yield me
    leave(me, token)


def elsewhere(function):
    found = []

    def ask():
        try:
            found.append(function())
        except WrongState as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(10)
    return found[0]


def test_the_facts_of_the_attempt(attempt):
    me = current()
    assert (me.run_id, me.workflow, me.task, me.attempt) == ("run-1", "etl", "load", 2)
    assert me.logger.name == "durable_wf.task.load"
    assert me.idempotency_key == idempotency_key("base", "load")


def test_the_deadline_counts_down_and_is_a_time_in_utc(attempt):
    deadline = current().deadline
    assert 0 < deadline.remaining_s <= 60
    left = deadline.at - dt.datetime.now(dt.UTC)
    assert dt.timedelta(seconds=50) < left < dt.timedelta(seconds=61)


def test_without_a_time_limit_there_is_no_deadline():
    me = Attempt("r", "w", "r", "t", 1)
    token = enter(me)
    assert current().deadline is None
    leave(me, token)


def test_a_deadline_that_has_passed_has_nothing_left():
    me = Attempt("r", "w", "r", "t", 1, time.monotonic() - 5)
    token = enter(me)
    assert current().deadline.remaining_s == 0
    leave(me, token)


def test_outside_of_a_task_it_is_an_error_that_says_so():
    with pytest.raises(WrongState, match="outside of a task"):
        current()


def test_the_end_of_an_attempt_ends_what_it_may_ask(attempt):
    inner = Attempt("r2", "w", "r2", "t", 1)
    token = enter(inner)
    assert current().run_id == "r2"
    leave(inner, token)
    assert current().run_id == "run-1"


def test_threads_and_coroutines_of_a_task_know_it_too(attempt):
    async def ask():
        return current().run_id

    assert elsewhere(lambda: current().run_id) == "run-1"
    assert asyncio.run(ask()) == "run-1"


def test_a_thread_that_could_belong_to_two_attempts_is_told(attempt):
    other = Attempt("r2", "w", "r2", "t", 1)
    token = enter(other)
    assert "several attempts" in str(elsewhere(current))
    leave(other, token)


def test_idempotency_keys_depend_on_run_and_task_only():
    assert idempotency_key("a", "b") == idempotency_key("a", "b")
    keys = {idempotency_key(*pair) for pair in [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc")]}
    assert len(keys) == 4
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


# --- heartbeats -----------------------------------------------------------------------------------


def test_an_attempt_without_a_mark_of_its_own_cannot_beat(attempt):
    with pytest.raises(WrongState, match="has ended"):
        current().heartbeat(1)


def test_a_mark_that_was_closed_takes_no_heartbeats(tmp_path):
    mark = BegunMark(path_of(tmp_path, "w"), create=True)
    mark.begin(7, 1, 0)
    me = Current(Attempt("r", "w", "r", "t", 1, None, "", mark, 7))
    me.heartbeat("still there")
    assert mark.last_beat().detail == '"still there"'
    mark.close()
    with pytest.raises(WrongState, match="has ended"):
        me.heartbeat("gone")


@pytest.mark.parametrize("detail", [None, 0, "", (1, 2), dt.date(2026, 1, 2), {"a": [1.5, b"x"]}])
def test_the_next_attempt_finds_exactly_what_was_said(tmp_path, detail):
    mark = BegunMark(path_of(tmp_path, "w"), create=True)
    mark.begin(7, 1, 0)
    Current(Attempt("r", "w", "r", "t", 1, None, "", mark, 7)).heartbeat(detail)
    beat = mark.last_beat()
    found = Current(Attempt("r", "w", "r", "t", 2, None, beat.detail if beat else ""))
    assert found.last_heartbeat == detail
    assert type(found.last_heartbeat) is type(detail)
    mark.close()


def test_a_detail_may_take_8_kib_and_no_byte_more(tmp_path):
    mark = BegunMark(path_of(tmp_path, "w"), create=True)
    mark.begin(7, 1, 0)
    me = Current(Attempt("r", "w", "r", "t", 1, None, "", mark, 7))
    me.heartbeat("x" * (DETAIL_MAX - 2))
    with pytest.raises(NotStorable, match=r"task 't', attempt 1: .* 8,193 bytes"):
        me.heartbeat("x" * (DETAIL_MAX - 1))
    with pytest.raises(NotStorable, match="8,194 bytes"):
        me.heartbeat("é" * (DETAIL_MAX // 2))
    assert mark.last_beat().detail == '"' + "x" * (DETAIL_MAX - 2) + '"'
    mark.close()
