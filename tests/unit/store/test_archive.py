"""A backup is a whole store, also when it is taken while others write."""

from __future__ import annotations

import stat
import subprocess
import tarfile
import threading

import pytest
from store_rig import add_run

from durable_wf.core.circuit import Outcome, What
from durable_wf.errors import CallerError, LostTail
from durable_wf.store import archive
from durable_wf.store.archive import backup
from durable_wf.store.check import check
from durable_wf.store.locks import create
from durable_wf.store.opening import open_store
from durable_wf.store.payload_files import digest_of, path_of, write_file
from durable_wf.store.port import Batch, Beat
from durable_wf.store.portable import export_run

LARGE = b"l" * 70_000


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    (store.folder.output / "w-12345678-0.log").write_bytes(b"hello")
    add_run(store, "one", ["1", b"m" * 2_000, LARGE], output="w-12345678-0.log")
    yield store
    store.close()


def restore(made, folder):
    folder.mkdir(exist_ok=True)
    subprocess.run(["tar", "-xf", made.path, "-C", folder], check=True, timeout=30)
    return folder / made.folder


def test_a_restored_backup_is_the_same_store(store, tmp_path) -> None:
    made = backup(store, tmp_path / "b.tar")
    assert (made.seq, made.damaged) == (11, ())
    again = open_store(restore(made, tmp_path / "r"))
    assert check(again) == []
    assert again.id == store.id
    assert again.log.rows() == store.log.rows()
    assert list(again.log.stored(1)) == list(store.log.stored(1))
    assert again.log.payload(digest_of(LARGE)) == LARGE
    assert (again.folder.output / "w-12345678-0.log").read_bytes() == b"hello"
    add_run(again, "two")
    assert check(again) == []
    again.close()


def test_what_stands_beside_the_log_is_in_it(store, tmp_path) -> None:
    add_run(store, "open", finished=False)
    outcome, beat = Outcome("k", 5, What.FAILED, "open/t2/1"), Beat(2, "t2", 1, 5, '"half"')
    store.log.append(Batch(outcomes=[outcome], beats=[beat]))
    again = open_store(restore(backup(store, tmp_path / "b.tar"), tmp_path / "r"))
    assert again.log.outcomes("k") == [outcome]
    assert again.log.beats(2) == {"t2": beat}
    assert check(again) == []
    again.close()


def test_each_unpacks_to_a_folder_of_its_own(store, tmp_path, monkeypatch) -> None:
    """Named after the time, so that the second does not land on the first, which may be in use."""
    monkeypatch.setattr(archive, "_now_s", iter([1_700_000_000, 1_700_000_001]).__next__)
    first = backup(store, tmp_path / "b.tar")
    add_run(store, "two")
    second = backup(store, tmp_path / "c.tar")
    assert first.folder == "durable-wf-backup-20231114-221320"
    for made, runs in ((first, ["one"]), (second, ["two", "one"])):
        again = open_store(restore(made, tmp_path / "r"))
        assert [row.run_id for row in again.log.rows()] == runs
        again.close()
    assert len(list((tmp_path / "r").iterdir())) == 2


@pytest.mark.parametrize("inner", ["b.tar", "payloads/b.tar", "../link/output/b.tar"])
def test_no_file_is_put_into_the_folder_of_the_store(store, tmp_path, inner) -> None:
    """Nothing of a store's own knows it there, and to take the folder away takes the backup too."""
    (tmp_path / "link").symlink_to(store.folder.path)
    with pytest.raises(CallerError, match="lies inside the store"):
        backup(store, store.folder.path / inner)
    with pytest.raises(CallerError, match="lies inside the store"):
        export_run(store, "one", store.folder.path / inner)
    assert not list(store.folder.path.rglob("b.tar"))
    assert backup(store, tmp_path / "b.tar").path.is_file()


def test_everything_in_it_is_private(store, tmp_path) -> None:
    made = backup(store, tmp_path / "b.tar")
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    with tarfile.open(made.path) as tar:
        modes = {entry.mode for entry in tar if entry.isfile()}
        folders = {entry.mode for entry in tar if entry.isdir()}
        assert all(name.split("/")[0] == made.folder for name in tar.getnames())
    assert (modes, folders) == ({0o600}, {0o700})


def test_what_no_event_names_is_left_out(store, tmp_path) -> None:
    ref = write_file(store.folder.payloads, b"garbage" * 10_000, "json")
    (store.folder.output / "forgotten.log").write_bytes(b"x")
    with tarfile.open(backup(store, tmp_path / "b.tar").path) as tar:
        names = " ".join(tar.getnames())
    assert ref.digest not in names
    assert "forgotten" not in names


def test_no_lock_is_in_it(store, tmp_path) -> None:
    """The engines and workers that it names are the original's: in a restored store they are none
    that could be waited for or ended.
    """
    held = create(store.folder.locks, "w-12345678-0")
    made = backup(store, tmp_path / "b.tar")
    with tarfile.open(made.path) as tar:
        names = tar.getnames()
    held.release()
    assert [name for name in names if "locks" in name] == [f"{made.folder}/locks"]


def test_a_name_in_the_log_never_reaches_outside_the_output_folder(store, tmp_path) -> None:
    (tmp_path / "secret").write_bytes(b"s")
    add_run(store, "sly", output="../../secret")
    with tarfile.open(backup(store, tmp_path / "b.tar").path) as tar:
        assert not [name for name in tar.getnames() if "secret" in name]


def test_a_damaged_payload_is_told_and_does_not_stop_the_backup(store, tmp_path) -> None:
    path_of(store.folder.payloads, digest_of(LARGE)).write_bytes(b"?")
    assert backup(store, tmp_path / "b.tar").damaged == (digest_of(LARGE),)


def test_an_existing_file_is_never_overwritten(store, tmp_path) -> None:
    (tmp_path / "b.tar").write_bytes(b"precious")
    with pytest.raises(CallerError, match="exists already"):
        backup(store, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == b"precious"


def test_a_log_behind_its_head_is_not_taken_for_a_good_backup(store, tmp_path) -> None:
    store.close()
    reader = open_store(store.folder.path, readonly=True)
    head = store.folder.head.read_bytes()
    reader.close()
    writer = open_store(store.folder.path)
    add_run(writer, "late")
    newer = writer.folder.head.read_bytes()
    with writer.log.transaction() as connection:
        connection.execute("DELETE FROM events WHERE run = 2")
    assert newer != head
    with pytest.raises(LostTail):
        backup(writer, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()
    writer.close()


def test_backups_taken_while_another_writes_are_all_whole(store, tmp_path) -> None:
    done = threading.Event()
    written = []

    def write() -> None:
        writer = open_store(store.folder.path)
        while not done.is_set() and len(written) < 300:
            name = f"w{len(written)}"
            add_run(writer, name, ["1", b"%d" % len(written) * 30_000])
            written.append(name)
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        files = [backup(store, tmp_path / f"b{k}.tar") for k in range(4)]
    finally:
        done.set()
        thread.join(timeout=30)
    assert len(written) > 4
    for k, made in enumerate(files):
        again = open_store(restore(made, tmp_path / f"r{k}"))
        assert check(again) == []
        again.close()
