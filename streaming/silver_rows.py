"""What a silver batch asks of silver as it is: rivals and neighbours, from memory where that knows, else from files."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from lakehouse.contracts import Contract
from lakehouse.delta.table import OwnedTable
from lakehouse.engine.contest import keys
from lakehouse.engine.enrich import ReferenceRows
from lakehouse.engine.neighbours import Neighbours, Span, read_neighbours
from lakehouse.engine.recent import RecentRows, columns_before
from lakehouse.engine.schemas import arrow_schema
from lakehouse.engine.settle import MICROSECONDS
from streaming.references import References

# Behind the group's gap, what a new process reads of the newest rows.
MARGIN = timedelta(hours=1)
# A table without groups remembers identities of so long.
WITHOUT_GROUPS = timedelta(days=1)
# Two windows of event time that lie less than this apart are read as one.
APART = 3600 * MICROSECONDS
# More values than these are no help to a reader of files: it reads the windows and leaves rows out afterwards.
MOST_VALUES, MOST_WINDOWS = 1_000, 50
MOST_DOUBTS = 10_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SilverRows:
    """The rows of one silver table for the batches of its owner."""

    def __init__(self, table: OwnedTable, source: Contract, silver: Contract, references: References) -> None:
        self._table, self._silver, self._references = table, silver, references
        self._names = sorted({column.reference[0] for column in source.columns if column.reference})
        self._columns = columns_before(silver) if silver.group else ()
        self._recent: RecentRows | None = None
        self._version = -1

    def references(self) -> Mapping[str, ReferenceRows]:
        """The reference tables that the source names, at their newest versions."""
        return self._references.current(self._names)

    def rivals(self, identities: Sequence[tuple[Any, ...]]) -> pa.Table:
        """The silver rows with these identities, whole."""
        wanted = set(self._known().unknown(identities))
        if not wanted:
            return arrow_schema(self._silver).empty_table()
        time_at = self._silver.identity.index(str(self._silver.event_time))
        first = next((name for name in self._silver.identity if name != self._silver.event_time), None)
        values = {each[self._silver.identity.index(first)] for each in wanted} if first else set()
        rows = self._read([(each[time_at], each[time_at]) for each in wanted], first, values)
        return rows.filter(pa.array([each in wanted for each in keys(rows, self._silver.identity)], pa.bool_()))

    def neighbours(self, spans: Mapping[str, Span]) -> Neighbours:
        """The silver rows that settle together with the changes, by group."""
        before, unknown = self._known().before(spans)
        if not unknown:
            return Neighbours(arrow_schema(self._silver).empty_table(), before)
        found = read_neighbours(unknown, self._read_groups, self._silver, self._columns)
        return Neighbours(found.rows, {**found.before, **before})

    def changed(self, inserts: pa.Table, old: pa.Table, new: pa.Table) -> None:
        """Takes note of what the owner's commit changed; without it, the next batch reads anew."""
        recent = self._recent
        if recent is None:
            return  # no record was valid: nothing was asked for, nothing changed
        if self._silver.group is not None and old.num_rows:
            key = [self._silver.group.key]
            moved = [before != after for before, after in zip(keys(old, key), keys(new, key), strict=True)]
            recent.left(old.filter(pa.array(moved, pa.bool_())))
        recent.add(new)
        recent.add(inserts)
        self._version = self._table.version

    @property
    def up_to_date(self) -> bool:
        """Whether what is remembered is of the table's newest version."""
        return self._version == self._table.version

    def still_there(self) -> None:
        """The owner's upkeep has made a new version of the same rows."""
        self._version = self._table.version

    def _known(self) -> RecentRows:
        """What is remembered, read anew where somebody else has changed the table."""
        if self._recent is None or self._version != self._table.version or self._recent.doubts > MOST_DOUBTS:
            self._recent = self._load()
            self._version = self._table.version
        return self._recent

    def _load(self) -> RecentRows:
        group, time = self._silver.group, str(self._silver.event_time)
        newest = _newest(self._table, time)
        if newest is None and self._table.files():
            return RecentRows(self._silver, horizon=2**62)  # no statistics: nothing is known but what files say
        if newest is None:
            return RecentRows(self._silver, horizon=-(2**62))
        since = newest - int(((group.gap if group else WITHOUT_GROUPS) + MARGIN).total_seconds() * MICROSECONDS)
        recent = RecentRows(self._silver, since)
        columns = dict.fromkeys([*self._silver.identity, *self._columns])
        recent.add(self._table.read([*columns], f"{column(time)} >= {self._literal(since)}"))
        return recent

    def _read_groups(self, windows: Mapping[str, Span]) -> pa.Table:
        assert self._silver.group is not None
        key, time = self._silver.group.key, str(self._silver.event_time)
        rows = self._read([(each.first, each.last) for each in windows.values()], key, set(windows))
        within = [
            name in windows and windows[name].first <= at <= windows[name].last for name, at in keys(rows, [key, time])
        ]
        return rows.filter(pa.array(within, pa.bool_()))

    def _read(self, times: Iterable[tuple[int, int]], name: str | None, values: set[Any]) -> pa.Table:
        """Whole rows within windows of event time whose column `name` has one of the values; may give others too."""
        time = column(str(self._silver.event_time))
        windows = _merged(times)
        scope = " OR ".join(
            f"({time} >= {self._literal(first)} AND {time} <= {self._literal(last)})" for first, last in windows
        )
        predicate = f"({scope})"
        if "month" in self._silver.partitions:
            months = sorted({month for first, last in windows for month in _months(first, last)})
            predicate += f" AND {column('month')} IN ({', '.join(map(literal, months))})"
        if name is not None and len(values) <= MOST_VALUES and all(isinstance(each, str) for each in values):
            predicate += f" AND {column(name)} IN ({', '.join(map(literal, sorted(values)))})"
        return self._table.read(self._silver.column_names, predicate)

    def _literal(self, time: int) -> str:
        is_date = self._silver.column(str(self._silver.event_time)).type == "date"
        return f"DATE '{EPOCH + timedelta(microseconds=time):%Y-%m-%d}'" if is_date else timestamp(time)


