"""One micro-batch of a silver table as a pure plan: which rows come in, which leave, which change.

    bronze rows --parse--> --enrich--> candidates + faulty rows
    candidates + existing rows of their neighbourhoods --contest--> --settle--> outcomes

Nothing here reads or writes; `streaming/silver.py` supplies the frames and carries the outcomes out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lakehouse.contracts import Contract
from lakehouse.settle import FIXED, SETTLE

ENVELOPE = ("payload", "payload_encoding", "partition_key", "ingest_date")
INSERT, UPDATE, KEEP, LOSE, DISPLACE = "insert", "update", "keep", "lose", "displace"


@dataclass(frozen=True)
class Bounds:
    """The reach of rows in event time, as Spark literals: `since` is the group's gap before `earliest`."""

    since: str
    earliest: str
    latest: str
    months: tuple[str, ...]

    @classmethod
    def of(cls, rows: pa.Table, silver: Contract) -> "Bounds | None":
        """The bounds of rows with the columns of `placing`; None of no rows."""
        if not rows.num_rows:
            return None
        found = pc.min_max(rows[str(silver.event_time)])
        earliest, latest = found["min"].as_py(), found["max"].as_py()
        gap = silver.group.gap if silver.group else timedelta(0)
        months = {str(month) for month in rows["month"].to_pylist()} if "month" in silver.partitions else set()
        return cls(_literal(earliest - gap), _literal(earliest), _literal(latest), tuple(sorted(months)))


def placing(silver: Contract) -> list[str]:
    """The columns that tell where rows lie: group, identity, event time and month.

    Few and small, so that a driver can hold those of a whole batch.
    """
    group = [silver.group.key] if silver.group else []
    month = ["month"] if "month" in silver.partitions else []
    return list(dict.fromkeys([*group, *silver.identity, str(silver.event_time), *month]))


def touched_groups(candidates: pa.Table, silver: Contract, bounds: Bounds, also: Sequence[str] = ()) -> pa.Table:
    """Each group with its first event time that changes, `_since`, from the candidates' `placing`.

    `also` names further groups, from the batch's earliest event on: those that lose a row to another group.
    """
    assert silver.group is not None, f"{silver.name} has no groups"
    key, time = silver.group.key, str(silver.event_time)
    first = candidates.group_by(key).aggregate([(time, "min")]).rename_columns([key, "_since"])
    if not also:
        return first
    earliest = pc.min(candidates[time])
    extra = pa.table({key: list(also), "_since": [earliest.as_py()] * len(also)}, schema=first.schema)
    both = pa.concat_tables([first, extra])
    return both.group_by(key).aggregate([("_since", "min")]).rename_columns([key, "_since"])


def identities(candidates: pa.Table, silver: Contract) -> pa.Table:
    """Each identity among the candidates once, from their `placing`."""
    return candidates.select(list(silver.identity)).group_by(list(silver.identity)).aggregate([])


def versions_of(reference: DataFrame, contract: Contract) -> DataFrame:
    """A reference table's rows with `valid_from` and `valid_to` (null: still valid), one per key and start."""
    key = _reference_key(contract)
    order = Window.partitionBy(key).orderBy("valid_from")
    return reference.withColumn("valid_to", F.lead("valid_from").over(order))


def enrich(parsed: DataFrame, source: Contract, silver: Contract, references: Mapping[str, DataFrame]) -> DataFrame:
    """Parsed rows plus every looked-up and computed column of the silver contract.

    `references` holds for each reference table the rows of `versions_of`. A key that is not known at the row's event
    time adds a `reference` error to `errors`.
    """
    rows = parsed
    for column in source.columns:
        if column.reference:
            rows = _look_up(rows, column.stored_as, silver, references[column.reference[0]], column.reference)
    computed = [
        F.expr(column.expression).cast(column.type).alias(column.stored_as)
        for column in silver.columns
        if column.expression
    ]
    return rows.select("*", *computed)


