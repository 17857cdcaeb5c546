"""What differs between a lake and the expected one. Rows come as plain dicts: who calls this reads the lake."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from local.oracle.expectation import Expected
from local.oracle.identities import Fate
from local.oracle.kpis import DIMENSIONS, GoldKey
from local.oracle.rules import SOURCES, Source

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class LakeRows:
    """The rows of a lake.

    `bronze` by source needs `record_id`; `rejected` by source `record_id`, `rule` and `column`; `silver` by table all
    columns but `arrived_at`; `gold` by table all but `contributions`. Times are datetimes (without a zone: UTC),
    amounts are Decimals. What is not there counts as empty.
    """

    bronze: Mapping[str, Rows] = field(default_factory=dict)
    silver: Mapping[str, Rows] = field(default_factory=dict)
    rejected: Mapping[str, Rows] = field(default_factory=dict)
    gold: Mapping[str, Rows] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it must be: `table`, which record or row, what was expected and what is there."""

    table: str
    key: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.table} {self.key}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Comparison:
    """All differences by kind; `exact` when there are none.

    `lost`: delivered, but not in bronze, or from there neither in silver nor in rejected. `duplicated`: a record in one
    of those places twice or in both, or two silver rows of one identity. `unknown`: in the lake, but the ledger knows
    no such record (a producer's retry whose first answer got lost looks like this). `misplaced`: in silver instead of
    rejected or the other way round, or rejected for another reason. `silver`: a value of a silver row. `kpi`: a gold
    row that is missing, too many or has other figures.
    """

    lost: tuple[Difference, ...]
    duplicated: tuple[Difference, ...]
    unknown: tuple[Difference, ...]
    misplaced: tuple[Difference, ...]
    silver: tuple[Difference, ...]
    kpi: tuple[Difference, ...]

    @property
    def differences(self) -> tuple[Difference, ...]:
        """All of them."""
        return (*self.lost, *self.duplicated, *self.unknown, *self.misplaced, *self.silver, *self.kpi)

    @property
    def exact(self) -> bool:
        """Whether the lake is what it must be."""
        return not self.differences


def compare(lake: LakeRows, expected: Expected) -> Comparison:
    """Every difference between the lake and what it must hold. The lake must have taken in all that was delivered."""
    records = [_compare_records(source, lake, expected) for source in SOURCES.values()]
    return Comparison(
        lost=tuple(each for found in records for each in found["lost"]),
        duplicated=tuple(each for found in records for each in found["duplicated"]),
        unknown=tuple(each for found in records for each in found["unknown"]),
        misplaced=tuple(each for found in records for each in found["misplaced"]),
        silver=tuple(each for source in SOURCES.values() for each in compare_silver(source, lake, expected)),
        kpi=tuple(compare_gold(lake, expected)),
    )


def _compare_records(source: Source, lake: LakeRows, expected: Expected) -> Mapping[str, list[Difference]]:
    """Where each record of a source is against where it must be."""
    fates = expected.fates[source.name]
    bronze, silver, rejected = f"bronze.{source.name}", f"silver.{source.table}", f"rejected.{source.name}"
    silver_rows = lake.silver.get(source.table, ())
    in_bronze = Counter(row["record_id"] for row in lake.bronze.get(source.name, ()))
    in_silver = Counter(row["record_id"] for row in silver_rows)
    rejections = {row["record_id"]: row for row in lake.rejected.get(source.name, ())}
    in_rejected = Counter(row["record_id"] for row in lake.rejected.get(source.name, ()))
    ends = in_silver + in_rejected
    found: dict[str, list[Difference]] = defaultdict(list)

    for record_id, fate in fates.items():
        if not in_bronze[record_id]:
            found["lost"].append(Difference(bronze, record_id, "one row", "none"))
        elif not ends[record_id]:
            found["lost"].append(Difference(fate.table, record_id, "one row", "neither in silver nor in rejected"))
        elif wrong := _misplaced(fate, bool(in_silver[record_id]), rejections.get(record_id)):
            found["misplaced"].append(Difference(fate.table, record_id, *wrong))

    for table, counted in ((bronze, in_bronze), (f"{silver} + {rejected}", ends)):
        for record_id, count in counted.items():
            if count > 1:
                found["duplicated"].append(Difference(table, record_id, "one row", f"{count} rows"))
            if record_id not in fates:
                found["unknown"].append(Difference(table, record_id, "no such record", f"{count} rows"))
    identities = Counter(_identity(source, row) for row in silver_rows)
    for identity, count in identities.items():
        if count > 1:
            found["duplicated"].append(Difference(silver, str(identity), "one row", f"{count} rows of this identity"))
    return found


def _misplaced(fate: Fate, in_silver: bool, rejection: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """What was expected and found, if the record is not where its fate says."""
    wanted = " or ".join(sorted(fate.rules))
    if not fate.rules:
        return None if in_silver else ("a silver row", f"rejected: {rejection and rejection['rule']}")
    if rejection is None:
        return f"rejected: {wanted}", "a silver row"
    right_column = fate.column is None or rejection["column"] == fate.column
    if rejection["rule"] in fate.rules and right_column:
        return None
    return f"rejected: {wanted} ({fate.column})", f"rejected: {rejection['rule']} ({rejection['column']})"


def compare_silver(source: Source, lake: LakeRows, expected: Expected) -> Iterator[Difference]:
    """Silver rows of records that belong into silver, but with another value in some column."""
    found = {row["record_id"]: row for row in lake.silver.get(source.table, ())}
    for wanted in expected.silver[source.table]:
        row = found.get(wanted["record_id"])
        if row is None:
            continue
        for column, value in wanted.items():
            if column not in row or _plain(row[column]) != _plain(value):
                key = f"{wanted['record_id']} {column}"
                yield Difference(f"silver.{source.table}", key, repr(value), repr(row.get(column, "no such column")))


def compare_gold(lake: LakeRows, expected: Expected) -> Iterator[Difference]:
    """Gold rows that are missing, too many, twice there, or have other figures."""
    found: dict[GoldKey, list[Mapping[str, Any]]] = defaultdict(list)
    for table, rows in lake.gold.items():
        for row in rows:
            dimensions = tuple(row[name] for name in DIMENSIONS[table])
            found[GoldKey(table, row["kpi_name"], _day(row["period_start"]), dimensions)].append(row)
    for key in sorted(expected.gold.keys() | found.keys(), key=str):
        figures, rows = expected.gold.get(key), found.get(key, [])
        named = f"{key.kpi} {key.day} {dict(zip(DIMENSIONS[key.table], key.dimensions, strict=True))}"
        wanted = f"{figures.numerator} / {figures.denominator} = {figures.value}" if figures else "no row"
        there = " and ".join(f"{row['numerator']} / {row['denominator']} = {row['value']}" for row in rows) or "no row"
        month = f"{key.day:%Y-%m}"
        if figures is None or len(rows) != 1:
            yield Difference(f"gold.{key.table}", named, wanted, there)
        elif rows[0]["month"] != month:
            yield Difference(f"gold.{key.table}", named, f"month {month}", f"month {rows[0]['month']}")
        elif (figures.numerator, figures.denominator, figures.value) != tuple(
            rows[0][name] for name in ("numerator", "denominator", "value")
        ):
            yield Difference(f"gold.{key.table}", named, wanted, there)


def _identity(source: Source, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(_plain(row[column]) for column in source.identity)


def _plain(value: Any) -> Any:
    """Times in UTC without a zone, so that those of different readers compare."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def _day(value: date) -> date:
    return value.date() if isinstance(value, datetime) else value
