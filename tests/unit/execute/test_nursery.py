"""nursery: what the fork server loads, and no more than workers need."""

from __future__ import annotations

import subprocess
import sys

NOT_FOR_WORKERS = (
    "durable_wf.authoring", "durable_wf.cli", "durable_wf.core.definition",
    "durable_wf.core.events", "durable_wf.core.inputs", "durable_wf.core.state",
    "durable_wf.engine", "durable_wf.recovery", "durable_wf.store.sqlite", "cattrs", "sqlite3",
)  # fmt: skip


def test_a_worker_loads_nothing_of_the_engine():
    """All workers of an engine wait for this at its start."""
    code = "import sys; from durable_wf.execute import worker; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = done.stdout.splitlines()
    assert "durable_wf.execute.calls" in loaded
    assert [name for name in loaded if name.startswith(NOT_FOR_WORKERS)] == []
