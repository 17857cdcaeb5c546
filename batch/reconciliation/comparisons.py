"""Carries the comparisons out, table by table, and gathers what they find."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame, Observation, Row, SparkSession, Window
from pyspark.sql import functions as F

from batch.reconciliation import differences
from batch.reconciliation.cached import cached
from batch.reconciliation.commits import commits_of_partition, commits_of_records
from batch.reconciliation.differences import (
    DIFFERENCE,
    IDENTITIES,
    KPIS,
    NOTHING_ELSE,
    OTHER_DAYS,
    RECORDS,
    REDRIVABLE,
    REJECTED_STAYED,
    VALUES,
)
from batch.reconciliation.gold_tables import GoldAtPins
from batch.reconciliation.late_references import LateReferences
from batch.reconciliation.pins import GoldPins, SourcePins, gold_before
from batch.reconciliation.references import References
from batch.reconciliation.report import PERSONAL, Compared, Difference, Report
from batch.reconciliation.sources import Frames, SourceTables
from lakehouse.contracts import Contract, Contracts
from runtime.delta_log import DeltaLog

MOST_SHOWN = 20

# The commits behind each of some differences.
type Commits = Callable[[Sequence[Row]], Sequence[tuple[str, ...]]]


@dataclass(frozen=True)
class _Table:
    """A table that is compared, as the report names it, and where it is told who wrote a row."""

    name: str
    versions: str
    commits: Commits


class Comparisons:
    """What was compared so far, and what differs. A table costs one Spark job unless something does differ."""

    def __init__(self, spark: SparkSession, root: str, contracts: Contracts) -> None:
        self._spark, self._root, self._contracts = spark, root, contracts
        self._references = References(spark, root, contracts)
        self._compared: list[Compared] = []
        self._shown: list[Difference] = []
        self._redrivable: dict[str, int] = {}
        self._late: dict[str, int] = {}

    def report(self, pins: tuple[SourcePins | GoldPins, ...], not_yet: dict[str, str]) -> Report:
        """All that was found."""
        return Report(pins, tuple(self._compared), tuple(self._shown), self._redrivable, self._late, not_yet)

    def source(self, now: SourcePins, before: SourcePins | None) -> None:
        """Bronze with silver and rejected; where there are pins of `before`, what came since."""
        tables = SourceTables(self._spark, self._root, self._contracts, now.source, self._references)
        frames = tables.whole(now) if before is None else tables.change(before, now)
        silver = tables.silver
        name, bronze, rejected = f"silver.{silver.name}", f"bronze.{now.source}", f"rejected.{now.source}"
        versions = f"{bronze} {now.bronze}, {name} {now.silver}, rejected {now.rejected}"
        if before is not None:
            versions += f" since {before.bronze}, {before.silver}, {before.rejected}"
        judged = differences.judged(frames.expected, frames.in_silver, frames.in_rejected, silver)
        rows = Observation()
        counted = judged.observe(rows, *(column.alias(what) for what, column in differences.rows_judged().items()))
        found = _found([differences.record_differences(counted, silver), *_others(frames, silver)])
        if found.get(VALUES):
            found[VALUES] = self._not_late(tables, frames, judged, now)
        number = {what: int(count or 0) for what, count in rows.get.items()}
        of_records = self._of_records(DeltaLog(self._root, name), now.silver)
        of_silver = _Table(name, versions, of_records)
        self._add(_Table(bronze, versions, of_records), RECORDS, number[RECORDS], found, silver)
        self._add(of_silver, IDENTITIES, number[VALUES], found, silver, silver.identity)
        self._add(of_silver, VALUES, number[VALUES], found, silver)
        if before is not None:
            newest = self._of_table(DeltaLog(self._root, rejected), now.rejected)
            self._add(of_silver, NOTHING_ELSE, number[VALUES], found, silver)
            self._add(_Table(rejected, versions, newest), REJECTED_STAYED, number[REJECTED_STAYED], found, silver)
        if number[REDRIVABLE]:
            self._redrivable[now.source] = number[REDRIVABLE]

    def gold(self, pins: GoldPins, since: Mapping[str, int] | None) -> None:
        """A gold table with SQL of its own; where there are silver versions `since`, on the days that changed since."""
        table = GoldAtPins(self._spark, self._root, self._contracts, pins)
        name, gold = f"gold.{pins.table}", table.contract
        read = ", ".join(f"{source} {version}" for source, version in pins.silver.items())
        told = _Table(name, f"{name} {pins.gold} of {read}", self._of_partitions(DeltaLog(self._root, name), pins.gold))
        expected, found = table.expected(), table.found()
        compared = {}
        if since is not None:
            before = gold_before(self._root, pins, since)
            days, of_days = cached(table.changed_days(before.silver)), F.col("period_start") == F.col("day")
            old = table.found(before.gold)
            compared[OTHER_DAYS] = [rows.join(days, of_days, how="left_anti") for rows in (old, found)]
            expected, found = (rows.join(days, of_days, how="left_semi") for rows in (expected, found))
        compared[KPIS] = [expected, found]
        rows = {what: Observation() for what in compared}
        parts = []
        for what, (wanted, there) in compared.items():
            judged = differences.kpis_judged(wanted, there, gold).observe(rows[what], F.sum("rows").alias("rows"))
            parts.append(differences.kpi_differences(judged, gold).withColumn("what", F.lit(what)))
        found_there = _found(parts)
        for what, each in rows.items():
            self._add(told, what, int(each.get["rows"] or 0), found_there, gold, gold.identity)

    def _not_late(self, tables: SourceTables, frames: Frames, judged: DataFrame, now: SourcePins) -> list[Row]:
        """The differing values without those that a late reference row explains, which are noted."""
        wrong = differences.record_differences(judged, tables.silver).where(F.col("what") == VALUES).drop("what")
        wanted = frames.expected.where(F.col("wanted").isNotNull()).select("wanted.*")
        behind = self._references.ahead_of(now.references)
        late = LateReferences(self._contracts, tables.source, tables.silver, behind, self._references.deliveries)
        left, number = late.without_late(cached(wrong), wanted, frames.in_silver)
        if number:
            self._late[tables.source.name] = number
        return _found([left.withColumn("what", F.lit(VALUES))]).get(VALUES, [])

    def _add(
        self,
        table: _Table,
        what: str,
        rows: int,
        found: Mapping[str, Sequence[Row]],
        contract: Contract,
        keyed_by: tuple[str, ...] = (),
    ) -> None:
        """Notes a comparison. A difference's key holds values of the columns `keyed_by`, or is a record_id."""
        first = found.get(what, [])
        number = int(first[0]["_number"]) if first else 0
        shown = NOTHING_ELSE if what == REJECTED_STAYED else what
        self._compared.append(Compared(table.name, table.versions, shown, rows, number))
        personal = {column.stored_as for column in contract.columns if column.classification == "pii"}
        for row, behind in zip(first, table.commits(first) if first else [], strict=True):
            kind, key, column, expected, there, records = (row[name] for name in DIFFERENCE)
            if personal.intersection(keyed_by):
                key = PERSONAL
            if personal.intersection(column.split(", ")):
                expected = there = PERSONAL
            self._shown.append(Difference(table.name, kind, key, column, expected, there, behind, tuple(records)))

    def _of_records(self, silver: DeltaLog, version: int) -> Commits:
        """From silver's change feed, of the records that a difference is about."""

        def commits(found: Sequence[Row]) -> Sequence[tuple[str, ...]]:
            records = sorted({record for row in found for record in row["records"]})
            known = commits_of_records(self._spark, silver, records, version)
            return [tuple(commit for record in row["records"] for commit in known.get(record, ())) for row in found]

        return commits

    def _of_partitions(self, gold: DeltaLog, version: int) -> Commits:
        """From the log of a gold table, of the partitions that the rows are in."""
        return lambda found: [commits_of_partition(gold, _partition(row["key"]), version) for row in found]

    def _of_table(self, log: DeltaLog, version: int) -> Commits:
        """The newest of a whole table."""
        return lambda found: [commits_of_partition(log, {}, version)] * len(found)


