"""KPIs from silver rows as pure plans: rows to contributions, contributions to signed sums, sums to the merge.

    silver rows (all of them, or a change feed) --contributions--> one row per row and KPI it counts for
    contributions --sums--> what to add to each gold row      contributions --percentiles--> what to set it to

The key of a gold row is its contract's identity. Nothing here reads or writes; `streaming/gold.py` supplies the change
feeds and carries the merge out.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse.contracts import Contract
from lakehouse.kpi_model import Contribution, Kpi
from lakehouse.kpis import KPIS

AMOUNT = "decimal(28,4)"
VALUE = "decimal(38,10)"
# Besides a gold row's key: the percentile to recompute, null for what adds up.
PERCENTILE = "_percentile"
# How many contributions a sum is made of, whatever their sign.
ROWS = "_rows"
TABLES = tuple(dict.fromkeys(kpi.table.removeprefix("gold.") for kpi in KPIS))


def kpis_of(table: str) -> tuple[Kpi, ...]:
    """The KPIs of a gold table such as `sales_kpis`, as declared."""
    return tuple(kpi for kpi in KPIS if kpi.table == f"gold.{table}")


def sources_of(table: str) -> tuple[str, ...]:
    """The silver tables that a gold table's KPIs read, such as `silver.validated_pos`, in the order of declaration."""
    return tuple(dict.fromkeys(each.source for kpi in kpis_of(table) for each in kpi.contributions))


def ranked_sources_of(table: str) -> tuple[str, ...]:
    """The silver tables behind a gold table's percentiles; none when all its KPIs add up."""
    ranked = (each for kpi in kpis_of(table) for each in kpi.contributions if each.percentile is not None)
    return tuple(dict.fromkeys(each.source for each in ranked))


