"""Lines: tasks that are ready and wait, in one line for each different need of resources.

Owns: their order, and that a task which does not fit hides only those that need the very same:
each line is looked at by its first task.
Must never: know what is free; who walks along the lines does.
Read next: `scheduler.py` and `plan.py`, which walk.
"""

from __future__ import annotations

import heapq
from typing import Final, Self

from durable_wf.core.resources import Resources

Entry = tuple[int, float, int, int, int]
"""priority (negated), remaining path (negated), arrival, run, index: the smallest comes first. No
two have the same arrival.
"""

_ARRIVAL: Final = 2

FEW = 256
"""Newcomers below this number stay in their heap."""


class Line:
    """Entries of one need, smallest first. They come in bulk (a run begins, a fan-out opens), so
    there is a sorted backlog, from whose end the next is taken at no cost, beside a heap of
    newcomers, which becomes backlog when it outgrows it.
    """

    __slots__ = ("_backlog", "_new", "listed", "need")

    def __init__(self, need: Resources) -> None:
        self.need = need
        self.listed: set[int] = set()  # the arrivals of those that `Lines` has in its heap
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
    """All that waits. Its length is the number of entries.

    The first entry of each line stands in one heap; others may stand there that have been the
    first, and are passed over. So a walk costs what it looks at, however many lines there are.
    """

    def __init__(self) -> None:
        self._lines: dict[Resources, Line] = {}
        self._heads: list[tuple[Entry, Line]] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, need: Resources, entry: Entry) -> None:
        """Add an entry to the line of its need."""
        line = self._lines.get(need)
        if line is None:
            line = self._lines[need] = Line(need)
        line.push(entry)
        self._size += 1
        self.list_first(line)

    def list_first(self, line: Line) -> None:
        """Have the first of a line, which must have one, in the heap."""
        first = line.first()
        if first[_ARRIVAL] not in line.listed:
            line.listed.add(first[_ARRIVAL])
            heapq.heappush(self._heads, (first, line))

    def head(self) -> tuple[Entry, Line] | None:
        """The first entry of all, and its line; None where nothing waits or is listed."""
        heads = self._heads
        while heads:
            entry, line = heads[0]
            if line and line.first() is entry:
                return heads[0]
            self.unlist()
        return None

    def unlist(self) -> Line:
        """Take the top of the heap away; returns its line."""
        entry, line = heapq.heappop(self._heads)
        line.listed.discard(entry[_ARRIVAL])
        return line

    def take(self) -> None:
        """Take the first entry of all, which is listed, out of its line."""
        line = self.unlist()
        line.pop()
        self._size -= 1
        if line:
            self.list_first(line)
        else:
            del self._lines[line.need]

    def walk(self) -> Walk:
        """A walk along what waits now, to be used as a context."""
        return Walk(self)


class Walk:
    """Over all lines, the smallest entry first: each is taken out (`take`), or its line is left for
    the rest of the walk (`leave`). Nothing may be pushed meanwhile.
    """

    __slots__ = ("_left", "_lines")

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._left: list[Line] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._left:
            self._lines.list_first(line)

    @property
    def left(self) -> int:
        """How many lines were left."""
        return len(self._left)

    def next(self) -> tuple[Entry, Line] | None:
        """Where the walk stands; None at its end."""
        return self._lines.head()

    def take(self) -> None:
        """Take that entry out of its line, and go on."""
        self._lines.take()

    def leave(self) -> None:
        """Go on with the other lines."""
        self._left.append(self._lines.unlist())
