"""circuit: what the outcomes of a breaker key say."""

from __future__ import annotations

import pytest

from durable_wf.core.breaker import Breaker
from durable_wf.core.circuit import (
    CircuitState,
    Outcome,
    What,
    fold,
    parts_of,
    place_of,
    sentence,
)

S = 1_000_000
BREAKER = Breaker("pay", failures=3, within_s=60.0, cooldown_s=30.0)
CLOSED, OPEN, HALF_OPEN = CircuitState


def row(at, what, attempt, began=None):
    """Of attempt 1, 2, ... of one task; it began a second before unless told otherwise."""
    began_at = (at - 1 if began is None else began) * S
    return Outcome("pay", at * S, What(what), place_of("r", "t", attempt), began_at)


def failures(*ats):
    return [row(at, "failed", number) for number, at in enumerate(ats, 1)]


def state(rows, at):
    return fold(BREAKER, rows, at * S).state


OPENED = failures(10, 20, 30)
"""Opened at 30 by attempt 3."""


def test_without_outcomes_it_is_closed():
    assert state([], 5) is CLOSED


def test_so_many_failures_in_a_row_open_it():
    assert state(failures(10, 20), 20) is CLOSED
    circuit = fold(BREAKER, OPENED, 30 * S)
    assert circuit.state is OPEN
    assert (circuit.opened_at, circuit.until, circuit.place) == (30 * S, 60 * S, "r/t/3")
    assert (circuit.failures, circuit.untold) == (3, What.OPENED)


def test_a_success_between_them_begins_the_count_anew():
    rows = [*failures(10, 20), row(25, "ok", 3), row(30, "failed", 4), row(31, "failed", 5)]
    assert state(rows, 31) is CLOSED
    assert state([*rows, row(32, "failed", 6)], 32) is OPEN


def test_failures_that_are_too_far_apart_do_not():
    assert state(failures(10, 20, 71), 71) is CLOSED
    assert state(failures(10, 20, 70), 70) is OPEN
    assert state(failures(10, 20, 71, 79), 79) is OPEN


def test_it_is_open_for_the_cooldown_and_half_open_then():
    assert state(OPENED, 59) is OPEN
    assert state(OPENED, 60) is HALF_OPEN
    assert state(OPENED, 6_000) is HALF_OPEN


def test_what_began_before_the_opening_says_nothing():
    late = [row(35, "ok", 4, began=29), row(36, "failed", 5, began=29)]
    assert fold(BREAKER, [*OPENED, *late], 40 * S) == fold(BREAKER, OPENED, 40 * S)


def test_nor_does_it_after_the_circuit_has_closed_again():
    closed = [*OPENED, row(61, "probe", 4), row(62, "ok", 4)]
    late = [row(63 + k, "failed", 5 + k, began=29) for k in range(3)]
    assert state([*closed, *late], 70) is CLOSED
    fresh = [row(63 + k, "failed", 5 + k, began=31) for k in range(3)]
    assert state([*closed, *fresh], 70) is OPEN


@pytest.mark.parametrize(("what", "after"), [("ok", CLOSED), ("failed", OPEN)])
def test_the_probe_decides(what, after):
    rows = [*OPENED, row(61, "probe", 4)]
    assert fold(BREAKER, rows, 61 * S).probe == "r/t/4"
    assert state([*rows, row(62, what, 9)], 62) is HALF_OPEN, "another attempt does not"
    assert state([*rows, row(62, what, 4)], 62) is after


def test_a_failed_probe_opens_it_for_another_cooldown():
    circuit = fold(BREAKER, [*OPENED, row(61, "probe", 4), row(62, "failed", 4)], 62 * S)
    assert (circuit.until, circuit.place, circuit.failures) == (92 * S, "r/t/4", 1)


def test_a_probe_that_nobody_heard_of_again_is_replaced_by_the_next():
    rows = [*OPENED, row(61, "probe", 4), row(70, "probe", 5)]
    assert fold(BREAKER, rows, 70 * S).probe == "r/t/5"
    assert state([*rows, row(71, "ok", 4)], 71) is HALF_OPEN
    assert state([*rows, row(71, "ok", 5)], 71) is CLOSED


