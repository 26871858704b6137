"""What people see of circuit breakers: `dwf breakers`, and which tasks of a run wait for one."""

from __future__ import annotations

import time

import attrs
import pytest
from cli_rig import rig_in
from click.testing import CliRunner
from histories_of import CREATED
from loop_rig import put
from security.evil import EVIL, FORBIDDEN
from strategies import task, workflow

from durable_wf.cli import bulk
from durable_wf.cli.exits import Exit
from durable_wf.cli.main import dwf
from durable_wf.core import events as e
from durable_wf.core.breaker import Breaker
from durable_wf.core.circuit import Outcome, What, lease_of
from durable_wf.core.status import FaultKind, RunStatus
from durable_wf.store import locks
from durable_wf.store.check import check
from durable_wf.store.opening import open_store
from durable_wf.store.port import Batch, LeaseTake

S = 1_000_000
PAY = Breaker("pay", failures=2, cooldown_s=3600.0)
SHORT = attrs.evolve(PAY, cooldown_s=1.0)


def flow(breaker):
    return workflow(
        task("a", breaker=breaker),
        task("b", breaker=breaker),
        task("done"),
        task("after_done", "done", breaker=breaker),
        task("after_a", "a", breaker=breaker),
        task("mail", breaker=Breaker("mail")),
        task("free"),
    )


class World:
    """A store with a run whose tasks could start, and an engine that lives."""

    def __init__(self, folder):
        self.folder = folder
        self.store = open_store(folder / "s", create=True)
        self.engine = locks.create(folder / "s" / "locks", "e-12345678")
        self.now = time.time_ns() // 1000
        self.dwf = rig_in(folder)

    def run(self, breaker=PAY):
        put(
            self.store.log, CREATED, e.RunClaimed("e-12345678", "create"), e.RunStarted(),
            e.AttemptStarted("done", 1, "w-12345678-0", 7, 8),
            e.AttemptSucceeded("done", 1, "1", 5, 5),
            workflow=flow(breaker), said=[e.EngineStarted("e-12345678", 77, "host", "0.1.0")],
        )  # fmt: skip

    def rows(self, *whats, ago_s=10.0):
        """One after the other, the last of them so long ago."""
        begin = self.now - round(ago_s * S) - len(whats) + 1
        rows = [
            Outcome("pay", begin + n, what, f"r/a/{n}", begin + n) for n, what in enumerate(whats)
        ]
        self.store.log.append(Batch(outcomes=rows))

    def take(self, holder="e-12345678"):
        self.store.log.append(Batch(takes=[LeaseTake(lease_of("pay"), holder, "r")]))

    def __call__(self, *words):
        shown = self.dwf(*words, "--store", self.folder / "s")
        assert shown.code == 0, shown.err
        return shown

    def end(self):
        self.engine.release()
        self.store.close()


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.end()


OPENED = (What.OK, What.FAILED, What.FAILED, What.OPENED)


def test_a_store_without_outcomes_has_no_breakers(world):
    shown = world("breakers")
    assert (shown.out, "no attempt behind a circuit breaker" in shown.err) == ("", True)
    assert world("breakers", "--json").out == ""


def test_a_closed_one_is_listed_with_its_last_outcomes(world):
    world.run()
    world.rows(What.FAILED, What.OK, What.OK)
    (head, line) = world("breakers").out.splitlines()
    assert head.split()[:3] == ["BREAKER", "STATE", "SINCE"]
    assert line.split()[:2] == ["pay", "closed"]
    assert "1 failed, 2 ok" in line
    assert "r/a/0" in line
    (document,) = world("breakers", "--json").lines
    assert document["state"] == "closed"
    assert document["until"] is document["why"] is document["probe"] is None
    assert document["settings"] == {"failures": 2, "within_s": 60.0, "cooldown_s": 3600.0}
    assert [one["what"] for one in document["outcomes"]] == ["failed", "ok", "ok"]
    assert document["outcomes"][0]["run_id"] == "r"
    assert (document["outcomes"][0]["task"], document["outcomes"][2]["attempt"]) == ("a", 2)


def test_an_open_one_says_until_when(world):
    world.run()
    world.rows(*OPENED)
    assert "open" in world("breakers").out
    assert "(in 59m" in world("breakers").out
    (document,) = world("breakers", "--json").lines
    assert (document["state"], document["failures"]) == ("open", 2)
    assert document["until"] > document["opened_at"]
    assert "is open until" in document["why"]


