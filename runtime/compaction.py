"""Small files into few, by the process that owns the table: nobody else may rewrite what it writes."""

from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from lakehouse.layout import spark_path
from runtime.failpoints import failpoint


def compact(spark: SparkSession, uri: str, condition: str | None = None) -> None:
    """Rewrites the small files of the table at `uri`, or of the partitions that `condition` keeps, in one commit that
    changes no row: neither streams nor change feeds see it.

    The old files stay for time travel until `remove_old_files`.
    """
    failpoint("maintenance.before_compaction")
    optimize = DeltaTable.forPath(spark, spark_path(uri)).optimize()
    (optimize if condition is None else optimize.where(condition)).executeCompaction()
    failpoint("maintenance.after_compaction")


def due(batch: int, every: int) -> bool:
    """Whether a query compacts after this batch: once in `every` batches; 0 means never."""
    return every > 0 and batch % every == every - 1


def remove_old_files(spark: SparkSession, uri: str, hours: float) -> None:
    """Removes files that no version of the last `hours` needs (VACUUM). Safe beside the table's owner.

    Raises IllegalArgumentException of Delta below the table's own retention (a week).
    """
    DeltaTable.forPath(spark, spark_path(uri)).vacuum(hours)
