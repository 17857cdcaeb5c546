"""Which silver rows settle together with what a batch changes: the row before the first change, and all up to a gap.

A group's rows from its first change on may get other attributes. Before it nothing changes: the last row there stands
for all of them. Behind its last change nothing changes any more once two rows lie further apart than the group's gap.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts import Contract, Group
from lakehouse.engine.contest import keys
from lakehouse.engine.settle import MICROSECONDS, Row


@dataclass(frozen=True)
class Span:
    """The first and last event time that changes in a group, in microseconds since 1970."""

    first: int
    last: int

    def including(self, time: int) -> "Span":
        """The span with one more event time in it."""
        return Span(min(self.first, time), max(self.last, time))


@dataclass(frozen=True)
class Neighbours:
    """`rows`: the silver rows from each group's first change on, whole. `before`: the group's last row before that."""

    rows: pa.Table
    before: Mapping[str, Row] = field(default_factory=dict)


# Gives the silver rows of groups whose event times lie between two times, both included (microseconds).
ReadGroups = Callable[[Mapping[str, Span]], pa.Table]


def read_neighbours(
    spans: Mapping[str, Span], read: ReadGroups, silver: Contract, columns: tuple[str, ...]
) -> Neighbours:
    """Reads the neighbours of the changes in `spans`, a span a group.

    `read` gives all silver rows of each group within a span; `columns` are those that a row before a change needs.
    Reads on, window by window, as long as a group goes on without a gap.
    """
    assert silver.group is not None, f"{silver.name} has no groups"
    gap = int(silver.group.gap.total_seconds() * MICROSECONDS)
    key, time = silver.group.key, str(silver.event_time)
    windows = {group: Span(span.first - gap, span.last + gap) for group, span in spans.items()}
    reached = {group: span.last for group, span in spans.items()}
    parts: list[pa.Table] = []
    while windows:
        part = read(windows)
        parts.append(part)
        newest = dict(reached)
        for group, at in keys(part, [key, time]):
            newest[group] = max(newest[group], at)
        windows = {
            group: Span(reached[group] + gap + 1, newest[group] + gap)
            for group in windows
            if newest[group] > reached[group]
        }
        reached = newest
    return _split(pa.concat_tables(parts), spans, silver.group, time, columns)


def _split(rows: pa.Table, spans: Mapping[str, Span], group: Group, time: str, columns: tuple[str, ...]) -> Neighbours:
    """Parts what lies before each group's first change from what lies behind it."""
    later = [at >= spans[name].first for name, at in keys(rows, [group.key, time])]
    earlier = as_rows(rows.filter(pc.invert(pa.array(later, pa.bool_()))), columns)
    before: dict[str, Row] = {}
    for row in sorted(earlier, key=lambda each: tuple(each[name] for name in group.order)):
        before[row[group.key]] = row
    return Neighbours(rows.filter(pa.array(later, pa.bool_())), before)


def as_rows(rows: pa.Table, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows as Python sees them, some of their columns only; times in microseconds since 1970."""
    return [dict(zip(columns, values, strict=True)) for values in keys(rows, columns)]
