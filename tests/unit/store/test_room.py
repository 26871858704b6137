"""Room: which errors say that the disk is full."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from durable_wf.store.room import is_no_room


def sqlite_error(name: str) -> sqlite3.Error:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EDQUOT, "the user's share is full"), True),
        (OSError(errno.EIO, "broken"), False),
        (sqlite_error("SQLITE_FULL"), True),
        (sqlite_error("SQLITE_IOERR_SHMSIZE"), True),
        (sqlite_error("SQLITE_IOERR_WRITE"), False),
        (sqlite3.ProgrammingError("ours"), False),
    ],
)
def test_what_says_that_the_disk_is_full(error, expected):
    assert is_no_room(error) is expected
