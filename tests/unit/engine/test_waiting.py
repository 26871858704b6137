"""waiting: looking until something is there, with a deadline."""

from __future__ import annotations

import pytest

from durable_wf.engine.waiting import wait_until

ENOUGH_S = 30.0


@pytest.mark.parametrize("found", [1, 0, "", False])
def test_what_is_there_is_returned_at_once(found):
    """Anything but None is an answer."""
    looks = []
    assert wait_until(lambda: looks.append(1) or found, ENOUGH_S, 0.0) is found
    assert len(looks) == 1


def test_it_looks_again_until_it_is_there():
    answers = iter([None, None, "here", "too late"])
    assert wait_until(lambda: next(answers), ENOUGH_S, 0.0) == "here"
    assert next(answers) == "too late"


def test_after_the_deadline_there_is_nothing():
    assert wait_until(lambda: None, 0.01, 0.001) is None


def test_without_any_time_it_still_looks_once():
    looks = []
    assert wait_until(lambda: looks.append(1), 0.0, 0.0) is None
    assert len(looks) == 1
