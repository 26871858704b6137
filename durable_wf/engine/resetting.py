"""Resetting: a circuit breaker that a person closes by hand.

Owns: the row and the event by which all engines of the store come to know of it.
Must never: wait for them; those that live see that the store has changed, and read the rows again.
Read next: `core/circuit.py`, which makes a closed circuit of it; `circuits.py`, which reads it.
"""

from __future__ import annotations

from durable_wf.core.circuit import Outcome, What
from durable_wf.core.events import BreakerReset
from durable_wf.core.resolver import nearest
from durable_wf.engine.clock import SystemClock
from durable_wf.engine.commands import check_comment
from durable_wf.engine.control import not_trusted
from durable_wf.errors import NotFound
from durable_wf.store.opening import Store
from durable_wf.store.port import Batch, Log


def known_key(log: Log, key: str) -> str:
    """The key itself, if an attempt behind it has ended here. Raises NotFound."""
    keys = log.breakers()
    if key not in keys:
        guess = nearest(key, keys)
        raise NotFound(
            f"no attempt behind a circuit breaker {key!r:.220} has ended in this store",
            hint=f"did you mean {guess!r}?" if guess else "dwf breakers   lists those there are",
        )
    return key


def reset(store: Store, key: str, actor: str, reason: str = "") -> None:
    """Close the circuit of a key, whatever its state; its count begins anew. Who did it, when and
    why is recorded. Raises NotFound, NotTrusted, CallerError for a reason that is too long.
    """
    if not store.writable:
        raise not_trusted(store.folder.path)
    key, reason = known_key(store.log, key), check_comment(reason)
    store.log.append(reset_at(SystemClock().now_us(), key, actor, reason))


def reset_at(at: int, key: str, actor: str, reason: str = "") -> Batch:
    """What is written, then (UTC microseconds): the row for engines, the event for the audit."""
    row = Outcome(key, at, What.RESET, "")
    return Batch(store_events=[(at, BreakerReset(actor, key, reason))], outcomes=[row])