def _look_up(rows: DataFrame, key: str, silver: Contract, versions: DataFrame, reference: tuple[str, str]) -> DataFrame:
    """Joins the reference row valid at the event time, takes the columns that look it up, notes an unknown key."""
    table, column = reference
    taken = {each.stored_as: each.lookup[1] for each in silver.columns if each.lookup and each.lookup[0] == table}
    found = versions.select(
        F.col(column).alias("_key"),
        F.col("valid_from").alias("_valid_from"),
        F.col("valid_to").alias("_valid_to"),
        *(F.col(origin).alias(name) for name, origin in taken.items()),
    )
    valid = (
        (rows[key] == F.col("_key"))
        & (rows[str(silver.event_time)] >= F.col("_valid_from"))
        & (F.col("_valid_to").isNull() | (rows[str(silver.event_time)] < F.col("_valid_to")))
    )
    unknown = F.struct(
        F.lit("reference").alias("rule"),
        F.lit(key).alias("column"),
        F.col(key).cast("string").alias("value"),
        F.lit(f"not in {table} at the event time: deliver the reference row, then redrive").alias("message"),
    )
    missing = F.col(key).isNotNull() & F.col("_key").isNull() & F.col(str(silver.event_time)).isNotNull()
    joined = rows.join(F.broadcast(found), valid, how="left")
    errors = F.when(missing, F.concat(F.col("errors"), F.array(unknown))).otherwise(F.col("errors"))
    return joined.withColumn("errors", errors).drop("_key", "_valid_from", "_valid_to")


def neighbourhood(
    existing: DataFrame, rivals: DataFrame, touched: DataFrame | None, silver: Contract, bounds: Bounds
) -> DataFrame:
    """The existing rows that the candidates compete with or settle together with.

    `rivals` are the candidates' `identities`, `touched` their `touched_groups` (None for a table without groups).
    Adds `_since`: the first event time that changes in the row's group, null for a row that only shares an identity.
    """
    time = str(silver.event_time)
    scope = existing.where(F.col(time) >= F.lit(bounds.since).cast(_type_of(silver, time)))
    if "month" in silver.partitions:
        scope = scope.where(F.col("month") >= bounds.since[:7])
    rows = scope.join(F.broadcast(rivals.withColumn("_rival", F.lit(True))), list(silver.identity), how="left")
    if silver.group is None or touched is None:
        return rows.where("_rival").drop("_rival").withColumn("_since", F.lit(None).cast("timestamp"))
    near = F.unix_micros(time) >= F.unix_micros("_since") - _micros(silver.group.gap)
    joined = rows.join(F.broadcast(touched), silver.group.key, how="left")
    kept = joined.where(F.coalesce(near, F.lit(False)) | F.col("_rival"))
    return kept.withColumn("_since", F.when(near, F.col("_since"))).drop("_rival")


def outcomes(candidates: DataFrame, existing: DataFrame, source: Contract, silver: Contract) -> DataFrame:
    """Every candidate and existing row with what becomes of it.

    Columns: the silver columns; `payload`, `payload_encoding`, `partition_key`, `ingest_date` (null for existing rows);
    `_outcome`: insert, update (a row of this identity or place is there and differs), keep, lose (a candidate that
    another record beats), displace (an existing row that a candidate beats); `_rule` and `_winner` for the last two;
    `_stray`: the group of an existing row that leaves it, when no candidate touches that group so early.
    """
    names = [column.stored_as for column in silver.columns]
    settled = [column.stored_as for column in silver.columns if column.settled]
    old = existing.select(
        *names,
        "_since",
        *(F.lit(None).cast("string").alias(each) for each in ENVELOPE[:3]),
        F.lit(None).cast("date").alias("ingest_date"),
        F.lit(True).alias("_existing"),
    )
    new = candidates.select(
        *(
            F.col(name) if name not in settled else F.lit(None).cast(_type_of(silver, name)).alias(name)
            for name in names
        ),
        F.lit(None).cast("timestamp").alias("_since"),
        *ENVELOPE,
        F.lit(False).alias("_existing"),
    )
    contested = _contest(old.unionByName(new), source, silver)
    winners = contested.where("_outcome IS NULL")
    losers = contested.where("_outcome IS NOT NULL")
    if silver.group is not None:
        time = str(silver.event_time)
        fixed = F.col("_existing") & (F.col("_since").isNull() | (F.col(time) < F.col("_since")))
        before = F.struct(*settled)
        winners = winners.withColumn("_before", before).withColumn(FIXED, fixed)
        winners = SETTLE[silver.name](winners, silver.group)
        unchanged = F.struct(*(F.col(name) for name in settled)).eqNullSafe(F.col("_before"))
    else:
        unchanged = F.lit(True)
    outcome = (
        F.when(F.col("_existing"), F.when(unchanged, KEEP).otherwise(UPDATE))
        .when(F.col("_replaces"), UPDATE)
        .otherwise(INSERT)
    )
    columns = [*names, *ENVELOPE, "_outcome", "_rule", "_winner", "_stray"]
    return winners.withColumn("_outcome", outcome).select(*columns).unionByName(losers.select(*columns))


