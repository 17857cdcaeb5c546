"""What silver and rejected must hold, and where they do not: pure plans, over frames that the caller pinned.

    bronze records + silver as it was before them --wanted--> the silver rows and fates that must be there
    wanted + silver, rejected as they are --differences--> one row per thing that is not as it must be

Nothing here reads or writes; `batch/reconciliation` supplies the frames.
"""

from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse.contracts import Contract
from lakehouse.silver import DISPLACE, INSERT, LOSE, UPDATE

SILVER, REJECTED, ANYWHERE = "silver", "rejected", "anywhere"
RIVAL_RULES = ("duplicate", "superseded")
# A record rejected for this passes once its reference row is there: `lakehouse redrive` takes it up.
REDRIVABLE = "reference"
# How the `batch` of a rejected row begins that `lakehouse redrive` wrote.
REDRIVE_TAG = "redrive:"
LOST, TWICE, UNKNOWN, MISPLACED, VALUE, CHANGED = "lost", "twice", "unknown", "misplaced", "value", "changed"

DIFFERENCE = ("kind", "key", "column", "expected", "found", "records")
"""Columns of a difference: all strings, but `records`, the `record_id`s that it is about (an array)."""


@dataclass(frozen=True)
class Wanted:
    """`rows`: silver rows as they must be, with the silver contract's columns.

    `fates`: where records must be, one row a delivery: `record_id`, `place` (silver, rejected or anywhere, which is one
    of the two), `rule` (the broken one; null of what is not faulty).
    """

    rows: DataFrame
    fates: DataFrame


def waiting(in_silver: DataFrame, in_rejected: DataFrame) -> DataFrame:
    """The `record_id`s that are in rejected for want of a reference row: for silver they have not happened yet."""
    rejected = in_rejected.where(F.col("rule") == REDRIVABLE).select("record_id").distinct()
    return rejected.join(in_silver.select("record_id"), "record_id", how="left_anti")


def wanted(enriched: DataFrame, settled: DataFrame, unsettled: DataFrame, silver: Contract) -> Wanted:
    """From enriched records (columns of `silver.enrich`) and the outcomes of their contest (`silver.outcomes`).

    `unsettled` holds the `record_id`s of what belongs into silver and took no part in the contest.
    """
    faults = enriched.where(F.size("errors") > 0).select(
        "record_id", F.lit(REJECTED).alias("place"), F.get("errors", F.lit(0))["rule"].alias("rule")
    )
    beaten = F.col("_outcome").isin(LOSE, DISPLACE)
    contested = settled.select(
        "record_id", F.when(beaten, REJECTED).otherwise(SILVER).alias("place"), F.lit(None).cast("string").alias("rule")
    )
    others = unsettled.select("record_id", F.lit(SILVER).alias("place"), F.lit(None).cast("string").alias("rule"))
    rows = settled.where(~beaten).select(*silver.column_names)
    return Wanted(rows, faults.unionByName(contested).unionByName(others))


def changed_ids(settled: DataFrame) -> DataFrame:
    """The `record_id`s whose silver rows come, change or go."""
    return settled.where(F.col("_outcome").isin(INSERT, UPDATE, DISPLACE)).select("record_id").distinct()


def fate_differences(fates: DataFrame, in_silver: DataFrame, in_rejected: DataFrame) -> DataFrame:
    """Records that are lost, twice there, unknown to bronze, or on the wrong side; columns of `DIFFERENCE`.

    `in_silver` needs `record_id`, `in_rejected` `record_id` and `rule`. A record that waits in rejected for its
    reference row, which has come since, is no difference: `redrivable` counts those.
    """
    found = _found(in_silver, in_rejected)
    both = _expected_fates(fates).join(found, "record_id", how="full_outer")
    places = F.coalesce("in_silver", F.lit(0)) + F.coalesce("in_rejected", F.lit(0))
    kind = (
        F.when(F.col("place").isNull(), UNKNOWN)
        .when(F.col("deliveries") > 1, TWICE)
        .when(places == 0, LOST)
        .when(places > 1, TWICE)
        .when(_waits(), F.lit(None))
        .when(_wrong_side() | _other_rule(), MISPLACED)
    )
    where = F.concat_ws(
        " and ", _times("in_silver", F.lit(SILVER)), _times("in_rejected", F.concat(F.lit("rejected: "), "found_rule"))
    )
    expected = (
        F.when(F.col("place").isNull(), "no such record in bronze")
        .when(F.col("deliveries") > 1, "one record in bronze")
        .otherwise(F.concat_ws(": ", "place", "wanted_rule"))
    )
    found_text = F.when(F.col("deliveries") > 1, F.concat("deliveries", F.lit(" in bronze"))).when(
        places == 0, "neither in silver nor in rejected"
    )
    return (
        both.withColumn("kind", kind)
        .where("kind IS NOT NULL")
        .select(
            "kind",
            F.col("record_id").alias("key"),
            F.lit("record_id").alias("column"),
            expected.alias("expected"),
            F.coalesce(found_text, where).alias("found"),
            F.array("record_id").alias("records"),
        )
    )


