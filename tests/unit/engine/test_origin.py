"""origin: who starts a run, from where, and what it is called."""

from __future__ import annotations

import os
import re
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_wf.engine import origin
from durable_wf.errors import CallerError

NOON_US = 1_700_049_600_000_000  # 2023-11-15 12:00:00 UTC


def test_a_person_is_a_user_at_a_host(monkeypatch):
    monkeypatch.setattr(origin.getpass, "getuser", lambda: "ann")
    assert origin.person() == f"ann@{os.uname().nodename}"


@pytest.mark.parametrize("error", [KeyError("uid"), OSError("no name")])
def test_a_user_without_a_name_is_a_number(monkeypatch, error):
    def nobody():
        raise error

    monkeypatch.setattr(origin.getpass, "getuser", nobody)
    assert origin.person() == f"{os.getuid()}@{os.uname().nodename}"


def test_the_python_is_told_in_full():
    assert origin.python_version() == ".".join(map(str, sys.version_info[:3]))


# --- how a run was started ----------------------------------------------------------------------


def test_a_typed_target_says_all_and_only_in_its_context(monkeypatch):
    monkeypatch.setattr(origin, "script_of_main", lambda: "job.py")
    with origin.started_by("jobs:make"):
        assert origin.start() == origin.Start("jobs:make")
        with origin.started_by("other:make"):
            assert origin.start() == origin.Start("other:make")
        assert origin.start() == origin.Start("jobs:make")
    assert origin.start().target == ""


def test_a_target_is_forgotten_though_the_run_failed():
    with pytest.raises(RuntimeError), origin.started_by("jobs:make"):
        raise RuntimeError
    assert origin.start().target == ""


def test_a_script_comes_with_its_arguments(monkeypatch):
    monkeypatch.setattr(origin, "script_of_main", lambda: "job.py")
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__spec__=None))
    monkeypatch.setattr(sys, "argv", ["job.py", "--fast"])
    assert origin.start() == origin.Start("", "job.py", "", ("job.py", "--fast"))


def test_a_script_that_ran_as_a_module_says_which(monkeypatch):
    monkeypatch.setattr(origin, "script_of_main", lambda: "pkg/job.py")
    main = SimpleNamespace(__spec__=SimpleNamespace(name="pkg.job"))
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert origin.start().module == "pkg.job"


def test_at_a_prompt_there_is_nothing_to_tell(monkeypatch):
    monkeypatch.setattr(origin, "script_of_main", lambda: "")
    assert origin.start() == origin.Start()


# --- which of its runs it is ----------------------------------------------------------------------

SCRIPT = origin.Start("", "job.py", "", ("job.py",))


@pytest.fixture
def nothing_made(monkeypatch):
    monkeypatch.setattr(origin, "_made", origin._Made())


def make(run_id, start=SCRIPT):
    with origin.numbered(start, run_id) as numbered:
        return numbered.call, numbered.previous


@pytest.mark.usefixtures("nothing_made")
def test_the_runs_that_a_script_makes_are_numbered_and_each_names_the_one_before():
    assert [make("a"), make("b"), make("c")] == [(1, ""), (2, "a"), (3, "b")]


@pytest.mark.usefixtures("nothing_made")
def test_a_run_that_is_not_made_after_all_has_no_number():
    make("a")
    with pytest.raises(RuntimeError), origin.numbered(SCRIPT, "b"):
        raise RuntimeError
    assert make("c") == (2, "a")


@pytest.mark.usefixtures("nothing_made")
def test_one_that_came_between_keeps_its_number():
    made = []

    def make_two() -> None:
        with origin.numbered(SCRIPT, "b"):
            made.append(make("c"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        make_two()
    assert [*made, make("d")] == [(2, "b"), (3, "c")]


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize("start", [origin.Start("jobs:make"), origin.Start()])
def test_what_no_script_makes_is_not_numbered(start):
    assert make("a", start) == (0, "")
    assert make("b") == (1, "")
    assert origin.after_those_made(start) == start


@pytest.mark.usefixtures("nothing_made")
def test_a_run_made_from_another_one_comes_after_those_made_and_has_no_number():
    make("a")
    after = origin.after_those_made(SCRIPT)
    assert (after.call, after.previous) == (0, "a")
    assert make("b") == (2, "a")


# --- run ids ------------------------------------------------------------------------------------


def test_a_run_id_can_be_read():
    assert re.fullmatch(r"etl-20231115-120000-[0-9a-f]{4}", origin.new_run_id("etl", NOON_US))
    assert origin.new_run_id("my job/1", NOON_US).startswith("my-job-1-2023")
    assert origin.new_run_id("~", NOON_US).startswith("run-2023")


@given(st.text(max_size=200))
def test_every_made_run_id_is_usable(name):
    made = origin.new_run_id(name, NOON_US)
    assert origin.check_run_id(made) == made
    assert re.fullmatch(r".+-20231115-120000-[0-9a-f]{4}", made)


@pytest.mark.parametrize("bad", ["", "a/b", "../x", "-a", ".a", "a b", "a\n", "x" * 129, 7, None])
def test_an_id_that_could_not_stand_in_a_path_is_refused(bad):
    with pytest.raises(CallerError, match="not usable"):
        origin.check_run_id(bad)


@pytest.mark.parametrize("good", ["a", "_a", "7", "a.b-c_d", "x" * 128])
def test_any_other_id_is_taken(good):
    assert origin.check_run_id(good) == good
