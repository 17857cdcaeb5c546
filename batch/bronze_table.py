"""The bronze table of a source that comes in files, and the one commit that appends a batch to it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from batch.file_tasks import READ_DDL, READ_SCHEMA, in_groups, read_files, read_groups
from batch.landing_area import LandingArea, LandingFile
from batch.lines import MEBIBYTE, UNREADABLE
from lakehouse.contracts import Contracts
from lakehouse.delta.table import CommitConflictError, OwnedTable
from lakehouse.engine.enrich import values
from lakehouse.engine.schemas import envelope_schema
from lakehouse.errors import LakehouseError
from lakehouse.layout import Layout, spark_path
from runtime.commits import code_version, transaction
from runtime.failpoints import failpoint
from runtime.leases import LeaseLostError
from runtime.lineage import Counts, FileInput, Lineage
from runtime.tables import ensure_table

BRONZE_PROPERTIES = {"delta.appendOnly": "true", "delta.checkpointInterval": "50"}
# Files of so many bytes together are read in this process, more by executors: starting those costs as much.
READ_HERE = 64 * MEBIBYTE
# Of their rows this process holds so much; a small file may unpack to a large one.
HELD_HERE = 1024 * MEBIBYTE


class IngestError(LakehouseError):
    """A batch of files could not be taken in; nothing of it is in bronze, and the next run tries it again."""


@dataclass(frozen=True)
class Appended:
    """What one batch put into bronze: `unreadable` counts files, of which the rest could not be read."""

    files: int
    records: int
    unreadable: int


class BronzeTable:
    """The bronze table of one source, and what appending a batch to it takes."""

    def __init__(
        self,
        spark: Callable[[], SparkSession],
        contracts: Contracts,
        root: str,
        source: str,
        area: LandingArea,
        now: Callable[[], datetime],
        still_ours: Callable[[], None] = lambda: None,
    ) -> None:
        """Makes the table, or widens it. `spark` gives a session where executors are needed; `still_ours` raises when
        this process may no longer write the table.
        """
        self.name = f"bronze.{source}"
        self.uri = Layout(root).table(self.name)
        self.app_id = ""
        self._spark, self._contracts, self._source, self._area = spark, contracts, source, area
        self._now, self._still_ours = now, still_ours
        self._schema = envelope_schema(contracts)
        self.table: OwnedTable = ensure_table(self.uri, self._schema, ["ingest_date"], BRONZE_PROPERTIES)

    def has_rows(self) -> bool:
        """Whether the table is not empty."""
        return bool(self.table.files())

    def last_batch(self) -> int:
        """The newest batch in the table; -1 for none."""
        self.table.refresh()
        found = self.table.transaction(self.app_id)
        return -1 if found is None else found

    def append(self, batch: int, files: list[LandingFile]) -> Appended:
        """Reads the files and appends their rows in one commit. Raises IngestError if that fails; LeaseLostError."""
        try:
            read = self._read_here(files)
            return self._append_on_executors(batch, files) if read is None else self._append_here(batch, files, read)
        except (LakehouseError, BotoCoreError, ClientError, OSError, PySparkException, Py4JError) as error:
            if isinstance(error, IngestError | LeaseLostError):
                raise
            raise IngestError(f"batch {batch} of {self._source} was not taken in: {_reason(error)}") from error

    def _read_here(self, files: list[LandingFile]) -> pa.Table | None:
        """The rows of the files; None where they are more than this process should hold, packed or unpacked."""
        if sum(file.size for file in files) > READ_HERE:
            return None
        batches: list[pa.RecordBatch] = []
        held = 0
        for each in read_files(self._area, files, self._now(), self._contracts.source(self._source)):
            batches.append(each)
            held += each.nbytes
            if held > HELD_HERE:
                return None
        return pa.Table.from_batches(batches, READ_SCHEMA)

    def _append_here(self, batch: int, files: list[LandingFile], read: pa.Table) -> Appended:
        inputs, unreadable = _inputs(read.select(["file", "payload_encoding"]), files)
        failpoint("files.before_commit")
        self._still_ours()
        try:
            self.table.append(read.select(self._schema.names), {self.app_id: batch}, self._lineage(batch, inputs))
        except CommitConflictError as error:
            raise self._overtaken(batch) from error
        failpoint("files.after_commit")
        return Appended(len(files), read.num_rows, unreadable)

    def _append_on_executors(self, batch: int, files: list[LandingFile]) -> Appended:
        spark = self._spark()
        groups = in_groups(files, spark.sparkContext.defaultParallelism)
        task = partial(read_groups, self._area, groups, self._now(), contract=self._contracts.source(self._source))
        held = spark.range(0, len(groups), 1, len(groups)).mapInArrow(task, READ_DDL).persist()
        try:
            counted = held.select("file", "payload_encoding").toArrow()
            inputs, unreadable = _inputs(counted, [file for group in groups for file in group])
            failpoint("files.before_commit")
            self._still_ours()
            with transaction(spark, self.app_id, batch, self._lineage(batch, inputs)):
                rows = held.select(*self._schema.names)
                rows.write.format("delta").mode("append").save(spark_path(self.uri))
            failpoint("files.after_commit")
        finally:
            held.unpersist()
        # Delta skips a transaction that it takes for an old one without a word.
        if self.last_batch() != batch:
            raise self._overtaken(batch)
        return Appended(len(files), counted.num_rows, unreadable)

    def _overtaken(self, batch: int) -> IngestError:
        return IngestError(
            f"{self.uri} holds batch {self.last_batch()} after batch {batch} was written: another process takes in "
            f"{self._source} too; let it end, then run this again"
        )

    def _lineage(self, batch: int, inputs: list[FileInput]) -> str:
        records = sum(each.records for each in inputs)
        return Lineage(
            job="batch",
            query=self.name,
            batch=batch,
            code=code_version(),
            contract=self._contracts["bronze_envelope"].version,
            inputs=tuple(inputs),
            counts=Counts(read=records, valid=records, inserted=records),
        ).to_json()


def _inputs(read: pa.Table, files: list[LandingFile]) -> tuple[list[FileInput], int]:
    """Each file with its number of rows, by path, and how many files could not be read to their end. `read` has of
    each row the number of its file, and `payload_encoding`.
    """
    counted = read.group_by("file").aggregate([([], "count_all")])
    records = dict(zip(values(counted["file"]), values(counted["count_all"]), strict=True))
    inputs = [
        FileInput(file.record_path, records.get(number, 0), file.size, file.etag) for number, file in enumerate(files)
    ]
    return sorted(inputs, key=lambda each: each.file), values(read["payload_encoding"]).count(UNREADABLE)


def _reason(error: Exception) -> str:
    """The line of a Spark failure that says what happened: a Python task's own error, not the stack around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    own = [line for line in lines if "LandingAreaError" in line or "botocore.exceptions" in line]
    return (own or lines or [type(error).__name__])[0][:500]