def fingerprint(gold: Contract, silver_ids: Sequence[str]) -> str:
    """A short hash of everything a gold table's rows follow from besides silver's rows.

    That is its KPI declarations, its contract's version and which silver tables feed it (`silver_ids`): where one of
    them differs, rows made before do not add up with rows made now.
    """
    declared = [asdict(kpi) for kpi in kpis_of(gold.name)]
    text = json.dumps([declared, gold.version, list(silver_ids)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def contributions(silver: DataFrame, source: str, gold: Contract, sign: Column | None = None) -> DataFrame:
    """One row per row of the silver table `source` and KPI of the table `gold` that it counts for; map-only.

    Columns: the gold key, `month`, `_percentile`, `numerator` and `denominator` (null where it is the constant 1) as
    decimal(28,4), `contributions` (1). Where `sign` is -1 the last three are negative: the row is taken back.
    """
    counted = [
        F.when(F.expr(each.where), _contribution(kpi.name, each, gold))
        for kpi in kpis_of(gold.name)
        for each in kpi.contributions
        if each.source == source
    ]
    exploded = silver.select(
        (F.lit(1) if sign is None else sign).alias("sign"), F.explode(F.array(*counted)).alias("c")
    )
    columns = {name: F.col(f"c.{name}") for name in key_of(gold) if name != "month"}
    columns["month"] = F.date_format("c.period_start", "yyyy-MM")
    for name in ("numerator", "denominator"):
        columns[name] = F.when(F.col("sign") < 0, -F.col(f"c.{name}")).otherwise(F.col(f"c.{name}"))
    columns["contributions"] = F.col("sign").cast("bigint")
    return exploded.where("c IS NOT NULL").select(*(column.alias(name) for name, column in columns.items()))


def _contribution(name: str, declared: Contribution, gold: Contract) -> Column:
    columns = {"kpi_name": F.lit(name), "period_start": F.to_date(F.expr(declared.day))}
    for column in gold.identity:
        dimension = F.expr(declared.dimensions.get(column, "null"))
        columns.setdefault(column, dimension.cast(gold.column(column).type))
    columns[PERCENTILE] = F.lit(declared.percentile).cast("int")
    columns["numerator"] = _amount(declared.numerator)
    columns["denominator"] = F.lit(None).cast(AMOUNT) if declared.denominator is None else _amount(declared.denominator)
    return F.struct(*(column.alias(name) for name, column in columns.items()))


def _amount(expression: str) -> Column:
    return F.coalesce(F.expr(expression).cast(AMOUNT), F.lit(0).cast(AMOUNT))


def key_of(gold: Contract) -> list[str]:
    """What identifies a row of signed sums: the gold key, the month that follows from it, and the percentile."""
    return [*gold.identity, "month", PERCENTILE]


def sums(contributed: DataFrame, gold: Contract) -> DataFrame:
    """The signed sums per key; a sum that exceeds decimal(28,4) raises, it never becomes null.

    `denominator` stays null where it is the constant 1. Keys at which everything nets to zero are still there:
    `changes` tells them apart. For percentiles only the key counts.
    """
    return contributed.groupBy(*key_of(gold)).agg(
        F.sum("numerator").cast(AMOUNT).alias("numerator"),
        F.sum("denominator").cast(AMOUNT).alias("denominator"),
        F.sum("contributions").alias("contributions"),
        F.count("*").alias(ROWS),
    )


def changes() -> Column:
    """Whether signed sums change their gold row: rows taken back and added again alike add nothing.

    Different values can swap without moving a sum, so a percentile's key always counts as changed.
    """
    nonzero = [F.coalesce(F.col(each), F.lit(0)) != 0 for each in ("numerator", "denominator", "contributions")]
    return reduce(Column.__or__, nonzero, F.col(PERCENTILE).isNotNull())


@dataclass(frozen=True)
class Touched:
    """What a batch of sums touches: KPI names, months, first and last day (ISO), and whether percentiles.

    `contributions` is how many contributions the sums are made of.
    """

    kpis: tuple[str, ...]
    months: tuple[str, ...]
    days: tuple[str, str]
    contributions: int
    percentiles: bool


def survey(signed: pa.Table) -> Touched | None:
    """What these sums touch; None when there are none."""
    if signed.num_rows == 0:
        return None
    days = signed["period_start"]
    return Touched(
        kpis=tuple(sorted(str(name) for name in signed["kpi_name"].unique().to_pylist())),
        months=tuple(sorted(str(month) for month in signed["month"].unique().to_pylist())),
        days=(str(pc.min(days).as_py()), str(pc.max(days).as_py())),
        contributions=int(pc.sum(signed[ROWS]).as_py()),
        percentiles=signed[PERCENTILE].null_count < signed.num_rows,
    )


def percentiles(contributed: DataFrame, gold: Contract) -> DataFrame:
    """The discrete nearest-rank percentile (`sorted[ceil(p * n) - 1]`) per key, with the columns of `sums`.

    `contributed` must hold all contributions to each key, none of them taken back.
    """
    ranked = F.sort_array(F.collect_list("numerator"))
    position = F.expr(f"int((contributions * {PERCENTILE} + 99) div 100)")
    return (
        contributed.where(f"{PERCENTILE} IS NOT NULL")
        .groupBy(*key_of(gold))
        .agg(ranked.alias("ranked"), F.count("*").alias("contributions"))
        .withColumn("numerator", F.element_at("ranked", position))
        .withColumn("denominator", F.lit(1).cast(AMOUNT))
        .select(*key_of(gold), "numerator", "denominator", "contributions")
    )


def merge_source(signed: DataFrame, silver: Mapping[str, DataFrame], gold: Contract, touched: Touched) -> DataFrame:
    """The rows that a merge brings in: sums to add, and the percentiles of touched keys as they are in silver now.

    `silver` holds the whole tables of `ranked_sources_of`; of them only rows of touched days are read. A percentile
    that no row is left for has 0 contributions.
    """
    if not touched.percentiles:
        return signed
    contributed = reduce(
        DataFrame.unionByName,
        (
            contributions(silver[source].where(_ranked_on(touched.days, source, gold)), source, gold)
            for source in ranked_sources_of(gold.name)
        ),
    )
    keys = signed.where(f"{PERCENTILE} IS NOT NULL").select(*key_of(gold)).alias("k")
    found = percentiles(contributed, gold).alias("p")
    same = reduce(Column.__and__, (F.col(f"k.{name}").eqNullSafe(F.col(f"p.{name}")) for name in key_of(gold)))
    ranked = keys.join(found, same, how="left").select(
        "k.*", "p.numerator", "p.denominator", F.coalesce("p.contributions", F.lit(0)).alias("contributions")
    )
    return signed.where(f"{PERCENTILE} IS NULL").drop(ROWS).unionByName(ranked)


def _ranked_on(days: tuple[str, str], source: str, gold: Contract) -> str:
    """SQL that the rows of a silver table behind percentiles of these days satisfy, made for Delta's file skipping."""
    first, last = days
    ranges = (
        f"({each.where}) AND {each.day} >= DATE'{first}' AND {each.day} < DATE'{last}' + INTERVAL 1 DAY"
        for kpi in kpis_of(gold.name)
        for each in kpi.contributions
        if each.source == source and each.percentile is not None
    )
    return " OR ".join(dict.fromkeys(ranges))


def recompute(gold: Contract, silver: Mapping[str, DataFrame]) -> DataFrame:
    """The whole gold table from whole silver tables (`silver.validated_pos` -> rows), with the contract's columns."""
    contributed = reduce(
        DataFrame.unionByName, (contributions(silver[source], source, gold) for source in sources_of(gold.name))
    )
    added = sums(contributed.where(f"{PERCENTILE} IS NULL"), gold)
    columns = {name: F.col(name) for name in gold.column_names if name != "value"}
    columns["denominator"] = F.coalesce("denominator", F.lit(1).cast(AMOUNT))
    columns["value"] = F.expr(_value("numerator", "coalesce(denominator, 1)"))
    rows = added.drop(ROWS).unionByName(percentiles(contributed, gold))
    return rows.select(*(columns[name].alias(name) for name in gold.column_names))


def _value(numerator: str, denominator: str) -> str:
    """SQL for numerator over denominator, half up at 10 digits, null at 0.

    Both are decimal(28,4) first: the scale of a quotient follows from the types of its operands.
    """
    operands = f"cast({numerator} AS {AMOUNT}) / nullif(cast({denominator} AS {AMOUNT}), 0)"
    return f"cast({operands} AS {VALUE})"


class Merge:
    """The clauses that bring changes `s` (columns of `sums`) into the gold table `t`, as Delta's merge takes them."""

    def __init__(self, gold: Contract, touched: Touched) -> None:
        """`touched` bounds the changes: Delta opens only files in there."""
        key = [f"t.`{name}` <=> s.`{name}`" for name in gold.identity]
        bounds = [
            f"t.kpi_name IN ({_literals(touched.kpis)})",
            f"t.month IN ({_literals(touched.months)})",
            f"t.period_start BETWEEN DATE'{touched.days[0]}' AND DATE'{touched.days[1]}'",
            "t.month = s.month",
        ]
        self.condition = " AND ".join([*bounds, *key])
        added = f"s.{PERCENTILE} IS NULL"
        contributions = f"if({added}, t.contributions + s.contributions, s.contributions)"
        numerator = f"cast(if({added}, t.numerator + s.numerator, s.numerator) AS {AMOUNT})"
        denominator = f"cast(if({added}, coalesce(t.denominator + s.denominator, 1), s.denominator) AS {AMOUNT})"
        self.delete_if = f"{contributions} = 0"
        self.update = {
            "numerator": numerator,
            "denominator": denominator,
            "value": _value(numerator, denominator),
            "contributions": _positive(contributions, gold),
        }
        # A percentile whose only rows came and went within the batch has nothing to insert.
        self.insert_if = f"{added} OR s.contributions > 0"
        self.insert = {f"`{name}`": f"s.`{name}`" for name in (*gold.identity, "month", "numerator")} | {
            "denominator": "coalesce(s.denominator, 1)",
            "value": _value("s.numerator", "coalesce(s.denominator, 1)"),
            "contributions": _positive("s.contributions", gold),
        }


def _positive(contributions: str, gold: Contract) -> str:
    """The invariant that additive maintenance rests on: gold holds what silver's change feed takes back."""
    message = (
        f"gold.{gold.name} lacks rows that silver takes back: it was written by something else than its query. "
        "Remove the checkpoint folder of the query: the table is then built anew"
    )
    return f"if({contributions} > 0, {contributions}, raise_error('{message}'))"


def _literals(values: Sequence[str]) -> str:
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)
