"""Lines: tasks that are ready and wait, in one line for each different need of resources.

Owns: their order, and that a task which does not fit hides only those that need the very same:
each line is looked at by its first task.
Must never: know what is free; who walks along the lines does.
Read next: `scheduler.py` and `plan.py`, which walk.
"""

from __future__ import annotations

import heapq

from durable_wf.core.resources import DEFAULT_RESOURCES, Resources

Entry = tuple[int, float, int, int, int]
"""priority (negated), remaining path (negated), arrival, run, index: the smallest comes first. No
two have the same arrival.
"""

FEW = 256
"""Newcomers below this number stay in their heap."""


class Line:
    """Entries of one need, smallest first. They come in bulk (a run begins, a fan-out opens), so
    there is a sorted backlog, from whose end the next is taken at no cost, beside a heap of
    newcomers, which becomes backlog when it outgrows it.
    """

    __slots__ = ("_backlog", "_new", "need")

    def __init__(self, need: Resources) -> None:
        self.need = need
        self._backlog: list[Entry] = []
        self._new: list[Entry] = []

    def __len__(self) -> int:
        return len(self._backlog) + len(self._new)

    def push(self, entry: Entry) -> None:
        """Add an entry."""
        heapq.heappush(self._new, entry)

    def first(self) -> Entry:
        """The first of them; there must be one."""
        backlog, new = self._backlog, self._new
        if len(new) > FEW and len(new) > len(backlog):
            backlog += new
            backlog.sort(reverse=True)
            new.clear()
        if backlog and (not new or backlog[-1] < new[0]):
            return backlog[-1]
        return new[0]

    def pop(self) -> Entry:
        """Take the first away."""
        backlog, new = self._backlog, self._new
        if backlog and (not new or backlog[-1] < new[0]):
            return backlog.pop()
        return heapq.heappop(new)


class Lines:
    """All that waits. Its length is the number of entries."""

    def __init__(self) -> None:
        self._default = Line(DEFAULT_RESOURCES)
        self._lines = {DEFAULT_RESOURCES: self._default}

    def __len__(self) -> int:
        return sum([len(line) for line in self._lines.values()])

    def push(self, need: Resources, entry: Entry) -> None:
        """Add an entry to the line of its need."""
        if need is DEFAULT_RESOURCES:
            self._default.push(entry)
            return
        line = self._lines.get(need)
        if line is None:
            line = self._lines[need] = Line(need)
        line.push(entry)

    def walk(self) -> Walk:
        """A walk along what waits now."""
        for need in [
            n for n, line in self._lines.items() if not line and line is not self._default
        ]:
            del self._lines[need]
        return Walk([line for line in self._lines.values() if line])


class Walk:
    """Over all lines, the smallest entry first: each is taken out (`take`), or its line is left for
    the rest of the walk (`leave`). Nothing may be pushed meanwhile.
    """

    __slots__ = ("_heads",)

    def __init__(self, lines: list[Line]) -> None:
        self._heads = [(line.first(), line) for line in lines]
        heapq.heapify(self._heads)

    def __bool__(self) -> bool:
        return bool(self._heads)

    def next(self) -> tuple[Entry, Line]:
        """Where the walk stands."""
        return self._heads[0]

    def take(self) -> None:
        """Take that entry out of its line, and go on."""
        heads = self._heads
        line = heads[0][1]
        line.pop()
        if line:
            heapq.heapreplace(heads, (line.first(), line))
        else:
            heapq.heappop(heads)

    def leave(self) -> None:
        """Go on with the other lines."""
        heapq.heappop(self._heads)
