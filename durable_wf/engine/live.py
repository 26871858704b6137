"""LiveRun: a run in the hands of this engine.

Owns: the run's state, the events decided but not yet committed, and what turns a task of it into
an assignment (which function, which arguments).
Must never: append, or talk to an executor; the loop does.
Read next: `loop.py`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import attrs

from durable_wf.core.compensation import longest_s
from durable_wf.core.definition import Literal, PayloadRef, Source, Task, Workflow
from durable_wf.core.events import Recorded, RunClaimed
from durable_wf.core.graph import DEFAULT_ESTIMATE_S
from durable_wf.core.inputs import Decision
from durable_wf.core.scheduler import Pick, Question
from durable_wf.core.state import RunState, row_since
from durable_wf.core.status import TASK_FINAL, RunStatus, TaskStatus
from durable_wf.engine.companions import Companions
from durable_wf.engine.judging import Fallbacks
from durable_wf.engine.overtaken import Overtaken, overtaken
from durable_wf.engine.progress import OnProgress
from durable_wf.engine.result import RunHandle
from durable_wf.errors import OwnedElsewhere
from durable_wf.execute.port import (
    NO_LIMITS,
    Absent,
    Argument,
    Assignment,
    Given,
    Limits,
    RunCode,
    Seat,
)
from durable_wf.store.port import Appended, RunAppend

OVERHEAD_US = 10
"""What a worker spends on an attempt besides the task's own code, for estimates."""

_RESTING = frozenset({RunStatus.PAUSED})
_UNFINISHED = frozenset(TaskStatus) - TASK_FINAL


class TooLate(Exception):
    """An attempt was announced, and cannot begin any more; the text says why."""


