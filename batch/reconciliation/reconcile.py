"""Proves at pinned versions, while the jobs run, that nothing was lost, doubled or changed between bronze and gold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyspark.sql import SparkSession

from batch.reconciliation.comparisons import Comparisons
from batch.reconciliation.pins import (
    NotReconcilableError,
    NotYetError,
    gold_pins,
    pins_before,
    source_pins,
)
from batch.reconciliation.report import Report
from lakehouse.contracts import Contracts
from lakehouse.kpi_tables import TABLES, sources_of
from runtime.metrics import DIFFERENCES, metrics


@dataclass(frozen=True)
class Scope:
    """What to prove: of which sources, and of one only what came `since` a bronze version."""

    sources: tuple[str, ...]
    since: int | None = None


def reconcile(spark: SparkSession, root: str, contracts: Contracts, scope: Scope) -> Report:
    """Compares bronze with silver and rejected, and silver with gold, each at versions that belong together.

    1. Pin each source's tables behind its newest finished batch, and each gold table with its silver versions behind
       its own. With `since`, pin them a second time, as they were when silver had read bronze up to that version. What
       has taken in nothing yet is left out, and the report says so.
    2. Per source: the fate of every record, one row an identity, every value, against a recomputation from bronze;
       with `since` against the new records taken into silver as it was, and neither silver's change feed nor rejected
       may hold another change.
    3. Per gold table that reads one of the sources: every row against SQL of its own; with `since` the rows of days
       that silver's changes touch, and the other rows must be as they were.
    4. Send how many differences there are as a metric.

    Raises NotReconcilableError where no source has taken in anything yet, and LakehouseError for an unknown source or a
    contract that Spark cannot compute.
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
    comparisons = Comparisons(spark, root, contracts)
    # 2
    for source, now in pins.items():
        comparisons.source(now, before.get(source))
    # 3
    for each in gold:
        since = {name: before[read[name]].silver for name in each.silver if name in read and read[name] in before}
        comparisons.gold(each, since if scope.since is not None else None)
    # 4
    found = comparisons.report((*pins.values(), *gold), not_yet)
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
