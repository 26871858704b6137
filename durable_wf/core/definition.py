"""Definitions: what a workflow is, before any run of it exists.

Owns: Workflow, Task, where arguments come from, what a task needs. All are frozen values;
two definitions are equal when their JSON is.
Must never: call, import or inspect a user's function. `Workflow.functions` carries the callables
from the builder to the engine and takes no part in equality or JSON.
Read next: `definition_json.py` for the JSON form, `graph.py` for order and levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from durable_wf.core.resources import DEFAULT_RESOURCES, Resources

NAME_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.\-~\[\]/ ]{0,199}"
"""Names of workflows and tasks (regular expression, whole match)."""

RUN_ID_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}"
"""Run ids (regular expression, whole match): they stand in paths, commands and URLs."""


@attrs.frozen
class PayloadRef:
    """A stored value that is too large to stand inside an event.

    `digest` is the hex blake2b of its bytes, `size` their number, `codec` how to read them
    (`json`, `npy`, `arrow`, `pickle`). `file` tells a file under `payloads/` from a table row.
    """

    digest: str
    size: int
    codec: str = "json"
    file: bool = False


Value = str | PayloadRef
"""A stored value: exact JSON text (see `values.py`), or a reference to a payload."""


@attrs.frozen
class Literal:
    """An argument given in the definition itself, as exact JSON text (see `values.py`)."""

    value: str


@attrs.frozen
class Upstream:
    """An argument that is the result of `task`, or what `path` (keys and indexes) finds in it."""

    task: str
    path: tuple[str | int, ...] = ()


Source = Literal | Upstream


@attrs.frozen
class FunctionRef:
    """Where a task's code is found, and what it was when the definition was built.

    `module` is an importable name, or "" when only `file` (a script) or `by_value` (the digest of
    a payload) gives the code. `fingerprint` covers bytecode, constants, defaults and functions of
    the same file. `python` is the "major.minor" a by-value function needs.
    """

    qualname: str
    module: str = ""
    file: str = ""
    fingerprint: str = ""
    by_value: str = ""
    python: str = ""


@attrs.frozen
class Task:
    """A node of the graph.

    `upstream` names every task that must have ended first, data or order alike, without repeats.
    `args` and `kwargs` say what the function is called with. Times are in seconds.
    A failed `optional` task does not fail the run; downstream receives a `Missing` in its place.
    """

    name: str
    function: FunctionRef
    upstream: tuple[str, ...] = ()
    args: tuple[Source, ...] = ()
    kwargs: tuple[tuple[str, Source], ...] = ()
    resources: Resources = DEFAULT_RESOURCES
    priority: int = 0
    optional: bool = False
    timeout_s: float | None = None
    memory_limit: int | None = None
    memory_hard: bool = False
    estimate_s: float | None = None
    executor: str = ""
    codec: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class Workflow:
    """A named graph of tasks.

    `tasks` keeps the order in which they were added. `functions` maps task names to callables and
    is present only where the definition was built, not where it was read back from JSON.
    """

    name: str
    tasks: tuple[Task, ...]
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    functions: Mapping[str, Callable[..., Any]] = attrs.field(
        factory=dict, eq=False, repr=False, hash=False
    )
