"""Drawings: nothing is lost in folding or layout, and no name breaks out of its format."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import task, upstreams, workflow

from durable_wf.cli.drawing.ascii import ascii_art, listing
from durable_wf.cli.drawing.layout import layered, places
from durable_wf.cli.drawing.picture import Picture, PictureNode, picture
from durable_wf.cli.drawing.svg import svg
from durable_wf.cli.drawing.text import dot, mermaid
from durable_wf.cli.names import stem
from durable_wf.cli.states import INTERRUPTED, MARKS
from durable_wf.cli.terminal import Look, cells
from durable_wf.core.status import TaskStatus

LOOK = Look()


def of(ups: dict[str, tuple[str, ...]], name: str = "w"):
    return workflow(*(task(n, *u) for n, u in ups.items()), name=name)


def fan(size: int):
    parts = {f"part_{number}": ("list",) for number in range(size)}
    return of({"list": (), **parts, "sum": tuple(parts)})


DIAMOND = of({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")})


@given(upstreams(max_tasks=12))
def test_layers_point_down_and_edges_join_neighbours(ups):
    drawn_of = picture(of(ups), limit=100)
    drawn = layered(len(drawn_of.nodes), drawn_of.edges)
    rank = {node: at for at, nodes in enumerate(drawn.ranks) for node in nodes}
    assert sorted(rank) == list(range(len(drawn.below)))
    for node, targets in enumerate(drawn.below):
        assert all(rank[target] == rank[node] + 1 for target in targets)


@given(upstreams(max_tasks=12))
def test_every_edge_can_be_followed_through_its_points(ups):
    drawn_of = picture(of(ups), limit=100)
    drawn = layered(len(drawn_of.nodes), drawn_of.edges)

    def ends(node: int) -> set[int]:
        found = set()
        for target in drawn.below[node]:
            found |= {target} if target < drawn.real else ends(target)
        return found

    for source in range(drawn.real):
        assert ends(source) == {b for a, b in drawn_of.edges if a == source}


@given(upstreams(max_tasks=12), st.integers(0, 5))
def test_boxes_keep_their_distance_and_their_order(ups, gap):
    drawn_of = picture(of(ups), limit=100)
    drawn = layered(len(drawn_of.nodes), drawn_of.edges)
    breadth = [3 + 2 * (node % 4) for node in range(len(drawn.below))]
    centre = places(drawn, breadth, gap)
    for nodes in drawn.ranks:
        for one, two in pairwise(nodes):
            # Each centre was rounded, so one unit of slack.
            assert centre[two] - centre[one] >= (breadth[one] + breadth[two]) / 2 + gap - 1


@given(upstreams(max_tasks=14), st.integers(1, 6))
def test_folding_keeps_every_task_and_makes_no_cycle(ups, limit):
    drawn = picture(of(ups), limit=limit)
    assert sum(node.size for node in drawn.nodes) == len(ups)
    unmet = {n: {a for a, b in drawn.edges if b == n} for n in range(len(drawn.nodes))}
    while free := [n for n, before in unmet.items() if not before]:
        unmet = {n: before - set(free) for n, before in unmet.items() if n not in free}
    assert not unmet


def test_a_big_fan_out_is_one_box_that_says_how_many():
    states = dict.fromkeys(("list", "sum"), TaskStatus.SUCCEEDED)
    states |= {f"part_{n}": TaskStatus.SUCCEEDED for n in range(10_000)}
    states["part_7"] = TaskStatus.FAILED
    drawn = picture(fan(10_000), states)
    assert [node.label for node in drawn.nodes] == ["list", "part x 10000", "sum"]
    assert drawn.nodes[1].state is TaskStatus.FAILED
    assert drawn.nodes[1].detail == "1 failed, 9999 succeeded"


def test_a_long_chain_is_folded_too():
    chain = {f"step{n}": (f"step{n - 1}",) if n else () for n in range(1000)}
    drawn = picture(of(chain), limit=20)
    assert len(drawn.nodes) <= 20
    assert sum(node.size for node in drawn.nodes) == 1000


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("resize_007", "resize"),
        ("resize[7]", "resize"),
        ("mProject_ID0000001", "mProject"),
        ("load", "load"),
        ("42", "42"),
    ],
)
def test_numbering_is_not_part_of_a_stem(name, short):
    assert stem(name) == short


EXPECTED = """\
w

    ┌───┐
    │ a │
    └───┘
      │
  ┌───┴───┐
  ▼       ▼