def test_after_it_has_closed_the_count_begins_anew():
    closed = [*OPENED, row(61, "probe", 4), row(62, "ok", 4), row(62, "closed", 4)]
    circuit = fold(BREAKER, [*closed, row(70, "failed", 5), row(71, "failed", 6)], 71 * S)
    assert (circuit.state, circuit.failures) == (CLOSED, 2)
    assert state([*closed, *(row(70 + k, "failed", 5 + k) for k in range(3))], 72) is OPEN


def test_what_was_told_is_not_to_be_told_again():
    told = [*OPENED, row(30, "opened", 3)]
    assert fold(BREAKER, told, 30 * S).untold is None
    closed = [*told, row(61, "probe", 4), row(62, "ok", 4)]
    assert fold(BREAKER, closed, 62 * S).untold is What.CLOSED
    assert fold(BREAKER, [*closed, row(62, "closed", 4)], 62 * S).untold is None


def test_a_late_word_of_an_opening_does_not_open_it_again():
    rows = [*OPENED, row(30, "opened", 3), row(61, "probe", 4), row(62, "ok", 4)]
    assert state([*rows, row(62, "closed", 4), row(30, "opened", 3)], 62) is CLOSED


def test_what_one_workflow_takes_for_open_is_open_for_all():
    """Its breaker allows fewer failures than this one."""
    rows = [row(10, "failed", 1), row(10, "opened", 1)]
    assert state(rows, 11) is OPEN
    assert state(rows, 40) is HALF_OPEN


def test_an_opening_that_nobody_has_acted_on_is_forgotten_after_a_success():
    """As when the breaker allowed more failures at that time."""
    assert state([*OPENED, row(40, "ok", 4)], 41) is CLOSED
    assert state([*OPENED, row(30, "opened", 3), row(40, "ok", 4)], 41) is OPEN


# --- reset by a person ---

RESET = Outcome("pay", 40 * S, What.RESET, "")


def test_a_reset_closes_it_and_begins_the_count_anew():
    assert fold(BREAKER, [*OPENED, RESET], 40 * S) == fold(BREAKER, [], 40 * S)
    after = [row(41 + k, "failed", 5 + k, began=40) for k in range(3)]
    assert state([*OPENED, RESET, *after[:2]], 43) is CLOSED
    assert state([*OPENED, RESET, *after], 43) is OPEN
    assert fold(BREAKER, [*failures(10, 20), RESET], 40 * S).failures == 0


def test_what_had_begun_before_a_reset_says_nothing():
    """Also the probe that was on its way; and that some engine takes its failure for an opening."""
    probing = [*OPENED, row(30, "opened", 3), row(35, "probe", 4)]
    late = [row(41 + k, "failed", 4 + k, began=35) for k in range(3)]
    told = [*probing, RESET, *late]
    assert state(told, 45) is CLOSED
    assert state([*told, row(41, "opened", 4), row(30, "opened", 3)], 45) is CLOSED
    assert state([*told, row(41, "ok", 4, began=35), row(42, "closed", 4)], 45) is CLOSED


def test_after_a_reset_it_opens_and_closes_as_ever():
    again = [row(50 + k, "failed", 5 + k, began=49) for k in range(3)]
    reopened = [*OPENED, RESET, *again, row(52, "opened", 7)]
    assert fold(BREAKER, reopened, 60 * S).until == 82 * S
    assert state([*reopened, row(83, "probe", 8), row(84, "ok", 8, began=83)], 85) is CLOSED


@pytest.mark.parametrize("task", ["t", "a/b", "a b", "ü[1]"])
def test_a_place_can_be_taken_apart(task):
    assert parts_of(place_of("r-1", task, 12)) == ("r-1", task, 12)
    assert parts_of("nonsense") == ("nonsense", "", 0)


def test_a_sentence_says_who_is_held_by_what_and_until_when():
    assert sentence(fold(BREAKER, [], 0)) == ""
    assert sentence(fold(BREAKER, OPENED, 30 * S)) == (
        "breaker 'pay' is open until 1970-01-01 00:01:00 UTC: 3 failures in a row, the last one in "
        "run r, task 't', attempt 3"
    )
    assert sentence(fold(BREAKER, OPENED, 60 * S)) == (
        "breaker 'pay' is half-open: the next attempt is its probe, and the others wait"
    )
    assert sentence(fold(BREAKER, [*OPENED, row(61, "probe", 4)], 61 * S)) == (
        "breaker 'pay' is half-open: run r, task 't', attempt 4 is its probe, and the others wait "
        "for how that ends"
    )
