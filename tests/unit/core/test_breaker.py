"""Breakers: which faults count against what they guard."""

from __future__ import annotations

import asyncio
import socket

import pytest

from durable_wf.core.breaker import Breaker, is_failure
from durable_wf.core.fault import Fault, class_name
from durable_wf.core.status import FaultKind
from durable_wf.execute.faults import fault_of


class ConnectionError_(ConnectionError):
    """One of the user's own."""


def counts(on, fault):
    return is_failure(Breaker("k", on=tuple(map(class_name, on))), fault)


@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.TIMEOUT, FaultKind.EXIT])
def test_unless_told_otherwise_all_faults_count(kind):
    assert is_failure(Breaker("k"), Fault(kind, "boom"))


@pytest.mark.parametrize(
    ("on", "error", "counted"),
    [
        ([ConnectionError], ConnectionRefusedError("no"), True),
        ([ConnectionError], ValueError("bad input"), False),
        ([ConnectionError, TimeoutError], TimeoutError("late"), True),
        ([OSError], ConnectionError_("no"), True),
        ([ConnectionError_], ConnectionError("no"), False),
        ([ConnectionError_], ConnectionError_("no"), True),
        ([socket.gaierror], socket.gaierror("no such host"), True),
        ([socket.gaierror], OSError("full"), False),
        ([asyncio.IncompleteReadError], asyncio.IncompleteReadError(b"", 1), True),
        (["ConnectionError"], ConnectionRefusedError("no"), True),
        (["ConnectionError_"], ConnectionError_("no"), True),
        (["somewhere.ConnectionError_"], ConnectionError_("no"), False),
        (["ConnectionError"], ValueError("bad input"), False),
    ],
)
def test_with_exceptions_only_these_and_what_derives_from_them_count(on, error, counted):
    assert counts(on, fault_of(error)) is counted


def test_a_class_that_is_built_in_is_not_another_one_of_its_name():
    """Libraries have a ConnectionError of their own, which derives from no built-in one."""
    other = Fault(FaultKind.ERROR, exception="requests.exceptions.ConnectionError")
    assert not counts([ConnectionError], other)
    assert counts(["ConnectionError"], other)
    assert counts(["requests.exceptions.ConnectionError"], other)


@pytest.mark.parametrize(
    ("on", "counted"), [(TimeoutError, True), ("OSError", True), (ConnectionError, False)]
)
def test_an_attempt_that_ran_out_of_its_time_counts_as_a_timeout_error(on, counted):
    assert counts([on], Fault(FaultKind.TIMEOUT, "ran longer than 5 s")) is counted


@pytest.mark.parametrize("kind", [FaultKind.MEMORY, FaultKind.EXIT])
def test_an_attempt_that_died_of_something_else_counts_only_without_exceptions(kind):
    assert not counts([ConnectionError], Fault(kind, "gone"))