┌───┐   ┌───┐
│ b │   │ c │
└───┘   └───┘
  │       │
  └───┬───┘
      ▼
    ┌───┐
    │ d │
    └───┘"""


def test_a_diamond_in_characters():
    assert ascii_art(picture(DIAMOND), LOOK, width=80) == EXPECTED


@given(upstreams(max_tasks=9))
def test_characters_show_every_box_and_stay_in_the_width(ups):
    drawn = picture(of(ups))
    art = ascii_art(drawn, LOOK, width=120)
    if art is None:
        art = listing(drawn, LOOK)
    else:
        assert all(cells(line) <= 120 for line in art.splitlines())
    assert all(re.search(rf"\b{name}\b", art) for name in ups)


@given(upstreams(max_tasks=9))
def test_plain_characters_are_ascii(ups):
    states = dict.fromkeys(ups, TaskStatus.RUNNING)
    drawn = picture(of(ups), states)
    plain = Look(symbols=False)
    assert (ascii_art(drawn, plain, width=200) or listing(drawn, plain)).isascii()


def test_what_is_too_wide_is_not_drawn_but_listed():
    drawn = picture(fan(20))
    assert ascii_art(drawn, LOOK, width=40) is None
    assert "level 2" in listing(drawn, LOOK)


ALL_STATES = (*TaskStatus, INTERRUPTED)


@pytest.mark.parametrize("draw", [svg, mermaid, dot])
def test_a_state_is_told_by_word_and_symbol_too(draw):
    states = {f"t{n}": state for n, state in enumerate(ALL_STATES)}
    text = draw(picture(of(dict.fromkeys(states, ())), states))
    for state in ALL_STATES:
        assert f"{MARKS[state].symbol} {MARKS[state].word}" in text


EVIL = '"]; x --> y\n<script>alert(1)</script> & \\" end `#'


def evil() -> Picture:
    return Picture(
        EVIL, (PictureNode(EVIL, EVIL, TaskStatus.FAILED), PictureNode("b", "", None)), ()
    )


def test_no_name_breaks_out_of_svg():
    root = ET.fromstring(svg(evil()))
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names <= {"svg", "title", "rect", "text", "defs", "marker", "path", "g"}


def test_no_name_breaks_out_of_mermaid():
    text = mermaid(evil())
    body = [line for line in text.splitlines() if re.match(r" +n\d", line)]
    assert len(body) == 2
    assert "<script" not in text.partition("flowchart")[2]
    assert body[0].count('"') == 2


def test_no_name_breaks_out_of_dot():
    text = dot(evil())
    strings = re.findall(r'"(?:[^"\\]|\\.)*"', text, re.DOTALL)
    outside = text
    for string in strings:
        outside = outside.replace(string, "S", 1)
    assert "script" not in outside
    assert "-->" not in outside


def test_drawings_of_thousands_of_tasks_stay_small():
    drawn = picture(fan(5_000))
    assert len(svg(drawn)) < 10_000
    assert len(mermaid(drawn).splitlines()) < 20
    assert json.dumps(dot(drawn))


def test_colours_can_be_read():
    """Text on each fill has a contrast of at least 4.5 to 1."""
    for mark in MARKS.values():
        for ink in (mark.text, mark.line):
            light, dark = sorted((_luminance(mark.fill), _luminance(ink)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, mark


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