def _newest(table: OwnedTable, time: str) -> int | None:
    """The highest event time that the statistics of the table's files tell of, in microseconds; None where none do."""
    bounds = [str(file.stats["maxValues"][time]) for file in table.files() if time in file.stats.get("maxValues", {})]
    if not bounds:
        return None
    latest = datetime.fromisoformat(max(bounds))
    return (latest.replace(tzinfo=latest.tzinfo or UTC) - EPOCH) // timedelta(microseconds=1)


def _merged(times: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Windows in order, those that lie close together as one; neighbours are joined while they are too many."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(times):
        if merged and first <= merged[-1][1] + APART:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    while len(merged) > MOST_WINDOWS:
        pairs = (merged[at : at + 2] for at in range(0, len(merged), 2))
        merged = [(pair[0][0], max(last for _, last in pair)) for pair in pairs]
    return merged


def _months(first: int, last: int) -> list[str]:
    day, end = (EPOCH + timedelta(microseconds=each) for each in (first, last))
    found = [f"{day:%Y-%m}"]
    while found[-1] < f"{end:%Y-%m}":
        year, month = map(int, found[-1].split("-"))
        found.append(f"{year + month // 12:04}-{month % 12 + 1:02}")
    return found


def column(name: str) -> str:
    """The column as SQL names it."""
    return f'"{name}"'


def timestamp(time: int) -> str:
    """A time in microseconds since 1970 as SQL."""
    return f"TIMESTAMP '{EPOCH + timedelta(microseconds=time):%Y-%m-%d %H:%M:%S.%f}'"


def literal(value: object) -> str:
    """A text or a number as SQL."""
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
