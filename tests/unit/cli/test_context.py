"""context: what all commands say of the store that they were given."""

from __future__ import annotations

import shutil

import click
import pytest
from cli_rig import Rig
from store_rig import add_run

from durable_wf.cli.context import RunName, Settings
from durable_wf.cli.exits import Exit
from durable_wf.cli.main import dwf as command_line
from durable_wf.store.opening import open_store

READERS = (
    ("list",), ("list", "--json"), ("show", "early"), ("events", "early"), ("logs", "early"),
    ("why", "early", "t2"), ("graph", "early"), ("inbox",), ("breakers",), ("watch", "early"),
    ("db", "info"), ("audit", "head"),
)  # fmt: skip
VERBS = (
    ("resume", "late"), ("resume", "late", "--dry-run"), ("resume", "--status", "interrupted"),
    ("recover",), ("recover", "--dry-run"), ("retry", "late"), ("fork", "late"),
    ("cancel", "late"), ("pause", "late"), ("approve", "late", "t1"), ("signal", "late", "go"),
    ("db", "prune"), ("db", "backup", "b.tar"),
)  # fmt: skip

BEHIND = "the log is behind its head"


@pytest.fixture
def cut(tmp_path):
    """`dwf` at a store that has lost the run `late`: an older copy of log.db took its place."""
    folder = tmp_path / ".durable-wf"
    store = open_store(folder, create=True)
    add_run(store, "early")
    store.close()
    shutil.copy(folder / "log.db", tmp_path / "older.db")
    store = open_store(folder)
    add_run(store, "late", finished=False)
    store.close()
    shutil.copy(tmp_path / "older.db", folder / "log.db")
    return Rig(tmp_path)


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_who_reads_a_log_that_has_lost_its_end_is_told_so_in_one_line(cut, words):
    shown = cut.look(*words)
    assert shown.code == 0, shown.err
    (line,) = [line for line in shown.err.splitlines() if BEHIND in line]
    assert line.startswith(f"{BEHIND} (dwf audit verify): the log ends at event 11, but 21 ")
    assert BEHIND not in shown.out


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_who_would_write_to_it_meets_the_loss_before_a_run_is_looked_for(cut, words):
    """That there is no such run would be said of a run that was lost."""
    ended = cut.look(*words)
    assert ended.code == Exit.STORE
    assert "the log ends at event 11" in ended.err
    assert "there is no run" not in ended.err
    assert "dwf db accept-loss" in ended.err
    assert BEHIND not in ended.err


@pytest.mark.parametrize("words", [("db", "check"), ("audit", "verify")], ids=" ".join)
def test_who_looks_for_damage_is_told_once(cut, words):
    ended = cut.look(*words)
    assert ended.code == Exit.VERIFICATION
    assert ended.err.count("the log ends at seq 11") == 1


@pytest.mark.parametrize(
    "words", [("list",), ("db", "check"), ("cancel", "r"), ("db", "accept-loss", "--yes")],
    ids=" ".join,
)  # fmt: skip
def test_where_there_is_no_store_the_error_says_who_chose_the_place(tmp_path, monkeypatch, words):
    """An argument, the variable, or the search."""
    dwf = Rig(tmp_path)
    found = dwf.look(*words)
    assert "no store was found from here up" in found.err
    named = dwf.look(*words, "--store", "wrong")
    assert "there is no store at wrong\n" in named.err
    monkeypatch.setenv("DURABLE_WF_STORE", "wrong")
    by_variable = dwf.look(*words)
    assert "there is no store at wrong, which DURABLE_WF_STORE names\n" in by_variable.err
    (tmp_path / "wrong").mkdir()
    if words[0] != "db":  # these take a folder as it is
        assert "wrong, which DURABLE_WF_STORE names\n" in dwf.look(*words).err
    assert {found.code, named.code, by_variable.code} == {Exit.NOT_FOUND}


def test_a_shell_that_completes_is_not_disturbed(cut, capsys):
    with click.Context(command_line, obj=Settings(str(cut.folder / ".durable-wf"))) as ctx:
        found = RunName().shell_complete(ctx, click.Argument(["run"]), "ea")
    assert [item.value for item in found] == ["early"]
    assert capsys.readouterr() == ("", "")


def test_a_store_that_is_whole_is_read_without_a_word(tmp_path):
    """The control; a file has no head that it could be behind."""
    store = open_store(tmp_path / ".durable-wf", create=True)
    add_run(store, "early")
    store.close()
    dwf = Rig(tmp_path)
    assert dwf("list").err == ""
    assert dwf("export", "early", "early.dwf").code == 0
    assert dwf("show", "early", "--store", "early.dwf").err == ""
