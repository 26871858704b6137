"""Interrupts: what becomes of the handlers in children that are forked while they stand."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from durable_wf.engine.interrupts import handled
from durable_wf.errors import Interrupted

TERMINAL = (signal.SIGINT, signal.SIGHUP)
SIGNALS = (*TERMINAL, signal.SIGTERM)


class Driver:
    """In place of a driver: notes what handlers ask of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.on_interrupt = None

    def interrupt(self) -> None:
        self.asked.append("interrupt")

    def kill(self) -> None:
        self.asked.append("kill")


@contextlib.contextmanager
def standing():
    """An engine drives a run."""
    driver = Driver()
    with handled(driver, "r"):
        yield driver


@pytest.fixture(autouse=True)
def handlers_of_before():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def forked(action) -> int:
    """A child that does something, and ends with what it returns."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        signal.alarm(20)
        code = action() or 0
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """How a child ended: its exit code, or the number of its signal, negative."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wait() -> None:
    threading.Event().wait(20)


def test_a_forked_child_ends_by_sigterm_as_without_an_engine():
    with standing() as driver:
        child = forked(wait)
        os.kill(child, signal.SIGTERM)
        assert ended(child) == -signal.SIGTERM
    assert driver.asked == []


def test_a_sigterm_that_comes_before_the_child_has_run_is_not_lost():
    """As a pool of processes ends whom it has just made."""
    with standing():
        children = [forked(wait) for _ in range(20)]
        for child in children:
            os.kill(child, signal.SIGTERM)
        assert {ended(child) for child in children} == {-signal.SIGTERM}


EARLY = """
import os, signal
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
import test_interrupts as t
with t.standing() as driver:
    code = t.ended(t.forked(t.wait))
print(code, driver.asked)
"""


def test_a_sigterm_that_comes_while_the_child_is_put_right_is_not_lost():
    """Hooks are called in the order of their registration, this one before ours."""
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", EARLY],
        env=dict(os.environ, PYTHONPATH=path),
        capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip
    assert done.stdout == "-15 []\n", done.stderr


def test_what_a_terminal_sends_to_all_is_for_the_engine_not_for_its_forked_children():
    def interrupt_myself() -> int:
        for number in TERMINAL:
            os.kill(os.getpid(), number)
        return 7

    with standing():
        assert ended(forked(interrupt_myself)) == 7


def test_a_child_has_the_handler_that_the_user_had():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(5))
    with standing():
        assert ended(forked(lambda: os.kill(os.getpid(), signal.SIGTERM) or wait())) == 5


def test_the_child_of_a_task_that_runs_an_engine_of_its_own_has_neither_handler():
    with standing() as outer, standing() as inner:
        child = forked(wait)
        os.kill(child, signal.SIGTERM)
        assert ended(child) == -signal.SIGTERM
    assert (outer.asked, inner.asked) == ([], [])


def test_a_child_may_run_an_engine_of_its_own():
    def run() -> int:
        with pytest.raises(Interrupted), standing() as driver:
            os.kill(os.getpid(), signal.SIGTERM)
        return 3 if driver.asked == ["interrupt"] else 4

    with standing():
        assert ended(forked(run)) == 3


def test_a_child_that_comes_back_out_of_the_run_leaves_its_handlers_as_they_are():
    with contextlib.ExitStack() as stack:
        stack.enter_context(standing())

        def leave() -> int:
            signal.signal(signal.SIGTERM, mine)
            stack.close()
            return int(signal.getsignal(signal.SIGTERM) is not mine)

        def mine(*_: object) -> None:
            return

        assert ended(forked(leave)) == 0


def test_a_program_with_something_to_do_before_it_begins_ends_by_sigterm():
    with standing():
        words = [sys.executable, "-c", "import time; print(flush=True); time.sleep(20)"]
        program = subprocess.Popen(words, preexec_fn=os.getpid, stdout=subprocess.PIPE)
        with program:
            assert program.stdout.readline()
            program.terminate()
            assert program.wait(20) == -signal.SIGTERM


def test_a_fork_leaves_the_engine_its_handlers_and_blocks_nothing():
    def blocked() -> int:
        return len(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    with standing():
        mine = [signal.getsignal(number) for number in SIGNALS]
        assert ended(forked(blocked)) == 0
        assert blocked() == 0
        assert [signal.getsignal(number) for number in SIGNALS] == mine
