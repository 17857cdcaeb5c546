"""Which commits wrote a row: silver's change feed knows it by record, the log of other tables by partition."""

import json
from collections.abc import Iterable, Mapping

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse.layout import spark_path
from runtime.delta_log import Commit, DeltaLog
from runtime.lineage import TableInput, read_lineage

MOST_VERSIONS = 200
MOST_COMMITS = 3


def commits_of_records(
    spark: SparkSession, log: DeltaLog, record_ids: Iterable[str], version: int
) -> Mapping[str, tuple[str, ...]]:
    """For each record the commits up to `version` that put, changed or took its silver row, newest first.

    Empty for records that the change feed of the last 200 versions does not know, or when it was cleaned away.
    """
    wanted = list(record_ids)
    start = max(0, version - MOST_VERSIONS)
    while start < version and log.commit(start) is None:
        start += 1
    if not wanted or start > version:
        return {}
    feed = spark.read.format("delta").option("readChangeFeed", "true")
    feed = feed.option("startingVersion", start).option("endingVersion", version)
    rows = feed.load(spark_path(log.uri)).where(F.col("record_id").isin(wanted) & ~F.col("_change_type").like("%_pre%"))
    changes = rows.groupBy("record_id", "_commit_version").agg(F.collect_set("_change_type").alias("changes"))
    found: dict[str, list[str]] = {}
    try:
        for record_id, commit, kinds in changes.orderBy(F.desc("_commit_version")).collect():
            # The lake's own jobs change a row by taking it out and putting it in again.
            change = kinds[0].removesuffix("_postimage") if len(kinds) == 1 else "update"
            found.setdefault(record_id, []).append(f"{change} by {describe(log.commit(commit), log.name, commit)}")
    except PySparkException:
        # Its files are older than time travel goes: the difference stands without them.
        return {}
    return {record_id: tuple(told[:MOST_COMMITS]) for record_id, told in found.items()}


def commits_of_partition(log: DeltaLog, partition: Mapping[str, str], version: int) -> tuple[str, ...]:
    """The newest commits up to `version` that added or removed files of a partition, newest first."""
    found: list[str] = []
    for each in range(version, max(-1, version - MOST_VERSIONS), -1):
        if len(found) == MOST_COMMITS:
            break
        if any(_in_partition(line, partition) for line in log.actions(each)):
            found.append(describe(log.commit(each), log.name, each))
    return tuple(found)


def describe(commit: Commit | None, table: str, version: int) -> str:
    """A commit in words: the table's version, when, whose, and from what."""
    if commit is None:
        return f"{table} version {version}"
    at = f"{table} version {version} ({commit.committed_at:%Y-%m-%d %H:%M:%S} UTC)"
    lineage = read_lineage(commit.metadata)
    if lineage is None:
        return f"{at}: {commit.operation} by something else than the lake's jobs"
    inputs = ", ".join(
        f"{each.table} {each.first}..{each.last}" for each in lineage.inputs if isinstance(each, TableInput)
    )
    return f"{at}: {lineage.job} batch {lineage.batch} from {inputs or 'its sources'}"


def _in_partition(line: bytes, partition: Mapping[str, str]) -> bool:
    if not line.startswith((b'{"add"', b'{"remove"')):
        return False
    action = next(iter(json.loads(line).values()))
    values = action.get("partitionValues") or {}
    return all(values.get(name) == value for name, value in partition.items())
