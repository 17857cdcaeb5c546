"""What a reconciliation found, as plain values: who prints it is `local/commands/reconcile.py`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from batch.reconciliation.pins import GoldPins, SourcePins

# Stands for a value of a column that a contract classifies as personal.
PERSONAL = "(personal)"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it must be.

    `kind`: lost, twice, unknown, misplaced, value or changed. `key`: the record_id, identity, or a gold row's key as
    JSON. `commits`: the commits that wrote what is there, newest first, as far as the logs tell. `records`: the
    record_ids that it is about, none of a gold row. Values of columns that a contract classifies as personal are
    `PERSONAL` in `key`, `expected` and `found`.
    """

    table: str
    kind: str
    key: str
    column: str
    expected: str
    found: str
    commits: tuple[str, ...] = ()
    records: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where it is, without a value of any record: its record_ids, or a gold row's KPI and day."""
        if self.records:
            return ", ".join(self.records)
        named = json.loads(self.key)
        return f"{named['kpi_name']} {named['period_start']}"


@dataclass(frozen=True)
class Compared:
    """One table against what it must hold: `rows` compared, `differences` among them (all, not only those shown)."""

    table: str
    versions: str
    what: str
    rows: int
    differences: int


@dataclass(frozen=True)
class Report:
    """`shown` holds at most some differences of each table; `redrivable` counts by source what waits in rejected
    though its reference row has come, and `late_references` silver rows that are to be looked up again, in reference
    data that came after them. `not_yet` tells, by table, what has taken in nothing yet and was therefore not compared.
    """

    pins: tuple[SourcePins | GoldPins, ...]
    compared: tuple[Compared, ...]
    shown: tuple[Difference, ...]
    redrivable: dict[str, int]
    late_references: dict[str, int]
    not_yet: dict[str, str]

    @property
    def differences(self) -> int:
        """How many there are in all tables."""
        return sum(each.differences for each in self.compared)

    def log_lines(self) -> Iterator[str]:
        """The report for a log: what was compared and where it differs, but no value of any record."""
        for compared in self.compared:
            rows = f"{compared.rows} rows, {compared.differences} differences at {compared.versions}"
            yield f"{compared.table}: {compared.what}: {rows}"
        for each in self.shown:
            yield f"{each.table} {each.kind}: {each.place} ({each.column})"
            yield from (f"    {commit}" for commit in each.commits)
        for source, count in self.redrivable.items():
            yield f"{source}: {count} rejected records pass now"
        for source, count in self.late_references.items():
            yield f"{source}: {count} silver rows are to be looked up again, in reference data that came after them"
        for table, reason in self.not_yet.items():
            yield f"{table}: not yet: {reason}"
        yield f"{self.differences} differences"
