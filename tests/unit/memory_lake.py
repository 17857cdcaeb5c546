"""A silver table in memory that does with each batch's outcome what the real one does, and nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from lakehouse.contracts import Contracts, load_contracts
from lakehouse.engine.batch import Outcome, settle_batch
from lakehouse.engine.contest import keys
from lakehouse.engine.enrich import ReferenceRows
from lakehouse.engine.neighbours import Neighbours, Span, read_neighbours
from lakehouse.engine.recent import RecentRows, columns_before
from lakehouse.engine.schemas import arrow_schema, envelope_schema
from lakehouse.settings import CONTRACTS
from local.oracle.comparison import Comparison, LakeRows, compare
from local.oracle.deliveries import DeliveredRecord
from local.oracle.expectation import expect
from tests.unit.silver_lake import REFERENCE, enveloped

Row = dict[str, Any]
ALL_CONTRACTS: Contracts = load_contracts(CONTRACTS)
CONNECTION = duckdb.connect(config={"threads": 1})
BEGINNING = -(2**62)


class MemoryLake:
    """The silver table of one source, and its rejected rows."""

    def __init__(self, source: str, references: Mapping[str, pa.Table] | None = None) -> None:
        self.source, self.silver = ALL_CONTRACTS.source(source), ALL_CONTRACTS.silver_of(source)
        self.rows: dict[tuple[Any, ...], Row] = {}
        self.rejected: list[Row] = []
        self.schema = arrow_schema(self.silver)
        known = REFERENCE_ROWS if references is None else references
        self._references = {name: ReferenceRows(rows, ALL_CONTRACTS.source(name)) for name, rows in known.items()}
        self._kept: pa.Table | None = None

    def process(self, delivered: Iterable[DeliveredRecord]) -> Outcome:
        """One batch."""
        bronze = pa.Table.from_pylist([enveloped(each) for each in delivered], envelope_schema(ALL_CONTRACTS))
        outcome = settle_batch(bronze, self, self.source, self.silver, CONNECTION)
        self._apply(outcome)
        return outcome

    def _apply(self, outcome: Outcome) -> None:
        identity = self.silver.identity
        for rows in (outcome.inserts, outcome.old, outcome.new):
            assert rows.schema.equals(self.schema), "silver takes whole rows of its own"
        for key, row in zip(keys(outcome.old, identity), outcome.old.to_pylist(), strict=True):
            assert self.rows.pop(key) == row, "what leaves silver is what was there"
        for rows in (outcome.new, outcome.inserts):
            for key, row in zip(keys(rows, identity), rows.to_pylist(), strict=True):
                assert key not in self.rows, f"two rows of the identity {key}"
                self.rows[key] = row
        self.rejected += outcome.rejected.to_pylist()
        self._kept = None

    @property
    def table(self) -> pa.Table:
        """All rows of silver."""
        if self._kept is None:
            self._kept = pa.Table.from_pylist([*self.rows.values()], self.schema)
        return self._kept

    def by_id(self) -> dict[str, Row]:
        """The rows of silver by record id."""
        return {row["record_id"]: row for row in self.rows.values()}

    def compared(self, delivered: Iterable[DeliveredRecord]) -> Comparison:
        """The table against the oracle's, reference data included."""
        every = [*REFERENCE, *delivered]
        bronze: dict[str, list[Row]] = {}
        for each in every:
            bronze.setdefault(each.source, []).append({"record_id": each.record_id})
        silver = {name: rows.to_pylist() for name, rows in REFERENCE_ROWS.items()}
        expected = expect([], every)
        lake = LakeRows(bronze, {**silver, self.silver.name: [*self.rows.values()]}, {self.source.name: self.rejected})
        return compare(lake, type(expected)(expected.fates, expected.silver, {}))

    # What a batch asks of silver

    def references(self) -> Mapping[str, ReferenceRows]:
        return self._references

    def rivals(self, identities: Sequence[tuple[Any, ...]]) -> pa.Table:
        wanted = set(identities)
        return self.table.filter(pa.array([key in wanted for key in self.rows], pa.bool_()))

    def neighbours(self, spans: Mapping[str, Span]) -> Neighbours:
        return read_neighbours(spans, self._within, self.silver, columns_before(self.silver))

    def _within(self, windows: Mapping[str, Span]) -> pa.Table:
        assert self.silver.group is not None
        places = keys(self.table, [self.silver.group.key, str(self.silver.event_time)])
        chosen = [group in windows and windows[group].first <= at <= windows[group].last for group, at in places]
        return self.table.filter(pa.array(chosen, pa.bool_()))


class RememberingLake(MemoryLake):
    """Asks its memory of recent rows first, which holds very little, and nothing from before its horizon."""

    def __init__(self, source: str, horizon: int, most_identities: int, most_groups: int) -> None:
        super().__init__(source)
        self.recent = RecentRows(self.silver, horizon, most_identities, most_groups)

    def rivals(self, identities: Sequence[tuple[Any, ...]]) -> pa.Table:
        unknown = self.recent.unknown(identities)
        return super().rivals(unknown)

    def neighbours(self, spans: Mapping[str, Span]) -> Neighbours:
        before, unknown = self.recent.before(spans)
        if not unknown:
            return Neighbours(self.schema.empty_table(), before)
        found = super().neighbours(unknown)
        return Neighbours(found.rows, {**found.before, **before})

    def _apply(self, outcome: Outcome) -> None:
        super()._apply(outcome)
        if self.silver.group is not None:
            key = [self.silver.group.key]
            moved = [old != new for old, new in zip(keys(outcome.old, key), keys(outcome.new, key), strict=True)]
            self.recent.left(outcome.old.filter(pa.array(moved, pa.bool_())))
        self.recent.add(outcome.new)
        self.recent.add(outcome.inserts)


def _reference_rows() -> dict[str, pa.Table]:
    found = {}
    for name in ALL_CONTRACTS.references:
        lake = MemoryLake(name, {})
        lake.process([each for each in REFERENCE if each.source == name])
        found[name] = lake.table
    return found


REFERENCE_ROWS: Mapping[str, pa.Table] = _reference_rows()
