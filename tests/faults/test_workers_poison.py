"""Deaths and poison: whatever an attempt does, it costs that attempt only."""

from __future__ import annotations

import chores
import pytest
from pool_rig import Rig

from durable_wf.core.inputs import Failed, Succeeded
from durable_wf.execute.port import Limits

pytestmark = pytest.mark.faults

DEADLY = {
    # what the attempt does: (kind of the failure, a word of its message)
    chores.kill_me: ("lost", "SIGKILL"),
    chores.term_me: ("lost", "SIGTERM"),
    chores.abort_me: ("lost", "SIGABRT"),
    chores.segfault: ("lost", "SIGSEGV"),
    chores.exit_hard: ("exit", "exit code 3"),
    chores.exit_softly: ("exit", "4"),
    chores.garbage_to_all_files: ("lost", "channel"),
    chores.flood_all_files: ("lost", "channel"),
    chores.divide: ("error", "division"),
    chores.raise_two_arguments: ("error", "1 and 2"),
    chores.raise_without_text: ("error", ""),
    chores.raise_huge_message: ("error", "xxx"),
    chores.raise_keyboard_interrupt: ("lost", ""),
    chores.raise_base: ("error", "the base of all"),
    chores.raise_deep_chain: ("error", ""),
    chores.recurse: ("error", "recursion"),
    chores.memory_error: ("memory", ""),
    chores.return_deep: ("not_storable", ""),
    chores.return_generator: ("not_storable", "generator"),
    chores.return_lock: ("not_storable", "lock"),
    chores.return_fails_to_pickle: ("not_storable", ""),
    chores.return_fails_to_unpickle: ("not_storable", ""),
    chores.return_evil: ("not_storable", ""),
    chores.return_itself: ("not_storable", ""),
}
HARMLESS = {
    chores.fork_and_return: "parent",
    chores.close_output: None,
    chores.close_all_files: None,  # its report lies in the mark; the worker is replaced
    chores.thread_that_raises: "went on",
    chores.leave_a_thread: "left",
    chores.use_multiprocessing: [1, 2],
    chores.close_the_inbox: None,  # the worker is replaced
    chores.nothing: None,
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with Rig(tmp_path_factory.mktemp("store"), seats=2) as rig:
        yield rig


@pytest.mark.parametrize("chore", DEADLY, ids=lambda chore: chore.__name__)
def test_a_deadly_attempt_fails_alone_and_the_executor_goes_on(rig, chore):
    kind, word = DEADLY[chore]
    first, second = rig.ready(2)
    other = rig.start(chores.add, 1, 1, on=second)
    report = rig.run(chore, on=first)
    assert isinstance(report, Failed), report
    assert (report.fault.kind.value, True) == (kind, word in report.fault.message), report.fault
    assert isinstance(rig.wait(other)[0], Succeeded)
    assert rig.value(chores.add, 2, 3) == 5


@pytest.mark.parametrize("chore", HARMLESS, ids=lambda chore: chore.__name__)
def test_a_strange_but_harmless_attempt_succeeds(rig, chore):
    assert rig.value(chore) == HARMLESS[chore]
    assert rig.value(chores.add, 2, 3) == 5


def test_the_hard_memory_limit_is_a_memory_error_and_is_lifted_after_the_attempt(tmp_path):
    with Rig(tmp_path) as rig:
        limits = Limits(memory=1 << 30, memory_hard=True)
        report = rig.run(chores.use_memory, 1500, limits=limits)
        assert isinstance(report, Failed)
        assert report.fault.kind.value == "memory"
        assert rig.value(chores.use_memory, 50, limits=limits) == 50 << 20
        pid = rig.value(chores.about_here)["pid"]
        assert rig.value(chores.use_memory, 1100) == 1100 << 20
        assert rig.value(chores.about_here)["pid"] == pid


def test_a_hard_memory_limit_is_the_kernels_alone(tmp_path):
    """The sum over processes, which the watched limit looks at, ends nothing."""
    with Rig(tmp_path) as rig:
        limits = Limits(memory=700 << 20, memory_hard=True)
        assert rig.value(chores.use_memory_twice, 400, 0.7, limits=limits) == 400 << 20
        report = rig.run(chores.use_memory_twice, 400, 0.7, limits=Limits(memory=700 << 20))
        assert isinstance(report, Failed)
        assert report.fault.kind.value == "memory"


def test_memory_over_the_watched_limit_is_killed_and_named(tmp_path):
    with Rig(tmp_path) as rig:
        assert rig.value(chores.use_memory, 10, limits=Limits(memory=500 << 20)) == 10 << 20
        report = rig.run(chores.use_memory, 300, 30.0, limits=Limits(memory=200 << 20))
        assert isinstance(report, Failed)
        assert report.fault.kind.value == "memory"
        assert "209,715,200" in report.fault.message