def _others(frames: Frames, silver: Contract) -> list[DataFrame]:
    """The comparisons that do not go record by record, with `what`."""
    parts = {
        IDENTITIES: differences.identity_differences(frames.same_identities, silver),
        NOTHING_ELSE: frames.strange,
        REJECTED_STAYED: frames.rewritten,
    }
    return [rows.withColumn("what", F.lit(what)) for what, rows in parts.items() if rows is not None]


def _found(parts: Sequence[DataFrame]) -> dict[str, list[Row]]:
    """The first differences of each comparison by its name, each with the `_number` that there are. One Spark job."""
    columns: list[str | Column] = ["what", *DIFFERENCE]
    every = reduce(DataFrame.unionByName, (part.select(*columns) for part in parts))
    first = Window.partitionBy("what").orderBy("key", "column")
    number = F.count("*").over(Window.partitionBy("what")).alias("_number")
    rows = every.select("*", F.row_number().over(first).alias("_place"), number).where(F.col("_place") <= MOST_SHOWN)
    found: dict[str, list[Row]] = {}
    for row in rows.orderBy("what", "_place").collect():
        found.setdefault(row["what"], []).append(row)
    return found


def _partition(key: str) -> dict[str, str]:
    """The partition of a gold row, from its key."""
    named = json.loads(key)
    return {"kpi_name": named["kpi_name"], "month": named["period_start"][:7]}
