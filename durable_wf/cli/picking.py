"""RUN on the command line: which run is meant.

Owns: the order of meanings: an exact id, `@last`, a unique beginning of an id, where runs that are
retries of one another count as one, the newest.
Must never: guess; what is ambiguous or unknown is an error that names the candidates.
Read next: `stores.py`; `kin.py`, for what an exact id stands for.
"""

from __future__ import annotations

import difflib

from durable_wf.core.summary import RunRow
from durable_wf.errors import NotFound
from durable_wf.store.port import Log

LAST = "@last"
_SHOWN = 8
_LOOKED_AT = 1000


def pick(log: Log, name: str) -> RunRow:
    """The run that `name` means. Raises NotFound."""
    exact = log.row(name)
    if exact is not None:
        return exact
    if name == LAST:
        return _last(log)
    if name.startswith("@"):
        raise NotFound(f"there is no {name}", hint=f"{LAST} is the newest run")
    found = log.rows(prefix=name, limit=_LOOKED_AT) if name else []
    if found and len(found) < _LOOKED_AT and len({_chain(row) for row in found}) == 1:
        return found[0]
    if found:
        names = "".join(f"\n  {row.run_id}" for row in found[:_SHOWN])
        more = "\n  ..." if len(found) > _SHOWN else ""
        raise NotFound(
            f"{name!r} is the beginning of several runs:{names}{more}",
            hint="give more of the id",
        )
    raise _unknown(log, name)


def _chain(row: RunRow) -> str:
    return row.run_id if row.imported else row.chain


def _last(log: Log) -> RunRow:
    newest = log.rows(limit=1)
    if not newest:
        raise NotFound("there are no runs in this store yet", hint="dwf run TARGET")
    return newest[0]


def _unknown(log: Log, name: str) -> NotFound:
    ids = [row.run_id for row in log.rows(limit=_LOOKED_AT)]
    near = difflib.get_close_matches(name, ids, n=1)
    hint = f"did you mean {near[0]}?" if near else "dwf list   shows the runs of this store"
    return NotFound(f"there is no run {name!r} in this store", hint=hint)
