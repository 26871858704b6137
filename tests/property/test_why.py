"""Why a task may not start, at every event of random runs, against a reader who shares no code."""

from __future__ import annotations

from random import Random

import attrs
import oracles
import pytest
import strategies
import walks
from golden import golden, names
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_wf.core import why as explaining
from durable_wf.core.lacking import Held, Stock, lacks
from durable_wf.core.reason import Around, Cause
from durable_wf.core.resources import Resources
from durable_wf.core.why import why
from durable_wf.core.witness import Witness

RANDOM = st.randoms(use_true_random=False)
ALIVE = Around(alive=True)

OWN = {
    "pending": set(),
    "running": {Cause.BEGUN},
    "faulted": {Cause.FAULTED},
    "waiting": {Cause.TIMER},
} | {status: {Cause.ENDED} for status in oracles.ENDED}
ASKED = {
    "sleep": Cause.SLEEP,
    "signal": Cause.SIGNAL,
    "approval": Cause.APPROVAL,
    "operator": Cause.OPERATOR,
}
OF_RUN = {
    "": {Cause.NOT_BEGUN},
    "pending": {Cause.NOT_BEGUN},
    "running": set(),
    "paused": {Cause.PAUSED},
    "draining": {Cause.DRAINING},
}


def waited_for(reading: oracles.Reading, name: str) -> set[str]:
    """The upstream tasks without whose end this one may not start, with pen and paper."""
    if name in reading.undone:
        before = list(reading.undone)[: list(reading.undone).index(name)]
        return {one for one in before[-1:] if reading.tasks[one] not in oracles.ENDED}
    by_name = {task.name: task for task in reading.workflow.tasks}
    done = {"succeeded", "skipped"}
    return {
        one
        for one in by_name[name].upstream
        if reading.tasks[one] not in done
        and not (by_name[one].optional and reading.tasks[one] == "failed")
    }


def bottom(reading: oracles.Reading, name: str) -> set[str]:
    """Those that are waited for, directly or not, and wait for nobody."""
    found = set()
    for one in waited_for(reading, name):
        deeper = bottom(reading, one) if reading.tasks[one] == "pending" else set()
        found |= deeper or {one}
    return found


def expected(reading: oracles.Reading, name: str) -> set[Cause]:
    """Every cause that a reader of the events would name."""
    status = reading.tasks[name]
    causes = {ASKED[reading.asked[name]]} if name in reading.asked else set(OWN[status])
    if status == "running" and not reading.notes.get("engine"):
        causes = {Cause.IN_DOUBT}  # nobody runs it
    if status not in oracles.ENDED:
        causes |= set() if name in reading.undone else OF_RUN[reading.run]
        if not reading.notes.get("engine") and (reading.run != "paused" or status == "running"):
            causes.add(Cause.NO_ENGINE)
    if status == "pending" and waited_for(reading, name):
        causes.add(Cause.UPSTREAM)
    return causes


def check_why(rng: Random, workflow) -> None:
    """Of a random run."""
    check_history(workflow, walks.walked(rng, workflow).events)


def check_history(workflow, events) -> None:
    """At every event, for every task: exactly these causes, these upstreams, these roots."""
    reading = oracles.Reading(workflow)
    witness = Witness.of("r", workflow, ())
    for recorded in [None, *events]:
        if recorded is not None:
            reading.read(recorded)
            witness.take(recorded)
        for index, name in enumerate(witness.state.graph.names):
            check_answer(reading, name, why(witness, index, ALIVE))


def check_answer(reading: oracles.Reading, name: str, answer: explaining.Answer) -> None:
    found = {reason.cause for reason in answer.reasons} - {Cause.ENDED}
    # A task that its run closed names the run, too; what that must say is checked by example.
    ended = reading.tasks[name] in oracles.ENDED
    assert (found - {Cause.DRAINING} if ended else found) == expected(reading, name) - {Cause.ENDED}
    assert answer.status.value == reading.tasks[name]
    assert any(reason.cause is Cause.ENDED for reason in answer.reasons) == ended
    may_start = (
        reading.run == ("draining" if name in reading.undone else "running")
        and reading.tasks[name] == "pending"
        and not waited_for(reading, name)
        and bool(reading.notes.get("engine"))
    )
    assert may_start == (not answer.reasons)
    if reading.tasks[name] == "pending":
        named = {reason.task for reason in answer.reasons if reason.cause is Cause.UPSTREAM}
        assert named == waited_for(reading, name)
        assert {root.task for root in answer.roots} == bottom(reading, name)
    for reason in answer.reasons:
        if reason.cause is Cause.UPSTREAM:
            assert reason.status.value == reading.tasks[reason.task]
            assert {one.task for one in reason.because if one.cause is Cause.UPSTREAM} == (
                waited_for(reading, reason.task)
                if reading.tasks[reason.task] == "pending"
                else set()
            )
        if reason.cause in {Cause.TIMER, *ASKED.values()}:
            assert reason.until == reading.until.get(name)
        assert reason.n <= reading.n


