"""A task in doubt whose probe is asked first, in the hands of the loop."""

from __future__ import annotations

from loop_rig import Rig
from strategies import task, workflow

from durable_wf.core import inputs as i
from durable_wf.core.definition import Literal
from durable_wf.core.events import Fault
from durable_wf.core.status import FaultKind, InDoubt, RunStatus
from durable_wf.core.values import NOT_DONE

OWN, PROBE, FALLBACK = 0, 5, 6
LOST = Fault(FaultKind.LOST, "its worker died")


def probing(**fields):
    """A run whose only task was lost with its worker; its probe is the next to be called."""
    rig = Rig()
    asked = task("a", in_doubt=InDoubt.PROBE, probe="jobs:probe", args=(Literal("7"),), **fields)
    live = rig.enter(workflow(asked))
    live.companion_of = {("a", "jobs:probe"): PROBE}
    live.fallback_of = {("", "jobs:cash"): FALLBACK}
    rig.turn()
    assert rig.executor.given("a").function == OWN
    rig.executor.breaks("a", fault=LOST)
    rig.turn()
    return rig, live


def test_the_next_attempt_calls_the_probe_with_the_arguments_of_the_task():
    rig, _ = probing()
    first, second = rig.executor.started
    assert (second.function, second.attempt) == (PROBE, 2)
    assert second.args == first.args


def test_what_the_probe_returns_is_the_result():
    rig, live = probing()
    rig.executor.ends("a", '"receipt"')
    rig.turn()
    assert live.state.status is RunStatus.SUCCEEDED
    assert rig.log.kinds()[-2:] == ["AttemptSucceeded", "RunSucceeded"]


def test_when_it_says_not_done_the_task_calls_its_own_function_again():
    rig, _ = probing()
    rig.executor.ends("a", NOT_DONE)
    rig.turn()
    again = rig.executor.given("a")
    assert (again.function, again.attempt) == (OWN, 3)


def test_that_attempt_is_probed_again_when_it_is_in_doubt_too():
    rig, _ = probing()
    rig.executor.ends("a", NOT_DONE)
    rig.turn()
    rig.executor.breaks("a", fault=LOST)
    rig.turn()
    assert [one.function for one in rig.executor.started] == [OWN, PROBE, OWN, PROBE]


def test_a_probe_that_is_lost_is_asked_again():
    rig, _ = probing()
    rig.executor.breaks("a", fault=LOST)
    rig.turn()
    assert [one.function for one in rig.executor.started] == [OWN, PROBE, PROBE]


def test_the_function_that_it_falls_back_to_is_called_when_the_probe_is_given_up():
    rig, live = probing()
    live.judge = lambda state, index: i.FallBackTo(index, "rule", "because", "jobs:cash")
    rig.executor.breaks("a")
    rig.turn()
    assert [one.function for one in rig.executor.started] == [OWN, PROBE, FALLBACK]


def test_a_probe_has_the_timeout_of_its_task_and_need_not_send_heartbeats():
    rig, _ = probing(timeout_s=9.0, heartbeat_s=2.0, deadline_s=99.0)
    own, probe = (one.limits for one in rig.executor.started)
    assert (own.timeout_s, own.heartbeat_s) == (9.0, 2.0)
    assert (probe.timeout_s, probe.heartbeat_s) == (9.0, None)