def redrivable(fates: DataFrame, in_rejected: DataFrame) -> DataFrame:
    """The `record_id`s rejected for want of a reference row that is there now."""
    waiting = in_rejected.where(F.col("rule") == REDRIVABLE).select("record_id")
    return fates.where(F.col("place") == SILVER).join(waiting, "record_id", how="left_semi").select("record_id")


def identity_differences(in_silver: DataFrame, silver: Contract) -> DataFrame:
    """Identities with more than one silver row; columns of `DIFFERENCE`."""
    rows = in_silver.groupBy(*silver.identity).agg(
        F.count("*").alias("n"), F.sort_array(F.collect_list("record_id")).alias("records")
    )
    return rows.where("n > 1").select(
        F.lit(TWICE).alias("kind"),
        F.concat_ws(", ", *(F.col(name).cast("string") for name in silver.identity)).alias("key"),
        F.lit(", ".join(silver.identity)).alias("column"),
        F.lit("one row of this identity").alias("expected"),
        F.concat(F.col("n").cast("string"), F.lit(" rows: "), F.array_join("records", ", ")).alias("found"),
        "records",
    )


def value_differences(rows: DataFrame, in_silver: DataFrame, silver: Contract) -> DataFrame:
    """Values that are not as wanted, of records that are in silver as they must be: one row a value."""
    names = [name for name in silver.column_names if name != "record_id"]
    left = rows.select("record_id", *(F.col(name).alias(f"w_{name}") for name in names))
    right = in_silver.select("record_id", *(F.col(name).alias(f"f_{name}") for name in names))
    cells = F.array(*(_cell(name) for name in names))
    wrong = left.join(right, "record_id").select("record_id", F.explode(cells).alias("cell")).where("cell IS NOT NULL")
    return wrong.select(
        F.lit(VALUE).alias("kind"),
        F.col("record_id").alias("key"),
        "cell.column",
        "cell.expected",
        "cell.found",
        F.array("record_id").alias("records"),
    )


def strange_changes(feed: DataFrame, changed: DataFrame) -> DataFrame:
    """Rows of silver's change feed that no record of bronze accounts for; columns of `DIFFERENCE`."""
    strange = feed.join(changed, "record_id", how="left_anti").where("_change_type <> 'update_preimage'")
    return strange.select(
        F.lit(CHANGED).alias("kind"),
        F.col("record_id").alias("key"),
        F.lit("record_id").alias("column"),
        F.lit("no change").alias("expected"),
        F.concat_ws(" ", "_change_type", F.lit("in version"), F.col("_commit_version").cast("string")).alias("found"),
        F.array("record_id").alias("records"),
    )


def moved_rejected(before: DataFrame, now: DataFrame) -> DataFrame:
    """The records whose rejected rows are other ones now than before: `record_id`, and whether they were `rewritten`.

    Rewritten: as many rows as before and for the same rule, but not those that a redrive left. No job does that.
    """
    both = _rejected_rows(before, "was").join(_rejected_rows(now, "now"), "record_id", how="full_outer")
    same = (F.col("was.rule") == F.col("now.rule")) & (F.col("was.rows") == F.col("now.rows"))
    rewritten = F.coalesce(same & ~F.col("now.batch").startswith(REDRIVE_TAG), F.lit(False))
    return both.where(~F.col("was").eqNullSafe(F.col("now"))).select("record_id", rewritten.alias("rewritten"))


def strange_rejected(moved: DataFrame, version: int) -> DataFrame:
    """Rejected rows that somebody rewrote since a version; columns of `DIFFERENCE`."""
    return moved.where("rewritten").select(
        F.lit(CHANGED).alias("kind"),
        F.col("record_id").alias("key"),
        F.lit("record_id").alias("column"),
        F.lit("no change").alias("expected"),
        F.lit(f"another row than in version {version}").alias("found"),
        F.array("record_id").alias("records"),
    )


def arrivals(feed: DataFrame) -> DataFrame:
    """The `record_id`s that a change feed brings into silver and that were not there before it."""
    left = F.col("_change_type").isin("update_preimage", "delete")
    earliest = F.min(F.struct(F.col("_commit_version"), (~left).alias("came"))).alias("earliest")
    return feed.groupBy("record_id").agg(earliest).where("earliest.came").select("record_id")


