"""What a row learns from the rows before it in its group: the causal attributes of the silver tables.

Every function here takes the rows of whole neighbourhoods of groups and fills the columns that its contract marks
`settled`. A row looks back only, never further than an unbroken chain of gaps. Rows marked `_fixed` lie before
everything that changes: they keep what they have and hand it on, so that no group is read from its start.
"""

from collections.abc import Callable, Mapping

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from lakehouse.contracts import Group

FIXED = "_fixed"

Settle = Callable[[DataFrame, Group], DataFrame]


def settle_basket_lines(rows: DataFrame, group: Group) -> DataFrame:
    """`is_first_line`: no line of the same basket (transaction and type) comes before it."""
    return rows.withColumn("is_first_line", _kept("is_first_line", _starts(group)))


def settle_stock_readings(rows: DataFrame, group: Group) -> DataFrame:
    """`previous_level`, `seconds_since_previous` (whole), `is_restock`, `is_stockout`, from the reading before."""
    before = _before(group)
    previous = F.when(~_starts(group), F.lag("stock_level").over(before))
    seconds = F.when(~_starts(group), _micros_since_previous(group).cast("decimal(20,0)") / F.lit(1_000_000))
    return rows.select(
        *_others(rows, "previous_level", "seconds_since_previous", "is_restock", "is_stockout"),
        _kept("previous_level", previous).alias("previous_level"),
        _kept("seconds_since_previous", F.floor(seconds).cast("bigint")).alias("seconds_since_previous"),
        _kept("is_restock", F.coalesce(F.col("stock_level") > previous, F.lit(False))).alias("is_restock"),
        _kept("is_stockout", F.coalesce((F.col("stock_level") == 0) & (previous > 0), F.lit(False))).alias(
            "is_stockout"
        ),
    )


def settle_sessions(rows: DataFrame, group: Group) -> DataFrame:
    """A visitor's sessions: where each began, the row's place in it, its landing page and last campaign so far."""
    started = _kept("session_started_at", F.when(_starts(group), F.col("event_time")))
    chained = rows.withColumn("session_started_at", started).withColumn(
        "session_started_at", F.last("session_started_at", ignorenulls=True).over(_until(_before(group)))
    )
    session = Window.partitionBy(group.key, "session_started_at").orderBy(*group.order)
    whole = session.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    position = F.coalesce(F.max(F.when(F.col(FIXED), F.col("position"))).over(whole), F.lit(0)) + F.sum(
        F.when(~F.col(FIXED), 1).otherwise(0)
    ).over(_until(session))
    landing_page = F.coalesce(
        F.max(F.when(F.col(FIXED), F.col("landing_page"))).over(whole), F.first("page").over(_until(session))
    )
    touch = F.when(F.col(FIXED), F.col("last_touch_campaign")).otherwise(F.col("campaign_id"))
    since = F.lag(F.unix_micros("event_time")).over(session)
    seconds = ((F.unix_micros("event_time") - since).cast("decimal(20,0)") / F.lit(1_000_000)).cast("decimal(18,6)")
    settled = {
        "session_key": F.concat_ws("@", group.key, F.unix_micros("session_started_at").cast("string")),
        "position": position.cast("int"),
        "seconds_since_previous": seconds,
        "landing_page": landing_page,
        "last_touch_campaign": F.last(touch, ignorenulls=True).over(_until(session)),
    }
    return chained.select(*_others(chained, *settled), *(_kept(name, to).alias(name) for name, to in settled.items()))


def settle_cases(rows: DataFrame, group: Group) -> DataFrame:
    """A case's current opening, whether it is resolved, and on the resolving event the seconds since the opening.

    Every `opened` event begins a new cycle; what precedes the first opening in a case has none.
    """
    opened = F.col("status").eqNullSafe("opened")
    resolves = F.col("status").eqNullSafe("resolved")
    begins = F.col(FIXED) | opened | _starts(group)
    numbered = rows.withColumn("_cycle", F.sum(F.when(begins, 1).otherwise(0)).over(_until(_before(group))))
    cycle = Window.partitionBy(group.key, "_cycle").orderBy(*group.order)
    head = F.struct(
        F.when(F.col(FIXED), F.col("case_opened_at")).when(opened, F.col("event_time")).alias("opened_at"),
        F.when(F.col(FIXED), F.col("case_resolved")).otherwise(F.lit(False)).alias("resolved"),
    )
    state = numbered.withColumn("_head", F.first(head).over(_until(cycle)))
    opened_at = F.col("_head.opened_at")
    resolutions = F.sum(F.when(resolves & ~F.col(FIXED), 1).otherwise(0)).over(_until(cycle))
    resolved = opened_at.isNotNull() & (F.col("_head.resolved") | (resolutions > 0))
    resolving = resolves & opened_at.isNotNull() & ~F.col("_head.resolved") & (resolutions == 1)
    micros = F.unix_micros("event_time") - F.unix_micros(opened_at)
    settled = {
        "case_opened_at": opened_at,
        "case_resolved": resolved,
        "resolution_seconds": F.when(
            resolving, (micros.cast("decimal(20,0)") / F.lit(1_000_000)).cast("decimal(18,6)")
        ),
    }
    return state.select(*_others(rows, *settled), *(_kept(name, to).alias(name) for name, to in settled.items()))


SETTLE: Mapping[str, Settle] = {
    "validated_pos": settle_basket_lines,
    "enriched_inventory": settle_stock_readings,
    "sessionized_web_logs": settle_sessions,
    "customer_interactions": settle_cases,
}


def _before(group: Group) -> WindowSpec:
    return Window.partitionBy(group.key).orderBy(*group.order)


def _until(window: WindowSpec) -> WindowSpec:
    return window.rowsBetween(Window.unboundedPreceding, Window.currentRow)


def _micros_since_previous(group: Group) -> Column:
    now = F.unix_micros("event_time")
    return now - F.lag(now).over(_before(group))


def _starts(group: Group) -> Column:
    """No row of the group lies before this one, or the last is more than the gap away."""
    gap = int(group.gap.total_seconds() * 1_000_000)
    return F.coalesce(_micros_since_previous(group) > gap, F.lit(True))


def _kept(name: str, value: Column) -> Column:
    return F.when(F.col(FIXED), F.col(name)).otherwise(value)


def _others(rows: DataFrame, *settled: str) -> list[Column]:
    return [F.col(name) for name in rows.columns if name not in settled]
