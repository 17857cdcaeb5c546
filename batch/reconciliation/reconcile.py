"""Proves at pinned versions, while the jobs run, that nothing was lost, doubled or changed between bronze and gold."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from batch.reconciliation.commits import commits_of_partition, commits_of_records
from batch.reconciliation.gold_tables import GoldAtPins
from batch.reconciliation.late_references import LateReferences
from batch.reconciliation.pins import (
    GoldPins,
    NotReconcilableError,
    NotYetError,
    SourcePins,
    gold_before,
    gold_pins,
    pins_before,
    source_pins,
)
from batch.reconciliation.report import PERSONAL, Compared, Difference, Report
from batch.reconciliation.sources import Sample, SourceTables
from lakehouse import reconciliation
from lakehouse.contracts import Contract, Contracts
from lakehouse.gold import TABLES, sources_of
from runtime.delta_log import DeltaLog
from runtime.metrics import DIFFERENCES, metrics
from streaming.silver import held

MOST_SHOWN = 20

# The commits behind each of some differences.
type Commits = Callable[[Sequence[Row]], Sequence[tuple[str, ...]]]


@dataclass(frozen=True)
class Scope:
    """What to prove: of which sources, of a `sample` of silver's rows, or only what came `since` a bronze version."""

    sources: tuple[str, ...]
    sample: Sample | None = None
    since: int | None = None


def reconcile(spark: SparkSession, root: str, contracts: Contracts, scope: Scope) -> Report:
    """Compares bronze with silver and rejected, and silver with gold, each at versions that belong together.

    1. Pin each source's tables behind its newest finished batch, and each gold table with its silver versions behind
       its own. With `since`, pin them a second time, as they were when silver had read bronze up to that version. What
       has finished no batch yet is left out, and the report says so.
    2. Per source: the fate of every record, one row an identity, every value, against a recomputation from bronze;
       with `since` against the new records taken into silver as it was, and neither silver's change feed nor rejected
       may hold another change.
    3. Per gold table that reads one of the sources: every row against SQL of its own; with `since` the rows of days
       that silver's changes touch, and the other rows must be as they were.
    4. Send how many differences there are as a metric.

    Raises NotReconcilableError where no source has finished anything yet or a checkpoint is gone, and LakehouseError
    for an unknown source.
    """
    # 1
    not_yet: dict[str, str] = {}
    pins = _pinned(scope.sources, lambda source: source_pins(root, contracts, source), not_yet)
    if not pins:
        raise NotReconcilableError("; ".join(not_yet.values()))
    read = {f"silver.{contracts.silver_of(source).name}": source for source in scope.sources}
    tables = [table for table in TABLES if any(source in read for source in sources_of(table))]
    gold = _pinned(tables, lambda table: gold_pins(root, contracts, table, sources_of(table)), not_yet).values()
    before = {
        source: pins_before(root, contracts, pins[source], scope.since) for source in pins if scope.since is not None
    }
    report = _Collected(spark, root)
    # 2
    for source, now in pins.items():
        report.source(contracts, now, before.get(source), scope.sample)
    # 3
    for each in gold:
        since = {name: before[read[name]].silver for name in each.silver if name in read and read[name] in before}
        report.gold(contracts, each, since if scope.since is not None else None)
    # 4
    found = report.report((*pins.values(), *gold), not_yet)
    metrics().observe(DIFFERENCES, float(found.differences))
    metrics().flush(at_once=True)
    return found


def _pinned[Pins](names: Sequence[str], pins: Callable[[str], Pins], not_yet: dict[str, str]) -> dict[str, Pins]:
    """The pins by name; names that have none yet go to `not_yet`, with the reason."""
    found = {}
    for name in names:
        try:
            found[name] = pins(name)
        except NotYetError as error:
            not_yet[name] = str(error)
    return found


