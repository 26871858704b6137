"""Lines: the smallest entry comes first, whatever came when, and a line can be left."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_wf.core.lines import Line, Lines
from durable_wf.core.resources import DEFAULT_RESOURCES, Resources

NEEDS = [DEFAULT_RESOURCES, Resources(gpu=1), Resources(pools=(("db", 1),))]


@given(st.lists(st.integers(0, 9) | st.none(), max_size=60))
def test_a_line_gives_the_smallest_whatever_came_when(steps):
    """A number is pushed, None pops; judged by a plain list."""
    line, plain = Line(DEFAULT_RESOURCES), []
    for at, step in enumerate(steps):
        if step is not None:
            entry = (step, 0.0, at, 1, at)
            line.push(entry)
            plain.append(entry)
        elif plain:
            plain.sort()
            assert line.first() == plain[0]
            assert line.pop() == plain.pop(0)
        assert len(line) == len(plain)


def test_a_line_keeps_its_order_through_bulk_and_trickle():
    """So many that newcomers become backlog, again and again."""
    rng, line, plain = Random(3), Line(DEFAULT_RESOURCES), []
    for at in range(6_000):
        entry = (rng.randrange(50), 0.0, at, 1, at)
        line.push(entry)
        plain.append(entry)
        if at % 1_500 == 1_499:
            plain.sort()
            assert [(line.first(), line.pop())[1] for _ in range(700)] == plain[:700]
            del plain[:700]
    assert [(line.first(), line.pop())[1] for _ in plain] == sorted(plain)


def whole(lines):
    """All that is in the lines, taken out."""
    taken = []
    with lines.walk() as walk:
        while here := walk.next():
            taken.append(here[0])
            walk.take()
    return taken


@given(st.lists(st.tuples(st.sampled_from(NEEDS), st.integers(0, 9)), max_size=40),
       st.sets(st.sampled_from(NEEDS)))  # fmt: skip
def test_a_walk_goes_through_all_lines_in_order_but_those_that_are_left(pushed, left):
    """What is left stays where it was."""
    lines = Lines()
    entries = [(number, 0.0, at, 1, at) for at, (_, number) in enumerate(pushed)]
    need_of = {}
    for (need, _), entry in zip(pushed, entries, strict=True):
        lines.push(need, entry)
        need_of[entry] = need
    taken = []
    with lines.walk() as walk:
        while here := walk.next():
            entry, line = here
            assert line.need == need_of[entry]
            if line.need in left:
                walk.leave()
            else:
                walk.take()
                taken.append(entry)
    assert taken == sorted(entry for entry in entries if need_of[entry] not in left)
    assert len(lines) == len(entries) - len(taken)
    assert whole(lines) == sorted(set(entries) - set(taken))


def test_equal_needs_share_a_line_whoever_has_made_them():
    """The default one, too."""
    lines = Lines()
    for at, need in enumerate([DEFAULT_RESOURCES, Resources(), Resources(gpu=1), Resources(gpu=1)]):
        lines.push(need, (0, 0.0, at, 1, at))
    with lines.walk() as walk:
        assert walk.next()
        walk.leave()
        assert walk.next()
        walk.leave()
        assert walk.next() is None
        assert walk.left == 2
    assert len(lines) == 4


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["push", "take", "leave"]), st.sampled_from(NEEDS), st.integers(0, 9)
    ),
    max_size=80,
)


@given(STEPS)
def test_pushes_and_walks_in_any_order_are_those_of_a_plain_list(steps):
    """Each step after a push walks anew: it takes the first, or the first of the other lines."""
    lines, plain = Lines(), []
    for at, (what, need, number) in enumerate(steps):
        if what == "push":
            entry = (number, 0.0, at, 1, at)
            lines.push(need, entry)
            plain.append((entry, need))
            continue
        with lines.walk() as walk:
            waiting = sorted(plain, key=lambda one: one[0])
            if what == "leave" and waiting:
                assert walk.next()[0] == waiting[0][0]
                walk.leave()
                waiting = [one for one in waiting if one[1] != waiting[0][1]]
            here = walk.next()
            assert (here and here[0]) == (waiting[0][0] if waiting else None)
            if here:
                walk.take()
                plain.remove(waiting[0])
        assert len(lines) == len(plain)
    assert whole(lines) == sorted(entry for entry, _ in plain)


def test_a_walk_looks_at_what_it_comes_to_however_many_lines_there_are():
    """Where each task needs something else, a turn would else cost as much as there are tasks."""
    lines = Lines()
    for at in range(1_000):
        lines.push(Resources(memory=at), (0, 0.0, at, 1, at))
    looked_at = []
    first = Line.first

    def counting(line):
        looked_at.append(line)
        return first(line)

    with pytest.MonkeyPatch.context() as patch, lines.walk() as walk:
        patch.setattr(Line, "first", counting)
        walk.next()
        walk.take()
    assert len(looked_at) < 5
