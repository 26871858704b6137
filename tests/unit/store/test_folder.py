"""The folder of a store: found, made, judged."""

from __future__ import annotations

import os
import stat

import pytest

from durable_wf.errors import UnsafeStore
from durable_wf.store import folder as folders
from durable_wf.store.opening import open_store
from durable_wf.store.port import Batch
from durable_wf.store.trust import signing_key, state_folder


def modes(root):
    found = {}
    for path in [root, *root.rglob("*")]:
        found[str(path.relative_to(root))] = oct(stat.S_IMODE(path.lstat().st_mode))
    return found


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_everything_in_a_store_is_private_whatever_the_umask(tmp_path, monkeypatch, umask):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    before = os.umask(umask)
    try:
        store = open_store(tmp_path / "s", create=True)
        store.log.append(Batch(payloads=[("a" * 32, b"x")]))
        signing_key()
        folder, state = modes(tmp_path / "s"), modes(state_folder())
    finally:
        os.umask(before)
    store.close()
    assert {"log.db", "log.db-wal", "log.db-shm", "head", "locks/writer"} < folder.keys()
    inner = {".", "payloads", "output", "locks"}
    assert {folder[name] for name in inner} == {"0o700"}
    assert {mode for name, mode in folder.items() if name not in inner} == {"0o600"}
    assert state.pop(".") == "0o700"
    assert state.keys() == {"stores", "signing.key"}
    assert set(state.values()) == {"0o600"}


def test_the_nearest_store_upwards_is_found(tmp_path, monkeypatch):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert folders.find_store(inner) is None
    (tmp_path / ".durable-wf").mkdir()
    assert folders.find_store(inner) == tmp_path / ".durable-wf"
    (tmp_path / "a" / ".durable-wf").mkdir()
    assert folders.find_store(inner) == tmp_path / "a" / ".durable-wf"
    monkeypatch.chdir(inner)
    assert folders.find_store() == tmp_path / "a" / ".durable-wf"
    monkeypatch.setenv("DURABLE_WF_STORE", str(tmp_path / "named"))
    assert folders.find_store() is None
    assert folders.default_store() == tmp_path / "named"
    (tmp_path / "named").mkdir()
    assert folders.find_store() == tmp_path / "named"


def test_a_link_in_place_of_a_store_is_refused(tmp_path):
    open_store(tmp_path / "real", create=True).close()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UnsafeStore, match="symbolic link"):
        open_store(tmp_path / "link")


@pytest.mark.parametrize("name", ["log.db", "locks", "payloads", "head"])
def test_a_link_inside_a_store_is_refused(tmp_path, name):
    open_store(tmp_path / "s", create=True).close()
    (tmp_path / "s" / name).rename(tmp_path / "moved")
    (tmp_path / "s" / name).symlink_to(tmp_path / "moved")
    with pytest.raises(UnsafeStore, match="symbolic link"):
        open_store(tmp_path / "s")


@pytest.mark.parametrize("name", [".", "log.db", "locks"])
@pytest.mark.parametrize("bit", [0o020, 0o002])
def test_what_others_may_write_is_refused(tmp_path, name, bit):
    open_store(tmp_path / "s", create=True).close()
    path = tmp_path / "s" / name
    path.chmod(stat.S_IMODE(path.stat().st_mode) | bit)
    with pytest.raises(UnsafeStore, match="may be written by others"):
        open_store(tmp_path / "s")


def test_the_store_of_another_user_is_refused(tmp_path, monkeypatch):
    open_store(tmp_path / "s", create=True).close()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UnsafeStore, match="another user"):
        open_store(tmp_path / "s", readonly=True)


def test_a_store_on_a_network_file_system_is_refused_before_it_is_made(tmp_path):
    with pytest.raises(UnsafeStore, match="nfs"):
        open_store(
            tmp_path / "s", create=True, read_mounts=lambda: "1 1 0:1 / / rw - nfs server:/ rw\n"
        )
    assert not (tmp_path / "s").exists()


def test_an_existing_folder_with_other_things_in_it_is_not_made_a_store(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UnsafeStore, match="not empty"):
        open_store(tmp_path, create=True)
    assert os.listdir(tmp_path) == ["file"]


def test_a_store_whose_making_was_interrupted_is_made_whole(tmp_path):
    (tmp_path / "s" / "locks").mkdir(parents=True)
    store = open_store(tmp_path / "s", create=True)
    assert store.writable
    store.close()
