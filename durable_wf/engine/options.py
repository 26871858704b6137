"""Options: what a caller says about one run, beyond its workflow.

Owns: the value, for runs that are made and runs that are continued.
Must never: check what it holds; whoever took it from the caller has done so (see `facade.py`).
Read next: `entering.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from durable_wf.engine import origin
from durable_wf.engine.progress import OnProgress
from durable_wf.engine.settings import ExecutorType

Canceller = Callable[[str, str, bool], None]
"""What the handle of a run calls to have it cancelled: run, reason, whether it takes back."""


@attrs.frozen
class Options:
    """What a caller says about one run, beyond its workflow."""

    run_id: str | None = None
    executor: ExecutorType = ExecutorType.PARALLEL
    accept_changes: bool = False
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    on_progress: OnProgress | None = None
    wait_s: float | None = None
    leaves: bool = True
    """whether the caller goes when the run waits for people or signals alone"""
    deadline_s: float | None = None
    start: origin.Start = attrs.field(factory=origin.Start)
    lineage: origin.Lineage | None = None
