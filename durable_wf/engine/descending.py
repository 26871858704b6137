"""Descending: how a new run is made from an old one, by a retry or a fork.

Owns: reading the old run, the plan of the new one (what is taken over, what runs again and why),
what speaks against it, and the first events of the new run.
Must never: write before all that can be refused has been refused.
Read next: `core/descent.py` (the rule), `chains.py` (ids), `anew.py` (code), `given.py` (values).

A retry goes on with the chain of the old run, under the same idempotency keys; so only a run that
has ended can be retried, and of a chain the newest. A fork begins anew, with keys of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType

import attrs

from durable_wf.core import soundness
from durable_wf.core.definition import PayloadRef, Workflow
from durable_wf.core.descent import Again, Ancestor, Descent, ancestor_of, descend
from durable_wf.core.digests import inputs_digest, structure_digest
from durable_wf.core.resolver import nearest
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.engine import chains, changes, code, differences, entering, origin
from durable_wf.engine.anew import Renewed, renewed, with_stored_code_of
from durable_wf.engine.changes import Changes
from durable_wf.engine.given import Changed, with_values
from durable_wf.engine.options import Canceller, Options
from durable_wf.engine.result import RunHandle
from durable_wf.engine.session import Session
from durable_wf.engine.taken_back import taken_back_by_others
from durable_wf.engine.view import came_from_elsewhere, load_definition, row_or_raise
from durable_wf.errors import (
    CallerError,
    NotFound,
    PayloadMissing,
    RunConflict,
    WrongState,
)
from durable_wf.store.opening import Store
from durable_wf.store.port import Log

logger = logging.getLogger("durable_wf.engine")


class Kind(Enum):
    """The two ways to make a run from another one."""

    RETRY = "retry"
    FORK = "fork"


@attrs.frozen
class Wish:
    """What somebody wants. `at` is for forks: the last event that counts, None for all. `asked`
    are tasks to be run again, `given` other values for parameters (see `given.py`), `workflow` the
    code, where it does not come from where the old run had it. `new_id` names the new run.
    """

    kind: Kind
    run_id: str
    at: int | None = None
    asked: tuple[str, ...] = ()
    given: Mapping[str, object] = MappingProxyType({})
    workflow: Workflow | None = None
    new_id: str | None = None


@attrs.frozen
class Old:
    """The run that a new one is made from, as it is read. `lost` says of results that cannot be
    read any more why.
    """

    row: RunRow
    at: int
    ancestor: Ancestor
    lost: Mapping[str, str]


@attrs.frozen
class Plan:
    """What the new run would be. `values` are those that are set; `kept` names parameters whose
    recorded value stays though the script would give another one today. `changed` says what of
    the code that may be called is other code, `differences` what of the definitions; `stale` are
    taken over though their code has changed.
    """

    wish: Wish
    old: Old
    new_id: str
    descent: Descent
    values: tuple[Changed, ...] = ()
    kept: tuple[str, ...] = ()
    changed: Changes = attrs.field(factory=Changes)
    stale: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()


# --- the old run ----------------------------------------------------------------------------------


def read(log: Log, wish: Wish, is_alive: Callable[[RunRow], bool]) -> Old:
    """The run that is meant: of a retry the newest of its chain.

    Raises NotFound, WrongState for a retry of a run that has not ended, CallerError for an event
    that is not there, PayloadMissing where the definition is lost, HistoryError.
    """
    row = row_or_raise(log, wish.run_id)
    if wish.kind is Kind.RETRY:
        row = _retried(log, chains.newest(log, row), is_alive)
    at = row.n if wish.at is None else wish.at
    if not 1 <= at <= row.n:
        raise CallerError(
            f"run {row.run_id} has no event {at}: it has events 1 to {row.n}",
            hint=f"dwf events {row.run_id}",
        )
    if wish.workflow is None and came_from_elsewhere(log, row):
        raise WrongState(
            f"run {row.run_id} came from another store; the code that it names is not loaded",
            hint="say where the code is: --code file.py:name (or workflow=)",
        )
    workflow = load_definition(log, row)
    ancestor = ancestor_of(row.run_id, workflow, log.history(row.run), at)
    if ancestor.state.definition != row.definition:  # changed code was accepted after that event
        text = log.payload(ancestor.state.definition).decode()
        ancestor = attrs.evolve(ancestor, workflow=Workflow.as_recorded(text))
    undone = ancestor.undone | taken_back_by_others(log, row, ancestor)
    ancestor = attrs.evolve(ancestor, undone=undone)
    return Old(row, at, ancestor, _lost(log, ancestor))


def _retried(log: Log, row: RunRow, is_alive: Callable[[RunRow], bool]) -> RunRow:
    """The row itself, if it can be retried."""
    run_id = row.run_id
    if came_from_elsewhere(log, row):
        raise WrongState(
            f"run {run_id} came from another store and cannot be retried here, only forked",
            hint=f"dwf fork {run_id}",
        )
    if row.ended_at is not None:
        return row
    if row.status is RunStatus.PAUSED:
        raise WrongState(
            f"run {run_id} is paused; only a run that has ended can be retried",
            hint=f"dwf resume {run_id}, or first: dwf cancel {run_id}",
        )
    if is_alive(row):
        raise WrongState(
            f"run {run_id} is {row.status.value}; only a run that has ended can be retried",
            hint=f"dwf watch {run_id}, or first: dwf cancel {run_id}",
        )
    raise WrongState(
        f"run {run_id} was interrupted; it goes on where it was, so there is nothing to retry",
        hint=f"dwf resume {run_id}",
    )


def _lost(log: Log, ancestor: Ancestor) -> dict[str, str]:
    """Results that are missing or damaged: the same payload is looked at once."""
    looked: dict[str, str] = {}
    lost: dict[str, str] = {}
    for task, result in ancestor.results.items():
        stored = result.stored
        if not isinstance(stored, PayloadRef):
            continue
        if stored.digest not in looked:
            looked[stored.digest] = _damage(log, stored.digest)
        if looked[stored.digest]:
            lost[task] = looked[stored.digest]
    return lost


def _damage(log: Log, digest: str) -> str:
    try:
        log.payload(digest)
    except PayloadMissing as error:
        return error.message
    return ""


# --- the plan -------------------------------------------------------------------------------------


def loaded(old: Old, store: Store) -> Renewed:
    """The workflow to run, its code loaded as the old run names it. The caller trusts the store."""
    recorded = old.ancestor.workflow
    return renewed(recorded, *code.load_anew(recorded, old.ancestor.state, store))


def plan(log: Log, wish: Wish, old: Old, found: Renewed) -> Plan:
    """What the new run would be. Raises NotFound and CallerError for names and values that cannot
    be, DefinitionError for a workflow that is not sound today, RunConflict for an id that is taken.
    """
    soundness.check(found.workflow)
    run_id = old.row.run_id
    recorded = old.ancestor.workflow
    workflow = with_stored_code_of(recorded, found.workflow)
    _refuse_unknown(run_id, wish.asked, workflow)
    before = workflow
    workflow, values = with_values(workflow, code.functions_given(workflow), wish.given)
    given = frozenset(change.place.task for change in values)
    descent = descend(
        old.ancestor, workflow, asked=frozenset(wish.asked), given=given, lost=old.lost
    )
    new_id = origin.check_run_id(
        chains.retry_id(log, old.row, wish.new_id)
        if wish.kind is Kind.RETRY
        else chains.fork_id(log, old.row, wish.new_id)
    )
    other = _other_code(recorded, before)
    return Plan(
        wish=wish,
        old=old,
        new_id=new_id,
        descent=descent,
        values=values,
        kept=tuple(name for name in found.kept if name not in {str(c.place) for c in values}),
        changed=changes.of_descent(recorded, before, descent.again),
        stale=tuple(name for name in other if name not in descent.again),
        differences=_differences(recorded, before),
    )


def _refuse_unknown(run_id: str, asked: tuple[str, ...], workflow: Workflow) -> None:
    names = [task.name for task in workflow.tasks]
    for task in asked:
        if task not in names:
            guess = nearest(task, names)
            raise NotFound(
                f"run {run_id} has no task {task!r}",
                hint=f"did you mean {guess!r}?" if guess else f"dwf show {run_id}",
            )


def _other_code(recorded: Workflow, workflow: Workflow) -> list[str]:
    old = {task.name: task.function.fingerprint for task in recorded.tasks}
    return [t.name for t in workflow.tasks if old.get(t.name, t.function.fingerprint)
            != t.function.fingerprint]  # fmt: skip


def _differences(recorded: Workflow, workflow: Workflow) -> tuple[str, ...]:
    """What somebody changed about the definition, but for code and tuning."""
    same = structure_digest(recorded) == structure_digest(workflow)
    if same and inputs_digest(recorded) == inputs_digest(workflow):
        return ()
    return tuple(differences.between(recorded, workflow))


def refuse(wish: Wish, found: Plan, *, accept_changes: bool) -> None:
    """Raise RunConflict or CodeChanged for what nobody accepted, WrongState where nothing would be
    done.
    """
    run_id = found.old.row.run_id
    verb = wish.kind.value
    if found.differences and not accept_changes:
        raise RunConflict(
            f"run {run_id} was made with another definition:\n  - "
            + "\n  - ".join(found.differences),
            hint=f"dwf {verb} {run_id} --accept-changes   (or accept_changes=True)",
        )
    found.changed.refuse(run_id, verb, accepted=accept_changes)
    if wish.kind is Kind.RETRY and not found.descent.again:
        raise WrongState(
            f"run {run_id} {found.old.row.status.value}: nothing of it would run again",
            hint=f"say what: dwf retry {run_id} --from TASK, or --set task.parameter=JSON",
        )


def rehearse(
    store: Store,
    wish: Wish,
    is_alive: Callable[[RunRow], bool],
    *,
    trusted: bool,
    accept_changes: bool,
) -> tuple[Plan, tuple[str, ...]]:
    """What would be done, and why it would be refused. Writes nothing. Raises what `read` and
    `plan` raise, NotTrusted, and what loading raises.
    """
    old = read(store.log, wish, is_alive)
    if wish.workflow is None:
        code.refuse_foreign(store, trusted=trusted)
        found = loaded(old, store)
    else:
        found = Renewed(wish.workflow)
    made = plan(store.log, wish, old, found)
    try:
        refuse(wish, made, accept_changes=accept_changes)
    except CallerError as error:
        return made, (error.message,)
    return made, ()


# --- the new run ----------------------------------------------------------------------------------


def enter(
    session: Session,
    wish: Wish,
    old: Old,
    options: Options,
    cancel: Canceller,
    on_plan: Callable[[Plan], None] | None = None,
) -> RunHandle:
    """Create the new run. In the driving thread; `old` may have been read in another one.

    Raises what `plan` and `refuse` raise, NotTrusted, NotSendable, and what loading raises.
    """
    log = session.store.log
    if wish.workflow is None:
        code.refuse_foreign(session.store, trusted=session.store.writable)
        found = loaded(old, session.store)
    else:
        found = Renewed(wish.workflow)
    if wish.kind is Kind.RETRY and _is_retried(session, old.row):
        raise WrongState(
            f"run {old.row.run_id} is being retried already", hint=f"dwf show {old.row.run_id}"
        )
    made = plan(log, wish, old, found)
    refuse(wish, made, accept_changes=options.accept_changes)
    for task, why in old.lost.items():
        if made.descent.again.get(task) is Again.LOST:
            logger.warning(
                "run %s: the result of task %r is lost, so it runs again: %s",
                made.new_id,
                task,
                why,
            )
    workflow = made.descent.workflow
    handle = entering.create(
        session, workflow, made.new_id, _options(wish, old, workflow, options, made), cancel
    )
    if on_plan is not None:
        on_plan(made)
    return handle


def _is_retried(session: Session, row: RunRow) -> bool:
    """Whether somebody has been quicker, perhaps in a commit that this engine has yet to make."""
    if chains.newest(session.store.log, row).run_id != row.run_id:
        return True
    made = (live.state.created for live in session.loop.runs())
    return any(one is not None and one.root and one.origin == row.run_id for one in made)


def _options(wish: Wish, old: Old, workflow: Workflow, options: Options, made: Plan) -> Options:
    """What the old run was given, and on top what is said now."""
    created = old.ancestor.state.created
    assert created is not None
    deadline_s = options.deadline_s
    if deadline_s is None and created.deadline_at is not None:
        deadline_s = (created.deadline_at - old.row.created_at) / 1e6
    own = frozenset(workflow.tags)
    start, cwd = origin.after_those_made(options.start), ""
    if wish.workflow is None:
        start, cwd = origin.Start.of(created), created.cwd
    lineage = origin.Lineage(
        origin=old.row.run_id,
        origin_n=0 if wish.kind is Kind.RETRY else old.at,
        root=old.row.chain if wish.kind is Kind.RETRY else "",
        imports=made.descent.imports,
        cwd=cwd,
        # The key of a fork is another one, so that nothing stands of what it was to go on with.
        details=tuple(made.descent.details.items()) if wish.kind is Kind.RETRY else (),
    )
    return attrs.evolve(
        options,
        tags=tuple(dict.fromkeys((*(t for t in created.tags if t not in own), *options.tags))),
        metadata={**dict(created.metadata), **options.metadata},
        deadline_s=deadline_s,
        start=start,
        lineage=lineage,
    )
