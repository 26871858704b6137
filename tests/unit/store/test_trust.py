"""Trust: who may write to a store that came from elsewhere."""

from __future__ import annotations

import pytest

from durable_wf.core.events import EngineStopped
from durable_wf.errors import NotTrusted, UnsafeStore
from durable_wf.store import trust
from durable_wf.store.opening import open_store
from durable_wf.store.port import Batch

BATCH = Batch(store_events=[(1, EngineStopped("e-1"))])


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A store that somebody with another state folder has made."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "theirs"))
    open_store(tmp_path / "s", create=True).close()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "ours"))
    return tmp_path / "s"


def test_a_store_from_elsewhere_can_be_read_and_not_written(foreign):
    store = open_store(foreign)
    assert not store.writable
    assert store.log.rows() == []
    with pytest.raises(NotTrusted, match="--trust"):
        store.log.append(BATCH)
    store.close()


def test_trusting_it_once_is_enough_and_is_written_down(foreign):
    open_store(foreign, trust=True).close()
    store = open_store(foreign)
    assert store.writable
    store.log.append(BATCH)
    kinds = [one.kind for one in store.log.stored(0)]
    assert kinds == ["Trusted", "EngineStopped"]
    store.close()


def test_a_store_of_our_own_stays_ours_wherever_it_is_moved(tmp_path):
    open_store(tmp_path / "s", create=True).close()
    (tmp_path / "s").rename(tmp_path / "t")
    store = open_store(tmp_path / "t", trust=True)
    assert store.writable
    assert list(store.log.stored(0)) == []
    store.close()


def test_the_signing_key_is_made_once(foreign):
    key = trust.signing_key()
    assert len(key) == 32
    assert trust.signing_key() == key


def test_a_state_folder_that_others_may_write_is_refused(foreign):
    trust.state_folder().chmod(0o777)
    with pytest.raises(UnsafeStore, match="may be written by others"):
        open_store(foreign)


def test_without_a_state_folder_it_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(UnsafeStore, match="XDG_STATE_HOME"):
        open_store(tmp_path / "s", create=True)
