"""Fault: what is said of it in one line."""

from __future__ import annotations

import pytest

from durable_wf.core.fault import MOST_WORDS, Fault
from durable_wf.core.status import FaultKind

ERROR = FaultKind.ERROR

WORDS = {
    "as Python ends a traceback": (Fault(ERROR, "'x'", "builtins.KeyError"), "KeyError: 'x'"),
    "with the module of a class of one's own": (
        Fault(ERROR, "no cars", "rent.NoCars"), "rent.NoCars: no cars"),
    "without a message": (Fault(ERROR, "", "builtins.ValueError"), "ValueError"),
    "with nothing but a message": (Fault(ERROR, "boom"), "boom"),
    "with nothing at all": (Fault(FaultKind.TIMEOUT), "timeout"),
    "of an attempt that the engine ended": (
        Fault(FaultKind.TIMEOUT, "ran too long", "builtins.TimeoutError"), "ran too long"),
    "of more lines than one": (Fault(ERROR, "one\ntwo", "builtins.OSError"), "OSError: one …"),
    "that begins with an empty line": (Fault(ERROR, "\nsecond"), "second"),
    "that has nothing but empty lines": (Fault(ERROR, "\n\n"), "error"),
}  # fmt: skip


@pytest.mark.parametrize("how", WORDS)
def test_the_words_of_a_fault(how):
    """Never nothing, and never more than a line."""
    fault, words = WORDS[how]
    assert fault.words == words


def test_long_messages_are_cut():
    """All of it stands in the fault itself."""
    fault = Fault(ERROR, "x" * 5_000)
    assert fault.words == f"{'x' * MOST_WORDS} …"
    assert len(fault.message) == 5_000
