"""Retrying: the part of the engine's face that makes runs from runs.

Owns: `retry` and `fork`, their twins that do not wait, and `retry_all`.
Must never: hold logic of its own.
Read next: `descending.py`.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import attrs

from durable_wf.authoring.loading import Does, is_loading
from durable_wf.core.definition import Workflow
from durable_wf.core.units import Duration
from durable_wf.engine import descending
from durable_wf.engine.descending import Kind, Plan, Wish
from durable_wf.engine.options import Options
from durable_wf.engine.progress import OnProgress
from durable_wf.engine.result import RunHandle, RunResult
from durable_wf.engine.session import Session, checked
from durable_wf.engine.settings import ExecutorType
from durable_wf.engine.waking import OnRefused
from durable_wf.errors import CallerError, DurableWorkflowError
from durable_wf.store.locks import is_held

log = logging.getLogger("durable_wf.engine")

OnPlan = Callable[[Plan], None]
"""Told what a new run takes over and what it runs again, before anything of it starts."""

_NOTHING: Mapping[str, object] = MappingProxyType({})


class Retrying:
    """What `WorkflowEngine` is, too."""

    def retry(
        self,
        run_id: str,
        *,
        from_: str | Sequence[str] = (),
        set: Mapping[str, object] = _NOTHING,  # noqa: A002 - as on the command line
        workflow: Workflow | str | None = None,
        new_id: str | None = None,
        executor_type: str | None = None,
        accept_changes: bool = False,
        check: bool = True,
        wait: Duration | None = None,
        deadline: Duration | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
        on_plan: OnPlan | None = None,
    ) -> RunResult:
        """Make a new run of one that has ended, and wait for its outcome: what had succeeded is
        taken over, what had failed, been skipped or cancelled runs again.

        The tasks `from_` and all that come after them run again, too; so do those that `set` gives
        another value ("task.parameter" or, where one task alone has it, "parameter"). Idempotency
        keys stay the same, and the id of the old run stands for the new one from now on. The code
        is loaded as the old run names it, unless `workflow` brings it.
        Raises NotFound, WrongState for a run that has not ended or of which nothing would run,
        CallerError for names and values that cannot be, CodeChanged and RunConflict unless
        `accept_changes`, NotTrusted, RunFailed unless `check` is False.
        """
        wish = _wish(Kind.RETRY, run_id, None, from_, set, self._given(workflow), new_id)
        told = self._told(wish)
        if told is not None:
            return checked(told.result(0), check=check)
        options = self._options(
            None, executor_type, tags, metadata, on_progress, wait, deadline,
            accept_changes=accept_changes,
        )  # fmt: skip
        session, handle = self._descend(wish, options, on_plan)
        return self._wait(session, handle, check=check)

    def submit_retry(
        self,
        run_id: str,
        *,
        from_: str | Sequence[str] = (),
        set: Mapping[str, object] = _NOTHING,  # noqa: A002
        workflow: Workflow | str | None = None,
        new_id: str | None = None,
        executor_type: str | None = None,
        accept_changes: bool = False,
        deadline: Duration | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
        on_plan: OnPlan | None = None,
    ) -> RunHandle:
        """As `retry`, in the background; the handle can be awaited."""
        wish = _wish(Kind.RETRY, run_id, None, from_, set, self._given(workflow), new_id)
        told = self._told(wish)
        if told is not None:
            return told
        options = self._options(
            None, executor_type, tags, metadata, on_progress, None, deadline,
            accept_changes=accept_changes,
        )  # fmt: skip
        return self._submitted(*self._descend(wish, options, on_plan, background=True))

    def retry_all(
        self,
        run_ids: Iterable[str],
        *,
        from_: str | Sequence[str] = (),
        set: Mapping[str, object] = _NOTHING,  # noqa: A002
        executor_type: str | None = None,
        accept_changes: bool = False,
        wait: Duration | None = None,
        on_progress: OnProgress | None = None,
        on_plan: OnPlan | None = None,
        on_refused: OnRefused | None = None,
    ) -> list[RunResult]:
        """Retry several runs side by side, and wait for all of them. One that cannot be retried is
        skipped with a warning, or told to `on_refused`. Does nothing in a script that is loaded.
        """
        if is_loading():
            return []
        options = self._options(
            None, executor_type, (), None, on_progress, wait, accept_changes=accept_changes
        )
        begun = []
        for run_id in run_ids:
            wish = _wish(Kind.RETRY, run_id, None, from_, set, None, None)
            try:
                begun.append(self._descend(wish, options, on_plan))
            except DurableWorkflowError as error:
                if on_refused is None:
                    log.warning("run %s is not retried: %s", run_id, error)
                else:
                    on_refused(run_id, error)
        return [self._wait(session, handle, check=False) for session, handle in begun]

    def fork(
        self,
        run_id: str,
        *,
        at: int | None = None,
        set: Mapping[str, object] = _NOTHING,  # noqa: A002
        workflow: Workflow | str | None = None,
        new_id: str | None = None,
        executor_type: str | None = None,
        accept_changes: bool = False,
        check: bool = True,
        wait: Duration | None = None,
        deadline: Duration | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
        on_plan: OnPlan | None = None,
    ) -> RunResult:
        """Make a new run of any other as that stood after its event `at` (default: the last), and
        wait for its outcome. What had succeeded by then is taken over; the rest runs, under
        idempotency keys of its own. The old run is not touched.

        Arguments and errors are those of `retry`.
        """
        wish = _wish(Kind.FORK, run_id, at, (), set, self._given(workflow), new_id)
        told = self._told(wish)
        if told is not None:
            return checked(told.result(0), check=check)
        options = self._options(
            None, executor_type, tags, metadata, on_progress, wait, deadline,
            accept_changes=accept_changes,
        )  # fmt: skip
        session, handle = self._descend(wish, options, on_plan)
        return self._wait(session, handle, check=check)

    def submit_fork(
        self,
        run_id: str,
        *,
        at: int | None = None,
        set: Mapping[str, object] = _NOTHING,  # noqa: A002
        workflow: Workflow | str | None = None,
        new_id: str | None = None,
        executor_type: str | None = None,
        accept_changes: bool = False,
        deadline: Duration | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
        on_plan: OnPlan | None = None,
    ) -> RunHandle:
        """As `fork`, in the background; the handle can be awaited."""
        wish = _wish(Kind.FORK, run_id, at, (), set, self._given(workflow), new_id)
        told = self._told(wish)
        if told is not None:
            return told
        options = self._options(
            None, executor_type, tags, metadata, on_progress, None, deadline,
            accept_changes=accept_changes,
        )  # fmt: skip
        return self._submitted(*self._descend(wish, options, on_plan, background=True))

    # --- how ------------------------------------------------------------------------------------

    def _given(self, workflow: Workflow | str | None) -> Workflow | None:
        """The workflow that brings the code."""
        return None if workflow is None else self._resolve(workflow)

    def _told(self, wish: Wish) -> RunHandle | None:
        """What a script is told that is loaded, see `recall.py`."""
        does = Does.RETRY if wish.kind is Kind.RETRY else Does.FORK
        return self._recalled(does, wish.workflow, wish.run_id, wish.new_id)

    def _descend(
        self, wish: Wish, options: Options, on_plan: OnPlan | None, *, background: bool = False
    ) -> tuple[Session, RunHandle]:
        """Make the new run. What has to be read for it is read in the caller's own thread."""
        session = self._open(options.executor)
        locks = session.store.folder.locks
        reading = session.reader()
        try:
            old = descending.read(
                reading, wish, lambda row: bool(row.engine) and is_held(locks, row.engine)
            )
        finally:
            reading.close()
        if background:
            options = attrs.evolve(options, leaves=False)
            session.driver.run_in_background()
        enter = partial(descending.enter, session, wish, old, options, self._ask_to_cancel, on_plan)
        return session, session.driver.call(enter)

    # --- what WorkflowEngine has ----------------------------------------------------------------

    @abstractmethod
    def _resolve(self, workflow: Workflow | str) -> Workflow: ...

    @abstractmethod
    def _open(self, executor: ExecutorType | None = None) -> Session: ...

    @abstractmethod
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
    ) -> Options: ...

    @abstractmethod
    def _recalled(
        self, does: Does, workflow: Workflow | None, run_id: str | None, new_id: str | None = None
    ) -> RunHandle | None: ...

    @abstractmethod
    def _wait(self, session: Session, handle: RunHandle, *, check: bool) -> RunResult: ...

    @abstractmethod
    def _submitted(self, session: Session, handle: RunHandle) -> RunHandle: ...

    @abstractmethod
    def _ask_to_cancel(self, run_id: str, reason: str, compensate: bool) -> None: ...


def _wish(
    kind: Kind,
    run_id: str,
    at: int | None,
    from_: str | Sequence[str],
    given: Mapping[str, object],
    workflow: Workflow | None,
    new_id: str | None,
) -> Wish:
    """Raises CallerError for what is of the wrong type."""
    if not isinstance(run_id, str):
        raise CallerError(f"{kind.value}() takes the id of a run, not {run_id!r:.80}")
    if at is not None and type(at) is not int:
        raise CallerError(f"at={at!r:.80}: give the number of an event")
    asked = (from_,) if isinstance(from_, str) else tuple(from_)
    return Wish(kind, run_id, at, asked, dict(given), workflow, new_id)
