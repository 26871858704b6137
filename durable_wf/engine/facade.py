"""WorkflowEngine: the face of the engine.

Owns: the methods that users call.
Must never: hold logic of its own; it turns calls into requests to the session.
Read next: `entering.py` (what `run` does), `driver.py` (who turns the loop meanwhile),
`sessions.py` (when there is one).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

import attrs

from durable_wf.authoring import loading
from durable_wf.authoring.loading import Call, Does
from durable_wf.authoring.options import read_metadata, read_tags
from durable_wf.core import soundness
from durable_wf.core.awaited import Awaited, awaited
from durable_wf.core.definition import Workflow
from durable_wf.core.events import Recorded
from durable_wf.core.resolver import nearest
from durable_wf.core.summary import RunRow
from durable_wf.core.units import Duration, Size, parse_limit
from durable_wf.engine import entering, origin, recall, waking
from durable_wf.engine.commanding import command
from durable_wf.engine.commands import NOTHING_MORE, Body, cancel_body, check_reason
from durable_wf.engine.options import Options
from durable_wf.engine.overtaken import all_entered, entered
from durable_wf.engine.people import People
from durable_wf.engine.progress import OnProgress
from durable_wf.engine.result import RunHandle, RunResult
from durable_wf.engine.retrying import Retrying
from durable_wf.engine.session import Session, checked, reader_of
from durable_wf.engine.sessions import Sessions
from durable_wf.engine.settings import ExecutorType, settings
from durable_wf.engine.settings import executor_type as executor_named
from durable_wf.engine.suspects import CRASH_LIMIT
from durable_wf.engine.view import load_state, row_or_raise
from durable_wf.engine.waking import OnRefused
from durable_wf.errors import (
    CallerError,
    DefinitionError,
    DurableWorkflowError,
    NotFound,
)
from durable_wf.recovery.decisions import seconds
from durable_wf.recovery.rule import Rule, named_all
from durable_wf.store.folder import default_store, find_store, named_store
from durable_wf.store.opening import open_store
from durable_wf.store.port import Answer, Verb


class WorkflowEngine(People, Retrying):
    """Runs workflows and keeps their event log in a store.

    `store` is a folder (default: `.durable-wf`, looked for from the working folder upwards, made
    where there is none; or `DURABLE_WF_STORE`). `executor_type` is "parallel" (processes) or
    "sequential" (the calling thread). `workers` processes share `cpus` cores, `memory` (bytes, or
    text such as "8GB"), `gpus` devices and named `pools`. At the end, running attempts get the time
    `grace_s` to finish: seconds, or text such as "30s".
    `rules` are asked about every task that failed, after the workflow's own.
    A run over which `crash_limit` engines in a row have died is paused when it is taken up again
    (0: never).
    `trust` lets a store that another user made be written and its code be imported.

    A context manager; `close` is also called when the interpreter exits.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | None = None,
        *,
        executor_type: str = "parallel",
        workers: int | None = None,
        cpus: float | None = None,
        memory: Size | None = None,
        gpus: int = 0,
        pools: Mapping[str, int] | None = None,
        grace_s: Duration = 10.0,
        trust: bool = False,
        rules: Sequence[Rule] = (),
        crash_limit: int = CRASH_LIMIT,
    ) -> None:
        path = named_store(store) if store is not None else find_store() or default_store()
        self._path = path.absolute()
        self._settings = settings(
            executor=executor_type,
            workers=workers,
            cpus=cpus,
            memory=memory,
            gpus=gpus,
            pools=pools,
            grace_s=grace_s,
            trust=trust,
            crash_limit=crash_limit,
        )
        self._sessions = Sessions(self._path, self._settings, named_all(rules))
        self._registered: dict[str, Workflow] = {}

    # --- running --------------------------------------------------------------------------------

    def run(
        self,
        workflow: Workflow | str,
        *,
        run_id: str | None = None,
        executor_type: str | None = None,
        check: bool = True,
        accept_changes: bool = False,
        wait: Duration | None = None,
        deadline: Duration | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> RunResult:
        """Run a workflow (or a registered one, by name) and wait for its outcome.

        With a `run_id` the call is idempotent: an unfinished run is continued, a final one, failed
        too, gives its recorded outcome. Returns early when the run is paused and nothing runs; when
        nothing runs and it waits for people or signals alone; or when nothing runs and no timer is
        due within `wait` (default: wait for any timer). `result.waiting` then says for what, and
        the engine goes on in the background once it comes. A new run that has not ended within
        `deadline` (default: the workflow's own) fails.
        Raises DefinitionError for a workflow that is not sound; RunFailed, which carries the
        result, unless `check` is False; RunConflict when the
        `run_id` stands for another definition; CodeChanged unless `accept_changes`; Interrupted
        on SIGINT, SIGTERM or SIGHUP.
        """
        resolved = self._resolve(workflow)
        told = self._recalled(Does.RUN, resolved, run_id)
        if told is not None:
            return checked(told.result(0), check=check)
        options = self._options(
            run_id, executor_type, tags, metadata, on_progress, wait, deadline,
            accept_changes=accept_changes,
        )  # fmt: skip
        session = self._open(options.executor)
        handle = entered(
            session.driver.call,
            lambda: entering.enter(session, resolved, options, self._ask_to_cancel),
        )
        return self._wait(session, handle, check=check)

    def submit(
        self,
        workflow: Workflow | str,
        *,
        run_id: str | None = None,
        executor_type: str | None = None,
        accept_changes: bool = False,
        deadline: Duration | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> RunHandle:
        """Start a workflow in the background and return at once; the handle can be awaited.

        Arguments and errors before the start are those of `run`. The outcome comes when the run
        ends or is paused, however long it waits for people.
        """
        resolved = self._resolve(workflow)
        told = self._recalled(Does.RUN, resolved, run_id)
        if told is not None:
            return told
        options = self._options(
            run_id, executor_type, tags, metadata, on_progress, None, deadline,
            accept_changes=accept_changes,
        )  # fmt: skip
        options = attrs.evolve(options, leaves=False)
        session = self._open(options.executor)
        session.driver.run_in_background()
        handle = entered(
            session.driver.call,
            lambda: entering.enter(session, resolved, options, self._ask_to_cancel),
        )
        return self._submitted(session, handle)

    def resume(
        self,
        run_id: str,
        *,
        workflow: Workflow | None = None,
        executor_type: str | None = None,
        accept_changes: bool = False,
        wait: Duration | None = None,
        check: bool = True,
        on_progress: OnProgress | None = None,
    ) -> RunResult:
        """Continue an interrupted, paused or waiting run and wait for its outcome, as `run` does.

        Its code is loaded as the run's definition names it, unless `workflow` brings it.
        Raises NotFound, WrongState, OwnedElsewhere, CodeChanged, NotTrusted, RunFailed.
        """
        given = self._given(workflow)
        told = self._recalled(Does.RESUME, given, run_id)
        if told is not None:
            return checked(told.result(0), check=check)
        options = self._options(
            None, executor_type, (), None, on_progress, wait, accept_changes=accept_changes
        )
        session = self._open(options.executor)
        handle = entered(
            session.driver.call,
            lambda: entering.resume(session, run_id, given, options, self._ask_to_cancel),
        )
        return self._wait(session, handle, check=check)

    def recover(
        self,
        run_ids: Iterable[str] | None = None,
        *,
        executor_type: str | None = None,
        accept_changes: bool = False,
        wait: Duration | None = None,
        on_progress: OnProgress | None = None,
        on_refused: OnRefused | None = None,
    ) -> list[RunResult]:
        """Continue every interrupted run whose engine is gone, and wait for all of them, as `run`
        does.

        Paused runs stay paused. With `run_ids` it continues these and no others, paused ones too.
        A run that cannot be continued is skipped: `on_refused(run_id, error)` is called, or else a
        warning logged. Does nothing in a script that is being loaded because one of its runs is
        continued.
        """
        if loading.is_loading():
            return []
        options = self._options(
            None, executor_type, (), None, on_progress, wait, accept_changes=accept_changes
        )
        chosen = None if run_ids is None else tuple(run_ids)
        refused = on_refused or waking.warn_of_refusal
        session = self._open(options.executor)
        call = session.driver.call

        def enter(some: Sequence[str]) -> list[RunHandle]:
            return waking.recover(
                session, some, options, self._ask_to_cancel, refused, paused=chosen is not None
            )

        found = call(lambda: waking.interrupted(session)) if chosen is None else chosen
        handles = []
        for at in range(0, len(found), _AT_ONCE):
            handles += all_entered(call, enter, found[at : at + _AT_ONCE], refused)
        return [self._wait(session, handle, check=False) for handle in handles]

    # --- people's wishes ------------------------------------------------------------------------

    def cancel(self, run_id: str, reason: str = "", *, compensate: bool = True) -> Answer:
        """End a run; what runs is stopped, what has succeeded is taken back where tasks say how,
        unless `compensate` is False. The reason, of up to 10,000 characters, stands in the log.
        Raises NotFound, WrongState, CallerError.
        """
        body = cancel_body(compensate=compensate)
        return self._command(run_id, Verb.CANCEL, check_reason(reason), body)

    def pause(self, run_id: str, reason: str = "") -> Answer:
        """Start nothing more in a run; what runs may finish. As `cancel`."""
        return self._command(run_id, Verb.PAUSE, check_reason(reason))

    def waiting(self, run_id: str) -> tuple[Awaited, ...]:
        """What the tasks of a run wait for now. Raises NotFound."""
        log = open_store(self._path, readonly=True).log
        try:
            return tuple(awaited(load_state(log, run_id)))
        finally:
            log.close()

    # --- definitions and histories --------------------------------------------------------------

    def register(self, workflow: Workflow) -> Workflow:
        """Make a workflow known by its name, so that `run("name")` finds it; returns it."""
        soundness.check(workflow)
        self._registered[workflow.name] = workflow
        return workflow

    def history(
        self, run_id: str | None = None, *, workflow: str | None = None, limit: int | None = None
    ) -> list[Recorded] | list[RunRow]:
        """The events of a run, in order; or, without `run_id`, the runs (of `workflow`), newest
        first. Raises NotFound.
        """
        log = open_store(self._path, readonly=True).log
        try:
            if run_id is None:
                return log.rows(workflow=workflow, limit=limit)
            return list(log.history(row_or_raise(log, run_id).run))
        finally:
            log.close()

    # --- life -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Let running attempts finish within the grace period, let go of the store. Idempotent.

        What only reads, `history`, and `cancel` and `pause` of runs of others, still work after it.
        """
        self._sessions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, executor: ExecutorType | None = None) -> Session:
        return self._sessions.open(executor)

    def _resolve(self, workflow: Workflow | str) -> Workflow:
        if isinstance(workflow, Workflow):
            soundness.check(workflow)  # made by hand, it may be anything
            return workflow
        if not isinstance(workflow, str):
            raise CallerError(
                f"run() takes a Workflow, not {type(workflow).__name__}",
                hint="call .build() on the WorkflowBuilder first",
            )
        found = self._registered.get(workflow)
        if found is None:
            guess = nearest(workflow, self._registered)
            raise NotFound(
                f"no workflow {workflow!r} is registered",
                hint=f"did you mean {guess!r}?" if guess else "engine.register(workflow)",
            )
        return found

    def _options(
        self,
        run_id: str | None,
        executor: str | None,
        tags: Sequence[str],
        metadata: Mapping[str, str] | None,
        on_progress: OnProgress | None,
        wait: Duration | None = None,
        deadline: Duration | None = None,
        *,
        accept_changes: bool,
    ) -> Options:
        return Options(
            run_id=None if run_id is None else origin.check_run_id(run_id),
            executor=self._settings.executor if executor is None else executor_named(executor),
            accept_changes=accept_changes,
            tags=read_tags(tags),
            metadata=dict(read_metadata(metadata or {})),
            on_progress=on_progress,
            wait_s=None if wait is None else seconds(wait, "wait="),
            deadline_s=None if deadline is None else _limit(deadline),
            start=origin.start(),
        )

    def _wait(self, session: Session, handle: RunHandle, *, check: bool) -> RunResult:
        self._sessions.wait(session, handle)
        result = handle.result(0)
        if result.row.ended_at is None:
            session.driver.run_in_background()  # somebody may want to wake it
        return checked(result, check=check)

    def _recalled(
        self, does: Does, workflow: Workflow | None, run_id: str | None, new_id: str | None = None
    ) -> RunHandle | None:
        call = Call(does, workflow, run_id or "", new_id or "", self._path)
        return recall.handle(call, self._ask_to_cancel)

    def _submitted(self, session: Session, handle: RunHandle) -> RunHandle:
        return self._sessions.submitted(session, handle)

    def _command(self, run_id: str, verb: Verb, reason: str, more: Body = NOTHING_MORE) -> Answer:
        return command(self._path, self._sessions.own, run_id, verb, reason, more)

    def _ask_to_cancel(self, run_id: str, reason: str, compensate: bool) -> None:
        self.cancel(run_id, reason, compensate=compensate)


_AT_ONCE = 200
"""So many runs are taken over in one transaction."""


def _limit(deadline: Duration) -> float:
    try:
        return parse_limit(deadline)
    except DefinitionError as error:
        raise CallerError(f"deadline={error.message}", hint=error.hint) from None


__all__ = ["DurableWorkflowError", "RunHandle", "RunResult", "WorkflowEngine", "reader_of"]
