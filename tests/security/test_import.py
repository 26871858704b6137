"""Files from elsewhere: exported runs that were forged or cut, and what a backup may hold."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tarfile

import attrs
import pytest
from cli_rig import environment
from security import evil
from security.evil import Texts, everything, forge, forged_run, written
from store_rig import add_run

from durable_wf.core.definition import FunctionRef, Task, Workflow
from durable_wf.core.values import TABLE_MAX
from durable_wf.engine.facade import WorkflowEngine
from durable_wf.errors import DurableWorkflowError, WrongState
from durable_wf.store.archive import backup
from durable_wf.store.opening import open_store
from durable_wf.store.payload_files import digest_of
from durable_wf.store.port import Batch
from durable_wf.store.portable import export_run, import_run


@pytest.fixture
def exported(tmp_path):
    store = open_store(tmp_path / "source", create=True)
    add_run(store, "r1", ["1", b"x" * 2000, b"y" * 70_000])
    export_run(store, "r1", tmp_path / "r1.dwf")
    store.close()
    return tmp_path / "r1.dwf"


@pytest.fixture
def target(tmp_path):
    store = open_store(tmp_path / "target", create=True)
    yield store
    store.close()


def must_refuse(target, file):
    """The error; nothing of the file is in the store."""
    before = everything(target.folder.path)
    with pytest.raises(DurableWorkflowError) as caught:
        import_run(target, file)
    assert everything(target.folder.path) == before
    assert target.log.rows() == []
    return caught.value


def test_what_is_sound_is_imported(exported, target):
    """The positive control of all below."""
    assert import_run(target, exported) == "r1"


FORGED = {
    "id with a path": "UPDATE runs SET run_id = '../../r1'",
    "id that is an option": "UPDATE runs SET run_id = '-r'",
    "id that is a word": "UPDATE runs SET run_id = '@last'",
    "id with an escape": "UPDATE runs SET run_id = 'a' || char(27) || '[2J'",
    "very long id": "UPDATE runs SET run_id = printf('%.*c', 100000, 'x')",
    "empty id": "UPDATE runs SET run_id = ''",
    "two runs": "INSERT INTO runs SELECT 2, 'r2', workflow, status, n, total, pending, running,"
    " waiting, succeeded, failed, skipped, cancelled, created_at, started_at, ended_at, wake_at,"
    " engine, cause, definition, structure, inputs, code, tags, imported, origin, origin_n, root"
    " FROM runs",
    "no runs": "DELETE FROM runs",
    "another stream": "UPDATE events SET run = 7 WHERE n = 5",
    "events twice": "INSERT INTO events SELECT seq + 1000, run, n + 1000, at, kind, task, attempt,"
    " body, hash FROM events",
    "events in another order": "UPDATE events SET n = -n",
    "chain": "UPDATE events SET hash = zeroblob(16) WHERE n = 3",
    "last hash": "UPDATE events SET hash = zeroblob(16) WHERE n = (SELECT max(n) FROM events)",
    "huge hash": "UPDATE events SET hash = zeroblob(1000000) WHERE n = 3",
    "head": "UPDATE meta SET value = '1:00000000000000000000000000000000' WHERE key = 'head'",
    "head that is no hash": "UPDATE meta SET value = 'x' WHERE key = 'head'",
    "head without number": "UPDATE meta SET value = ':' WHERE key = 'head'",
    "payload": "UPDATE payloads SET data = zeroblob(length(data))",
    "payload under a path": "UPDATE payloads SET digest = '../../../x' WHERE length(data) = 2000",
    "payload that is huge": "UPDATE payloads SET data = zeroblob(1 << 27) WHERE length(data) = 2e3",
    "length": "UPDATE runs SET n = 9223372036854775807",
    "trigger": "CREATE TRIGGER t AFTER INSERT ON events BEGIN SELECT 1; END",
    "version": "PRAGMA user_version = 99",
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_file_is_refused_whole(exported, target, name):
    with written(exported) as connection:
        connection.execute(FORGED[name])
    assert "\x1b" not in str(must_refuse(target, exported))


@pytest.mark.parametrize("part", range(1, 12))
def test_a_cut_file_is_refused_whole(exported, target, part):
    data = exported.read_bytes()
    exported.write_bytes(data[: len(data) * part // 12])
    must_refuse(target, exported)


@pytest.mark.parametrize(
    "content", [b"", b"SQLite format 3\0", b"\xff" * 100_000, b"PK\3\4", b"\0"]
)
def test_what_is_no_export_is_refused(tmp_path, target, content):
    (tmp_path / "x").write_bytes(content)
    must_refuse(target, tmp_path / "x")


def test_what_is_no_file_is_refused(tmp_path, target):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none", "/dev/zero", "a\0b"):
        must_refuse(target, path)


def fresh_export(tmp_path, texts):
    """An export whose hashes are right, of a run that no engine would make."""
    folder = tmp_path / "forger"
    store = open_store(folder, create=True)
    append, payloads = forged_run(texts)
    store.log.append(Batch(appends=[append], payloads=payloads))
    export_run(store, texts.run_id, tmp_path / "forged.dwf")
    store.close()
    evil.forget(folder)
    return tmp_path / "forged.dwf"


def test_a_run_that_says_it_is_not_imported_is_imported_as_one_all_the_same(tmp_path, target):
    file = fresh_export(tmp_path, Texts())
    with written(file) as connection:
        connection.execute("UPDATE runs SET imported = 0, status = 'running'")
    import_run(target, file)
    row = target.log.row("forged")
    assert row is not None
    assert row.imported


def test_an_imported_run_is_not_continued_when_its_mark_was_taken_away(tmp_path, target):
    """What the log says counts: its code is not loaded, and it keeps its events."""
    source = open_store(tmp_path / "source", create=True)
    add_run(source, "guest", finished=False)
    import_run(target, export_run(source, "guest", tmp_path / "guest.dwf"))
    source.close()
    with target.log.transaction() as connection:
        connection.execute("UPDATE runs SET imported = 0")
    before = target.log.row("guest")
    refused = {}
    with WorkflowEngine(target.folder.path, executor_type="sequential") as engine:
        assert engine.recover(on_refused=refused.__setitem__) == []
        with pytest.raises(WrongState, match="was imported"):
            engine.cancel("guest")
        with pytest.raises(WrongState, match="came from another store"):
            engine.fork("guest")
    assert "was imported" in refused["guest"].message
    assert target.log.row("guest") == before


@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb", "\u202ea", "\0", "\udcff"])
def test_names_that_steer_are_refused_though_their_hashes_are_right(tmp_path, target, name):
    """Whoever makes the file computes the hashes too."""
    folder = tmp_path / "forger"
    store = open_store(folder, create=True)
    definition = Workflow("w", (Task(name, FunctionRef("f", module="m")),)).to_json().encode()
    append, payloads = forged_run(Texts())
    old = payloads[0][0]
    body_of = append.events[0].event
    created = attrs.evolve(
        append.events[0], event=attrs.evolve(body_of, definition=digest_of(definition))
    )
    append = attrs.evolve(append, events=[created, *append.events[1:]])
    append = attrs.evolve(append, row=attrs.evolve(append.row, definition=digest_of(definition)))
    assert old != digest_of(definition)
    store.log.append(Batch(appends=[append], payloads=[(digest_of(definition), definition)]))
    with pytest.raises(DurableWorkflowError):
        export_run(store, "forged", tmp_path / "forged.dwf")
    store.close()
    assert not (tmp_path / "forged.dwf").exists()


def test_an_import_does_not_follow_files_beside_it(exported, target, tmp_path):
    """`FILE.parts` stands for the folders of a store; nobody makes it, but somebody could."""
    parts = tmp_path / "r1.dwf.parts" / "payloads"
    parts.mkdir(parents=True)
    with written(exported) as connection:
        digest = connection.execute(
            "SELECT digest FROM payloads WHERE length(data) > ?", (TABLE_MAX,)
        ).fetchone()[0]
        connection.execute("DELETE FROM payloads WHERE digest = ?", (digest,))
    (parts / digest[:2]).mkdir()
    os.symlink("/etc/passwd", parts / digest[:2] / digest)
    must_refuse(target, exported)


# --- where exports and backups are written --------------------------------------------------------


@pytest.fixture
def source(exported, tmp_path):
    store = open_store(tmp_path / "source")
    yield store
    store.close()


def write_export(store, path):
    export_run(store, "r1", path)


@pytest.mark.parametrize("write", [write_export, backup])
def test_a_planted_link_or_file_is_never_written_through(source, tmp_path, write):
    victim = tmp_path / "victim"
    for plant in (
        lambda path: path.symlink_to(victim),
        lambda path: (victim.write_text("mine"), path.symlink_to(victim)),
        lambda path: path.write_text("mine"),
        lambda path: path.mkdir(),
        os.mkfifo,
    ):
        path = tmp_path / "out"
        plant(path)
        with pytest.raises(DurableWorkflowError, match="exists already"):
            write(source, path)
        assert not victim.exists() or victim.read_text() == "mine"
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
@pytest.mark.parametrize("write", [write_export, backup])
def test_what_is_written_is_private_whatever_the_umask(source, tmp_path, write, umask):
    before = os.umask(umask)
    try:
        write(source, tmp_path / "out")
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"source", "r1.dwf", "out"}


def test_a_backup_holds_plain_private_files_below_one_folder(source, tmp_path):
    """So it can be unpacked by any tar; tarfile's strictest filter agrees."""
    with written(source.folder.db) as connection:
        connection.execute(
            'UPDATE events SET body = replace(body, \'"value"\', \'"file":"../../x","value"\')'
        )
    (tmp_path / "x").write_text("outside")
    top = backup(source, tmp_path / "b.tar").folder
    with tarfile.open(tmp_path / "b.tar") as tar:
        members = tar.getmembers()
        assert len(members) > 5
        for member in members:
            assert member.isfile() or member.isdir()
            assert member.mode in {0o600, 0o700}
            assert member.name == top or member.name.startswith(f"{top}/")
            assert ".." not in member.name.split("/")
        tar.extractall(tmp_path / "restored", filter="data")
    assert not any(path.name == "x" for path in (tmp_path / "restored").rglob("*"))


@pytest.mark.parametrize("command", [["export", "r1"], ["db", "backup"]])
def test_a_full_disk_leaves_nothing_behind_and_nothing_changed(source, tmp_path, command):
    """A limit on the size of files stands for the disk."""
    source.close()
    folder = tmp_path / "source"
    before = everything(folder)
    out = tmp_path / "out"
    out.mkdir()

    def run(limit):
        return subprocess.run(
            [sys.executable, "-m", "durable_wf", *command, out / "file", "--store", folder],
            env=environment({}), capture_output=True, text=True, timeout=40, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )  # fmt: skip

    full = run(40_000)
    assert full.returncode == 5, full.stderr
    assert "could not be written" in full.stderr
    assert list(out.iterdir()) == []
    assert everything(folder) == before
    assert run(10_000_000).returncode == 0


def test_a_restored_backup_that_came_from_elsewhere_is_not_trusted(tmp_path):
    folder = forge(tmp_path / "s", Texts())
    store = open_store(folder, readonly=True)
    made = backup(store, tmp_path / "b.tar")
    store.close()
    shutil.unpack_archive(tmp_path / "b.tar", tmp_path / "there", filter="data")
    restored = open_store(tmp_path / "there" / made.folder)
    assert not restored.writable
    restored.close()
