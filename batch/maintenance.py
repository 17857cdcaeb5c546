"""What tables need now and then: old files removed, and small files made few where no streaming job does so itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyspark.sql import SparkSession

from lakehouse.contracts import Contracts
from lakehouse.layout import Layout
from lakehouse.settings import Settings
from runtime.compaction import compact, remove_old_files
from runtime.leases import LeaseHeldError, Leases
from runtime.tables import open_table, table_exists


@dataclass(frozen=True)
class Maintained:
    """What was done to one table: `held_by` tells who writes it, if it was left to that job to compact it."""

    table: str
    compacted: bool
    held_by: str | None


def maintain(
    spark: SparkSession, settings: Settings, contracts: Contracts, tables: Sequence[str] = ()
) -> Iterator[Maintained]:
    """Compacts and cleans the named tables, or all that exist, one after the other.

    1. A table whose lease is free is compacted under that lease. One that a running job writes is left to the job,
       which compacts it once in `settings.compact_batches` commits.
    2. Files that no version of the last `settings.time_travel_hours` needs are removed, beside the owner or not.

    Raises ContractError for a table that does not exist.
    """
    for name in tables or contracts.tables:
        contracts.table(name)
    layout = Layout(settings.root)
    for name in tables or contracts.tables:
        uri = layout.table(name)
        if not table_exists(uri):
            continue
        held_by, compacted = None, False
        # 1
        try:
            with Leases(settings.root, "maintain", [_leased(contracts, name)]) as leases:
                leases.check()
                compacted = compact(open_table(uri), thoroughly=True)
        except LeaseHeldError as error:
            held_by = str(error)
        # 2
        remove_old_files(spark, uri, settings.time_travel_hours)
        yield Maintained(name, compacted, held_by)


def _leased(contracts: Contracts, table: str) -> str:
    """The table whose lease covers this one: rejected rows belong to the silver table's owner."""
    layer, _, name = table.partition(".")
    return f"silver.{contracts.silver_of(name).name}" if layer == "rejected" else table