@attrs.define(eq=False)
class LiveRun:
    """`key` is this engine's own number for the run (its surrogate `run` is not known before the
    first commit). `committed_n` is the last event in the log, `pending` what follows it in `state`.
    `durations_us` are those of an earlier run by task index, empty where there was none.
    `last_details` holds the last heartbeat's detail by task index, of tasks that have sent any.
    `judge` decides about faults; `fallback_of` gives the index of a fallback function by task
    (or "") and name, `companion_of` that of a probe or compensation by place and label. `wait_s` is
    how long the caller waits for timers; None: for ever. `leaves` says whether it goes when the run
    waits for people or signals alone.
    A run that only waits needs no code: then `equip` brings it when a task is to start, from
    `given`, the workflow that the run was driven with before, or from where the run names it, with
    `accept_changes` if it has changed.
    """

    key: int
    state: RunState
    code: RunCode
    function_of: array[int]
    executor: str
    handle: RunHandle
    remaining: array[float]
    judge: Callable[[RunState, int], Decision]
    fallback_of: Mapping[tuple[str, str], int] = attrs.field(factory=dict)
    companion_of: Mapping[tuple[str, str], int] = attrs.field(factory=dict)
    wait_s: float | None = None
    leaves: bool = False
    run: int = 0
    committed_n: int = 0
    pending: list[Recorded] = attrs.field(factory=list)
    durations_us: dict[int, int] = attrs.field(factory=dict)
    last_details: dict[int, str] = attrs.field(factory=dict)
    on_progress: OnProgress | None = None
    told_at: float = 0.0
    let_go: bool = False
    """whether it was released, since it cannot go on here"""
    lost: bool = False
    """whether another engine has written to it, and this one knows nothing of it any more"""
    equip: Callable[[LiveRun], None] | None = None
    given: Workflow | None = None
    accept_changes: bool = False
    _measured_us: dict[int, int] = attrs.field(factory=dict)

    @property
    def run_id(self) -> str:
        """The run's public id."""
        return self.state.run_id

    @property
    def workflow(self) -> Workflow:
        """The definition, without the compensations that the run has come to have."""
        state = self.state
        if not state.compensating:
            return state.workflow
        return attrs.evolve(state.workflow, tasks=state.workflow.tasks[: state.forward])

    @property
    def settled(self) -> bool:
        """Whether nothing will happen until somebody acts: ended, or paused and at rest."""
        state = self.state
        return state.final or self.let_go or (state.status in _RESTING and not state.running)

    @property
    def could_go_on(self) -> bool:
        """Whether something of it runs or could start, so that it waits for nobody."""
        return bool(self.state.running) or bool(self.state.all_ready())

    @property
    def wake_at(self) -> int | None:
        """When the first of its timers is due (UTC microseconds), its deadline among them, while
        timers count.
        """
        state = self.state
        return None if state.status is RunStatus.PAUSED else state.wake_at

    def rests(self, now: int, aside: Container[int] = ()) -> bool:
        """Whether nothing will happen for longer than the caller waits. `aside` are tasks that
        could start and are kept aside for longer.
        """
        if self.state.running:
            return False
        wake_at = self.wake_at
        if wake_at is None:
            patient = not (self.leaves or aside)
        else:
            patient = self.wait_s is None or wake_at - now <= self.wait_s * 1e6
        return not patient and all(index in aside for index in self.state.all_ready())

    def take_code(self, of: LiveRun) -> None:
        """It has its code now, as the other one has, which is the same run."""
        self.code, self.function_of, self.remaining = of.code, of.function_of, of.remaining
        self.judge, self.durations_us = of.judge, of.durations_us
        self.fallback_of, self.companion_of = of.fallback_of, of.companion_of
        self.equip = None
        self.grow()

    def grow(self) -> None:
        """Follow the state where the run has come to have more tasks: its compensations."""
        if self.equip is not None:
            return
        state = self.state
        for index in range(len(self.function_of), len(state.tasks)):
            task = state.task(index)
            self.function_of.append(self.companion_of[task.name, task.function.qualname])
            # They run one after the other, the last one added last.
            self.remaining.append((len(state.tasks) - index) * DEFAULT_ESTIMATE_S)

    # --- commits ----------------------------------------------------------------------------------

    def append(self) -> RunAppend:
        """What is decided and not in the log, which must be something."""
        n = self.committed_n
        return RunAppend(self.run, self.state.run_id, n, self.pending, row_since(self.state, n))

    def appended(self, appended: Appended) -> None:
        """That transaction is durable, with or without this run."""
        run = appended.runs.get(self.state.run_id)
        if run is not None:
            self.run = run
            self.committed_n = self.pending[-1].n

    # --- estimates ------------------------------------------------------------------------------

    def question(self, index: int) -> Question | None:
        """What the scheduler asks about a task; None when it may not start."""
        if not self.state.is_ready(index):
            return None
        measured = self._measured_us.get(self.function_of[index], 0)
        return Question(self.state.task(index), measured)

    def measure(self, index: int, wall_us: int) -> None:
        """Learn from an attempt: a moving average per function, quick to rise, slow to fall."""
        function = self.function_of[index]
        old = self._measured_us.get(function)
        spent = wall_us + OVERHEAD_US
        if old is None or spent > old:
            self._measured_us[function] = spent
        else:
            self._measured_us[function] = old + ((spent - old) >> 2)

    def eta_s(self, seats: int) -> float | None:
        """Seconds left by an earlier run's durations, spread over `seats`; None where unknown."""
        if not self.durations_us:
            return None
        done = self.state.tasks
        left = sum(us for i, us in self.durations_us.items() if done[i] in _UNFINISHED)
        return left / 1e6 / max(1, seats)

    # --- assignments ----------------------------------------------------------------------------

    def assignment(
        self, pick: Pick[Seat], attempt: int, seq: int, fetch: Callable[[str], bytes]
    ) -> Assignment:
        """What the executor is handed for a committed AttemptStarted. Raises TooLate, and what
        `fetch` raises.
        """
        index = pick.index
        task = self.state.task(index)
        give = self._argument
        args = tuple([give(source, fetch) for source in task.args]) if task.args else ()
        kwargs = tuple([(k, give(s, fetch)) for k, s in task.kwargs]) if task.kwargs else ()
        # By position: twelve names would double what the call costs.
        return Assignment(
            seq, pick.seat.worker, self.key, index, attempt, task.name,
            self._function(index) if self.state.past else self.function_of[index],
            args, kwargs, self._limits(index, task, pick.gpus), task.codec, pick.estimate_us,
            self.last_details.get(index, "") if self.last_details else "",
        )  # fmt: skip

    def _limits(self, index: int, task: Task, gpus: tuple[int, ...]) -> Limits:
        limits = _limits(task, gpus)
        past = self.state.past.get(index)
        if past is not None and past.probe and limits.heartbeat_s is not None:
            limits = attrs.evolve(limits, heartbeat_s=None)  # a probe sends none
        if task.deadline_s is None:
            return limits
        if past is not None and (past.fallback or past.probe):
            return _time_of_its_own(limits, task)
        began_at = self.state.running[index].at
        first_at = began_at if past is None else past.first_started_at
        left_s = task.deadline_s - (began_at - first_at) / 1e6
        text = f"its task's deadline of {task.deadline_s:g} s over all attempts"
        if left_s <= 0:
            raise TooLate(f"{text} had passed before the attempt could begin")
        if limits.timeout_s is not None and limits.timeout_s <= left_s:
            return limits
        return attrs.evolve(limits, timeout_s=left_s, timeout_text=f"ran into {text}")

    def _function(self, index: int) -> int:
        """The function that the task calls: its own, its probe, or what it has fallen back to."""
        past = self.state.past.get(index)
        if past is None or not (past.fallback or past.probe):
            return self.function_of[index]
        name = self.state.graph.names[index]
        if past.probe:
            return self.companion_of[name, self.state.task(index).probe or past.probe]
        found = self.fallback_of.get((name, past.fallback))
        return self.fallback_of["", past.fallback] if found is None else found

    def _argument(self, source: Source, fetch: Callable[[str], bytes]) -> Argument:
        if isinstance(source, Literal):
            return Given(source.value)
        upstream = self.state.graph.index[source.task]
        value = self.state.values.get(upstream)
        if value is None:
            if (reason := self.state.skipped.get(upstream)) is not None:
                return Absent(source.task, TaskStatus.SKIPPED.value, reason)
            fault = self.state.faults[upstream]
            return Absent(source.task, fault.kind.value, fault.message)
        payload = None
        if type(value) is PayloadRef and not value.file:
            payload = fetch(value.digest)
        producer = self._function(upstream) if self.state.past else self.function_of[upstream]
        return Given(value, source.path, producer, payload, source.task)


