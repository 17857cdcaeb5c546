"""Rejected records go through again, after a contract or the reference data was mended.

It runs instead of the table's owner, the silver job: `lakehouse redrive` takes the owner's lease.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lakehouse.contracts import Contracts
from lakehouse.errors import LakehouseError
from lakehouse.layout import Layout, spark_path
from lakehouse.schemas import envelope_type
from lakehouse.settings import Settings
from runtime.delta_log import DeltaLog
from runtime.lineage import TableInput
from runtime.restores import Restores
from runtime.storage import Storage
from runtime.tables import table_version
from streaming.references import References
from streaming.silver import Origin, SilverTable, held

BEATEN = ("duplicate", "superseded")  # another record stands for these: nothing to mend
SHUT_OUT = "lakehouse.redriveShutOut"
# How often Delta tries a commit again that another one came before.
MOST_TRIES = "spark.databricks.delta.maxCommitAttempts"


@dataclass(frozen=True)
class Redriven:
    """How many rejected records went through again, and how many of them are in silver now."""

    tried: int
    passed: int


class OvertakenError(LakehouseError):
    """Another process changed the silver table while this redrive was at work on it."""


def redrive(
    spark: SparkSession,
    settings: Settings,
    contracts: Contracts,
    source: str,
    still_ours: Callable[[], None] = lambda: None,
) -> Redriven:
    """Moves the rejected records of a source that pass now into silver; the others stay, with today's reasons.

    1. Note the intent with the version of rejected that it reads, put-if-absent; one that was left by a death is
       taken up instead, with its version.
    2. Put those records through the silver batch, under a tag and a transaction id of this redrive: what fails again
       is appended to rejected with that tag, what passes is committed to silver, at most once, and only as the version
       after the one that it was settled against: whoever came in between has not seen these records, nor they what it
       wrote.
    3. Delete the rows of the noted version from rejected, all but those with this redrive's tag.
    4. Note that the redrive is over.
    A death anywhere repeats the steps with the same outcome: step 2 takes out its own half-done rows, and reads the
    noted version even after step 3 has deleted its rows. Raises LakehouseError where somebody restored a table, what
    `still_ours` raises before a write when this process may no longer write, and OvertakenError.
    """
    table = SilverTable(settings, contracts, source, References(contracts, Layout(settings.root)))
    table.ensure(spark)
    for each in (f"silver.{table.silver.name}", f"rejected.{source}"):
        Restores(DeltaLog(settings.root, each)).refuse()
    notes = _notes(table)
    # 1
    name, identity, version = _intent(notes, table_version(spark, table.rejected_uri))
    old = spark.read.format("delta").option("versionAsOf", version).load(spark_path(table.rejected_uri))
    old = held(old.where(~F.col("rule").isin(*BEATEN)))
    tried = old.count()
    # 2
    tag = f"redrive:{identity}"
    read = TableInput(f"rejected.{source}", version, version)
    origin = Origin(tag, f"{tag}:silver.{table.silver.name}", 0, (read,))
    settled_against = table_version(spark, table.silver_uri)
    committing = partial(_next_version, spark, table.silver_uri, settled_against, still_ours)
    tally = table.process(_envelope(old, contracts), origin, True, committing)
    # 3
    still_ours()
    rejected = DeltaTable.forPath(spark, spark_path(table.rejected_uri)).alias("t")
    gone = old.select("record_id", "batch").alias("s")
    same = f"t.record_id = s.record_id AND t.batch = s.batch AND t.batch <> '{tag}'"
    if tried:
        rejected.merge(gone, same).whenMatchedDelete().execute()
    # 4
    notes.put_if_absent(f"{name}.done", b"")
    again = DeltaTable.forPath(spark, spark_path(table.rejected_uri)).toDF().where(F.col("batch") == tag).count()
    displaced = tally.outcomes["displace"] if tally else 0
    return Redriven(tried, tried - again + displaced)


def shut_out(spark: SparkSession, table: SilverTable) -> None:
    """Called by the silver job before it looks at its table: a redrive that was begun and not finished may sleep
    somewhere, past every look at its lease. The version that its commit would have to be is taken here.
    """
    newest, unfinished = _newest(_notes(table))
    if unfinished:
        spark.sql(f"ALTER TABLE delta.`{spark_path(table.silver_uri)}` SET TBLPROPERTIES ('{SHUT_OUT}' = '{newest}')")


@contextmanager
def _next_version(
    spark: SparkSession, uri: str, settled_against: int, still_ours: Callable[[], None]
) -> Iterator[None]:
    """A commit inside is the version after `settled_against`, or fails. Raises OvertakenError."""

    def refuse_other_versions(cause: Exception | None = None) -> None:
        found = table_version(spark, uri)
        if found != settled_against:
            raise OvertakenError(
                f"{uri} is at version {found}, this redrive looked at version {settled_against}: another process wrote "
                "in between, and nothing of the redrive is in silver; run `lakehouse redrive` again to take it up"
            ) from cause

    still_ours()
    refuse_other_versions()
    spark.conf.set(MOST_TRIES, 0)
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        refuse_other_versions(error)
        raise
    finally:
        spark.conf.unset(MOST_TRIES)


def _notes(table: SilverTable) -> Storage:
    return Storage.open(f"{table.checkpoint}_redrive")


def _intent(notes: Storage, version: int) -> tuple[str, str, int]:
    """The redrive to carry out: the one that was begun and not finished, else a new one at `version`.

    Gives the note's name, the redrive's identity (numbers begin anew when notes are removed, tables remember) and the
    version of rejected that it reads.
    """
    name, unfinished = _newest(notes)
    if not unfinished:
        name = f"{int(name) + 1:08}"
        intent = {"identity": str(uuid4()), "version": version}
        notes.put_if_absent(f"{name}.json", json.dumps(intent).encode())
    found = json.loads(notes.read(f"{name}.json") or b"{}")
    return name, str(found["identity"]), int(found["version"])


def _newest(notes: Storage) -> tuple[str, bool]:
    """The newest redrive's name (-1 before the first), and whether it is not over."""
    present = {each.key for each in notes.list()}
    name = max((key.removesuffix(".json") for key in present if key.endswith(".json")), default="-1")
    return name, name != "-1" and f"{name}.done" not in present


def _envelope(rejected: DataFrame, contracts: Contracts) -> DataFrame:
    """Rejected rows as the bronze records that they were."""
    known = rejected.withColumn("ingested_at", F.col("arrived_at"))
    return known.select(*envelope_type(contracts).names)
