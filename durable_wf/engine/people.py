"""People: what a program says in somebody's name to tasks that wait.

Owns: the methods for it, which WorkflowEngine and RunHandle share.
Must never: decide, or know where the run is; commands find their way by `control.py`.
Read next: `commands.py`, `facade.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from durable_wf.core.awaited import Awaited
from durable_wf.core.status import Verdict
from durable_wf.engine.commands import answer_body, check_comment, signal_body
from durable_wf.errors import CallerError
from durable_wf.store.port import Answer, Verb

_RESOLVE = (Verdict.RETRY, Verdict.SKIP, Verdict.VALUE, Verdict.FAIL)


class People:
    """A base of WorkflowEngine: answers to tasks that wait, and signals."""

    def approve(
        self, run_id: str, task: str, comment: str = "", *, attempt: int | None = None
    ) -> Answer:
        """Say yes to an approval. Who says so, when and why is recorded.

        With `attempt` the answer holds only while the task has come to that attempt. The answer
        that comes first counts. Raises NotFound, and WrongState when the task does not wait for it.
        """
        return self._answer(run_id, task, Verdict.APPROVE, comment, None, attempt)

    def reject(
        self, run_id: str, task: str, comment: str = "", *, attempt: int | None = None
    ) -> Answer:
        """Say no to an approval. As `approve`."""
        return self._answer(run_id, task, Verdict.REJECT, comment, None, attempt)

    def resolve(
        self,
        run_id: str,
        task: str,
        how: str,
        comment: str = "",
        *,
        value: object = None,
        attempt: int | None = None,
    ) -> Answer:
        """Decide about a task that waits, for whatever: `how` is "retry" (at once), "skip", "fail",
        or "value", which takes `value` for its result. As `approve`.
        """
        verdict = next((one for one in _RESOLVE if one.value == how), None)
        if verdict is None:
            choice = ", ".join(repr(one.value) for one in _RESOLVE)
            raise CallerError(f"a task is resolved by one of {choice}, not {how!r:.60}")
        if value is not None and verdict is not Verdict.VALUE:
            raise CallerError(f"resolve({how!r}) takes no value", hint='resolve(..., "value")')
        return self._answer(run_id, task, verdict, comment, value, attempt)

    def signal(self, run_id: str, name: str, value: object = None) -> Answer:
        """Send a run a signal. The first task that waits for it takes it, or it is kept for the
        next. Raises NotFound when none of the run's tasks ever waits for it, and WrongState.
        """
        return self._command(run_id, Verb.SIGNAL, "", signal_body(name, value))

    def _answer(
        self,
        run_id: str,
        task: str,
        verdict: Verdict,
        comment: str,
        value: object,
        attempt: int | None,
    ) -> Answer:
        body = answer_body(task, verdict, value, attempt)
        return self._command(run_id, Verb.ANSWER, check_comment(comment), body)

    # --- what WorkflowEngine has ----------------------------------------------------------------

    @abstractmethod
    def waiting(self, run_id: str) -> tuple[Awaited, ...]:
        """What the tasks of a run wait for now. Raises NotFound."""

    @abstractmethod
    def _command(
        self, run_id: str, verb: Verb, reason: str, more: Mapping[str, object]
    ) -> Answer: ...
