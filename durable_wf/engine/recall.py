"""Recall: what a script is told by its engine when it is loaded again for one of its runs.

Owns: which of its calls is the one that made the run, and the recorded outcome that each call
before it gets.
Must never: run anything, or guess: where a call has no recorded outcome, the loading ends with the
reason.
Read next: `code.py`, which loads scripts; `origin.py`, which numbers the runs that a script makes.

A call that names a run is known by that id, as ever. Any other call makes a new run each time; the
log has the runs that one process made as a chain, from each to the one before it. A call takes the
run of the chain that had the same structure, inputs and code, or else the next one in order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, assert_never

import attrs

from durable_wf.authoring import loading
from durable_wf.authoring.loading import Call, Does
from durable_wf.core.definition import Workflow
from durable_wf.core.digests import code_digest, inputs_digest, structure_digest
from durable_wf.core.events import RunCreated
from durable_wf.core.state import RunState
from durable_wf.core.summary import RunRow
from durable_wf.engine import chains, differences
from durable_wf.engine.origin import Start
from durable_wf.engine.result import RunHandle, RunResult
from durable_wf.engine.session import reader_of
from durable_wf.engine.view import came_from_elsewhere, load_definition
from durable_wf.errors import DurableWorkflowError, NotFound, WrongState
from durable_wf.store.opening import Store, open_store
from durable_wf.store.port import Log

Canceller = Callable[[str, str, bool], None]
Told = Callable[[Canceller], RunHandle]
"""Makes the handle that a call gives, for the engine that was called."""

_Digests = tuple[str, str, str]


def handle(call: Call, cancel: Canceller) -> RunHandle | None:
    """What a call of an engine gives while a script is loaded; None where none is, and the call is
    to be carried out. Raises LoadingEnded where the script ends with this call.
    """
    told: Told | None = loading.intercept(call)
    return None if told is None else told(cancel)


@attrs.frozen
class _Made:
    """A run that the script made: its id, its row if it is in this store, its three digests."""

    run_id: str
    row: RunRow | None
    digests: _Digests | None


class Recall:
    """Answers to the calls of a script that is loaded for a run.

    `reached` says whether the script came to the call that made it, `known` whether that call can
    be told from others at all.
    """

    def __init__(self, store: Store, recorded: Workflow, state: RunState) -> None:
        assert state.created is not None
        self.reached = False
        self._store = store
        self._log = store.log
        self._recorded = recorded
        self._run_id = state.run_id
        self._created = state.created
        self._own = _same_start(store.log, state.run_id, state.created)
        self._count = 0
        self._displaced: set[_Digests] = set()  # of runs that went to calls of other code

    @property
    def known(self) -> bool:
        """Whether the log says which call of its process made the run."""
        return self._created.call > 0

    def __call__(self, call: Call) -> Told | None:
        """What a call is told, None where it is the one. Raises WrongState where neither can be
        said.
        """
        log, path = self._store_of(call)
        try:
            row = self._row_of(call, log, path)
            return None if row is None else self._told(call, log, path, row)
        finally:
            if log is not self._log:
                log.close()

    # --- which run a call is about ----------------------------------------------------------------

    def _row_of(self, call: Call, log: Log, path: Path) -> RunRow | None:
        match call.does:
            case Does.RUN | Does.RESUME:
                return self._named(log, path, call) if call.run_id else self._next(log, call)
            case Does.RETRY | Does.FORK:
                return self._made_from(log, path, call)
            case _:
                assert_never(call.does)

    def _next(self, log: Log, call: Call) -> RunRow | None:
        """A call that makes a new run each time: the run that it made then."""
        self._count += 1
        if not (self.known or self._created.previous):
            return None  # from before runs were numbered, or the first thing that its script made
        assert call.workflow is not None
        wanted = _digests(call.workflow)
        same = (at for at, made in enumerate(self._left) if made.digests == wanted)
        at = next(same, None)
        if not self._left or (at is None and wanted in self._displaced):
            self._refuse(
                f"{self._where} makes other runs before it comes to run {self._run_id} than it did "
                "then"
            )
        made = self._left.pop(at or 0)
        if at is None and made.digests is not None:
            self._displaced.add(made.digests)
        if made.run_id == self._run_id and log is self._log:
            self._reach(call)
            return None
        if made.row is None:
            self._refuse(
                f"{self._where} makes a run of {call.workflow.name!r} before it comes to run "
                f"{self._run_id}, and the one that it made then, {made.run_id}, is not in this "
                "store"
            )
        if made.row.structure != wanted[0]:
            then = load_definition(self._log, made.row)
            self._refuse(
                f"{self._where} has changed: its call number {self._count} made run {made.run_id} "
                f"before it came to run {self._run_id}, and is another one now:\n  - "
                + "\n  - ".join(differences.between(then, call.workflow))
            )
        return made.row

    def _named(self, log: Log, path: Path, call: Call) -> RunRow | None:
        """A call that names its run: the newest of its chain by then."""
        if log is self._log and call.run_id in self._own:
            self._reach(call)
            return None
        row = log.row(call.run_id)
        if row is None:
            self._refuse(
                f"{self._where} asks for run {call.run_id!r} before it comes to run "
                f"{self._run_id}; there is no run {call.run_id!r} in {path}, and none is made "
                "while a script is loaded"
            )
        if log is self._log:
            self._left[:] = [made for made in self._left if made.run_id != call.run_id]
        return next(iter(self._before(log, row)), row)

    def _made_from(self, log: Log, path: Path, call: Call) -> RunRow | None:
        """A call that makes a run from another one."""
        row = log.row(call.new_id or call.run_id)
        found: list[RunRow] = []
        if row is not None and call.new_id:
            found = [row]
        elif row is not None and call.does is Does.RETRY:
            found = [one for one in chains.members(log, row) if one.root][:1]
        elif row is not None:
            found = [one for one in log.rows(origin=row.run_id) if not one.root]
        if log is self._log and any(one.run_id in self._own for one in found):
            self._reach(call)
            return None
        if len(found) != 1:
            self._refuse(
                f"{self._where} makes a {call.does.value} of run {call.run_id!r} before it comes "
                f"to run {self._run_id}; which one it made then cannot be told from {path}"
            )
        return found[0]

    def _reach(self, call: Call) -> None:
        """It is the call that made the run."""
        now = call.workflow
        if now is not None and now.name != self._recorded.name:
            self._refuse(
                f"{self._where} runs workflow {now.name!r} where it ran {self._recorded.name!r} "
                f"when it made run {self._run_id}"
            )
        self.reached = True

    def _before(self, log: Log, row: RunRow) -> list[RunRow]:
        """The chain of a run, newest first, as it was when this run was made."""
        members = chains.members(log, row)
        ids = [one.run_id for one in members]
        own = self._run_id in ids and log is self._log
        return members[ids.index(self._run_id) + 1 :] if own else members

    # --- what the call is told --------------------------------------------------------------------

    def _told(self, call: Call, log: Log, path: Path, row: RunRow) -> Told:
        """The outcome of a run that has ended; of another one, a handle that says that it is not
        known, to whoever asks for it.
        """
        if row.ended_at is None:
            why = WrongState(
                f"{self._where} wants to know how run {row.run_id} ends before it comes to run "
                f"{self._run_id}, and run {row.run_id} has not ended",
                hint=f"dwf resume {row.run_id}   first; then: dwf resume {self._run_id}",
            )
            return lambda cancel: _Open(row.run_id, cancel, why)
        result = RunResult(row, call.workflow or load_definition(log, row), reader_of(path))

        def settled(cancel: Canceller) -> RunHandle:
            found = RunHandle(row.run_id, cancel)
            found.settle(result)
            return found

        return settled

    def _refuse(self, message: str) -> NoReturn:
        raise WrongState(
            message,
            hint=f"restore the script as it was when it made run {self._run_id}, run it again if "
            "its runs have ids, or bring the code along: "
            f"engine.resume({self._run_id!r}, workflow=workflow)",
        )

    # --- where the runs are -----------------------------------------------------------------------

    @cached_property
    def _left(self) -> list[_Made]:
        """The runs that its process made before this one, and this one, in order. The first may be
        one that is not in this store; those before it are not known.
        """
        found: list[_Made] = []
        if self.known:
            found.append(_Made(self._run_id, None, _digests(self._recorded)))
        run_id = self._created.previous
        number = self._created.call - 1 if self.known else None
        while run_id:
            row = self._log.row(run_id)
            created = None if row is None else created_of(self._log, row)
            if row is None or created is None or created.call != (number or created.call):
                found.append(_Made(run_id, None, None))
                break
            digests = created.structure, created.inputs, created.code
            found.append(_Made(run_id, row, digests))
            run_id, number = created.previous, created.call - 1
        return found[::-1]

    def _store_of(self, call: Call) -> tuple[Log, Path]:
        """The log that a call of an engine is about, and its folder: this one also where it was
        moved here. Raises what opening another one raises.
        """
        here = self._store.folder.path
        path = call.store
        if path is None or not path.exists() or path.samefile(here):
            return self._log, here
        try:
            other = open_store(path, readonly=True)
        except NotFound:  # what is left of a store that was moved
            return self._log, here
        if other.id == self._store.id:
            other.close()
            return self._log, here
        return other.log, path

    @property
    def _where(self) -> str:
        return self._created.script


class _Open(RunHandle):
    """The handle of a run that has not ended: asking for its outcome ends the loading."""

    def __init__(self, run_id: str, cancel: Canceller, why: DurableWorkflowError) -> None:
        super().__init__(run_id, cancel)
        self._why = why
        self.future.set_exception(loading.LoadingEnded(why))  # nobody waits for it in vain

    def done(self) -> bool:
        loading.end(self._why)

    def result(self, timeout_s: float | None = None) -> RunResult:  # noqa: ARG002
        loading.end(self._why)

    def __await__(self) -> Generator[Any, None, RunResult]:
        loading.end(self._why)


def created_of(log: Log, row: RunRow) -> RunCreated | None:
    """How a run was made; None where it came from another store, and nothing of that is so here."""
    if came_from_elsewhere(log, row):
        return None
    first = next(iter(log.history(row.run)), None)
    return first.event if first is not None and isinstance(first.event, RunCreated) else None


def _same_start(log: Log, run_id: str, created: RunCreated) -> frozenset[str]:
    """The ids of the run and of those that it was made from with the code of the same call."""
    found = {run_id}
    while created.origin and created.origin not in found:
        row = log.row(created.origin)
        before = None if row is None else created_of(log, row)
        if before is None or Start.of(before) != Start.of(created):
            break
        found.add(created.origin)
        created = before
    return frozenset(found)


def _digests(workflow: Workflow) -> _Digests:
    return structure_digest(workflow), inputs_digest(workflow), code_digest(workflow)