def lost_to_another(live: LiveRun) -> OwnedElsewhere:
    """What is said of a run that another engine has written to. Overtaken: this one had not begun
    with it, and has written nothing.
    """
    run_id = live.run_id
    if not live.committed_n:
        created = live.state.created
        retried = created.origin if created is not None and created.root else ""
        what = f"has just retried run {retried}" if retried else "has just made a run of this id"
        return Overtaken(
            f"run {run_id} was not made: another engine {what}",
            hint=f"dwf show {retried or run_id}",
        )
    if live.pending and isinstance(live.pending[0].event, RunClaimed):
        return overtaken(run_id)
    return OwnedElsewhere(
        f"run {run_id}: another engine has written to it; this one has let go",
        hint=f"dwf show {run_id}",
    )


def _time_of_its_own(limits: Limits, task: Task) -> Limits:
    """What comes in place of a task's own function: the deadline begins anew for it, unless the
    task says how long an attempt may take.
    """
    if limits.timeout_s is not None:
        return limits
    text = f"ran longer than {task.deadline_s:g} s, which is its task's deadline, begun anew"
    return attrs.evolve(limits, timeout_s=longest_s(task), timeout_text=text)


def _limits(task: Task, gpus: tuple[int, ...]) -> Limits:
    if (
        task.timeout_s is None
        and task.memory_limit is None
        and task.heartbeat_s is None
        and not gpus
    ):
        cpu = task.resources.cpu
        return NO_LIMITS if cpu == 1.0 else Limits(cpu=cpu)
    return Limits(
        timeout_s=task.timeout_s,
        memory=task.memory_limit,
        memory_hard=task.memory_hard,
        cpu=task.resources.cpu,
        gpus=gpus,
        heartbeat_s=task.heartbeat_s,
    )


def run_code(
    key: int,
    run_id: str,
    workflow: Workflow,
    functions: Sequence[Callable[..., Any] | None],
    fallbacks: Fallbacks,
    companions: Companions,
) -> tuple[RunCode, array[int], dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """The distinct functions of a run, for each task the index of its own, those of fallbacks, and
    those of companions.

    `functions` holds one callable for each task, in the order of the definition; None, which gets
    the index -1, for one that calls nothing. Compensations follow in a run that has them; they are
    found among the companions (see `LiveRun.grow`).
    """
    seen: dict[int, int] = {}
    distinct: list[Callable[..., Any]] = []
    names: list[str] = []
    function_of = array("i")

    def number_of(function: Callable[..., Any], name: str) -> int:
        number = seen.get(id(function))
        if number is None:
            number = seen[id(function)] = len(distinct)
            distinct.append(function)
            names.append(name)
        return number

    for task, function in zip(workflow.tasks, functions, strict=False):
        function_of.append(-1 if function is None else number_of(function, task.name))
    fallback_of = {at: number_of(found, at[0] or at[1]) for at, found in fallbacks.items()}
    companion_of = {at: number_of(found, at[0]) for at, found in companions.items()}
    code = RunCode(key, run_id, workflow.name, run_id, distinct, names)
    return code, function_of, fallback_of, companion_of
