"""Reports: what an executor says about an attempt.

Owns: their shapes, apart from the other inputs so that a worker loads no more than it needs.
`run` is the engine's own number for the run, `index` the task's place in the definition.
Must never: be written to the log; the events that follow from them are.
Read next: `inputs.py`, `execute/port.py`.
"""

from __future__ import annotations

from durable_wf.core.fault import Fault, OutputRef
from durable_wf.core.hot import frozen, hot
from durable_wf.core.payload import Value


@hot
class Succeeded:
    """Report: the attempt returned. `payload` are the bytes behind a table PayloadRef."""

    run: int
    index: int
    attempt: int
    value: Value
    began_at: int
    wall_us: int
    cpu_us: int = 0
    rss_kib: int = 0
    output: OutputRef | None = None
    payload: bytes | None = None


@frozen
class Failed:
    """Report: the attempt did not succeed. The engine adds the `detail` of its last heartbeat."""

    run: int
    index: int
    attempt: int
    fault: Fault
    began_at: int = 0
    wall_us: int = 0
    cpu_us: int = 0
    rss_kib: int = 0
    output: OutputRef | None = None
    kept: str = ""
    detail: str = ""


@frozen
class Returned:
    """Report: the attempt never began and will not; the worker gave it back."""

    run: int
    index: int
    attempt: int


Report = Succeeded | Failed | Returned