class _Collected:
    """Gathers what the comparisons find, table by table."""

    def __init__(self, spark: SparkSession, root: str) -> None:
        self._spark, self._root = spark, root
        self._compared: list[Compared] = []
        self._shown: list[Difference] = []
        self._redrivable: dict[str, int] = {}
        self._late: dict[str, int] = {}

    def report(self, pins: tuple[SourcePins | GoldPins, ...], not_yet: dict[str, str]) -> Report:
        return Report(pins, tuple(self._compared), tuple(self._shown), self._redrivable, self._late, not_yet)

    def source(self, contracts: Contracts, now: SourcePins, before: SourcePins | None, sample: Sample | None) -> None:
        """Step 2 of `reconcile`."""
        tables = SourceTables(self._spark, self._root, contracts, now.source)
        frames = tables.whole(now, sample) if before is None else tables.change(before, now)
        name, bronze = f"silver.{tables.silver.name}", f"bronze.{now.source}"
        versions = f"{bronze} {now.bronze}, {name} {now.silver}, rejected {now.rejected}"
        if before is not None:
            versions += f" since {before.bronze}, {before.silver}, {before.rejected}"
        fates = reconciliation.fate_differences(frames.wanted.fates, frames.in_silver, frames.in_rejected)
        commits = self._of_records(DeltaLog(self._root, name), now.silver)
        silver = tables.silver
        self._add(bronze, versions, "records = silver + rejected", frames.records, fates, commits, silver)
        twice = reconciliation.identity_differences(tables.rivals(frames, now), silver)
        rows = frames.rows_in_silver.count()
        self._add(name, versions, "one row an identity", rows, twice, commits, silver, silver.identity)
        cells = held(reconciliation.value_differences(frames.wanted.rows, frames.rows_in_silver, silver))
        references = LateReferences(contracts, tables.source, silver, tables.deliveries)
        wrong, late = references.without_late(cells, frames.wanted.rows, frames.rows_in_silver)
        self._add(name, versions, "values = recomputation", rows, wrong, commits, silver)
        if frames.feed is not None and frames.changed is not None and frames.rewritten is not None:
            strange = reconciliation.strange_changes(frames.feed, frames.changed)
            self._add(name, versions, "no other changes", rows, strange, commits, silver)
            rejected = f"rejected.{now.source}"
            newest = self._of_table(DeltaLog(self._root, rejected), now.rejected)
            rows = frames.in_rejected.count()
            self._add(rejected, versions, "no other changes", rows, frames.rewritten, newest, silver)
        self._note(self._redrivable, now.source, reconciliation.redrivable(frames.wanted.fates, frames.in_rejected))
        if late:
            self._late[now.source] = late

    def gold(self, contracts: Contracts, pins: GoldPins, since: dict[str, int] | None) -> None:
        """Step 3 of `reconcile`."""
        table = GoldAtPins(self._spark, self._root, contracts, pins)
        name = f"gold.{pins.table}"
        read = ", ".join(f"{source} {version}" for source, version in pins.silver.items())
        versions = f"{name} {pins.gold} of {read}"
        gold, commits = table.contract, self._of_partitions(DeltaLog(self._root, name), pins.gold)
        expected, found = table.expected(), table.found()
        if since is not None:
            before = gold_before(self._root, pins, since)
            days = held(table.changed_days(before.silver))
            of_days = F.col("period_start") == F.col("day")
            old = table.found(before.gold)
            rest, as_it_was = (rows.join(days, of_days, how="left_anti") for rows in (found, old))
            other = reconciliation.kpi_differences(as_it_was, rest, gold)
            self._add(name, versions, "other days unchanged", rest.count(), other, commits, gold, gold.identity)
            expected, found = (rows.join(days, of_days, how="left_semi") for rows in (expected, found))
        differences = reconciliation.kpi_differences(expected, found, gold)
        self._add(name, versions, "KPIs = independent SQL", found.count(), differences, commits, gold, gold.identity)

    def _add(
        self,
        table: str,
        versions: str,
        what: str,
        rows: int,
        found: DataFrame,
        commits: Commits,
        contract: Contract,
        keyed_by: tuple[str, ...] = (),
    ) -> None:
        """Notes a comparison. A difference's key holds values of the columns `keyed_by`, or is a record_id."""
        differences = held(found)
        count = differences.count()
        self._compared.append(Compared(table, versions, what, rows, count))
        if not count:
            return
        personal = {column.stored_as for column in contract.columns if column.classification == "pii"}
        first = differences.select(*reconciliation.DIFFERENCE).orderBy("key", "column").limit(MOST_SHOWN).collect()
        for (kind, key, column, expected, there, records), behind in zip(first, commits(first), strict=True):
            if personal.intersection(keyed_by):
                key = PERSONAL
            if personal.intersection(column.split(", ")):
                expected = there = PERSONAL
            self._shown.append(Difference(table, kind, key, column, expected, there, behind, tuple(records)))

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

    def _note(self, notes: dict[str, int], source: str, ids: DataFrame) -> None:
        if count := ids.count():
            notes[source] = count


def _partition(key: str) -> dict[str, str]:
    """The partition of a gold row, from its key."""
    named = json.loads(key)
    return {"kpi_name": named["kpi_name"], "month": named["period_start"][:7]}
