"""Small files into few, and old files away."""

from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from lakehouse.delta.table import OwnedTable
from lakehouse.layout import spark_path
from runtime.failpoints import failpoint

# Small files are gathered into ones of this size: large ones are not rewritten again and again.
TARGET_BYTES = 32 * 2**20


def compact(table: OwnedTable, thoroughly: bool = False) -> bool:
    """Rewrites small files in commits that change no row, by the process that owns the table: nobody else may rewrite
    what it writes. Whether there were any.

    One step takes about a second; `thoroughly` takes steps until nothing is left to do. The old files stay for time
    travel until `remove_old_files`.
    """
    failpoint("maintenance.before_compaction")
    done = table.compact(TARGET_BYTES) is not None
    found = done
    while done and thoroughly:
        done = table.compact(TARGET_BYTES) is not None
    failpoint("maintenance.after_compaction")
    return found


def remove_old_files(spark: SparkSession, uri: str, hours: float) -> None:
    """Removes files that no version of the last `hours` needs (VACUUM). Safe beside the table's owner.

    By Spark, which knows deletion vectors and change data as what they are. Raises IllegalArgumentException of Delta
    below the table's own retention (a week).
    """
    DeltaTable.forPath(spark, spark_path(uri)).vacuum(hours)
