"""The store as the command line uses it: opened for reading, and whether an engine lives.

Owns: opening what `--store` names, whether it is this user's own, and the one fact beside the log
that is shown of a run.
Must never: write, or import what lists do without.
Read next: `watched.py`.
"""

from __future__ import annotations

from pathlib import Path

from durable_wf.core.summary import RunRow
from durable_wf.errors import NotFound, UnsafeStore
from durable_wf.store.folder import find_store, no_store
from durable_wf.store.locks import is_held
from durable_wf.store.opening import Store, open_store
from durable_wf.store.trust import is_trusted


def open_for_reading(path: str | None) -> Store:
    """The store at `path`, or the one found from here; nothing is written."""
    return open_store(path, readonly=True)


def place_of(path: str | None) -> Path:
    """The folder that is meant, which need not be a sound store. Raises NotFound."""
    place = Path(path) if path is not None else find_store()
    if place is None or not place.exists():
        raise NotFound(no_store(place), hint="name one: --store PATH, or DURABLE_WF_STORE")
    return place


def is_known(store: Store) -> bool:
    """Whether its code may be executed; who has no place to remember that in knows no store."""
    try:
        return is_trusted(store.id)
    except UnsafeStore:
        return False


def is_alive(locks: Path, row: RunRow) -> bool:
    """Whether the engine that owns the run runs now."""
    return bool(row.engine) and not row.imported and is_held(locks, row.engine)


def alive_in(store: Store, row: RunRow) -> bool:
    """The same, for a run of an open store."""
    return is_alive(store.folder.locks, row)
