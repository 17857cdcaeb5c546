"""Frames that are computed once, however often a comparison reads them."""

from pyspark.sql import DataFrame


def cached(rows: DataFrame) -> DataFrame:
    """The rows, computed by the first job that needs them.

    Not `persist`: Spark would plan what lies below again with each use. A local checkpoint forgets the plan, and its
    memory is freed with the frame.
    """
    return rows.localCheckpoint(eager=False)
