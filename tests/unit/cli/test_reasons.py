"""The sentence of each cause, and its JSON."""

from __future__ import annotations

import json

import histories_of as h
import pytest
from security.evil import EVIL, FORBIDDEN

from durable_wf.cli.reasons import answer_document, sentence
from durable_wf.core.lacking import Lack
from durable_wf.core.reason import Around, Cause, Reason
from durable_wf.core.status import Otherwise, TaskStatus
from durable_wf.core.why import why
from durable_wf.core.witness import Witness

AT = 1_700_000_000_000_000  # 22:13:20 UTC
RULED = {"rule": "retry", "version": "2", "text": "why not"}


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (Reason(Cause.ENDED, 7, AT, status=TaskStatus.SUCCEEDED, attempt=2),
         "it has succeeded, in attempt 2 (event 7, 22:13:20.000)"),
        (Reason(Cause.ENDED, status=TaskStatus.SUCCEEDED, attempt=1, **RULED),
         "it has succeeded with another result in place of its own, by retry (version 2): why not"),
        (Reason(Cause.ENDED, status=TaskStatus.FAILED, attempt=3, rule="default", text="boom"),
         "it has failed, after attempt 3, by default: boom"),
        (Reason(Cause.ENDED, status=TaskStatus.SKIPPED, attempt=1, **RULED),
         "it has been skipped, after attempt 1, by retry (version 2): why not"),
        (Reason(Cause.ENDED, status=TaskStatus.CANCELLED, text="enough"),
         "it has been cancelled, and never started: enough"),
        (Reason(Cause.ENDED, status=TaskStatus.SUCCEEDED, text="signal 'go' came"),
         "it has succeeded without an attempt: signal 'go' came"),
        (Reason(Cause.ENDED, status=TaskStatus.SUCCEEDED, name="etl-1"),
         "it has succeeded in run etl-1, whose result was taken over"),
        (Reason(Cause.SIGNAL, name="go"), "it waits for the signal 'go'"),
        (Reason(Cause.APPROVAL, question="publish?", whom="ann"),
         "it waits for an approval of ann: publish?"),
        (Reason(Cause.OPERATOR, question="rerun?", **RULED),
         "it waits for a decision: rerun?, by retry (version 2): why not"),
        (Reason(Cause.BREAKER, name="api"), "its breaker 'api' is open"),
        (Reason(Cause.BREAKER, name="api", text="breaker 'api' is open until then"),
         "breaker 'api' is open until then"),
        (Reason(Cause.FAULTED, text="breaker: breaker 'api' is open"),
         "it failed (breaker: breaker 'api' is open), not decided yet"),
        (Reason(Cause.BEGUN, 4, AT, actor="w-1-0", attempt=1),
         "it has begun: attempt 1 runs in worker w-1-0 (event 4, 22:13:20.000)"),
        (Reason(Cause.IN_DOUBT, 4, AT, attempt=2),
         "it is in doubt: attempt 2 had begun (event 4, 22:13:20.000) when its engine ended"),
        (Reason(Cause.UPSTREAM, task="a", status=TaskStatus.RUNNING,
                because=(Reason(Cause.IN_DOUBT, attempt=1),)),
         ("it waits for a, which was interrupted: it is in doubt: attempt 1 had begun when its "
          "engine ended")),
        (Reason(Cause.FAULTED, attempt=1, text="error: boom"),
         "attempt 1 failed (error: boom), not decided yet"),
        (Reason(Cause.UPSTREAM, task="a", status=TaskStatus.RUNNING,
                because=(Reason(Cause.BEGUN, attempt=1),)),
         "it waits for a, which is running: it has begun: attempt 1 runs"),
        (Reason(Cause.UPSTREAM, task="a", status=TaskStatus.PENDING,
                because=tuple(Reason(Cause.UPSTREAM, task=f"t{k}") for k in range(7))),
         "it waits for a, which is pending: it waits for t0, t1, t2, t3, t4 and 2 more"),
        (Reason(Cause.NOT_BEGUN), "its run has not begun"),
        (Reason(Cause.PAUSED, 9, AT, actor="ann", text="lunch"),
         "its run is paused by ann: lunch (event 9, 22:13:20.000)"),
        (Reason(Cause.DRAINING, text="task 'a' failed"),
         "its run ends, and starts nothing more: task 'a' failed"),
        (Reason(Cause.RESOURCE, lack=Lack("cpu", 2, 4, 3, (("r", "a", 2), ("r", "b", 1)))),
         "it needs 2 cpu; 1 of 4 are free: a of r (2), b of r (1)"),
        (Reason(Cause.RESOURCE, lack=Lack("memory", 200, 100, 0)),
         "it needs 200 bytes of memory and its engine has 100: it cannot start there"),
        (Reason(Cause.RESOURCE, lack=Lack("cpu", 9, 2, 0, assumed=True)),
         ("it needs 9 cpu and its engine has 2 of this machine (nobody declared any): "
          "it cannot start there")),
        (Reason(Cause.NO_ENGINE, actor="e-1"), "its engine e-1 does not run any more"),
        (Reason(Cause.NO_ENGINE, text="stopping"), "no engine runs it: stopping"),
    ],
)  # fmt: skip
def test_each_cause_has_its_sentence(reason, said):
    assert sentence(reason) == said