@settings(max_examples=150)
@given(RANDOM, strategies.workflows(max_tasks=6))
def test_the_causes_are_those_that_a_reader_of_the_events_would_name(rng, workflow):
    check_why(rng, workflow)


@pytest.mark.parametrize("name", names())
def test_they_are_of_every_golden_history_too(name):
    """These have people, signals, compensations and probes in them."""
    check_history(*golden(name))


@given(RANDOM, strategies.workflows(max_tasks=5))
def test_reading_up_to_an_event_is_reading_what_was_there_then(rng, workflow):
    """The answer about the past does not know the future."""
    walk = walks.walked(rng, workflow)
    upto = rng.randint(0, len(walk.events))
    whole = Witness.of("r", workflow, walk.events, upto)
    cut = Witness.of("r", workflow, walk.events[:upto])
    for index in range(len(whole.state.tasks)):
        assert why(whole, index, ALIVE) == why(cut, index, ALIVE)


# --- resources ---

PARTS = ("cpu", "memory", "gpu", "pool db", "pool api")


def needs(resources: Resources) -> dict[str, float]:
    pools = dict(resources.pools)
    return {
        "cpu": resources.cpu, "memory": resources.memory, "gpu": resources.gpu,
        "pool db": pools.get("db", 0), "pool api": pools.get("api", 0),
    }  # fmt: skip


@given(
    strategies.RESOURCES,
    st.lists(strategies.RESOURCES, max_size=4),
    st.dictionaries(st.sampled_from(PARTS), st.integers(1, 1000)),
)
def test_a_task_lacks_what_is_not_free_and_nothing_else(need, open_attempts, limits):
    held = [Held("r", f"t{k}", f"w{k}", "e", one) for k, one in enumerate(open_attempts)]
    found = {lack.resource: lack for lack in lacks(need, Stock("e", limits), held)}
    for part in PARTS:
        taken = sum(needs(one)[part] for one in open_attempts)
        has = max(limits.get(part, 0), taken)
        short = part in limits and needs(need)[part] > has - taken + 1e-9
        assert (part in found) == (short and needs(need)[part] > 0), (part, found)
        if part in found and found[part].holders:
            assert sum(amount for *_, amount in found[part].holders) == pytest.approx(taken)


# --- the test has teeth ---


def _forget_optional(patch):
    """A failed optional task is still waited for."""
    done = {"succeeded", "skipped"}
    patch.setattr(explaining, "_releases", lambda state, one: state.tasks[one].value in done)


def _skipped_holds(patch):
    """A skipped task is waited for."""
    releases = explaining._releases
    skipped = lambda state, one: state.tasks[one].value != "skipped" and releases(state, one)
    patch.setattr(explaining, "_releases", skipped)


def _run_is_ignored(patch):
    """Neither a pause nor a drain is a reason."""
    patch.setattr(explaining, "_of_run", lambda *_: iter(()))


def _engine_is_ignored(patch):
    """That nobody runs it is no reason."""
    patch.setattr(explaining, "_of_engine", lambda *_: iter(()))


def _own_state_is_ignored(patch):
    """A task that waits for a timer could start."""
    patch.setattr(explaining._Search, "own", lambda *_: iter(()))


def _direct_upstream_is_the_root(patch):
    """Nobody looks further up."""
    patch.setattr(explaining, "_bottom", explaining.unmet)


def _future_is_known(patch):
    """The history is read to its end, whatever was asked."""
    patch.setattr(explaining.Witness, "of_task", lambda self, _: attrs.evolve(self.last, n=10**6))


MUTANTS = [
    _forget_optional, _skipped_holds, _run_is_ignored, _engine_is_ignored, _own_state_is_ignored,
    _direct_upstream_is_the_root, _future_is_known,
]  # fmt: skip


def _caught() -> bool:
    for seed in range(200):
        rng = Random(seed)
        try:
            check_why(rng, strategies.random_workflow(rng))
        except Exception:
            return True
    return False


def test_the_sound_answer_survives_all_these_walks():
    """The control: without a mutant nothing is caught."""
    assert not _caught()


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_answer_is_caught(mutant, monkeypatch):
    mutant(monkeypatch)
    assert _caught(), f"survived: {mutant.__name__}: {mutant.__doc__}"
