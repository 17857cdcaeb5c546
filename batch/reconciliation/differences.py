"""What silver, rejected and gold must hold, and where they do not: pure plans, over frames that the caller pinned.

    recomputed rows --expected--> what must become of each record
    expected + silver, rejected as they are --judged--> one row a record --differences--> one row a difference

Planning is what a comparison of few rows costs: so each record is judged once, by one grouping of all that is known of
it, and a table's comparisons are one plan.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from batch.reconciliation.recomputed.contest import AGAIN, EXISTING, WON
from batch.reconciliation.recomputed.silver import CHANGED as SETTLED_ANEW
from lakehouse.contracts import Contract

SILVER, REJECTED = "silver", "rejected"
RIVAL_RULES = ("duplicate", "superseded")
# A record rejected for this passes once its reference row is there: `lakehouse redrive` takes it up.
REDRIVABLE = "reference"
# How the `batch` of a rejected row begins that `lakehouse redrive` wrote.
REDRIVE_TAG = "redrive:"
LOST, TWICE, UNKNOWN, MISPLACED, VALUE, CHANGED = "lost", "twice", "unknown", "misplaced", "value", "changed"
# What is compared.
RECORDS, IDENTITIES, VALUES = "records = silver + rejected", "one row an identity", "values = recomputation"
NOTHING_ELSE, REJECTED_STAYED = "no other changes", "no other changes in rejected"
KPIS, OTHER_DAYS = "KPIs = independent SQL", "other days unchanged"

DIFFERENCE = ("kind", "key", "column", "expected", "found", "records")
"""Columns of a difference: all strings, but `records`, the `record_id`s that it is about (an array)."""


def waiting(in_rejected: DataFrame) -> DataFrame:
    """The `record_id`s that are in rejected for want of a reference row: for silver they have not happened yet."""
    return in_rejected.where(F.col("rule") == REDRIVABLE).select("record_id").distinct()


def expected(enriched: DataFrame, recomputed: DataFrame, others: DataFrame, silver: Contract) -> DataFrame:
    """What must become of records, one row a delivery.

    `enriched` are the records of bronze with their errors, `recomputed` what `recomputed.silver` makes of those that
    compete. `others` holds the `record_id`s of what belongs into silver and takes no part, and whether bronze
    `delivered` them just now. Columns: `record_id`, `place` (silver or rejected), `rule` (the broken one; null of what
    is not faulty), `wanted` (the silver row, null where there is none or it is not known), `delivered` (0 or 1).
    """
    none = F.lit(None)
    row = F.struct(*silver.column_names)
    stands = F.when(F.col(WON), row)
    place = F.when(F.col(WON) | F.col(AGAIN), SILVER).otherwise(REJECTED)
    competed = recomputed.select(
        "record_id",
        place.alias("place"),
        none.cast("string").alias("rule"),
        stands.alias("wanted"),
        (~F.col(EXISTING)).cast("int").alias("delivered"),
    )
    unknown = none.cast(competed.schema["wanted"].dataType).alias("wanted")
    rule = F.get("errors", F.lit(0))["rule"].alias("rule")
    faulty = enriched.where(F.size("errors") > 0)
    faults = faulty.select("record_id", F.lit(REJECTED).alias("place"), rule, unknown, F.lit(1).alias("delivered"))
    no_rule = none.cast("string").alias("rule")
    rest = others.select("record_id", F.lit(SILVER).alias("place"), no_rule, unknown, F.col("delivered").cast("int"))
    return competed.unionByName(faults).unionByName(rest)


def changed_ids(recomputed: DataFrame) -> DataFrame:
    """The `record_id`s whose silver rows come, change or go."""
    return recomputed.where(SETTLED_ANEW).select("record_id").distinct()


def judged(wanted: DataFrame, in_silver: DataFrame, in_rejected: DataFrame, silver: Contract) -> DataFrame:
    """Of each record what must become of it (columns of `expected`) beside what did, one row a record.

    `delivered` is how often bronze holds its name, `in_silver` and `in_rejected` how often they do; `row` is a silver
    row of it, `found_rule` a rule of its rejected rows, and `redrivable` says whether one waits for a reference row.
    """
    one, zero = F.lit(1), F.lit(0)
    row = F.struct(*silver.column_names).alias("row")
    of_silver = in_silver.select("record_id", row, one.alias("in_silver"))
    of_rejected = in_rejected.select("record_id", F.col("rule").alias("found_rule"), one.alias("in_rejected"))
    together = wanted.unionByName(of_silver, allowMissingColumns=True)
    together = together.unionByName(of_rejected, allowMissingColumns=True)
    counts = (F.coalesce(F.sum(name), zero).alias(name) for name in ("delivered", "in_silver", "in_rejected"))
    return together.groupBy("record_id").agg(
        F.min("place").alias("place"),
        F.min("rule").alias("rule"),
        F.first("wanted", ignorenulls=True).alias("wanted"),
        F.first("row", ignorenulls=True).alias("row"),
        F.max("found_rule").alias("found_rule"),
        F.coalesce(F.max(F.col("found_rule") == REDRIVABLE), F.lit(False)).alias("redrivable"),
        *counts,
    )


def rows_judged() -> dict[str, Column]:
    """How much was compared, as aggregates over `judged`."""
    return {
        RECORDS: F.sum("delivered"),
        VALUES: F.sum("in_silver"),
        REJECTED_STAYED: F.sum("in_rejected"),
        REDRIVABLE: F.count_if(F.col("redrivable") & (F.col("place") == SILVER)),
    }


def record_differences(judgements: DataFrame, silver: Contract) -> DataFrame:
    """From `judged`: records that are lost, twice there, unknown to bronze, or on the wrong side, and values that are
    not as wanted; columns `what` and those of `DIFFERENCE`.

    A record that waits in rejected for its reference row, which has come since, is no difference.
    """
    cells = (_cell(name) for name in silver.column_names if name != "record_id")
    found = F.filter(F.array(_fate(), *cells), lambda each: each.isNotNull())
    rows = judgements.select(F.col("record_id").alias("key"), F.explode(found).alias("each"))
    return rows.select(
        "each.what", "each.kind", "key", "each.column", "each.expected", "each.found", F.array("key").alias("records")
    )


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


def kpis_judged(computed: DataFrame, found: DataFrame, gold: Contract) -> DataFrame:
    """Of each key of a gold table the figures as they must be, `wanted`, and as they are, `row`, with how many `rows`.

    `computed` has the gold contract's columns. A `key` is the KPI, day and dimensions, as JSON.
    """
    key = F.to_json(F.struct(*gold.identity)).alias("key")
    figures = F.struct(*_figures(gold))
    together = computed.select(key, figures.alias("wanted"), F.lit(0).alias("rows")).unionByName(
        found.select(key, figures.alias("row"), F.lit(1).alias("rows")), allowMissingColumns=True
    )
    first = (F.first(name, ignorenulls=True).alias(name) for name in ("wanted", "row"))
    return together.groupBy("key").agg(*first, F.sum("rows").alias("rows"))


def kpi_differences(judgements: DataFrame, gold: Contract) -> DataFrame:
    """From `kpis_judged`: rows that are missing, too many or have other figures; columns of `DIFFERENCE`."""
    wanted, row, rows = F.col("wanted"), F.col("row"), F.col("rows")
    differs = ~wanted.eqNullSafe(row) | (rows > 1)
    many = F.when(rows > 1, F.concat(rows.cast("string"), F.lit(" rows")))
    return judgements.where(differs).select(
        F.when(wanted.isNull(), UNKNOWN).when(row.isNull(), LOST).when(rows > 1, TWICE).otherwise(VALUE).alias("kind"),
        "key",
        F.lit(", ".join(_figures(gold))).alias("column"),
        F.coalesce(F.to_json("wanted"), F.lit("no row")).alias("expected"),
        F.coalesce(many, F.to_json("row"), F.lit("no row")).alias("found"),
        F.array().cast("array<string>").alias("records"),
    )


def _figures(gold: Contract) -> list[str]:
    return [name for name in gold.column_names if name not in gold.identity]


def _fate() -> Column:
    """The difference of a record that is not where it must be; null of others."""
    places = F.col("in_silver") + F.col("in_rejected")
    kind = (
        F.when(F.col("place").isNull(), UNKNOWN)
        .when(F.col("delivered") > 1, TWICE)
        .when(places == 0, LOST)
        .when(places > 1, TWICE)
        .when(_waits(), F.lit(None))
        .when(_wrong_side() | _other_rule(), MISPLACED)
    )
    expected = (
        F.when(F.col("place").isNull(), "no such record in bronze")
        .when(F.col("delivered") > 1, "one record in bronze")
        .otherwise(F.concat_ws(": ", "place", "rule"))
    )
    where = F.concat_ws(
        " and ", _times("in_silver", F.lit(SILVER)), _times("in_rejected", F.concat(F.lit("rejected: "), "found_rule"))
    )
    found = (
        F.when(F.col("delivered") > 1, F.concat(F.col("delivered").cast("string"), F.lit(" in bronze")))
        .when(places == 0, "neither in silver nor in rejected")
        .otherwise(where)
    )
    return F.when(kind.isNotNull(), _difference(F.lit(RECORDS), kind, F.lit("record_id"), expected, found))


def _cell(name: str) -> Column:
    """The difference of a value that is not as wanted; null of others, and of records without both rows."""
    wanted, found = F.col("wanted")[name], F.col("row")[name]
    both = F.col("wanted").isNotNull() & F.col("row").isNotNull()
    texts = (F.coalesce(each.cast("string"), F.lit("null")) for each in (wanted, found))
    return F.when(both & ~wanted.eqNullSafe(found), _difference(F.lit(VALUES), F.lit(VALUE), F.lit(name), *texts))


def _difference(what: Column, kind: Column, column: Column, expected: Column, found: Column) -> Column:
    named = {"what": what, "kind": kind, "column": column, "expected": expected, "found": found}
    return F.struct(*(each.cast("string").alias(name) for name, each in named.items()))


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
    rival = F.col("rule").isNull() & ~F.col("found_rule").isin(*RIVAL_RULES)
    fault = F.col("rule").isNotNull() & (F.col("found_rule") != F.col("rule"))
    return (F.col("place") == REJECTED) & (rival | fault)


def _times(count: str, place: Column) -> Column:
    many = F.concat_ws(" x ", F.col(count).cast("string"), place)
    return F.when(F.col(count) > 1, many).when(F.col(count) == 1, place)
