"""A skip that nobody allowed fails the run; an allowed one does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")


def run_pytest(folder: Path, test: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_it.py").write_text(test)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", "."],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("test", "passes"),
    [
        ("import pytest\ndef test_x(): pytest.skip('because')", False),
        ("import pytest\n@pytest.mark.skip(reason='later')\ndef test_x(): pass", False),
        ("import pytest\npytest.skip('no', allow_module_level=True)", False),
        ("import pytest\ndef test_x(): pytest.skip('needs Linux')", True),
        ("import pytest\n@pytest.mark.xfail(strict=True)\ndef test_x(): assert 0", True),
        ("def test_x(): pass", True),
    ],
)
def test_only_allowed_skips_pass(tmp_path, test, passes):
    done = run_pytest(tmp_path, test)
    assert (done.returncode == 0) is passes, done.stdout
    if not passes:
        assert "does not allow" in done.stdout