def test_a_timer_tells_how_long_it_takes_where_now_is_known():
    reason = Reason(Cause.TIMER, until=AT, **RULED)
    later = sentence(reason, AT - 90_000_000)
    assert later.startswith("it waits for a retry until 20")
    assert later.endswith(", for 1m30s more, by retry (version 2): why not")
    assert "that was due at 20" in sentence(reason, AT)
    assert "more" not in sentence(reason)


def test_what_happens_when_nobody_answers_is_told():
    reason = Reason(Cause.SIGNAL, name="go", until=AT, otherwise=Otherwise.SKIP)
    assert sentence(reason, AT - 60_000_000).endswith(", for 1m00s more; otherwise: skip")
    assert sentence(Reason(Cause.SLEEP, until=AT), AT - 1_000_000).endswith(", for 1.0 s more")


def test_every_cause_is_told():
    """A cause without a sentence would be an internal error, and no test would say so."""
    for cause in Cause:
        reason = Reason(
            cause, task="a", status=TaskStatus.FAILED, until=AT, lack=Lack("cpu", 1, 1, 1)
        )
        assert sentence(reason, AT)


def test_what_others_wrote_is_harmless_in_a_sentence():
    for cause in Cause:
        texts = ("task", "actor", "rule", "version", "text", "question", "whom", "name")
        reason = Reason(
            cause, 1, AT, status=TaskStatus.FAILED, until=AT, attempt=1,
            lack=Lack(EVIL, 1, 1, 1, ((EVIL, EVIL, 1),)),
            because=(Reason(Cause.UPSTREAM, task=EVIL),), **dict.fromkeys(texts, EVIL),
        )  # fmt: skip
        assert not FORBIDDEN & set(sentence(reason))
        assert "\n" not in sentence(reason)


def test_the_document_has_what_each_reason_knows_and_nothing_empty():
    events = (h.CREATED, h.CLAIMED, h.STARTED, h.begun(), h.broke(), h.RETRY)
    witness = Witness.of("r", h.A_THEN_B, h.recorded(*events))
    document = json.loads(json.dumps(answer_document(why(witness, 1, Around(alive=True)))))
    assert (document["task"], document["status"], document["may_start"]) == ("b", "pending", False)
    (reason,) = document["reasons"]
    (because,) = reason.pop("because")
    assert reason.pop("sentence")
    assert because.pop("sentence")
    assert reason == {
        "cause": "upstream", "task": "a", "status": "waiting",
        "n": 6, "at": "1970-01-01T00:00:00.000060Z",
    }  # fmt: skip
    assert because == {
        "cause": "timer", "rule": "rule", "text": "because",
        "until": "1970-01-01T00:00:00.000050Z", "n": 6, "at": "1970-01-01T00:00:00.000060Z",
    }  # fmt: skip
    assert [root["task"] for root in document["roots"]] == ["a"]


def test_nothing_is_said_to_run_whose_engine_is_dead():
    witness = Witness.of("r", h.A_THEN_B, h.recorded(h.CREATED, h.CLAIMED, h.STARTED, h.begun()))
    for index in (0, 1):
        told = json.dumps(answer_document(why(witness, index, Around(alive=False))))
        assert "interrupted" in told
        assert '"status": "running"' not in told
        assert "runs" not in told
        assert '"status": "interrupted"' not in json.dumps(
            answer_document(why(witness, index, Around(alive=True)))
        )


def test_a_task_that_may_start_says_since_when():
    witness = Witness.of("r", h.A_THEN_B, h.recorded(h.CREATED, h.CLAIMED, h.STARTED))
    document = answer_document(why(witness, 0, Around(alive=True)))
    assert document["may_start"]
    assert document["since"] == {"n": 3, "at": "1970-01-01T00:00:00.000030Z"}
