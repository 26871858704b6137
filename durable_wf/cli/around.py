"""What is known around a run, beside its own events: does its engine live, what has it to give.

Owns: the answers to both for an event of the past, too: the log of the whole store tells them.
Must never: write, or take a capacity that nobody declared for a fact.
Read next: `../core/why.py`, which takes them into account.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from durable_wf.cli.breaking import held_by
from durable_wf.cli.stores import alive_in
from durable_wf.core import events as e
from durable_wf.core.breaker import Breaker
from durable_wf.core.circuit import Circuit, sentence
from durable_wf.core.lacking import Held, Stock
from durable_wf.core.reason import Around, Barred
from durable_wf.core.state import RunState
from durable_wf.core.status import RUN_FINAL, TASK_FINAL, RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.core.why import held
from durable_wf.core.witness import Witness
from durable_wf.engine.breakers import guard_of
from durable_wf.engine.settings import usable_cpus
from durable_wf.engine.view import load_definition
from durable_wf.errors import DurableWorkflowError
from durable_wf.store.opening import Store

MOST_RUNS = 500
"""At most this many other runs are asked what they hold."""

_NAMES = {"cpus": "cpu", "memory": "memory", "gpus": "gpu"}


def lived(store: Store, row: RunRow, upto: int) -> bool:
    """Whether the engine that owned the run at event `upto` lived then.

    Whoever owned it wrote the next event, unless that is a claim by another: then it had died.
    """
    if upto >= row.n:
        return alive_in(store, row)
    following = next(store.log.history(row.run, upto), None)
    return following is not None and not isinstance(following.event, e.RunClaimed)


def around(store: Store, row: RunRow, witness: Witness, *, alive: bool) -> Around:
    """All of it, at the event that the witness has read last."""
    state = witness.state
    created = state.created
    past = state.n < row.n
    barred = dict(_barred(store, state, state.at if past else time.time_ns() // 1000, past=past))
    if not alive or created is None:
        return Around(alive, barred)
    limits = {"gpu": 0.0}
    for name, text in created.limits:
        with contextlib.suppress(ValueError):
            limits[_NAMES.get(name) or name.replace("pool:", "pool ", 1)] = float(text)
    assumed = frozenset({"cpu"} - limits.keys())
    if assumed:
        limits["cpu"] = float(usable_cpus())
    stock = Stock(state.engine, limits, assumed)
    others = tuple(_others(store, row, state.n if past else None))
    return Around(alive, barred, stock, others)


def _barred(store: Store, state: RunState, at: int, *, past: bool) -> Iterator[tuple[int, Barred]]:
    """The tasks whose breaker let nobody begin at that time, as far as its rows are kept."""
    known: dict[Breaker, Circuit | None] = {}
    for index, task in enumerate(state.workflow.tasks):
        if task.breaker is None or state.tasks[index] in TASK_FINAL:
            continue
        if (breaker := guard_of(state, index)) is None:
            continue
        if breaker not in known:
            known[breaker] = held_by(store, breaker, at, past=past)
        if (circuit := known[breaker]) is not None:
            yield index, Barred(circuit.key, circuit.until, sentence(circuit))


def _others(store: Store, row: RunRow, upto: int | None) -> Iterator[Held]:
    """What other runs hold, now or when event `upto` of this one was recorded."""
    seq = None if upto is None else store.log.seqs(row.run, [upto])[upto]
    live = frozenset(RunStatus) - RUN_FINAL
    for other in store.log.rows(status=live if seq is None else (), limit=MOST_RUNS):
        if other.run_id == row.run_id or other.imported:
            continue
        if seq is None and not (other.counts.running and alive_in(store, other)):
            continue
        # A run that cannot be read is no reason to tell nothing of this one.
        with contextlib.suppress(DurableWorkflowError):
            n = other.n if seq is None else _n_at(store, other, seq)
            workflow = load_definition(store.log, other)
            history = store.log.history(other.run)
            yield from list(held(Witness.of(other.run_id, workflow, history, n).state))


def _n_at(store: Store, row: RunRow, seq: int) -> int:
    """The last event of a run that stood before this place of the log."""
    n = 0
    for stored in store.log.stored(row.run):
        if stored.seq > seq:
            break
        n = stored.n
    return n
