"""Continuing: how a run that exists comes into the hands of this engine, with its code.

Owns: the claim of an unfinished run whose engine is gone, what code it goes on with, and what is
refused before that: another definition, changed code that nobody has accepted.
Must never: commit; the loop does.
Read next: `claiming.py`, for the claim itself; `recorded.py`; `code.py`, where functions come from.
"""

from __future__ import annotations

from collections.abc import Callable

from durable_wf.core import inputs as i
from durable_wf.core.compensation import added_to, with_added
from durable_wf.core.definition import Workflow
from durable_wf.core.digests import code_digest, inputs_digest, structure_digest
from durable_wf.core.state import RunState
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.engine import chains, code, differences, origin
from durable_wf.engine.beats import last_details
from durable_wf.engine.changes import Changes, of_resumed
from durable_wf.engine.claiming import claim, refuse_if_not_claimable, replayed
from durable_wf.engine.equipping import adopt, live_run, store_definition
from durable_wf.engine.options import Canceller, Options
from durable_wf.engine.recorded import called_as, found_as, in_order_of, waiting_as
from durable_wf.engine.result import RunHandle
from durable_wf.engine.session import Session
from durable_wf.engine.suspects import in_crash_loop, say_paused
from durable_wf.engine.view import load_definition
from durable_wf.errors import RunConflict
from durable_wf.store.port import Log


def refuse_other(
    log: Log, row: RunRow, workflow: Workflow, recorded: Callable[[], Workflow]
) -> None:
    """A run id stands for one structure and one set of inputs: those of any run of its chain, since
    a retry may have been given others on purpose. Raises RunConflict.
    """
    digests = structure_digest(workflow), inputs_digest(workflow)
    if (row.structure, row.inputs) == digests:
        return
    if any((one.structure, one.inputs) == digests for one in chains.members(log, row)):
        return
    found = differences.between(recorded(), workflow)
    raise RunConflict(
        f"run {row.run_id} exists with another definition:\n  - " + "\n  - ".join(found),
        hint="choose another run_id for the changed workflow",
    )


def continue_run(
    session: Session,
    row: RunRow,
    workflow: Workflow | None,
    options: Options,
    cancel: Canceller,
    why: str,
    *,
    insists: bool = True,
) -> RunHandle:
    """Claim an unfinished run whose engine is gone, and go on with it.

    A paused one goes on to be resumed; but one that is in a crash loop only where the caller
    `insists`, or a script that is started again and again would never come to rest.
    `workflow` brings the code; None: it is loaded as the run's definition snapshot names it.
    Raises WrongState, OwnedElsewhere, CodeChanged and the errors of loading.
    """
    log = session.store.log
    refuse_if_not_claimable(log, row, session.store.folder.locks)
    recorded = load_definition(log, row)
    state = replayed(log, row, recorded)
    if workflow is None:
        workflow = code.load(recorded, state, session.store)
    else:
        refuse_other(log, row, workflow, lambda: recorded)
        workflow = called_as(row, recorded, workflow)
    workflow, functions, changed = with_code(
        session, state, recorded, workflow, accepted=options.accept_changes
    )
    state.workflow = with_added(workflow, added_to(state))
    assert state.created is not None
    live = live_run(session, state, state.created, functions, options, cancel)
    live.run, live.committed_n = row.run, row.n
    live.last_details = last_details(log, row.run, state)
    at = session.clock.now_us()
    limit = session.settings.crash_limit
    claimed = claim(
        log, session.store.folder.locks, row, state, session.engine, why, at, live.judge,
        crash_limit=limit,
    )  # fmt: skip
    if claimed.survivors:
        claimed.give(i.Release(session.engine, "an old worker is alive"), at)
        live.let_go = True
        return adopt(session, live, claimed)
    if changed:
        claimed.give(accepted_code(session, workflow, changed), at)
    if state.status is RunStatus.PAUSED:
        if why == "resume" and (insists or not in_crash_loop(state, limit)):
            claimed.give(i.Resume(origin.person()), at)
        elif in_crash_loop(state, limit):
            say_paused(state)
    return adopt(session, live, claimed)


def with_code(
    session: Session, state: RunState, recorded: Workflow, workflow: Workflow, *, accepted: bool
) -> tuple[Workflow, list[code.Function | None], Changes]:
    """The recorded workflow with the code of this one; its functions, and what of them is other
    code than the run knows. Raises CodeChanged unless that is `accepted`.
    """
    workflow = waiting_as(recorded, in_order_of(recorded, workflow))
    changed = of_resumed(state, recorded, workflow)
    changed.refuse(state.run_id, accepted=accepted)
    functions = code.functions_given(workflow)
    if changed:
        return code.with_stored_code(workflow, functions, session), functions, changed
    return found_as(recorded, workflow), functions, changed


def accepted_code(session: Session, workflow: Workflow, changed: Changes) -> i.AcceptCode:
    """The input that says which code a run goes on with, where it has `changed`."""
    definition = store_definition(session, workflow.to_json().encode())
    return i.AcceptCode(origin.person(), definition, code_digest(workflow), changed.concerned)
