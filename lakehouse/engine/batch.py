"""One batch of a silver table: which rows come in, which change, which records are rejected and why."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from lakehouse import drift
from lakehouse.contracts import Contract
from lakehouse.engine.contest import Contest, decide, keys
from lakehouse.engine.enrich import ReferenceRows, compute, look_up, valid
from lakehouse.engine.neighbours import Neighbours, Span, as_rows
from lakehouse.engine.parse import parse
from lakehouse.engine.rejected import rejected_faults, rejected_rivals
from lakehouse.engine.schemas import arrow_schema
from lakehouse.engine.settle import RULES, settled

Attributes = dict[str, Any]


class Lake(Protocol):
    """What a batch needs to know of silver as it is."""

    def references(self) -> Mapping[str, ReferenceRows]:
        """The reference tables that the source names."""

    def rivals(self, identities: Sequence[tuple[Any, ...]]) -> pa.Table:
        """The silver rows with these identities (times in microseconds), whole."""

    def neighbours(self, spans: Mapping[str, Span]) -> Neighbours:
        """The silver rows that settle together with changes, by group."""


@dataclass(frozen=True)
class Outcome:
    """What a batch does to silver: `inserts` come in, the row `old[n]` becomes `new[n]`; `rejected` go there."""

    inserts: pa.Table
    old: pa.Table
    new: pa.Table
    rejected: pa.Table
    rows_in: int
    candidates: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    drift: Mapping[str, int] = field(default_factory=dict)

    @property
    def changes(self) -> pa.Table:
        """The rows that silver gains (`_sign` 1) and loses (-1)."""
        return signed(self.inserts, self.old, self.new)


def settle_batch(
    records: pa.Table, lake: Lake, source: Contract, silver: Contract, connection: duckdb.DuckDBPyConnection
) -> Outcome:
    """Takes bronze records into silver as `lake` knows it. Computes only; nothing is written.

    1. Parse and check: typed columns, or the rules that a record breaks.
    2. Look reference data up as of the event time. An unknown key is an error too. What has no error is a candidate
       and gets its computed columns.
    3. Contest: candidates compete with each other and with the silver rows of their identities.
    4. Winners and the rows that they displace name the groups that change, and from when on.
    5. Those groups settle once, together with their neighbours. Rows of silver that get other attributes change too.
    """
    # 1
    parsed = parse(records, source)
    # 2
    looked_up = look_up(parsed, source, silver, lake.references())
    candidates = compute(valid(looked_up), silver, connection)
    # 3
    rivals = lake.rivals(keys(candidates, silver.identity)) if candidates.num_rows else _no_rows(silver)
    contest = decide(candidates, rivals, source, silver)
    # 4 and 5
    group = _Settling(candidates, rivals, contest, silver)
    inserts, old, new = group.settle(lake)
    faults = rejected_faults(looked_up, source)
    beaten = rejected_rivals(candidates, rivals, contest, source)
    rules = Counter(faults["rule"].to_pylist() + beaten["rule"].to_pylist())
    fields = (name for names in parsed["undeclared"].to_pylist() if names for name in names[: drift.MOST_FIELDS])
    return Outcome(
        inserts,
        old,
        new,
        pa.concat_tables([faults, beaten]),
        records.num_rows,
        candidates.num_rows,
        Counter({str(rule): number for rule, number in rules.items()}),
        drift.counted(map(str, fields)),
    )


def signed(inserts: pa.Table, old: pa.Table, new: pa.Table) -> pa.Table:
    """Rows that come, and rows that change before and after, with `_sign`: 1 for what is there afterwards, else -1."""
    parts = [(inserts, 1), (new, 1), (old, -1)]
    return pa.concat_tables(
        rows.append_column("_sign", pa.repeat(pa.scalar(sign, pa.int8()), rows.num_rows)) for rows, sign in parts
    )


class _Settling:
    """Step 4 and 5 of `settle_batch` for one batch."""

    def __init__(self, candidates: pa.Table, rivals: pa.Table, contest: Contest, silver: Contract) -> None:
        self._candidates, self._rivals, self._silver = candidates, rivals, silver
        self._displaced = contest.displaced
        replacing = set(contest.displaced.values())
        self._new = [place for place in contest.winners if place not in replacing]
        self._attributes = [column.stored_as for column in silver.columns if column.settled]
        group = silver.group
        self._rule = RULES[silver.name] if group else None
        reads = (group.key, str(silver.event_time), *group.order, *self._rule.reads) if group and self._rule else ()
        self._reads = tuple(dict.fromkeys(reads))

    def settle(self, lake: Lake) -> tuple[pa.Table, pa.Table, pa.Table]:
        """The rows that come in, and those that change before and after."""
        if self._silver.group is None or self._rule is None:
            no_attributes: list[Attributes] = [{} for _ in self._displaced]
            inserts = self._completed(self._new, [{} for _ in self._new])
            return (
                inserts,
                self._rivals.take(_places(self._displaced)),
                self._completed(self._displaced.values(), no_attributes),
            )
        entering = [*self._new, *self._displaced.values()]
        rows = dict(zip(entering, as_rows(self._candidates.take(_places(entering)), self._reads), strict=True))
        there = as_rows(self._rivals, (*self._reads, *self._attributes))
        in_place = {
            rival: best
            for rival, best in self._displaced.items()
            if all(there[rival][n] == rows[best][n] for n in self._reads)
        }
        spans = self._spans(rows, there, in_place)
        near = lake.neighbours(spans) if spans else Neighbours(_no_rows(self._silver))
        given, changed = self._settle_groups(rows, near, in_place)
        for rival, best in in_place.items():
            given.setdefault(best, {name: there[rival][name] for name in self._attributes})
        inserts = self._completed(self._new, [given[place] for place in self._new])
        replaced = self._completed(self._displaced.values(), [given[best] for best in self._displaced.values()])
        resettled = near.rows.take(_places(changed))
        old = pa.concat_tables([self._rivals.take(_places(self._displaced)), resettled])
        return inserts, old, pa.concat_tables([replaced, self._with(resettled, list(changed.values()))])

    def _spans(
        self, rows: Mapping[int, Attributes], there: Sequence[Attributes], in_place: Mapping[int, int]
    ) -> dict[str, Span]:
        """Where groups change: at rows that enter, and at rivals that leave. A candidate that takes the very place of
        its rival changes nothing for the others.
        """
        assert self._silver.group is not None
        key, time = self._silver.group.key, str(self._silver.event_time)
        staying = set(in_place.values())
        moving = [rows[place] for place in rows if place not in staying]
        moving += [there[rival] for rival in self._displaced if rival not in in_place]
        spans: dict[str, Span] = {}
        for row in moving:
            span = spans.get(row[key])
            spans[row[key]] = span.including(row[time]) if span else Span(row[time], row[time])
        return spans

    def _settle_groups(
        self, rows: Mapping[int, Attributes], near: Neighbours, in_place: Mapping[int, int]
    ) -> tuple[dict[int, Attributes], dict[int, Attributes]]:
        """The attributes of candidates by place, and those of neighbours that get other ones than they have."""
        group, rule = self._silver.group, self._rule
        assert group is not None and rule is not None
        identities = keys(near.rows, self._silver.identity)
        rivals = {key: place for place, key in enumerate(keys(self._rivals, self._silver.identity))}
        members: dict[str, list[tuple[Attributes, int | None, int | None]]] = {}
        staying = set(in_place.values())
        for place, row in rows.items():
            if place not in staying:
                members.setdefault(row[group.key], []).append((row, place, None))
        for number, row in enumerate(as_rows(near.rows, (*self._reads, *self._attributes))):
            rival = rivals.get(identities[number])
            if rival is not None and rival in in_place:
                members.setdefault(row[group.key], []).append((row, in_place[rival], None))
            elif rival is None or rival not in self._displaced:
                members.setdefault(row[group.key], []).append((row, None, number))
        given: dict[int, Attributes] = {}
        changed: dict[int, Attributes] = {}
        for name, of_group in members.items():
            of_group.sort(key=lambda each: tuple(each[0][column] for column in group.order))
            found = settled(
                [row for row, _, _ in of_group], rule, group, str(self._silver.event_time), near.before.get(name)
            )
            for (row, candidate, near_place), attributes in zip(of_group, found, strict=True):
                if candidate is not None:
                    given[candidate] = attributes
                elif near_place is not None and any(row[each] != attributes[each] for each in self._attributes):
                    changed[near_place] = attributes
        return given, changed

    def _completed(self, places: Iterable[int], attributes: Sequence[Attributes]) -> pa.Table:
        """Candidates as silver rows."""
        return self._with(self._candidates.take(_places(places)), attributes)

    def _with(self, rows: pa.Table, attributes: Sequence[Attributes]) -> pa.Table:
        """Rows with the columns of silver, settled ones from `attributes`."""
        schema = arrow_schema(self._silver)
        columns = [
            as_column([each[field.name] for each in attributes], field.type)
            if field.name in self._attributes
            else rows[field.name].cast(field.type)
            for field in schema
        ]
        return pa.table(columns, schema=schema)


def as_column(values: list[Any], kind: pa.DataType) -> "pa.Array[Any]":
    """Settled values as a column; times are microseconds since 1970."""
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind)


def _places(places: Iterable[int]) -> "pa.Array[Any]":
    return pa.array([*places], pa.int64())


def _no_rows(silver: Contract) -> pa.Table:
    return arrow_schema(silver).empty_table()
