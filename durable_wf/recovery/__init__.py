"""recovery: what decides after a failure. Rules, their combinators, what they see, backtests.

Owns: the rules as pure functions of the recorded history, and how a chain of them is asked.
Must never: read a clock, draw a random number, or do I/O; nor know an engine. What a rule answers
is written down by others and never asked again.
Read next: `rule.py`, then `ready.py` and `combine.py`; `backtesting.py`.
"""

from durable_wf.core.circuit import Outcome, What
from durable_wf.core.past import PastAttempt
from durable_wf.core.status import Otherwise
from durable_wf.recovery.backtesting import Backtest, Difference, backtest
from durable_wf.recovery.combine import first_of, limit, when
from durable_wf.recovery.decisions import (
    Compensate,
    Decision,
    Escalate,
    Fail,
    Fallback,
    Retry,
    Skip,
)
from durable_wf.recovery.examples import example
from durable_wf.recovery.history import Fault, History
from durable_wf.recovery.ready import (
    compensate,
    escalate,
    fail_fast,
    fallback,
    fallback_to,
    keep_going,
    retry,
    skip,
)
from durable_wf.recovery.rule import NamedRule, Rule, rule
from durable_wf.recovery.waits import Wait, exponential, fibonacci, fixed, jittered, linear

__all__ = [
    "Backtest", "Compensate", "Decision", "Difference", "Escalate", "Fail", "Fallback", "Fault",
    "History", "NamedRule", "Otherwise", "Outcome", "PastAttempt", "Retry", "Rule", "Skip",
    "Wait", "What", "backtest", "compensate", "escalate", "example", "exponential", "fail_fast",
    "fallback", "fallback_to", "fibonacci", "first_of", "fixed", "jittered", "keep_going", "limit",
    "linear", "retry", "rule", "skip", "when",
]  # fmt: skip
