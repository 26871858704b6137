"""Transcripts: readable scripts of inputs to the core, with what it answered below each.

Owns: the script language, one function for each verb, and how events are shown.
Must never: check anything; the reviewer of a diff does.
Read next: `test_transcripts.py`; any file of `transcripts/`.

A script says `task NAME [after A B] [optional] [undo] [approval] [key=value]` for each task (keys:
priority, sleep, signal, deadline_s, in_doubt, timeout_s, on_timeout, on_reject), and `deadline N`
for the run, then `> verb ...` for each input. Lines that are indented are answers: events with
their numbers, obligations after "!", the state after "=". Between two inputs a second passes.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from enum import Enum

import attrs
import strategies

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.decide import Decided, decide
from durable_wf.core.definition import Task, Undo, Upstream, WaitFor, Workflow
from durable_wf.core.evolve import replay
from durable_wf.core.judge import judge
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind, InDoubt, Otherwise, Verdict, WaitKind
from durable_wf.core.values import NOT_DONE

SECOND = 1_000_000
START = 1_790_000_000 * SECOND
UNSHOWN = {"worker", "pid", "born", "began_at", "wall_us", "definition", "code"}


@attrs.define
class Play:
    """One run of one script."""

    name: str
    tasks: list[Task] = attrs.field(factory=list)
    state: RunState | None = None
    events: list[e.Recorded] = attrs.field(factory=list)
    at: int = START
    deadline_s: int = 0
    imports: list[e.TaskImported] = attrs.field(factory=list)
    details: dict[str, str] = attrs.field(factory=dict)
    begun_with: dict[str, str] = attrs.field(factory=dict)

    @property
    def workflow(self) -> Workflow:
        return strategies.workflow(*self.tasks, name=self.name)

    def give(self, given: i.Input) -> Decided:
        decided = decide(self.state, given, self.at)
        self.events += decided.events
        return decided

    def index(self, task: str) -> int:
        return self.state.graph.index[task]

    def attempt(self, task: str) -> int:
        return self.state.attempts[self.index(task)]


# --- the verbs ----------------------------------------------------------------------------------


def create(play: Play, engine: str = "e-1") -> Decided:
    workflow = play.workflow
    play.state = RunState.of("r", workflow)
    late = play.at + play.deadline_s * SECOND if play.deadline_s else None
    origin = play.imports[0].origin if play.imports else ""
    made = e.RunCreated(
        play.name, "d-1", len(workflow.tasks), code="c-1", deadline_at=late, origin=origin,
        details=tuple(play.details.items()),
    )  # fmt: skip
    return play.give(i.Create(made, engine, tuple(play.imports)))


def begin(play: Play, task: str) -> Decided:
    detail = play.begun_with[task] = play.details.get(task, "")
    return play.give(i.AttemptBegins(play.index(task), "w-1-0", 100, 7, detail))


def succeed(play: Play, task: str, attempt: str = "") -> Decided:
    number = int(attempt or play.attempt(task))
    return play.give(i.Succeeded(1, play.index(task), number, "null", play.at, 500))


def fail(
    play: Play, task: str, kind: str, message: str = "", attempt: str = "", retry_after_s: str = ""
) -> Decided:
    number = int(attempt or play.attempt(task))
    after_us = int(retry_after_s) * SECOND if retry_after_s else None
    fault = e.Fault(FaultKind(kind), message, retry_after_us=after_us)
    said = play.details.get(task, "")
    detail = "" if said == play.begun_with.get(task) else said
    return play.give(i.Failed(1, play.index(task), number, fault, play.at, 500, detail=detail))


def in_doubt(play: Play, task: str) -> Decided:
    return fail(play, task, "in_doubt", "the engine died while it ran")


def give_back(play: Play, task: str) -> Decided:
    return play.give(i.Returned(1, play.index(task), play.attempt(task)))


def judge_task(play: Play, task: str) -> Decided:
    return play.give(judge(play.state, play.index(task)))


def retry(play: Play, task: str, delay_s: str = "0") -> Decided:
    delay_us = int(delay_s) * SECOND
    return play.give(i.Retry(play.index(task), "three times", "worth another try", delay_us))


def rule(play: Play, task: str, answer: str, more: str = "") -> Decided:
    """A rule of version 2 has answered; it has counted one fault."""
    why = (play.index(task), "a rule", "it said so")
    facts = (("faults", 1),)
    match answer:
        case "retry":
            return play.give(i.Retry(*why, int(more) * SECOND, "2", facts))
        case "value":
            return play.give(i.FallBack(*why, more, "2", facts))
        case "function":
            return play.give(i.FallBackTo(*why, more, "2", facts))
        case "skip":
            return play.give(i.Skip(*why, "2", facts))
        case _:
            return play.give(i.Fail(*why, "2", facts, keep_going=answer == "keep-going"))


def escalate(play: Play, task: str, timeout_s: str = "", on_timeout: str = "fail") -> Decided:
    timeout_us = int(timeout_s) * SECOND if timeout_s else None
    given = i.Escalate(
        play.index(task), "ask", "it failed", "what now?", "1", (("faults", 1),), "ops",
        timeout_us, Otherwise(on_timeout),
    )  # fmt: skip
    return play.give(given)


def refuse(play: Play, task: str, breaker: str, seconds: str) -> Decided:
    until = play.at + int(seconds) * SECOND
    return play.give(i.Refuse(play.index(task), breaker, until, (("failures", 5),)))


def disprove(play: Play, task: str) -> Decided:
    """The probe has found nothing."""
    number = play.attempt(task)
    return play.give(i.Succeeded(1, play.index(task), number, NOT_DONE, play.at, 500))


def take_over(play: Play, task: str, value: str, *words: str) -> Decided:
    """Said before `create`: the run will take this result, or `fallback`, over from another."""
    play.imports.append(e.TaskImported(task, "r-0", value, fallback="fallback" in words))
    return Decided([])


def say(play: Play, task: str, detail: str) -> Decided:
    """A heartbeat, of the attempt that runs; before `create`, of the run that this one is made
    from.
    """
    play.details[task] = detail
    return Decided([])


def signal(play: Play, name: str, value: str = "null", actor: str = "ann") -> Decided:
    return play.give(i.Signal(name, value, actor))


def answer(
    play: Play, task: str, verdict: str, comment: str = "", value: str = "", attempt: str = ""
) -> Decided:
    number = int(attempt) if attempt else None
    return play.give(i.Answer(task, Verdict(verdict), "ann", comment, value, number))


def compensate(play: Play, task: str) -> Decided:
    """A rule has answered: give up, and take back what the attempt may have done."""
    return play.give(i.Fail(play.index(task), "a rule", "it said so", compensate=True))


def due(play: Play) -> Decided:
    return play.give(i.Due())


def pause(play: Play, actor: str = "ann", cause: str = "") -> Decided:
    return play.give(i.Pause(actor, cause))


def resume(play: Play, actor: str = "ann") -> Decided:
    return play.give(i.Resume(actor))


def cancel(play: Play, actor: str = "ann", cause: str = "", undo: str = "undo") -> Decided:
    return play.give(i.Cancel(actor, cause, compensate=undo == "undo"))


def accept_code(play: Play, *tasks: str) -> Decided:
    return play.give(i.AcceptCode("ann", "d-2", "c-2", tasks))


def claim(play: Play, engine: str, why: str = "recover", crash_limit: str = "0") -> Decided:
    return play.give(i.Claim(engine, why, int(crash_limit)))


def release(play: Play, engine: str, why: str = "stopping") -> Decided:
    return play.give(i.Release(engine, why))


def crash(play: Play) -> Decided:
    """The engine is gone: what the next one knows is a replay."""
    play.state = replay(RunState.of("r", play.workflow), play.events)
    return Decided([])


def wait(play: Play, seconds: str) -> Decided:
    play.at += int(seconds) * SECOND
    return Decided([])


VERBS: dict[str, Callable[..., Decided]] = {
    "create": create, "begin": begin, "succeed": succeed, "fail": fail, "in-doubt": in_doubt,
    "return": give_back, "judge": judge_task, "retry": retry, "rule": rule, "due": due,
    "pause": pause, "resume": resume,
    "cancel": cancel, "accept-code": accept_code, "claim": claim, "release": release,
    "crash": crash, "wait": wait, "escalate": escalate, "refuse": refuse, "disprove": disprove,
    "import": take_over, "say": say, "signal": signal, "answer": answer, "compensate": compensate,
}  # fmt: skip


# --- reading and showing ------------------------------------------------------------------------


def play(name: str, script: str) -> tuple[str, Play]:
    """The script with its answers, old ones replaced, and the run that it made."""
    stage = Play(name)
    lines: list[str] = []
    for line in script.splitlines():
        if line.startswith("  "):
            continue
        lines.append(line)
        if line.startswith("task "):
            stage.tasks.append(_task(line))
        elif line.startswith("deadline "):
            stage.deadline_s = int(line.split()[1])
        elif line.startswith("> "):
            verb, *words = shlex.split(line[2:])
            stage.at += SECOND
            if stage.state is None and verb != "create":
                VERBS[verb](stage, *words)
                continue
            lines += [f"  {shown}" for shown in _answer(stage, VERBS[verb](stage, *words))]
    return "\n".join(lines) + "\n", stage


def _task(line: str) -> Task:
    fields: dict[str, object] = {}
    waits: dict[str, object] = {}
    upstream: list[str] = []
    _, name, *words = line.split()
    for word in words:
        match word.partition("="):
            case "optional", _, _:
                fields["optional"] = True
            case "undo", _, _:
                fields["undo"] = Undo("jobs:undo", (Upstream(name),))
            case "approval", _, _:
                waits |= {"kind": WaitKind.APPROVAL, "question": "go on?", "whom": "ops"}
            case "signal", _, value:
                waits |= {"kind": WaitKind.SIGNAL, "name": value}
            case "sleep", _, value:
                waits |= {"kind": WaitKind.SLEEP, "timeout_s": float(value)}
            case "timeout_s", _, value:
                waits["timeout_s"] = float(value)
            case ("on_timeout" | "on_reject") as key, _, value:
                waits[key] = Otherwise(value)
            case "in_doubt", _, value:
                fields |= {"in_doubt": InDoubt(value), "probe": "jobs:probe"}
            case key, "=", value:
                fields[key] = float(value) if key.endswith("_s") else int(value)
            case "after", _, _:
                pass
            case _:
                upstream.append(word)
    if waits:
        fields["wait"] = WaitFor(**waits)
    return strategies.task(name, *upstream, **fields)


def _answer(stage: Play, decided: Decided) -> Iterator[str]:
    names = stage.state.graph.names
    for recorded in decided.events:
        yield f"{recorded.n:2} {_shown(recorded.event)}"
    for index in decided.judge:
        yield f" ! judge {names[index]}"
    for index, attempt in decided.stop:
        yield f" ! stop {names[index]} #{attempt}"
    if decided.refused:
        yield f" ! refused: {decided.refused}"
    yield f" = {_state(stage.state)}"


def _shown(event: e.Event) -> str:
    words = [type(event).__name__]
    for field in attrs.fields(type(event)):
        value = getattr(event, field.name)
        if field.name in UNSHOWN or value == field.default:
            continue
        words.append(_word(field.name, value))
    return " ".join(words)


def _word(name: str, value: object) -> str:
    match value:
        case e.Fault():
            return f"{value.kind.value}: {value.message}" if value.message else value.kind.value
        case Enum():
            return f"{name}={value.value}"
        case int() if name == "until":
            return f"until=+{(value - START) / SECOND:g}s"
        case int() if name == "attempt":
            return f"#{value}"
        case str() if name in {"task", "engine"}:
            return value
        case int() if name == "deadline_at":
            return f"deadline=+{(value - START) / SECOND:g}s"
        case tuple():
            parts = (one if isinstance(one, str) else ":".join(map(str, one)) for one in value)
            return f"{name}={','.join(parts)}"
        case _:
            return f"{name}={value!r}"


def _state(state: RunState) -> str:
    counts = [f"{n} {status.value}" for status, n in state.counts.items() if n]
    ready = ", ".join(state.graph.names[index] for index in state.all_ready())
    may = f"; may start: {ready}" if ready else ""
    return f"{state.status.value}: {', '.join(counts)}{may}"
