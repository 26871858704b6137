"""What attempts in the caller's own process print is captured, and seen as before."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from durable_wf.core.fault import OutputRef
from durable_wf.execute import sequential, tee
from durable_wf.execute.context import current
from durable_wf.execute.port import Assignment, Places, RunCode
from durable_wf.execute.sequential import SequentialExecutor

WAIT_S = 30


@pytest.fixture(autouse=True)
def long_turns(monkeypatch):
    """However busy the machine is, a poll runs all that is queued."""
    monkeypatch.setattr(sequential, "TURN_NS", 10**12)


@pytest.fixture
def folder(tmp_path):
    for name in ("locks", "output", "payloads"):
        (tmp_path / name).mkdir()
    return tmp_path


class Runner:
    """Runs functions as attempts of an executor, and reads what it captured of each."""

    def __init__(self, folder, engine="0badcafe"):
        self.output = folder / "output"
        places = Places(folder / "locks", self.output, folder / "payloads")
        self.executor = SequentialExecutor(places, f"e-{engine}")
        self.worker = f"w-{engine}-0"
        self.seq = 0

    def reports(self, *functions):
        names = [f"t{n}" for n in range(len(functions))]
        self.executor.prepare(RunCode(7, "run-7", "flow", "run-7", functions, names))
        for n, name in enumerate(names):
            self.seq += 1
            a = Assignment(self.seq, self.worker, 7, n, 1, name, n, estimate_us=10)
            self.executor.start([a])
        return self.executor.poll(0.0)

    def text(self, ref):
        data = (self.output / ref.file).read_bytes()
        assert len(data) >= ref.offset + ref.length
        return data[ref.offset : ref.offset + ref.length].decode()

    def captured(self, *functions):
        texts = [
            None if report.output is None else self.text(report.output)
            for report in self.reports(*functions)
        ]
        return texts[0] if len(functions) == 1 else texts


@pytest.fixture
def runner(folder):
    made = Runner(folder)
    yield made
    made.executor.close(0.0)


# --- what is captured ---------------------------------------------------------------------------


def test_what_an_attempt_prints_is_captured_and_goes_on_to_the_terminal(runner, capsys):
    def task():
        print("to stdout", 1)
        print("to stderr", file=sys.stderr)
        sys.stdout.writelines(["a\n", "ä\n"])

    assert runner.captured(task) == "to stdout 1\nto stderr\na\nä\n"
    seen = capsys.readouterr()
    assert seen.out == "to stdout 1\na\nä\n"
    assert seen.err == "to stderr\n"


def test_text_that_has_no_bytes_is_captured_all_the_same(runner, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert runner.captured(lambda: print("\udc80")) == "\\udc80\n"
    assert sys.stdout.getvalue() == "\udc80\n"


def test_each_attempt_has_its_own_part_and_a_silent_one_none(runner):
    def fails():
        print("three")
        raise ValueError

    texts = runner.captured(lambda: print("one"), int, lambda: print("two"), fails)
    assert texts == ["one\n", None, "two\n", "three\n"]


def test_silent_attempts_leave_no_file(runner):
    assert runner.captured(int) is None
    assert list(runner.output.iterdir()) == []


def test_it_can_be_followed_while_the_attempt_runs(runner):
    seen = []

    def task():
        print("so far")
        file = runner.output / f"{runner.worker}.log"
        seen.append((file.read_text(), runner.executor._mark.offset))

    runner.captured(lambda: print("before"))
    runner.captured(task)
    assert seen == [("before\nso far\n", 7)]


def test_what_nobody_runs_is_not_captured(runner, capsys):
    runner.captured(lambda: print("inside"))
    print("outside")
    assert runner.captured(int) is None
    assert capsys.readouterr().out == "inside\noutside\n"


def test_a_full_disk_costs_the_capture_and_not_the_task(runner, capsys):
    runner.output.rmdir()
    (report,) = runner.reports(lambda: print("seen") or 5)
    assert (report.value, report.output) == ("5", None)
    assert capsys.readouterr().out == "seen\n"


def test_what_a_fork_prints_is_not_mixed_in(runner):
    def task():
        print("parent")
        child = os.fork()
        if not child:
            print("child")
            os._exit(0)
        os.waitpid(child, 0)

    assert runner.captured(task) == "parent\n"


# --- threads ------------------------------------------------------------------------------------


def test_threads_that_an_attempt_starts_belong_to_it_and_others_do_not(runner, capsys):
    go, done = threading.Event(), threading.Event()

    def bystander():
        go.wait(WAIT_S)
        print("bystander")
        done.set()

    def task():
        mine = threading.Thread(target=print, args=("mine",))
        mine.start()
        mine.join(WAIT_S)
        go.set()
        assert done.wait(WAIT_S)

    other = threading.Thread(target=bystander)
    other.start()
    assert runner.captured(task) == "mine\n"
    other.join(WAIT_S)
    assert capsys.readouterr().out == "mine\nbystander\n"


def test_attempts_in_two_threads_have_their_output_apart(folder):
    barrier = threading.Barrier(2)
    runners = [Runner(folder, engine) for engine in ("0000000a", "0000000b")]

    def job(runner):
        def task():
            barrier.wait(WAIT_S)
            print(runner.worker)
            barrier.wait(WAIT_S)

        return runner.captured(task)

    with ThreadPoolExecutor(2) as pool:
        texts = [future.result(WAIT_S) for future in [pool.submit(job, one) for one in runners]]
    assert texts == [f"{runner.worker}\n" for runner in runners]
    assert "write" not in vars(sys.stdout)
    for one in runners:
        one.executor.close(0.0)


def test_what_a_run_inside_of_a_task_prints_belongs_to_both(folder, runner):
    inside = []

    def task():
        inner = Runner(folder, "00000001")
        print("before")
        inside.append(inner.captured(lambda: print("inside")))
        print("after")
        inner.executor.close(0.0)

    assert runner.captured(task) == "before\ninside\nafter\n"
    assert inside == ["inside\n"]


# --- streams as they were -----------------------------------------------------------------------


def test_streams_are_left_as_they_were(runner):
    streams = sys.stdout, sys.stderr
    held = [dict(vars(stream)) for stream in streams]
    runner.captured(lambda: print("x"))
    assert (sys.stdout, sys.stderr) == streams
    assert [dict(vars(stream)) for stream in streams] == held


def test_a_write_that_somebody_had_put_there_is_called_and_put_back(runner, monkeypatch):
    stream, calls = io.StringIO(), []
    stream.write = lambda text: calls.append(text)
    own = stream.write
    monkeypatch.setattr(sys, "stdout", stream)
    assert runner.captured(lambda: sys.stdout.write("x")) == "x"
    assert calls == ["x"]
    assert vars(stream)["write"] is own


def test_a_write_that_a_task_puts_around_ours_stays_and_nothing_is_captured_twice(
    runner, monkeypatch
):
    stream, calls = io.StringIO(), []
    monkeypatch.setattr(sys, "stdout", stream)

    def wraps():
        ours = stream.write
        stream.write = lambda text: (calls.append(text), ours(text))
        sys.stdout.write("one")

    assert runner.captured(wraps) == "one"
    stream.write("between")
    assert runner.captured(lambda: sys.stdout.write("two")) == "two"
    assert calls == ["one", "between", "two"]
    assert stream.getvalue() == "onebetweentwo"


def test_a_write_put_there_between_attempts_is_called_too(runner, monkeypatch):
    stream, calls = io.StringIO(), []
    monkeypatch.setattr(sys, "stdout", stream)
    runner.captured(lambda: sys.stdout.write("one"))
    stream.write = lambda text: calls.append(text)
    assert runner.captured(lambda: sys.stdout.write("two")) == "two"
    assert (calls, stream.getvalue()) == (["two"], "one")


def test_a_stream_that_is_missing_or_has_no_attributes_is_let_alone(runner, monkeypatch):
    class Bare:
        __slots__ = ()

        def write(self, text):
            return len(text)

    monkeypatch.setattr(sys, "stdout", Bare())
    monkeypatch.setattr(sys, "stderr", None)
    assert runner.captured(lambda: print("lost")) is None


# --- logging ------------------------------------------------------------------------------------


@contextlib.contextmanager
def logging_of_a_script():
    """Logging as a script finds it that has configured none; pytest has handlers there."""
    root = logging.getLogger()
    before = root.handlers, root.level
    root.handlers = []
    root.setLevel(logging.WARNING)
    try:
        yield root
    finally:
        root.handlers = before[0]
        root.setLevel(before[1])


def logs():
    log = current().logger
    log.debug("debug")
    log.info("info %s", 1)
    log.warning("careful")


def lines(text):
    """Without the times."""
    return [line.split(" ", 2)[2] for line in text.splitlines()]


NAME = "durable_wf.task.t0"


def test_a_tasks_logger_is_captured_from_info_on_and_the_terminal_sees_what_it_did(runner, capsys):
    with logging_of_a_script():
        assert lines(runner.captured(logs)) == [f"INFO {NAME}: info 1", f"WARNING {NAME}: careful"]
        assert capsys.readouterr().err == "careful\n"


def test_a_configured_handler_gets_what_levels_let_through_and_nothing_is_captured_twice(
    runner, capsys
):
    with logging_of_a_script() as root:
        handler = logging.StreamHandler(sys.stderr)  # before the run, as basicConfig makes it
        root.addHandler(handler)
        assert lines(runner.captured(logs)) == [f"INFO {NAME}: info 1", f"WARNING {NAME}: careful"]
        assert capsys.readouterr().err == "careful\n"
        root.setLevel(logging.DEBUG)
        assert lines(runner.captured(logs))[0] == f"DEBUG {NAME}: debug"
        assert capsys.readouterr().err == "debug\ninfo 1\ncareful\n"


def test_what_other_loggers_print_is_captured_as_it_is_printed(runner, capsys):
    with logging_of_a_script() as root:
        root.addHandler(logging.StreamHandler(sys.stderr))
        assert runner.captured(lambda: logging.getLogger("mine").warning("careful")) == "careful\n"
        assert capsys.readouterr().err == "careful\n"


def test_a_level_set_for_tasks_holds_for_the_capture_too(runner, monkeypatch):
    with logging_of_a_script() as root:
        monkeypatch.setattr(logging.getLogger(tee.TASKS), "level", logging.WARNING)
        assert lines(runner.captured(logs)) == [f"WARNING {NAME}: careful"]
        monkeypatch.setattr(logging.getLogger(tee.TASKS), "level", logging.DEBUG)
        root.manager._clear_cache()
        assert len(lines(runner.captured(logs))) == 3


def test_a_tasks_logger_is_otherwise_the_logger_of_its_name(runner):
    with logging_of_a_script():

        def task():
            log = current().logger
            real = logging.getLogger(NAME)
            assert isinstance(log, logging.Logger)
            assert (log.name, log.parent, log.handlers) == (real.name, real.parent, real.handlers)
            assert copy.deepcopy(log) is real
            assert log.getEffectiveLevel() == logging.INFO
            assert not log.isEnabledFor(logging.DEBUG)
            log.setLevel(logging.ERROR)
            assert (real.level, log.isEnabledFor(logging.WARNING)) == (logging.ERROR, False)
            real.setLevel(logging.NOTSET)
            return 5

        (report,) = runner.reports(task)
        assert report.value == "5", report


def test_a_record_that_does_not_fit_together_harms_nobody(runner, monkeypatch):
    with logging_of_a_script():
        monkeypatch.setattr(logging, "raiseExceptions", False)
        (report,) = runner.reports(lambda: current().logger.info("%d", "x") or 5)
        assert report.value == "5"


def test_parts_are_told_as_file_offset_and_length(runner):
    first, second = runner.reports(lambda: print("one"), lambda: print("three"))
    assert first.output == OutputRef("w-0badcafe-0.log", 0, 4)
    assert second.output == OutputRef("w-0badcafe-0.log", 4, 6)