def kpi_differences(computed: DataFrame, found: DataFrame, gold: Contract) -> DataFrame:
    """Gold rows that are missing, too many or have other figures than `computed`; columns of `DIFFERENCE`.

    `computed` has the gold contract's columns. A `key` is the KPI, day and dimensions, as JSON.
    """
    figures = [name for name in gold.column_names if name not in gold.identity]
    left = _keyed(computed, gold, figures, "w")
    right = _keyed(found, gold, figures, "f")
    both = left.join(right, "key", how="full_outer")
    same = reduce(Column.__and__, (F.col(f"w.{name}").eqNullSafe(F.col(f"f.{name}")) for name in figures))
    differs = ~same | F.col("w").isNull() | F.col("f").isNull() | (F.col("f_rows") > 1)
    found_text = F.when(F.col("f_rows") > 1, F.concat(F.col("f_rows").cast("string"), F.lit(" rows"))).otherwise(
        F.to_json("f")
    )
    return both.where(differs).select(
        F.when(F.col("w").isNull(), UNKNOWN)
        .when(F.col("f").isNull(), LOST)
        .when(F.col("f_rows") > 1, TWICE)
        .otherwise(VALUE)
        .alias("kind"),
        "key",
        F.lit(", ".join(figures)).alias("column"),
        F.coalesce(F.to_json("w"), F.lit("no row")).alias("expected"),
        F.coalesce(found_text, F.lit("no row")).alias("found"),
        F.array().cast("array<string>").alias("records"),
    )


def _keyed(rows: DataFrame, gold: Contract, figures: list[str], name: str) -> DataFrame:
    key = F.to_json(F.struct(*(F.col(each) for each in gold.identity))).alias("key")
    return rows.groupBy(key).agg(F.first(F.struct(*figures)).alias(name), F.count("*").alias(f"{name}_rows"))


def _expected_fates(fates: DataFrame) -> DataFrame:
    """One row a record; `deliveries` is how often bronze holds its name."""
    return fates.groupBy("record_id").agg(
        F.min("place").alias("place"), F.min("rule").alias("wanted_rule"), F.count("*").alias("deliveries")
    )


def _found(in_silver: DataFrame, in_rejected: DataFrame) -> DataFrame:
    one, none = F.lit(1).alias("in_silver"), F.lit(0).alias("in_silver")
    silver = in_silver.select("record_id", one, F.lit(0).alias("in_rejected"), F.lit(None).cast("string").alias("rule"))
    rejected = in_rejected.select("record_id", none, F.lit(1).alias("in_rejected"), "rule")
    return (
        silver.unionByName(rejected)
        .groupBy("record_id")
        .agg(
            F.sum("in_silver").alias("in_silver"),
            F.sum("in_rejected").alias("in_rejected"),
            F.max("rule").alias("found_rule"),
        )
    )


def _rejected_rows(rows: DataFrame, name: str) -> DataFrame:
    """Per record what tells its rejected rows from others, as the struct `name`."""
    row = F.xxhash64(*(F.col(each) for each in rows.columns))
    told = (
        F.min("rule").alias("rule"),
        F.min("batch").alias("batch"),
        F.count("*").alias("rows"),
        F.sort_array(F.collect_list(row)).alias("sums"),
    )
    names = ("rule", "batch", "rows", "sums")
    return rows.groupBy("record_id").agg(*told).select("record_id", F.struct(*names).alias(name))


def _waits() -> Column:
    return (F.col("place") == SILVER) & (F.col("in_rejected") == 1) & (F.col("found_rule") == REDRIVABLE)


def _wrong_side() -> Column:
    silver = (F.col("place") == SILVER) & (F.col("in_silver") == 0)
    return silver | ((F.col("place") == REJECTED) & (F.col("in_rejected") == 0))


def _other_rule() -> Column:
    """Which of three rivals beat which may depend on the batches: that a rival is rejected does not."""
    rival = F.col("wanted_rule").isNull() & ~F.col("found_rule").isin(*RIVAL_RULES)
    fault = F.col("wanted_rule").isNotNull() & (F.col("found_rule") != F.col("wanted_rule"))
    return (F.col("place") == REJECTED) & (rival | fault)


def _times(count: str, place: Column) -> Column:
    many = F.concat_ws(" x ", F.col(count).cast("string"), place)
    return F.when(F.col(count) > 1, many).when(F.col(count) == 1, place)


def _cell(name: str) -> Column:
    expected, found = F.col(f"w_{name}"), F.col(f"f_{name}")
    cell = F.struct(
        F.lit(name).alias("column"),
        F.coalesce(expected.cast("string"), F.lit("null")).alias("expected"),
        F.coalesce(found.cast("string"), F.lit("null")).alias("found"),
    )
    return F.when(~expected.eqNullSafe(found), cell)
