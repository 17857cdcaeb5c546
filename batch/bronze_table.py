"""The bronze table of a source that comes in files, and the one commit that appends a batch to it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from py4j.protocol import Py4JError
from pyspark import StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batch.file_tasks import READ_DDL, in_groups, read_groups
from batch.landing_area import LandingArea, LandingFile
from batch.lines import UNREADABLE
from lakehouse.contracts import Contracts
from lakehouse.errors import LakehouseError
from lakehouse.layout import Layout, spark_path
from runtime.commits import code_version, last_transaction, transaction
from runtime.failpoints import failpoint
from runtime.lineage import Counts, FileInput, Lineage
from runtime.tables import table_exists

ENVELOPE = (
    "record_id",
    "payload",
    "payload_encoding",
    "arrived_at",
    "ingested_at",
    "partition_key",
    "ingest_date",
)


class IngestError(LakehouseError):
    """A batch of files could not be taken in; nothing of it is in bronze, and the next run tries it again."""


@dataclass(frozen=True)
class Appended:
    """What one batch put into bronze: `unreadable` counts files, of which the rest could not be read."""

    files: int
    records: int
    unreadable: int


@dataclass
class BronzeTable:
    """The bronze table of one source, and what appending a batch to it takes.

    `still_ours` raises when this process may no longer write the table.
    """

    spark: SparkSession
    contracts: Contracts
    root: str
    source: str
    area: LandingArea
    now: Callable[[], datetime]
    app_id: str = ""
    still_ours: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        """Such as `bronze.pos`."""
        return f"bronze.{self.source}"

    @property
    def uri(self) -> str:
        """Where the table lies."""
        return Layout(self.root).table(self.name)

    def has_rows(self) -> bool:
        """Whether the table is there and not empty."""
        if not table_exists(self.spark, self.uri):
            return False
        return not self.spark.read.format("delta").load(spark_path(self.uri)).isEmpty()

    def last_batch(self) -> int:
        """The newest batch in the table; -1 for none."""
        found = last_transaction(self.spark, self.uri, self.app_id)
        return -1 if found is None else found

    def append(self, batch: int, files: list[LandingFile]) -> Appended:
        """Reads the files and appends their rows in one commit. Raises IngestError if that fails."""
        groups = in_groups(files, self.spark.sparkContext.defaultParallelism)
        task = partial(read_groups, self.area, groups, self.now(), contract=self.contracts.source(self.source))
        read = self.spark.range(0, len(groups), 1, len(groups)).mapInArrow(task, READ_DDL)
        held = read.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            inputs, unreadable = _inputs(held, [file for group in groups for file in group])
            records = sum(each.records for each in inputs)
            failpoint("files.before_commit")
            self.still_ours()
            with transaction(self.spark, self.app_id, batch, self._lineage(batch, inputs, records)):
                held.select(*ENVELOPE).write.format("delta").mode("append").save(spark_path(self.uri))
            failpoint("files.after_commit")
        except (PySparkException, Py4JError) as error:
            raise IngestError(f"batch {batch} of {self.source} was not taken in: {_reason(error)}") from error
        finally:
            held.unpersist()
        # Delta skips a transaction that it takes for an old one without a word.
        if self.last_batch() != batch:
            raise IngestError(
                f"{self.uri} holds batch {self.last_batch()} after batch {batch} was written: another process takes in "
                f"{self.source} too; let it end, then run this again"
            )
        return Appended(len(files), records, unreadable)

    def _lineage(self, batch: int, inputs: list[FileInput], records: int) -> str:
        return Lineage(
            job="batch",
            query=self.name,
            batch=batch,
            code=code_version(),
            contract=self.contracts["bronze_envelope"].version,
            inputs=tuple(inputs),
            counts=Counts(read=records, valid=records, inserted=records),
        ).to_json()


def _inputs(held: DataFrame, files: list[LandingFile]) -> tuple[list[FileInput], int]:
    """Each file with its number of rows, by path, and how many files could not be read to their end."""
    unreadable = F.count_if(F.col("payload_encoding") == UNREADABLE)
    counted = held.groupBy("file").agg(F.count("*").alias("records"), unreadable.alias("unreadable")).collect()
    records: dict[int, Any] = {row["file"]: row for row in counted}
    inputs = [
        FileInput(file.record_path, records[index]["records"] if index in records else 0, file.size, file.etag)
        for index, file in enumerate(files)
    ]
    return sorted(inputs, key=lambda each: each.file), sum(row["unreadable"] for row in counted)


def _reason(error: Exception) -> str:
    """The line of a Spark failure that says what happened: a Python task's own error, not the stack around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    own = [line for line in lines if "LandingAreaError" in line or "botocore.exceptions" in line]
    return (own or lines or [type(error).__name__])[0][:500]
