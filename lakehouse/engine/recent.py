"""What a silver table's owner remembers of its newest rows, so that records that come in order need no look at files.

Kept are the identities of the newest rows (their hashes, a bucket a minute of event time) and the last row of each
group: a new record cannot have a rival where its identity is not among them, and a row behind the last of its group
has that one before it. All this is a cache: whatever it does not know is read from the table.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from lakehouse.contracts import Contract
from lakehouse.engine.contest import keys
from lakehouse.engine.neighbours import Span, as_rows
from lakehouse.engine.settle import MICROSECONDS, RULES, Row

MINUTE = 60 * MICROSECONDS
MOST_IDENTITIES, MOST_GROUPS = 500_000, 200_000


def columns_before(silver: Contract) -> tuple[str, ...]:
    """The columns that a row needs to stand before others of its group: what settling reads and what it gives."""
    assert silver.group is not None, f"{silver.name} has no groups"
    attributes = [column.stored_as for column in silver.columns if column.settled]
    reads = (silver.group.key, str(silver.event_time), *silver.group.order, *RULES[silver.name].reads, *attributes)
    return tuple(dict.fromkeys(reads))


class RecentRows:
    """Knows every identity and every group's last row from `horizon` (microseconds since 1970) on.

    The horizon rises where more is to be kept than fits.
    """

    def __init__(
        self, silver: Contract, horizon: int, most_identities: int = MOST_IDENTITIES, most_groups: int = MOST_GROUPS
    ) -> None:
        self._silver = silver
        self._time_at = silver.identity.index(str(silver.event_time))
        self._most_identities, self._most_groups = most_identities, most_groups
        self._identities_from = self._groups_from = horizon
        self._minutes: dict[int, set[int]] = {}
        self._count = 0
        self._last: dict[str, Row] = {}
        self._doubtful: set[str] = set()

    def unknown(self, identities: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The identities that the table may hold: those that are remembered, or too old to be."""
        return [
            each
            for each in identities
            if each[self._time_at] < self._identities_from
            or hash(each) in self._minutes.get(each[self._time_at] // MINUTE, ())
        ]

    def before(self, spans: Mapping[str, Span]) -> tuple[dict[str, Row], dict[str, Span]]:
        """The last rows of the groups that change behind them, and the spans of groups that must be read.

        A group in neither has no row that matters to its changes.
        """
        group = self._silver.group
        assert group is not None, f"{self._silver.name} has no groups"
        gap, time = int(group.gap.total_seconds() * MICROSECONDS), str(self._silver.event_time)
        known: dict[str, Row] = {}
        unknown: dict[str, Span] = {}
        for name, span in spans.items():
            last = self._last.get(name)
            if name in self._doubtful or (last is None and span.first - gap < self._groups_from):
                unknown[name] = span
            elif last is not None and last[time] < span.first:
                known[name] = last
            elif last is not None:
                unknown[name] = span
        return known, unknown

    def add(self, rows: pa.Table) -> None:
        """Takes note of rows that silver gained, or that changed in place."""
        self._add_identities(keys(rows, self._silver.identity))
        if self._silver.group is None:
            return
        key, order, time = self._silver.group.key, self._silver.group.order, str(self._silver.event_time)
        for row in as_rows(rows, columns_before(self._silver)):
            last = self._last.get(row[key])
            # Of a row before the horizon it is not known whether it is the last of its group.
            if row[time] >= self._groups_from and (last is None or _place(row, order) >= _place(last, order)):
                self._last[row[key]] = row
        self._forget_old_groups()

    def left(self, rows: pa.Table) -> None:
        """Takes note of rows that left their group: what is last there now is not known."""
        if self._silver.group is None:
            return
        for (name,) in keys(rows, [self._silver.group.key]):
            self._last.pop(name, None)
            self._doubtful.add(name)

    @property
    def doubts(self) -> int:
        """How many groups have to be read whenever they change: with too many the cache is better made anew."""
        return len(self._doubtful)

    def _add_identities(self, identities: Sequence[tuple[Any, ...]]) -> None:
        for each in identities:
            minute = self._minutes.setdefault(each[self._time_at] // MINUTE, set())
            before = len(minute)
            minute.add(hash(each))
            self._count += len(minute) - before
        while self._count > self._most_identities:
            oldest = min(self._minutes)
            self._count -= len(self._minutes.pop(oldest))
            self._identities_from = max(self._identities_from, (oldest + 1) * MINUTE)

    def _forget_old_groups(self) -> None:
        if len(self._last) <= self._most_groups:
            return
        time = str(self._silver.event_time)
        times = sorted(row[time] for row in self._last.values())
        cut = times[len(times) // 2]
        self._last = {name: row for name, row in self._last.items() if row[time] > cut}
        self._groups_from = max(self._groups_from, cut + 1)


def _place(row: Row, order: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[name] for name in order)
