"""Payload files: whole or absent, never half; verified when read."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from durable_wf.errors import DiskFull, PayloadMissing, StoreFailed
from durable_wf.store import payload_files as pf


@pytest.fixture
def payloads(tmp_path: Path) -> Path:
    folder = tmp_path / "payloads"
    folder.mkdir()
    return folder


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [0, 1, 65_537, 3_000_001])
def test_what_is_written_is_read_back(payloads: Path, size: int) -> None:
    data = os.urandom(size)
    ref = pf.write_file(payloads, data, "json")
    assert (ref.size, ref.codec, ref.file) == (size, "json", True)
    assert pf.read_file(payloads, ref.digest) == data
    assert files_in(payloads) == [payloads / ref.digest[:2] / ref.digest]


def test_files_and_folders_are_private_whatever_the_umask(payloads: Path) -> None:
    old = os.umask(0)
    try:
        ref = pf.write_file(payloads, b"secret", "json")
    finally:
        os.umask(old)
    path = pf.path_of(payloads, ref.digest)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_same_bytes_are_written_once(payloads: Path) -> None:
    first = pf.write_file(payloads, b"x" * 100_000, "json")
    inode = pf.path_of(payloads, first.digest).stat().st_ino
    assert pf.write_file(payloads, b"x" * 100_000, "json") == first
    assert pf.path_of(payloads, first.digest).stat().st_ino == inode


@pytest.mark.parametrize("damage", [b"", b"x" * 99, b"y" * 100])
def test_writing_again_repairs_a_damaged_file(payloads: Path, damage: bytes) -> None:
    ref = pf.write_file(payloads, b"x" * 100, "json")
    pf.path_of(payloads, ref.digest).write_bytes(damage)
    with pytest.raises(PayloadMissing, match=ref.digest):
        pf.read_file(payloads, ref.digest)
    pf.write_file(payloads, b"x" * 100, "json")
    assert pf.read_file(payloads, ref.digest) == b"x" * 100


def test_a_missing_file_names_itself_and_the_next_step(payloads: Path) -> None:
    digest = pf.digest_of(b"never written")
    assert not pf.has_file(payloads, digest)
    with pytest.raises(PayloadMissing) as caught:
        pf.read_file(payloads, digest)
    assert digest in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", "ab/../../x", "A" * 32, "0" * 31, "é" * 32]
)
def test_a_name_that_is_no_digest_never_becomes_a_path(payloads: Path, name: str) -> None:
    assert not pf.has_file(payloads, name)
    with pytest.raises(PayloadMissing):
        pf.read_file(payloads, name)


def test_a_planted_symlink_is_not_followed(payloads: Path, tmp_path: Path) -> None:
    data = b"z" * 100
    outside = tmp_path / "outside"
    outside.write_bytes(data)
    path = pf.path_of(payloads, pf.digest_of(data))
    path.parent.mkdir()
    path.symlink_to(outside)
    with pytest.raises(PayloadMissing):
        pf.read_file(payloads, path.name)
    pf.write_file(payloads, data, "json")
    assert not path.is_symlink()
    assert pf.read_file(payloads, path.name) == data


@pytest.mark.parametrize(
    ("call", "code", "expected"),
    [
        ("write", errno.ENOSPC, DiskFull),
        ("fsync", errno.EIO, StoreFailed),
        ("rename", errno.EDQUOT, DiskFull),
        ("open", errno.EACCES, StoreFailed),
    ],
)
def test_a_failed_write_leaves_nothing_behind(
    payloads: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, expected: type[Exception]
) -> None:
    (payloads / pf.digest_of(b"q" * 100)[:2]).mkdir()
    pf.write_file(payloads, b"q" * 100, "json")  # its folder is known from here on
    pf.path_of(payloads, pf.digest_of(b"q" * 100)).unlink()

    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(expected):
            pf.write_file(payloads, b"q" * 100, "json")
    assert files_in(payloads) == []
    assert pf.write_file(payloads, b"q" * 100, "json").size == 100


def test_partial_writes_of_the_system_are_completed(
    payloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:7]))
    ref = pf.write_file(payloads, b"0123456789" * 10, "json")
    assert pf.read_file(payloads, ref.digest) == b"0123456789" * 10


def test_kept_bytes_stand_in_a_folder_of_their_own(tmp_path: Path) -> None:
    name = pf.write_kept(tmp_path, b"pickled thing", ".pickle")
    assert (tmp_path / name).read_bytes() == b"pickled thing"
    assert Path(name).parent == Path(pf.KEPT_FOLDER)


def _write_many(payloads: str) -> None:
    for k in range(40):
        pf.write_file(Path(payloads), b"%d" % (k % 8) * 70_000, "json")


def test_processes_that_write_the_same_bytes_do_not_disturb_each_other(payloads: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(str(payloads),)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=60)
        assert writer.exitcode == 0
    names = [path.name for path in files_in(payloads)]
    assert len(names) == 8
    for name in names:
        pf.read_file(payloads, name)
