"""Names of tasks: those that differ only in their numbering, told as one group; and unknown ones.

Owns: what counts as numbering, and the error for a task that a run does not have.
Must never: know what is grouped.
Read next: `render.py`, `drawing/picture.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from durable_wf.core.resolver import nearest
from durable_wf.errors import NotFound

_NUMBERING = re.compile(r"[_\-.\[ #]*(?:ID|id)?\d+\]?$")


def stem(name: str) -> str:
    """A name without its numbering: `resize_007` and `resize[7]` are both `resize`."""
    return _NUMBERING.sub("", name) or name


def task_or_raise(run_id: str, task: str, names: Iterable[str]) -> None:
    """Raise NotFound unless the run has a task of this name."""
    known = list(names)
    if task not in known:
        guess = nearest(task, known)
        raise NotFound(
            f"run {run_id} has no task {task!r}",
            hint=f"did you mean {guess!r}?" if guess else f"dwf show {run_id}",
        )
