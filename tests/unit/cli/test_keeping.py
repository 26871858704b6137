"""A file with a result is told about as far as it is the user's own, and in its store."""

from __future__ import annotations

from pathlib import Path

import pytest

from durable_wf.cli.facts import Kept
from durable_wf.cli.keeping import kept_lines


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out put" / "kept").mkdir(parents=True)
    (tmp_path / "out put" / "kept" / "a.pickle").write_bytes(b"\x80")
    return tmp_path / "out put"


def test_the_users_own_file_is_told_with_the_line_that_reads_it(output):
    path, warning, line = kept_lines(Kept(2, "kept/a.pickle"), output, trusted=True)
    assert path == str(output / "kept/a.pickle")
    assert warning.startswith("what attempt 2 returned")
    assert line.startswith("python -i -c ")
    assert line.endswith(f"'{path}'")


def test_no_line_reads_what_somebody_else_has_written(output):
    lines = kept_lines(Kept(1, "kept/a.pickle"), output, trusted=False)
    assert not any("python" in line for line in lines)


@pytest.mark.parametrize("file", ["../../etc/passwd", "/etc/passwd", "kept/out", "\x1b[2J/../../x"])
def test_a_name_that_leads_out_of_the_store_is_no_place_of_ours(output, file):
    (output / "kept" / "out").symlink_to(Path("/etc/passwd"))
    (line,) = kept_lines(Kept(1, file), output, trusted=True)
    assert "outside the store" in line
    assert line.isprintable()
