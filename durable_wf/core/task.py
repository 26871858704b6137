"""Tasks as they are defined: nodes of the graph, where their arguments come from, what they need.

Owns: Task and the values in it. All are frozen.
Must never: call, import or inspect a user's function.
Read next: `definition.py`, for the workflow that they make; `definition_json.py`.
"""

from __future__ import annotations

import attrs

from durable_wf.core.breaker import Breaker
from durable_wf.core.payload import PayloadRef as PayloadRef
from durable_wf.core.payload import Value as Value
from durable_wf.core.resources import DEFAULT_RESOURCES, Resources
from durable_wf.core.status import InDoubt, Otherwise, WaitKind


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


@attrs.frozen(cache_hash=True)
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
class Undo:
    """What takes a task's effect back when its run fails or is cancelled: the label of a function,
    what it is called with, and the names of the rules that are asked when it fails. What it says
    of its own about time and resources comes before what its task says.
    """

    function: str
    args: tuple[Source, ...] = ()
    kwargs: tuple[tuple[str, Source], ...] = ()
    rules: tuple[str, ...] = ()
    timeout_s: float | None = None
    memory_limit: int | None = None
    memory_hard: bool = False
    resources: Resources | None = None


@attrs.frozen
class WaitFor:
    """What a task waits for in place of calling a function; it holds no worker meanwhile.

    `name` is that of a signal. `question` and `whom` are for the person who answers an approval.
    Nobody having answered after `timeout_s`, `on_timeout` says what becomes of the task; for a
    sleep `timeout_s` is its length, or `until` (UTC microseconds) its end. `on_reject` is for
    approvals.
    """

    kind: WaitKind
    name: str = ""
    question: str = ""
    whom: str = ""
    timeout_s: float | None = None
    until: int | None = None
    on_timeout: Otherwise = Otherwise.FAIL
    on_reject: Otherwise = Otherwise.FAIL


@attrs.frozen
class Task:
    """A node of the graph.

    `upstream` names every task that must have ended first, data or order alike, without repeats.
    `args` and `kwargs` say what the function is called with. Times are in seconds.
    A failed `optional` task does not fail the run; downstream receives a `Missing` in its place.
    `rules` names the recovery rules that are asked first about its failures, with their versions.
    `timeout_s` bounds an attempt, `deadline_s` all of them together, `heartbeat_s` the silence of
    one. `in_doubt` says what becomes of an attempt whose fate is unknown, `probe` labels the
    function that finds out. `undo` takes its effect back. `breaker` guards what it depends on.
    With `wait` it waits, and calls no function. `beside` holds the fingerprints of the functions
    that stand beside its own, by what each of them is: "probe", "compensation", "fallback LABEL",
    "compensation's fallback LABEL".
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
    rules: tuple[str, ...] = ()
    deadline_s: float | None = None
    heartbeat_s: float | None = None
    in_doubt: InDoubt = InDoubt.RERUN
    probe: str = ""
    undo: Undo | None = None
    breaker: Breaker | None = None
    wait: WaitFor | None = None
    beside: tuple[tuple[str, str], ...] = ()
