"""Which global names are written as constants, and which are computed at each start."""

from __future__ import annotations

from pathlib import Path

import pytest

from durable_wf.authoring.literals import literal_names


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("X = 2", True),
        ("X: int = 60 * 60", True),
        ("X = -1.5", True),
        ("X = ('a', (None, 1))", True),
        ("X = frozenset({'a', 'b'})", True),
        ("X = Mode.FAST", True),
        ("if True:\n    X = 'either'", True),
        ("import os\nX = os.getpid()", False),
        ("import sys\nX = sys.argv[1]", False),
        ("X = 1\nX = int('2')", False),
        ("X = 1\nX += 1", False),
        ("for X in (1, 2):\n    pass", False),
        ("X, Y = 1, 2", False),
        ("def f():\n    X = 1", False),
        ("X = [1]", False),
    ],
)
def test_a_name_counts_when_only_literals_are_assigned_to_it(
    line: str, counts: bool, tmp_path: Path
) -> None:
    file = tmp_path / "module.py"
    file.write_text(line + "\n")

    assert ("X" in literal_names(str(file))) is counts


def test_a_file_that_cannot_be_read_has_none(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("X = (\n")

    assert literal_names(str(tmp_path / "broken.py")) == frozenset()
    assert literal_names(str(tmp_path / "absent.py")) == frozenset()
