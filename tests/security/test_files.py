"""Files of a store and of the user's state: private, and never reached through planted links."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest
from cli_rig import environment, rig_in
from security.evil import everything

from durable_wf.errors import DurableWorkflowError, UnsafeStore
from durable_wf.store import trust
from durable_wf.store.folder import check_folder
from durable_wf.store.opening import open_store
from durable_wf.store.payload_files import digest_of, path_of, write_file

SCRIPT = """
import os, sys
os.umask(int(sys.argv[2], 8))
from durable_wf import WorkflowBuilder, WorkflowEngine

def big():
    print("printed")
    return "x" * 100_000

def seen():
    folder = os.environ["STORE"]
    return sorted(name for name in os.listdir(folder) if name.startswith("log.db"))

def odd():
    return object()

builder = WorkflowBuilder("w").add_task("big", big).add_task("seen", seen).add_task("odd", odd)
os.environ["STORE"] = sys.argv[1]
with WorkflowEngine(sys.argv[1], workers=1) as engine:
    result = engine.run(builder.build(), check=False, run_id="r")
    print(*result["seen"])
    for folder, folders, files in os.walk(sys.argv[1]):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            print(oct(os.lstat(path).st_mode & 0o7777), os.path.relpath(path, sys.argv[1]))
"""


@pytest.mark.parametrize("umask", ["0", "022", "007"])
def test_all_that_a_run_leaves_is_private_whatever_the_umask(tmp_path, umask):
    """Log with -wal and -shm, payloads, output, what could not be stored, locks, marks."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "s"), umask],
        env=environment({}), capture_output=True, text=True, timeout=50, check=True,
    )  # fmt: skip
    first, *lines = done.stdout.splitlines()
    assert first.split() == ["log.db", "log.db-shm", "log.db-wal"]
    modes = {name: mode for mode, name in (line.split() for line in lines)}
    kinds = {name.split("/")[0] for name in modes}
    assert kinds == {"head", "locks", "log.db", "log.db-shm", "log.db-wal", "output", "payloads"}
    assert any(name.startswith("output/kept/") for name in modes)
    assert any(name.endswith(".begun") for name in modes)
    assert any(name.endswith(".log") for name in modes)
    folders = {
        str(path.relative_to(tmp_path / "s"))
        for path in (tmp_path / "s").rglob("*")
        if path.is_dir()
    }
    for name, mode in modes.items():
        assert mode == ("0o700" if name in folders else "0o600"), name
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700


@pytest.fixture
def store(tmp_path):
    open_store(tmp_path / "s", create=True).close()
    return tmp_path / "s"


@pytest.fixture
def victim(tmp_path):
    """A file of the user that nothing may write to, though links lead there."""
    (tmp_path / "victim").write_text("mine")
    yield tmp_path / "victim"
    assert (tmp_path / "victim").read_text() == "mine"


@pytest.mark.parametrize("name", ["log.db", "log.db-wal", "log.db-shm", "log.db-journal", "head"])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_in_place_of_a_file_of_the_store_is_refused(store, victim, name, dangling):
    (store / name).unlink(missing_ok=True)
    (store / name).symlink_to(victim.with_name("nothing") if dangling else victim)
    for options in ({}, {"readonly": True}, {"create": True}):
        with pytest.raises(DurableWorkflowError):
            open_store(store, **options)
    assert not victim.with_name("nothing").exists()


@pytest.mark.parametrize("name", ["locks", "payloads", "output"])
def test_a_link_in_place_of_a_folder_of_the_store_is_refused(store, victim, tmp_path, name):
    for path in (store / name).iterdir():
        path.unlink()
    (store / name).rmdir()
    (store / name).symlink_to(tmp_path)
    with pytest.raises(UnsafeStore, match="symbolic link"):
        open_store(store)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "victim"]


def test_a_link_in_place_of_the_writer_s_lock_is_refused(store, victim):
    (store / "locks" / "writer").unlink()
    (store / "locks" / "writer").symlink_to(victim)
    with pytest.raises(DurableWorkflowError):
        open_store(store)


def test_a_link_in_place_of_a_payload_is_replaced_and_not_written_through(store, victim):
    data = b"x" * 100
    path = path_of(store / "payloads", digest_of(data))
    path.parent.mkdir()
    path.symlink_to(victim)
    write_file(store / "payloads", data, "json")
    assert not path.is_symlink()
    assert path.read_bytes() == data


@pytest.mark.parametrize("name", ["log.db", "head", "locks", "payloads", "output", "."])
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_what_others_may_write_is_refused_and_not_mended_in_silence(store, name, mode):
    path = store / name
    path.chmod(mode)
    with pytest.raises(UnsafeStore, match="may be written by others"):
        open_store(store)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    path.chmod(0o700)
    open_store(store).close()


@pytest.mark.parametrize("name", ["log.db", "head", "locks", "payloads", "output", "."])
def test_what_belongs_to_another_user_is_refused(store, name, monkeypatch):
    """Each part by itself; the system is asked, so that root needs no second user."""
    path = str(store if name == "." else store / name)
    lstat = type(store).lstat

    def other(self):
        found = lstat(self)
        if str(self) != path:
            return found
        fields = list(found)
        fields[4] = os.geteuid() + 1
        return os.stat_result(fields)

    monkeypatch.setattr(type(store), "lstat", other)
    with pytest.raises(UnsafeStore, match="another user"):
        check_folder(store)


def test_a_planted_folder_of_that_name_is_not_made_a_store(tmp_path):
    """In a folder where all may write, somebody else could have been faster."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s").chmod(0o777)
    with pytest.raises(UnsafeStore):
        open_store(tmp_path / "s", create=True)
    (tmp_path / "t").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DurableWorkflowError):
        open_store(tmp_path / "t", create=True)
    assert not (tmp_path / "elsewhere").exists()


# --- the user's own state -------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "durable_wf"


def test_a_link_in_place_of_the_list_of_stores_is_not_written_through(state, victim):
    state.mkdir(parents=True, mode=0o700)
    (state / "stores").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        trust.add_trusted("0" * 32)


@pytest.mark.parametrize("home", ["relative", None])
def test_a_home_that_is_no_place_of_its_own_is_refused(tmp_path, home):
    """Else every folder, one that came with a store too, could say what is trusted."""
    rig = rig_in(tmp_path)
    env = {"XDG_STATE_HOME": "relative/state", "HOME": home or "not/absolute"}
    shown = rig.execute("run", "pipeline.py:workflow", env=env)
    assert shown.code == 5
    assert "XDG_STATE_HOME" in shown.err
    assert not (tmp_path / "relative").exists()


def test_without_a_home_reading_works_and_writing_says_what_to_set(tmp_path):
    rig = rig_in(tmp_path)
    assert rig.execute("run", "pipeline.py:workflow", "--id", "r").code == 0
    nowhere = {"XDG_STATE_HOME": "", "HOME": "/proc/nowhere"}
    assert rig.execute("show", "r", env=nowhere).code == 0
    assert rig.execute("export", "r", "r.dwf", env=nowhere).code == 0
    before = everything(tmp_path / ".durable-wf")
    shown = rig.execute("run", "pipeline.py:workflow", "--id", "s", env=nowhere)
    assert shown.code == 5
    assert "set XDG_STATE_HOME" in shown.err
    assert everything(tmp_path / ".durable-wf") == before
