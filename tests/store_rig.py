"""Legal runs of a small workflow, put into a store without an engine; stores nobody may write."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from durable_wf.core import events as e
from durable_wf.core.definition import FunctionRef, PayloadRef, Task, Workflow
from durable_wf.core.events import Event, Recorded
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState, row_of
from durable_wf.store.opening import Store
from durable_wf.store.payload_files import digest_of, write_file
from durable_wf.store.port import Batch, RunAppend

AT = 1_700_000_000_000_000


def workflow(tasks: int = 3, by_value: str = "") -> Workflow:
    """A chain; its first function may be stored by value."""
    names = [f"t{k}" for k in range(tasks)]
    return Workflow(
        "chain",
        tuple(
            Task(
                name,
                FunctionRef("f", module="m", by_value=by_value if k == 0 else ""),
                upstream=(names[k - 1],) if k else (),
            )
            for k, name in enumerate(names)
        ),
    )


def add_run(
    store: Store,
    run_id: str,
    results: Sequence[str | bytes] = ("1", "2", "3"),
    *,
    finished: bool = True,
    by_value: bytes = b"",
    output: str = "",
    origin: str = "",
    engine: str = "e-12345678",
) -> None:
    """A run whose tasks return the given results: text inline, bytes as a payload (a file when
    they are over 64 KiB). With an `origin` it is its retry and has taken all of them over. The
    `engine` that makes it starts in the same commit."""
    digest = digest_of(by_value) if by_value else ""
    definition = workflow(len(results), f"{digest}:0" if digest else "")
    text = definition.to_json().encode()
    payloads = [(digest_of(text), text)]
    if by_value:
        payloads.append((digest, by_value))
    events: list[Event] = [
        e.RunCreated("chain", digest_of(text), len(results), origin=origin, root=origin),
        e.RunClaimed(engine, "create"),
        e.RunStarted(),
    ]
    for k, result in enumerate(results):
        value: str | PayloadRef
        if isinstance(result, str):
            value = result
        elif len(result) > 65536:
            value = write_file(store.folder.payloads, result, "json")
        else:
            value = PayloadRef(digest_of(result), len(result))
            payloads.append((value.digest, result))
        if origin:
            inline, ref = (value, None) if isinstance(value, str) else ("", value)
            events.append(e.TaskImported(f"t{k}", origin, inline, ref))
            continue
        spool = e.OutputRef(output, 0, 5) if output else None
        events.append(e.AttemptStarted(f"t{k}", 1, "w-12345678-0", 77, 88))
        events.append(e.AttemptSucceeded(f"t{k}", 1, value, AT, 5, output=spool))
    if finished:
        events.append(e.RunSucceeded())
    history = [Recorded(n, AT + n, event) for n, event in enumerate(events, 1)]
    row = row_of(replay(RunState.of(run_id, definition), history))
    append = RunAppend(0, run_id, 0, history, row)
    started = [(AT, e.EngineStarted(engine, 77, "host", "0.1.0"))]
    batch = Batch(appends=[append], store_events=started, payloads=payloads)
    assert not store.log.append(batch).conflicts


def as_nobody(folder: Path, action: Callable[[], int]) -> int:
    """Runs `action` where `folder` may be read and not written; returns its exit code."""
    if os.geteuid() != 0:
        os.chmod(folder, 0o500)
        try:
            return action()
        finally:
            os.chmod(folder, 0o700)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, 65534, 65534)
    os.chmod(folder, 0o500)
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        code = 99
        try:
            code = action()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.chmod(folder, 0o700)
    return code
