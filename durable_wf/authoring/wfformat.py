"""WfFormat: recorded scientific workflows (the JSON of WfCommons, version 1.5) as workflows.

Owns: reading such a file into a Workflow whose tasks spend the recorded time.
Must never: take a file for granted; what is wrong with one is a DefinitionError of one line.
Read next: `replayed.py`, which the tasks run.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from durable_wf.authoring import replayed
from durable_wf.authoring.fingerprint import function_ref
from durable_wf.core.definition import FunctionRef, Literal, Task, Workflow
from durable_wf.core.names import is_name
from durable_wf.core.resolver import DependencyResolver, nearest
from durable_wf.core.resources import DEFAULT_RESOURCES, Resources
from durable_wf.errors import CycleError, DefinitionError, NotFound

VERSION: Final = "1.5"
MAX_BYTES: Final = 64 * 2**20
"""Files above this are refused unread: 3 KB a task is usual, so this is some 20,000 tasks."""

_LARGEST: Final = 1e18
"""Seconds, bytes and cores above this are no recording."""

_LONGEST_S: Final = 1e9
"""A task that would be replayed for more than some thirty years."""

_MOST_URGENT: Final = 2**31

_FEW: Final = 5
"""So many circles are named in the one line."""

_WORK: Final[Mapping[str, Callable[[float], None]]] = {
    "sleep": replayed.sleep,
    "cpu": replayed.burn,
}
_NO_EXECUTION: Final[dict[str, Any]] = {}


@attrs.frozen
class Replay:
    """How recorded tasks are replayed: each spends its recorded seconds times `time_scale`,
    sleeping or keeping a core busy (`work`: sleep, cpu). `cores` and `memory` (bytes) cap what a
    task may ask for, so that a recording of a large machine runs on a small one.
    """

    time_scale: float = 1.0
    work: str = "sleep"
    cores: float | None = None
    memory: int | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("time_scale", "cores", "memory"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise DefinitionError(f"{name} must be more than 0, not {value!r}")
        if self.work not in _WORK:
            raise DefinitionError(f"work must be one of {', '.join(_WORK)}, not {self.work!r}")


def read_json_file(path: Path) -> str:
    """The text of a definition file. Raises DefinitionError (too large, not text) or NotFound."""
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise DefinitionError(f"{path} is not a file")
        if info.st_size > MAX_BYTES:
            raise DefinitionError(
                f"{path} has {info.st_size / 1e6:.0f} MB; definitions may have "
                f"{MAX_BYTES / 1e6:.0f} MB"
            )
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NotFound(f"cannot read {path}: {os.strerror(error.errno or 0)}") from None
    except UnicodeDecodeError:
        raise DefinitionError(f"{path} is not JSON: it is not even text") from None


def is_wfformat(text: str) -> bool:
    """Whether this looks like WfFormat, of whatever version. Does not parse it."""
    return '"schemaVersion"' in text and '"workflow"' in text and '"durable_wf"' not in text[:200]


def from_wfformat(text: str, replay: Replay | None = None, *, source: str = "") -> Workflow:
    """The workflow of a WfFormat document; `source` names it in errors.

    Tasks keep their ids as names (characters that names cannot have become "_"), their parents as
    order, cores and memory as resources. Metadata holds the recorded makespan in seconds.
    Raises DefinitionError, one line, for whatever is wrong.
    """
    try:
        return _Import(_parsed(text), replay or Replay()).workflow()
    except _Bad as bad:
        raise DefinitionError(f"{source or 'WfFormat document'}: {bad}") from None


class _Bad(Exception):
    """What is wrong with the document."""


def _parsed(text: str) -> dict[str, Any]:
    if text[:100].lstrip()[:1] != "{":
        raise _Bad("not JSON: it does not begin with {")
    try:
        data = json.loads(text)
    except RecursionError:
        raise _Bad("not WfFormat: nested too deeply") from None
    except ValueError as error:
        raise _Bad(f"not JSON: {error}") from None
    version = data.get("schemaVersion")
    if version != VERSION:
        raise _Bad(f"WfFormat version {version!r:.40}; only {VERSION!r} is read")
    return data  # type: ignore[no-any-return]


def _get(data: Any, key: str, kind: type, where: str) -> Any:
    value = data.get(key) if isinstance(data, dict) else None
    if not isinstance(value, kind):
        words = "an object" if kind is dict else "a list" if kind is list else "a text"
        found = "is missing" if value is None else f"is not {words}"
        raise _Bad(f"{where}: {key!r} {found}")
    return value


def _number(data: Mapping[str, Any], key: str, where: str) -> float | None:
    value = data.get(key)
    if value is None:
        return None
    good = isinstance(value, int | float) and not isinstance(value, bool)
    # Compared, not asked whether it is finite: a whole number may be too large for that.
    if not good or not 0 <= value <= _LARGEST:
        raise _Bad(
            f"{where}: {key!r} is {value!r:.40}, not a number of 0 or more (up to {_LARGEST:g})"
        )
    return value  # type: ignore[no-any-return]


class _Import:
    def __init__(self, data: dict[str, Any], replay: Replay) -> None:
        self._data = data
        self._replay = replay
        flow = _get(data, "workflow", dict, "document")
        specification = _get(flow, "specification", dict, "workflow")
        self._tasks = self._by_id(specification, "specification")
        execution = flow.get("execution") or {}
        self._execution = execution if isinstance(execution, dict) else {}
        self._executed = self._by_id(self._execution, "execution") if execution else {}
        self._names = self._usable_names()
        self._resources: dict[tuple[float, int], Resources] = {}

    @staticmethod
    def _by_id(part: dict[str, Any], where: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for i, task in enumerate(_get(part, "tasks", list, where), 1):
            key = _get(task, "id", str, f"{where}, task {i}")
            if key in found:
                raise _Bad(f"{where}: task {key!r} stands there twice")
            found[key] = task
        return found

    def _usable_names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        taken = {key for key in self._tasks if is_name(key)}
        for key in self._tasks:
            name = key
            if not is_name(key):
                base = name = "t" + re.sub(r"[^A-Za-z0-9_.\-]", "_", key)[:180]
                count = 1
                while name in taken:
                    count += 1
                    name = f"{base}~{count}"
                taken.add(name)
            names[key] = name
        return names

    def workflow(self) -> Workflow:
        if not self._tasks:
            raise _Bad("it has no tasks")
        upstreams = self._upstreams()
        function = _WORK[self._replay.work]
        ref = function_ref(function)
        tasks = tuple(self._task(key, upstreams[key], ref) for key in self._tasks)
        graph = {task.name: task.upstream for task in tasks}
        if cycles := DependencyResolver(graph).cycles():
            told = [CycleError(cycle).message for cycle in cycles[:_FEW]]
            more = [f"and {len(cycles) - _FEW} more"] if len(cycles) > _FEW else []
            raise _Bad("; ".join(told + more))
        return Workflow(
            self._own_name(),
            tasks,
            description=str(self._data.get("description") or "")[:1000],
            tags=("wfformat",),
            metadata=self._metadata(),
            functions={task.name: function for task in tasks},
        )

    def _own_name(self) -> str:
        name = str(self._data.get("name") or "")
        return name if is_name(name) else "w" + re.sub(r"[^A-Za-z0-9_.\-]", "_", name)[:180]

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        replay = self._replay
        found = {"schema_version": VERSION, "time_scale": f"{replay.time_scale:g}"}
        found["work"] = replay.work
        makespan = _number(self._execution, "makespanInSeconds", "execution")
        if makespan is not None:
            found["recorded_makespan_s"] = f"{makespan:g}"
        system = self._data.get("runtimeSystem")
        if isinstance(system, dict) and isinstance(system.get("name"), str):
            found["recorded_by"] = system["name"]
        return tuple(sorted(found.items()))

    def _upstreams(self) -> dict[str, tuple[str, ...]]:
        """Upstream names by task id, from `parents` and `children` together."""
        found: dict[str, dict[str, None]] = {key: {} for key in self._tasks}
        for key, task in self._tasks.items():
            for parent in self._ids(task, "parents", key):
                found[key][self._names[parent]] = None
            for child in self._ids(task, "children", key):
                found[child][self._names[key]] = None
        return {key: tuple(names) for key, names in found.items()}

    def _ids(self, task: dict[str, Any], field: str, key: str) -> list[str]:
        ids = task.get(field)
        if ids is None:
            return []
        if not isinstance(ids, list):
            raise _Bad(f"task {key!r}: {field!r} is not a list")
        for other in ids:
            if not isinstance(other, str) or other not in self._tasks:
                guess = nearest(other, self._tasks) if isinstance(other, str) else ""
                raise _Bad(
                    f"task {key!r} names {other!r:.80} among its {field}, which does not exist"
                    + (f"; did you mean {guess!r}?" if guess else "")
                )
        return ids

    def _task(self, key: str, upstream: tuple[str, ...], ref: FunctionRef) -> Task:
        task, executed = self._tasks[key], self._executed.get(key, _NO_EXECUTION)
        runtime = _number(executed, "runtimeInSeconds", f"task {key!r}")
        if runtime is None:
            raise _Bad(f"task {key!r} has no runtimeInSeconds")
        seconds = round(float(runtime) * self._replay.time_scale, 9)
        if not seconds <= _LONGEST_S:
            raise _Bad(
                f"task {key!r} would take {seconds:g} s (runtimeInSeconds times the time scale); "
                f"at most {_LONGEST_S:g} are replayed"
            )
        name, priority = task.get("name"), executed.get("priority")
        if isinstance(priority, int) and abs(priority) > _MOST_URGENT:
            raise _Bad(f"task {key!r}: 'priority' is {priority!r:.40}")
        return Task(
            self._names[key],
            ref,
            upstream,
            kwargs=(("seconds", Literal(repr(seconds))),),
            resources=self._needs(executed, key),
            priority=priority if isinstance(priority, int) else 0,
            estimate_s=seconds,
            description=name if isinstance(name, str) and name != self._names[key] else "",
        )

    def _needs(self, executed: dict[str, Any], key: str) -> Resources:
        cores = float(_number(executed, "coreCount", f"task {key!r}") or 1.0)
        memory = int(_number(executed, "memoryInBytes", f"task {key!r}") or 0)
        if self._replay.cores is not None:
            cores = min(cores, self._replay.cores)
        if self._replay.memory is not None:
            memory = min(memory, self._replay.memory)
        if (cores, memory) == (1.0, 0):
            return DEFAULT_RESOURCES
        return self._resources.setdefault((cores, memory), Resources(cpu=cores, memory=memory))
