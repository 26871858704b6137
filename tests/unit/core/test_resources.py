"""Resources, capacities and the ledger between them."""

from __future__ import annotations

from random import Random

import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from durable_wf.core.resources import DEFAULT_RESOURCES, Capacity, Ledger, Resources

CAPACITY = Capacity(cpu=3, memory=1_000, gpu=2, pools={"db": 1, "api": 3})


def _free(ledger):
    """All that the ledger knows to be free."""
    return ledger._cpu, ledger._memory, list(ledger._gpus), dict(ledger._pools)


@given(st.lists(strategies.RESOURCES, max_size=30), st.randoms(use_true_random=False))
def test_take_and_give_are_inverse(needs, rng):
    """Whatever is taken, and in whatever order it comes back: in the end all is free again."""
    ledger = Ledger(CAPACITY)
    before = _free(ledger)
    held = []
    for need in needs:
        if ledger.fits(need):
            held.append(ledger.take(need))
        elif held:
            ledger.give(held.pop(rng.randrange(len(held))))
    rng.shuffle(held)
    for grant in held:
        ledger.give(grant)
    assert _free(ledger) == before


@given(st.lists(strategies.RESOURCES, max_size=30))
def test_what_fits_is_what_is_left(needs):
    """Judged by a sum of all that was taken."""
    ledger = Ledger(CAPACITY)
    taken: list[Resources] = []
    devices: list[int] = []
    for need in needs:
        total = [*taken, need]
        pools = {name: sum(dict(r.pools).get(name, 0) for r in total) for name in CAPACITY.pools}
        fits = (
            sum(round(r.cpu * 10) for r in total) <= 30
            and sum(r.memory for r in total) <= 1_000
            and sum(r.gpu for r in total) <= 2
            and all(pools[name] <= limit for name, limit in CAPACITY.pools.items())
        )
        assert ledger.fits(need) == fits
        if fits:
            taken.append(need)
            devices += ledger.take(need).gpus
    assert len(devices) == len(set(devices)) == sum(r.gpu for r in taken)


def test_fractions_of_a_core_never_drift():
    """A hundred thousand tenths taken and given leave a whole number of cores."""
    ledger = Ledger(Capacity(cpu=1))
    rng = Random(5)
    tenth, held = Resources(cpu=0.1), []
    for _ in range(100_000):
        if ledger.fits(tenth) and rng.random() < 0.5:
            held.append(ledger.take(tenth))
        elif held:
            ledger.give(held.pop())
    for grant in held:
        ledger.give(grant)
    assert ledger.fits(DEFAULT_RESOURCES)
    assert [ledger.take(tenth) for _ in range(10)]
    assert not ledger.has_cpu()
    assert not ledger.fits(tenth)


def test_devices_are_given_out_by_number():
    """Lowest first, each to one holder, and again when it is back."""
    ledger = Ledger(CAPACITY)
    one = ledger.take(Resources(gpu=1))
    two = ledger.take(Resources(gpu=1))
    assert (one.gpus, two.gpus) == ((0,), (1,))
    ledger.give(one)
    assert ledger.take(Resources(gpu=1)).gpus == (0,)


def test_memory_and_pools_without_a_limit_are_not_counted():
    """None means not counted; a pool that nobody has limited has no limit."""
    ledger = Ledger(Capacity(cpu=1_000))
    need = Resources(cpu=1, memory=1 << 50, pools=(("any", 1_000),))
    for _ in range(100):
        assert ledger.fits(need)
        ledger.take(need)


LACKING = {
    "4 cpu of 3": Resources(cpu=4),
    "1001 bytes of memory of 1000": Resources(memory=1_001),
    "3 gpu of 2": Resources(gpu=3),
    "2 of pool 'db', which has 1": Resources(pools=(("db", 2),)),
    "": Resources(cpu=3, memory=1_000, gpu=2, pools=(("db", 1), ("other", 9))),
}


@pytest.mark.parametrize("words", LACKING)
def test_what_a_capacity_lacks_is_said_in_words(words):
    """And nothing is said where nothing lacks."""
    assert CAPACITY.lacks(LACKING[words]) == words
