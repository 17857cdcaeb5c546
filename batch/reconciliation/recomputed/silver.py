"""What silver must hold: all that bronze holds at once, or a change taken into silver as it was."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batch.reconciliation.cached import cached
from batch.reconciliation.recomputed.contest import AGAIN, EXISTING, WON, contest
from batch.reconciliation.recomputed.settle import FIXED, SETTLE
from lakehouse.contracts import Contract

CHANGED = "_changed"
_SINCE = "_since"


def silver_at_once(candidates: DataFrame, silver: Contract) -> DataFrame:
    """The candidates (columns of `enrich`, none of them faulty) as silver rows, as if there had been none before.

    Gives the silver columns, of rows that stand with what settling gives, `_existing`, `_won` and `_again` (see
    `contest`), and `_changed`: whether a row of silver comes, changes or goes.
    """
    contested = cached(contest(_new(candidates, silver), silver))
    return _settled(contested.withColumn(_SINCE, F.lit(None).cast("timestamp")), silver)


def silver_after(candidates: DataFrame, past: DataFrame, silver: Contract) -> DataFrame:
    """The candidates and what they touch of the silver rows `past`; columns as `silver_at_once` gives them.

    1. The rows of their identities are their rivals.
    2. New winners and beaten rivals change their groups, from their own times on.
    3. The rows of these groups settle together with the winners, from a gap before that time on. Those before it are
       fixed: they keep what they have and hand it on.
    """
    reach = _reach(candidates, silver)
    if reach is None:
        return silver_at_once(candidates, silver)
    # 1
    time, identity = str(silver.event_time), list(silver.identity)
    past = past.where(F.col(time) >= F.lit(reach).cast(silver.column(time).type))
    if "month" in silver.partitions:
        past = past.where(F.col("month") >= reach[:7])
    past = past.select(*silver.column_names, F.lit(True).alias(EXISTING))
    rivals = past.join(F.broadcast(candidates.select(*identity).distinct()), identity, how="left_semi")
    contested = cached(contest(_new(candidates, silver).unionByName(rivals), silver))
    if silver.group is None:
        return _settled(contested.withColumn(_SINCE, F.lit(None).cast("timestamp")), silver)
    # 2
    changes = contested.where(F.col(EXISTING) != F.col(WON)).groupBy(silver.group.key)
    changing = F.broadcast(cached(changes.agg(F.min(time).alias(_SINCE))))
    # 3
    gap = F.lit(_micros(silver))
    others = past.join(changing, silver.group.key).where(F.unix_micros(time) >= F.unix_micros(_SINCE) - gap)
    met = F.broadcast(contested.where(EXISTING).select("record_id"))
    others = others.join(met, "record_id", how="left_anti").withColumns({WON: F.lit(True), AGAIN: F.lit(False)})
    return _settled(contested.join(changing, silver.group.key, how="left").unionByName(others), silver)


def _new(candidates: DataFrame, silver: Contract) -> DataFrame:
    """The candidates' silver columns, those null that settling gives."""
    columns = (
        (F.lit(None).cast(column.type) if column.settled else F.col(column.stored_as)).alias(column.stored_as)
        for column in silver.columns
    )
    return candidates.select(*columns, F.lit(False).alias(EXISTING))


def _settled(contested: DataFrame, silver: Contract) -> DataFrame:
    """The rows that stand settled, the others as they are; `_since` is when their group begins to change."""
    changed = F.col(EXISTING) != F.col(WON)
    columns = [*silver.column_names, EXISTING, WON, AGAIN, CHANGED]
    if silver.group is None:
        return contested.withColumn(CHANGED, changed).select(*columns)
    given = F.struct(*(column.stored_as for column in silver.columns if column.settled))
    fixed = F.col(EXISTING) & F.coalesce(F.col(str(silver.event_time)) < F.col(_SINCE), F.lit(True))
    standing = contested.where(WON).withColumns({"_before": given, FIXED: fixed})
    settled = SETTLE[silver.name](standing, silver.group)
    settled = settled.withColumn(CHANGED, changed | ~given.eqNullSafe(F.col("_before")))
    beaten = contested.where(~F.col(WON)).withColumn(CHANGED, changed)
    return settled.select(*columns).unionByName(beaten.select(*columns))


def _reach(candidates: DataFrame, silver: Contract) -> str | None:
    """How far back the candidates reach: identities hold the event time, and a group looks one gap back.

    As text, so that Delta passes over files by it; None without candidates.
    """
    first = F.unix_micros(F.min(F.col(str(silver.event_time)).cast("timestamp"))) - F.lit(_micros(silver))
    row = candidates.agg(F.timestamp_micros(first).cast("string")).first()
    return None if row is None or row[0] is None else str(row[0])


def _micros(silver: Contract) -> int:
    return int(silver.group.gap.total_seconds() * 1_000_000) if silver.group else 0
