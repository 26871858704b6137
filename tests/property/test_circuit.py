"""The fold of a breaker's outcomes, against an oracle that shares no code with it.

The oracle keeps no counts: at each row it looks back at all rows before.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from durable_wf.core.breaker import Breaker
from durable_wf.core.circuit import Circuit, CircuitState, Outcome, What, fold, kept, sentence

S = 1_000_000
BREAKER = Breaker("k", failures=3, within_s=10.0, cooldown_s=5.0)


TOLD = {"open": "opened", "close": "closed"}


def oracle(breaker, rows, now):
    """(state, opened_at, place, probe, what is untold), by looking back again and again."""
    said = [row.what.value for row in rows]
    turns = []  # (position, "open" or "close"), the last one is what counts

    def is_open():
        return bool(turns) and turns[-1][1] == "open"

    def opening():
        return max((p for p, turn in turns if turn == "open"), default=None)

    def probe():
        since = turns[-1][0]
        return next((rows[p].place for p in range(here - 1, since, -1) if said[p] == "probe"), None)

    def probes(p):
        return is_open() and rows[p].place == probe()

    def happened(turn, place):
        """Whether that turn was made or told before, by this attempt."""
        told = any(said[p] == TOLD[turn] and rows[p].place == place for p in range(here))
        told = told or (turn == "open" and place in passed)
        return told or any(t == turn and rows[p].place == place for p, t in turns)

    def told():
        """Whether somebody has told of the last turn since, or as, it was made."""
        position, turn = turns[-1]
        return turn == "reset" or TOLD[turn] in said[position:here] or position in silent

    def reset_at():
        return [-1, *(rows[q].at for q in range(here) if said[q] == "reset")][-1]

    def counts(p):
        opened_at = -1 if opening() is None else rows[opening()].at
        return said[p] in {"ok", "failed"} and rows[p].began_at >= max(reset_at(), opened_at)

    silent = set()  # closings that nobody needs to tell of
    passed = set()  # attempts that a reset has made to say nothing
    here = 0
    for here, row in enumerate(rows):
        word = said[here]
        if word == "reset":
            turns.append((here, "reset"))
        elif word in {"ok", "failed"} and row.began_at < reset_at() and not probes(here):
            passed.add(row.place)
        elif is_open():
            if word in {"ok", "failed"} and row.place == probe():
                turns.append((here, "close" if word == "ok" else "open"))
            elif word == "ok" and counts(here) and not told() and probe() is None:
                turns.append((here, "close"))
                silent.add(here)
            elif word == "closed" and not happened("close", row.place):
                turns.append((here, "close"))
        elif word == "opened" and not happened("open", row.place):
            turns.append((here, "open"))
        elif word == "failed" and counts(here):
            since = turns[-1][0] if turns else -1
            own = [p for p in range(since + 1, here + 1) if counts(p)]
            last_ok = max((p for p in own if said[p] == "ok"), default=-1)
            times = [rows[p].at for p in own if p > last_ok]
            if sum(at >= row.at - breaker.within_s * S for at in times) >= breaker.failures:
                turns.append((here, "open"))
    here = len(rows)
    untold = turns[-1][1] if turns and not told() else None
    if not is_open():
        return "closed", 0, "", "", untold
    opened = rows[opening()]
    state = "half_open" if probe() or now >= opened.at + breaker.cooldown_s * S else "open"
    return state, opened.at, opened.place, probe() or "", untold


def seen(circuit: Circuit):
    untold = {None: None, What.OPENED: "open", What.CLOSED: "close"}[circuit.untold]
    place = "" if circuit.state is CircuitState.CLOSED else circuit.place
    return circuit.state.value, circuit.opened_at, place, circuit.probe, untold


rows_of_a_key = st.lists(
    st.builds(
        Outcome,
        st.just("k"),
        st.integers(0, 20).map(lambda s: s * S),
        st.sampled_from([What.FAILED] * 3 + [*What]),
        st.integers(1, 4).map(lambda n: f"r/t/{n}"),
        st.integers(0, 20).map(lambda s: s * S),
    ),
    min_size=4,
    max_size=30,
)


def as_engines_write(breaker, draws):
    """Rows as they come about: time goes on, attempts overlap, each turn is told or not."""
    rows, now, running, number = [], 0, [], 0
    for word, step in draws:
        now += step * S
        circuit = fold(breaker, rows, now)
        if word == "begin":
            number += 1
            running.append((f"r/t/{number}", now))
            if circuit.state.value == "half_open":
                rows.append(Outcome("k", now, What.PROBE, f"r/t/{number}"))
        elif word == "reset":
            rows.append(Outcome("k", now, What.RESET, ""))
        elif running:
            place, began = running.pop(0 if step == 3 else -1)
            what = What.OK if word.startswith("ok") else What.FAILED
            rows.append(Outcome("k", now, what, place, began))
            untold = fold(breaker, rows, now).untold
            if untold and not word.endswith("untold"):
                turned = fold(breaker, rows, now).place
                rows.append(Outcome("k", now, untold, turned))
    return rows


draws_of_a_key = st.lists(
    st.tuples(
        st.sampled_from(
            ["begin"] * 6 + ["failed"] * 4 + ["ok", "ok untold", "failed untold"] * 2 + ["reset"]
        ),
        st.integers(0, 4),
    ),
    min_size=8,
    max_size=60,
)
histories = draws_of_a_key.map(lambda draws: as_engines_write(BREAKER, draws))

seconds_later = st.integers(0, 8)


def after(rows, seconds):
    """So long after the last row that is of a later time than all others."""
    return max((row.at for row in rows), default=0) + seconds * S


any_rows = st.one_of(rows_of_a_key, histories)


@settings(max_examples=250)
@given(rows=any_rows, later=seconds_later)
def test_the_fold_is_what_the_oracle_says(rows, later):
    now = after(rows, later)
    assert seen(fold(BREAKER, rows, now)) == oracle(BREAKER, rows, now)


@settings(max_examples=250)
@given(
    rows=any_rows,
    failures=st.integers(1, 5),
    within=st.integers(1, 20),
    cooldown=st.integers(1, 20),
    later=seconds_later,
)
def test_with_any_settings(rows, failures, within, cooldown, later):
    now = after(rows, later)
    breaker = Breaker("k", failures, float(within), float(cooldown))
    assert seen(fold(breaker, rows, now)) == oracle(breaker, rows, now)


@given(draws=draws_of_a_key, cut=st.integers(0, 40))
@settings(max_examples=20)
def test_what_is_not_kept_any_longer_is_not_missed(draws, cut):
    """As long as the rows that are kept hold as many failures as it takes."""
    rows = as_engines_write(BREAKER, draws * 6)
    rows = rows[: len(rows) - cut]
    now = rows[-1].at if rows else 0
    assert seen(fold(BREAKER, kept(rows), now)) == seen(fold(BREAKER, rows, now))


@given(rows=any_rows, more=st.integers(1, 3))
def test_telling_of_a_turn_again_changes_nothing(rows, more):
    """Two engines that see the same turn write the same row."""
    now = max((row.at for row in rows), default=0)
    circuit = fold(BREAKER, rows, now)
    if circuit.untold is None:
        return
    told = Outcome("k", now, circuit.untold, circuit.place)
    once = fold(BREAKER, [*rows, told], now)
    assert fold(BREAKER, [*rows, *[told] * (1 + more)], now) == once
    assert once.untold is None
    assert once.state == circuit.state


@given(rows=any_rows, later=seconds_later)
def test_only_a_closed_circuit_holds_nothing(rows, later):
    circuit = fold(BREAKER, rows, after(rows, later))
    assert bool(sentence(circuit)) == (circuit.state.value != "closed")


@given(rows=any_rows)
def test_after_the_cooldown_something_always_goes_through(rows):
    circuit = fold(BREAKER, rows, 1_000 * S)
    assert circuit.state.value in {"closed", "half_open"}
