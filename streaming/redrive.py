"""Rejected records go through again, after a contract or the reference data was mended.

It runs instead of the table's owner, the silver job: `lakehouse redrive` takes the owner's lease.
"""

import json
from dataclasses import dataclass
from uuid import uuid4

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lakehouse.contracts import Contracts
from lakehouse.layout import Layout, spark_path
from lakehouse.schemas import envelope_type
from lakehouse.settings import Settings
from runtime.lineage import TableInput
from runtime.storage import Storage
from runtime.tables import table_version
from streaming.references import References
from streaming.silver import Origin, SilverTable, held

BEATEN = ("duplicate", "superseded")  # another record stands for these: nothing to mend


@dataclass(frozen=True)
class Redriven:
    """How many rejected records went through again, and how many of them are in silver now."""

    tried: int
    passed: int


def redrive(spark: SparkSession, settings: Settings, contracts: Contracts, source: str) -> Redriven:
    """Moves the rejected records of a source that pass now into silver; the others stay, with today's reasons.

    1. Note the intent with the version of rejected that it reads, put-if-absent; one that was left by a death is
       taken up instead, with its version.
    2. Put those records through the silver batch, under a tag and a transaction id of this redrive: what fails again
       is appended to rejected with that tag, what passes is committed to silver, at most once.
    3. Delete the rows of the noted version from rejected, all but those with this redrive's tag.
    4. Note that the redrive is over.
    A death anywhere repeats the steps with the same outcome: step 2 takes out its own half-done rows, and reads the
    noted version even after step 3 has deleted its rows.
    """
    table = SilverTable(settings, contracts, source, References(contracts, Layout(settings.root)))
    table.ensure(spark)
    notes = Storage.open(f"{table.checkpoint}_redrive")
    # 1
    name, identity, version = _intent(notes, table_version(spark, table.rejected_uri))
    old = spark.read.format("delta").option("versionAsOf", version).load(spark_path(table.rejected_uri))
    old = held(old.where(~F.col("rule").isin(*BEATEN)))
    tried = old.count()
    # 2
    tag = f"redrive:{identity}"
    read = TableInput(f"rejected.{source}", version, version)
    origin = Origin(tag, f"{tag}:silver.{table.silver.name}", 0, (read,))
    tally = table.process(_envelope(old, contracts), origin, recover=True)
    # 3
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


def _intent(notes: Storage, version: int) -> tuple[str, str, int]:
    """The redrive to carry out: the one that was begun and not finished, else a new one at `version`.

    Gives the note's name, the redrive's identity (numbers begin anew when notes are removed, tables remember) and the
    version of rejected that it reads.
    """
    present = {each.key for each in notes.list()}
    names = sorted(key.removesuffix(".json") for key in present if key.endswith(".json"))
    if not names or f"{names[-1]}.done" in present:
        names.append(f"{int(names[-1]) + 1 if names else 0:08}")
        intent = {"identity": str(uuid4()), "version": version}
        notes.put_if_absent(f"{names[-1]}.json", json.dumps(intent).encode())
    found = json.loads(notes.read(f"{names[-1]}.json") or b"{}")
    return names[-1], str(found["identity"]), int(found["version"])


def _envelope(rejected: DataFrame, contracts: Contracts) -> DataFrame:
    """Rejected rows as the bronze records that they were."""
    known = rejected.withColumn("ingested_at", F.col("arrived_at"))
    return known.select(*envelope_type(contracts).names)