def test_a_half_open_one_says_who_probes(world):
    world.run(SHORT)
    world.rows(*OPENED, What.PROBE)
    assert "a task probes" in world("breakers").out
    world.take()
    assert "its probe ends" in world("breakers").out
    (document,) = world("breakers", "--json").lines
    assert document["state"] == "half_open"
    assert document["probe"] == {
        "run_id": "r", "task": "a", "attempt": 4, "engine": "e-12345678",
    }  # fmt: skip


def test_the_probe_of_a_dead_engine_is_not_shown(world):
    world.run(SHORT)
    world.rows(*OPENED, What.PROBE)
    world.take("e-00000000")
    (document,) = world("breakers", "--json").lines
    assert document["probe"] is None


def test_without_a_run_that_can_be_read_the_default_settings_are_assumed_and_not_told(world):
    world.rows(*OPENED)
    (document,) = world("breakers", "--json").lines
    assert (document["settings"], document["state"]) == (None, "open")


# --- a run ----------------------------------------------------------------------------------------


def test_show_says_which_tasks_it_holds_and_until_when(world):
    world.run()
    world.rows(*OPENED)
    text = world("show", "r").out
    assert "3 tasks: breaker pay is open until" in text
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    for name in ("a", "b", "after_done"):
        assert "breaker pay is open until" in lines[name]
    for name in ("after_a", "mail", "free", "done"):
        assert "breaker" not in lines[name]
    states = world("show", "r", "--json").document["task_states"]
    held = {name for name, state in states.items() if "breaker" in state}
    assert held == {"a", "b", "after_done"}
    assert states["a"]["breaker"]["key"] == "pay"
    assert states["a"]["breaker"]["state"] == "open"
    assert states["a"]["breaker"]["until"].endswith("Z")
    assert "the last one in run r, task 'a'" in states["a"]["breaker"]["why"]


def test_one_task_in_full_says_why(world):
    world.run()
    world.rows(*OPENED)
    assert "breaker 'pay' is open until" in world("show", "r", "--task", "a").out
    assert "breaker" not in world("show", "r", "--task", "after_a").out


def test_while_a_living_engine_probes_the_others_are_held(world):
    world.run(SHORT)
    world.rows(*OPENED, What.PROBE)
    world.take()
    assert "half-open; task a of run r probes" in world("show", "r").out


@pytest.mark.parametrize("holder", [None, "e-00000000"])
def test_half_open_without_a_living_probe_holds_nobody(world, holder):
    world.run(SHORT)
    world.rows(*OPENED, What.PROBE)
    if holder:
        world.take(holder)
    assert "breaker" not in world("show", "r").out


def test_a_closed_one_holds_nobody(world):
    world.run()
    world.rows(What.FAILED)
    assert "breaker" not in world("show", "r").out


def test_a_task_that_has_fallen_back_to_a_function_is_not_held(world):
    fault = e.Fault(FaultKind.ERROR, "boom")
    put(
        world.store.log, CREATED, e.RunClaimed("e-12345678", "create"), e.RunStarted(),
        e.AttemptStarted("a", 1, "w-12345678-0", 7, 8), e.AttemptFailed("a", 1, fault),
        e.TaskFallbackScheduled("a", "jobs:other", "rule", "because"),
        workflow=flow(PAY),
    )  # fmt: skip
    world.rows(*OPENED)
    states = world("show", "r", "--json").document["task_states"]
    assert {name for name, state in states.items() if "breaker" in state} == {"b"}
    assert "breaker 'pay'" not in world("why", "r", "a").out


def test_a_run_whose_engine_is_dead_is_held_by_that_first(world):
    world.run()
    world.rows(*OPENED)
    world.engine.release()
    assert "breaker" not in world("show", "r").out


# --- reset by a person ---


def test_one_is_reset_after_a_question(world, monkeypatch):
    world.run()
    world.rows(*OPENED)
    monkeypatch.setattr(bulk, "_can_ask", lambda: True)
    words = ["breakers", "reset", "pay", "-m", "it is back", "--store", str(world.folder / "s")]
    shown = CliRunner().invoke(dwf, words, input="n\n", prog_name="dwf")
    assert shown.exit_code == 0
    assert "reset breaker 'pay' is open until" not in shown.output
    assert "reset breaker 'pay', which is open until" in shown.output
    assert "nothing was changed" in shown.output
    assert world("breakers", "--json").document["state"] == "open"
    shown = CliRunner().invoke(dwf, words, input="y\n", prog_name="dwf")
    assert "breaker 'pay' is closed; it was open\n" in shown.output
    assert world("breakers", "--json").document["state"] == "closed"
    *_, told = world("events", "@store", "--json").lines
    assert told["kind"] == "BreakerReset"
    assert (told["body"]["key"], told["body"]["reason"]) == ("pay", "it is back")
    assert "@" in told["body"]["actor"]
    assert "breaker" not in world("why", "r", "a").out
    assert check(world.store) == []