def _contest(rows: DataFrame, source: Contract, silver: Contract) -> DataFrame:
    """Among rows of one identity the greatest by the contract's precedence wins (`_outcome` null)."""
    rivals = Window.partitionBy(*silver.identity)
    ranked = rivals.orderBy(*(F.col(each).desc() for each in silver.precedence), F.col("_existing").desc())
    content = F.struct(*(F.col(column.stored_as) for column in source.columns))
    group = F.col(silver.group.key) if silver.group else F.lit(None).cast("string")
    best = F.first(
        F.struct(F.col("record_id").alias("record_id"), content.alias("content"), group.alias("group"))
    ).over(ranked)
    rows = rows.withColumn("_rank", F.row_number().over(ranked)).withColumn("_best", best)
    rows = rows.withColumn("_replaces", F.max("_existing").over(rivals))
    again = F.col("record_id") == F.col("_best.record_id")
    lost = F.when(F.col("_existing"), DISPLACE).when(again, F.lit(KEEP)).otherwise(LOSE)
    # A winner of the same group would have put `_since` at this row's time at the latest.
    unseen = F.col("_since").isNull() | (F.col(str(silver.event_time)) < F.col("_since"))
    leaves = F.col("_existing") & (F.col("_rank") > 1) & unseen & F.lit(silver.group is not None)
    return rows.select(
        "*",
        F.when(F.col("_rank") > 1, lost).alias("_outcome"),
        F.when(content.eqNullSafe(F.col("_best.content")), "duplicate").otherwise("superseded").alias("_rule"),
        F.col("_best.record_id").alias("_winner"),
        F.when(leaves, group).alias("_stray"),
    )


def rejected_faults(enriched: DataFrame, source: Contract, batch: str, number: int) -> DataFrame:
    """The rows of `bad_rows` for records that failed a rule: the first error leads, all are kept in `errors`."""
    first = F.col("errors")[0]
    faulty = enriched.where(F.size("errors") > 0)
    return _bad_rows(faulty, source, first["rule"], first["column"], first["value"], first["message"], batch, number)


def rejected_rivals(settled: DataFrame, source: Contract, batch: str, number: int) -> DataFrame:
    """The rows of `bad_rows` for records that another record of their identity beats.

    A row displaced from silver has no payload at hand: its typed columns as JSON stand in, encoding `typed`.
    """
    rivals = settled.where(F.col("_outcome").isin(LOSE, DISPLACE))
    typed = F.to_json(F.struct(*(F.col(column.stored_as).alias(column.name) for column in source.columns)))
    message = F.when(
        F.col("_rule") == "duplicate", "the same record was delivered again: the latest delivery stands"
    ).otherwise("a correction with the same identity arrived later and stands")
    shown = rivals.select(
        "record_id",
        "arrived_at",
        "_rule",
        "_winner",
        message.alias("_message"),
        F.coalesce("payload", typed).alias("payload"),
        F.coalesce("payload_encoding", F.lit("typed")).alias("payload_encoding"),
        "partition_key",
        F.coalesce("ingest_date", F.to_date("arrived_at")).alias("ingest_date"),
    )
    error = F.struct(
        F.col("_rule").alias("rule"),
        F.lit(", ".join(source.identity)).alias("column"),
        F.col("_winner").alias("value"),
        F.col("_message").alias("message"),
    )
    rows = shown.withColumn("errors", F.array(error))
    column = F.lit(", ".join(source.identity))
    return _bad_rows(rows, source, F.col("_rule"), column, F.col("_winner"), F.col("_message"), batch, number)


def _bad_rows(
    rows: DataFrame,
    source: Contract,
    rule: Column,
    column: Column,
    value: Column,
    message: Column,
    batch: str,
    number: int,
) -> DataFrame:
    return rows.select(
        "record_id",
        F.lit(source.name).alias("source"),
        rule.alias("rule"),
        column.alias("column"),
        value.alias("value"),
        message.alias("message"),
        "errors",
        "payload",
        "payload_encoding",
        "arrived_at",
        "partition_key",
        F.lit(batch).alias("batch"),
        F.lit(number).cast("bigint").alias("batch_number"),
        F.lit(source.version).alias("contract_version"),
        "ingest_date",
    )


def _reference_key(contract: Contract) -> str:
    return next(name for name in contract.identity if name != contract.event_time)


def _literal(time: datetime | date) -> str:
    """As Spark reads it back in a session in UTC."""
    return f"{time:%Y-%m-%d %H:%M:%S.%f}" if isinstance(time, datetime) else str(time)


def _micros(gap: timedelta) -> int:
    return int(gap.total_seconds() * 1_000_000)


def _type_of(contract: Contract, name: str) -> str:
    return next(column.type for column in contract.columns if column.stored_as == name)
