"""DependencyResolver: order, levels, cycles and unknown names of a graph given by names.

Owns: everything about a graph that may still be wrong; it works on any mapping of names, so the
builder can ask it before a definition exists.
Must never: assume that the graph is sound; `graph.py` does, after this has been asked.
Read next: `graph.py`.
"""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence

import attrs

from durable_wf.errors import CycleError, DefinitionError


@attrs.frozen
class Unknown:
    """`task` names an upstream that does not exist; `nearest` is what was probably meant, or ""."""

    task: str
    upstream: str
    nearest: str

    def __str__(self) -> str:
        guess = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        return f"task {self.task!r} depends on {self.upstream!r}, which does not exist{guess}"


def nearest(name: str, names: Iterable[str]) -> str:
    """The existing name most like `name`, or "" when none is like it."""
    found = difflib.get_close_matches(name, names, n=1)
    return found[0] if found else ""


class DependencyResolver:
    """Answers questions about a graph of names.

    `upstreams` maps each task to the names it depends on, in the order in which tasks were added.
    Every answer costs O(tasks + dependencies), once.
    """

    def __init__(self, upstreams: Mapping[str, Sequence[str]]) -> None:
        self._upstreams = upstreams
        self._order: list[str] | None = None

    def unknown(self) -> list[Unknown]:
        """Dependencies on tasks that do not exist."""
        known = self._upstreams
        return [
            Unknown(task, upstream, nearest(upstream, known))
            for task, upstreams in known.items()
            for upstream in upstreams
            if upstream not in known
        ]

    def order(self) -> list[str]:
        """Tasks level by level, those of one level in the order of adding.

        Tasks on or behind a cycle, or behind an unknown name, are left out.
        """
        if self._order is None:
            self._order = [name for level in self.levels() for name in level]
        return list(self._order)

    def levels(self) -> list[list[str]]:
        """Tasks by level: those of one level depend only on earlier levels."""
        unmet = {task: len(set(ups)) for task, ups in self._upstreams.items()}
        children: dict[str, list[str]] = {}
        for task, upstreams in self._upstreams.items():
            for upstream in dict.fromkeys(upstreams):
                children.setdefault(upstream, []).append(task)
        place = {task: i for i, task in enumerate(self._upstreams)}
        level = [task for task, count in unmet.items() if count == 0]
        levels: list[list[str]] = []
        while level:
            levels.append(level)
            following = []
            for task in level:
                for child in children.get(task, ()):
                    unmet[child] -= 1
                    if unmet[child] == 0:
                        following.append(child)
            level = sorted(following, key=place.__getitem__)
        return levels

    def unreachable(self) -> list[str]:
        """Tasks that could never start: on or behind a cycle, or behind an unknown name."""
        reached = set(self.order())
        return [task for task in self._upstreams if task not in reached]

    def cycle(self) -> tuple[str, ...] | None:
        """The first of the cycles."""
        return next(iter(self.cycles()), None)

    def cycles(self) -> list[tuple[str, ...]]:
        """One cycle for each knot of tasks that depend on each other, in the order of adding: as
        short as one through the first task of the knot can be; that stands at the end again. The
        path reads in the direction of the data: each task feeds the next.
        """
        stuck = self._stuck()
        place = {task: i for i, task in enumerate(stuck)}
        found = []
        for knot in self._knots(stuck):
            first = min(knot, key=place.__getitem__)
            if len(knot) > 1 or first in self._upstreams[first]:
                found.append(self._way_back(first, frozenset(knot)))
        return sorted(found, key=lambda path: place[path[0]])

    def _stuck(self) -> dict[str, None]:
        """Tasks on or behind a cycle, in the order of adding; each has an upstream among them."""
        known = self._upstreams
        sound = DependencyResolver(
            {task: [name for name in ups if name in known] for task, ups in known.items()}
        )
        return dict.fromkeys(sound.unreachable())

    def _knots(self, among: Collection[str]) -> list[list[str]]:
        """The largest groups of these tasks in which each depends on each, as Tarjan finds them;
        in a loop, since a chain may be longer than the stack.

        Tasks are numbered as they are met, going up. `lowest` is the lowest number that a task is
        known to come to, for those that are in no knot yet; who comes to none before itself closes
        a knot with all that was met since.
        """
        number: dict[str, int] = {}
        lowest: dict[str, int] = {}
        met: list[str] = []
        knots: list[list[str]] = []
        for root in among:
            ahead = [] if root in number else [(root, iter(self._upstreams[root]))]
            while ahead:
                task, upstreams = ahead[-1]
                if task not in number:
                    number[task] = lowest[task] = len(number)
                    met.append(task)
                deeper = next((up for up in upstreams if up in among and up not in number), None)
                if deeper is not None:
                    ahead.append((deeper, iter(self._upstreams[deeper])))
                    continue
                ahead.pop()
                comes_to = [lowest[up] for up in self._upstreams[task] if up in lowest]
                lowest[task] = min(lowest[task], *comes_to) if comes_to else lowest[task]
                if lowest[task] == number[task]:
                    knot = [met.pop()]
                    while knot[-1] != task:
                        knot.append(met.pop())
                    knots.append(knot)
                    for one in knot:
                        del lowest[one]
        return knots

    def _way_back(self, start: str, among: Collection[str]) -> tuple[str, ...]:
        """Breadth-first search from `start`, which is on a cycle, up until it is met again."""
        came_from: dict[str, str] = {}
        queue = deque([start])
        while queue:
            task = queue.popleft()
            for upstream in self._upstreams[task]:
                if upstream == start:
                    path = [start, task]
                    while path[-1] != start:
                        path.append(came_from[path[-1]])
                    return tuple(path)
                if upstream in among and upstream not in came_from:
                    came_from[upstream] = task
                    queue.append(upstream)
        raise AssertionError(f"{start!r} is on no cycle")

    def check(self) -> None:
        """Raise DefinitionError for unknown names, CycleError for cycles."""
        if unknown := self.unknown():
            raise DefinitionError(
                "the workflow names tasks that do not exist", problems=[str(u) for u in unknown]
            )
        if paths := self.cycles():
            raise CycleError(*paths)