def test_off_a_terminal_a_reset_needs_yes(world):
    world.run()
    world.rows(What.FAILED)
    refused = world.dwf("breakers", "reset", "pay", "--store", world.folder / "s")
    assert refused.code == Exit.USAGE
    assert "This would reset breaker 'pay', which is closed (1 failure). Off a" in refused.err
    done = world("breakers", "reset", "pay", "--yes", "--json")
    assert done.document == {"key": "pay", "before": "closed", "state": "closed"}
    assert world("breakers", "--json").document["failures"] == 0


def test_one_that_is_not_there_names_the_nearest(world):
    world.run()
    world.rows(What.FAILED)
    refused = world.dwf("breakers", "reset", "pya", "--yes", "--store", world.folder / "s")
    assert refused.code == Exit.NOT_FOUND
    assert "did you mean 'pay'?" in refused.err
    assert world.store.log.outcomes("pya") == []


def test_a_folder_may_be_named_after_the_list_too(world):
    world.run()
    world.rows(What.OK)
    assert world.dwf("breakers", "--store", world.folder / "s", "--json").document["key"] == "pay"


def test_why_names_the_breaker(world):
    world.run()
    world.rows(*OPENED)
    shown = world("why", "r", "a")
    assert "breaker 'pay' is open until" in shown.out
    (reason,) = world("why", "r", "a", "--json").document["reasons"]
    assert (reason["cause"], reason["name"]) == ("breaker", "pay")
    behind = world("why", "r", "after_a").out
    assert "it waits for a, which is pending: breaker 'pay' is open until" in behind
    assert behind.count("breaker 'pay'") == 1, "its own does not hold it yet"


def test_why_names_the_breaker_of_a_task_in_back_off_whose_engine_is_dead(world):
    """Whoever resumes the run finds that the task does not start when its retry is due."""
    fault = e.Fault(FaultKind.ERROR, "boom")
    put(
        world.store.log, CREATED, e.RunClaimed("e-12345678", "create"), e.RunStarted(),
        e.AttemptStarted("a", 1, "w-12345678-0", 7, 8), e.AttemptFailed("a", 1, fault),
        e.TaskRetryScheduled("a", world.now + 90 * S, "rule", "because"),
        workflow=flow(PAY),
    )  # fmt: skip
    world.rows(*OPENED)
    world.engine.release()
    causes = [one["cause"] for one in world("why", "r", "a", "--json").document["reasons"]]
    assert causes == ["timer", "breaker", "no_engine"]
    assert "  - breaker 'pay' is open until" in world("why", "r", "a").out


def test_a_refusal_is_shown_as_the_fault_that_it_is(world):
    put(
        world.store.log, CREATED, e.RunClaimed("e-12345678", "create"), e.RunStarted(),
        e.AttemptRefused("a", "pay", 5), e.TaskFailed("a", "default", "breaker 'pay' is open"),
        e.RunDraining(RunStatus.FAILED, "x", cause_task="a"), e.RunFailed("x"),
        workflow=workflow(task("a", breaker=PAY)),
    )  # fmt: skip
    state = world("show", "r", "--json").document["task_states"]["a"]
    assert state["fault"]["kind"] == "breaker"
    assert "breaker: breaker 'pay' is open" in world("show", "r").out


def test_nothing_that_stands_there_steers_a_terminal(world):
    world.run()
    rows = [Outcome("pay", world.now - 5, What.FAILED, f"{EVIL}/{EVIL}/1") for _ in range(2)]
    more = [Outcome(EVIL, world.now, What.FAILED, EVIL)]
    world.store.log.append(Batch(outcomes=[*rows, *more]))
    for command in (
        ["breakers"], ["show", "r"], ["show", "r", "-t", "a"], ["why", "r", "a"],
        ["breakers", "--json"], ["show", "r", "--json"], ["why", "r", "a", "--json"],
    ):  # fmt: skip
        assert not FORBIDDEN & set(world(*command).out), command
