"""Every KPI of the gold tables, from the rows of the silver tables."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, localcontext

from local.oracle.checking import Row
from local.oracle.lexical import rounded

ONE, ZERO = Decimal(1), Decimal(0)
DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    "sales_kpis": ("store_id", "region", "category", "product_id"),
    "marketing_funnel": ("campaign_id", "stage", "region"),
    "customer_insights": ("interaction_type", "channel", "statistic"),
    "operations_kpis": ("warehouse_id", "region", "category"),
}
STAGES = {"impression": "impression", "click": "click", "view": "view", "add_to_cart": "cart", "purchase": "purchase"}
ENGAGED = ("click", "scroll", "add_to_cart", "purchase")
Silver = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class GoldKey:
    """One row of a gold table; `dimensions` are those of the table, in its order, None where the KPI has no such."""

    table: str
    kpi: str
    day: date
    dimensions: tuple[str | int | None, ...]


@dataclass(frozen=True)
class Figures:
    """A KPI's value and what it is made of; a value of None stands for a denominator of 0."""

    numerator: Decimal
    denominator: Decimal
    value: Decimal | None


@dataclass(frozen=True)
class Part:
    """What one silver row adds to a KPI; without a denominator the KPI is a plain sum."""

    key: GoldKey
    numerator: Decimal
    denominator: Decimal | None = None


def gold_of(silver: Silver) -> dict[GoldKey, Figures]:
    """All rows of all gold tables."""
    sums: dict[GoldKey, list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    plain: set[GoldKey] = set()
    with localcontext(prec=60):
        for table, parts in _PARTS.items():
            for row in silver[table]:
                for part in parts(row):
                    sums[part.key][0] += rounded(part.numerator, 4)
                    sums[part.key][1] += rounded(part.denominator or ZERO, 4)
                    if part.denominator is None:
                        plain.add(part.key)
    gold = {key: _figures(total, ONE if key in plain else weight) for key, (total, weight) in sums.items()}
    return gold | _percentiles(silver["customer_interactions"])


def _figures(numerator: Decimal, denominator: Decimal) -> Figures:
    with localcontext(prec=80):
        value = (numerator / denominator).quantize(Decimal("1e-10"), ROUND_HALF_UP) if denominator else None
    return Figures(numerator, denominator, value)


def _key(table: str, kpi: str, day: date, **dimensions: str | int | None) -> GoldKey:
    return GoldKey(table, kpi, day, tuple(dimensions.get(name) for name in DIMENSIONS[table]))


def _flag(condition: bool) -> Decimal:
    return ONE if condition else ZERO


def _pos(row: Row) -> Iterator[Part]:
    day = row["event_time"].date()
    revenue = row["quantity"] * row["unit_price"]
    discount = row["discount_applied"] or ZERO
    if row["type"] == "sale":
        store, category = row["store_id"], row["category"]
        units = Decimal(row["quantity"])
        yield Part(_key("sales_kpis", "revenue_by_store", day, store_id=store), revenue)
        yield Part(_key("sales_kpis", "revenue_by_region", day, region=row["region"]), revenue)
        yield Part(_key("sales_kpis", "units_sold", day, category=category), units)
        basket = _flag(row["is_first_line"])
        yield Part(_key("sales_kpis", "average_basket", day, store_id=store), revenue, basket)
        yield Part(_key("sales_kpis", "daily_revenue", day), revenue)
        yield Part(_key("sales_kpis", "net_sales", day), revenue)
        yield Part(_key("operations_kpis", "inventory_turnover", day, category=category), units, ZERO)
    else:
        yield Part(_key("sales_kpis", "refunds", day), -revenue)
        yield Part(_key("sales_kpis", "net_sales", day), revenue)
    yield Part(_key("sales_kpis", "discounts", day), discount)
    yield Part(_key("sales_kpis", "net_sales", day), -discount)


def _inventory(row: Row) -> Iterator[Part]:
    day = row["event_time"].date()
    warehouse = row["warehouse_id"]
    in_stock = _flag(row["stock_level"] > 0)
    yield Part(_key("operations_kpis", "stock_availability", day, warehouse_id=warehouse), in_stock, ONE)
    if row["is_stockout"]:
        yield Part(_key("operations_kpis", "stockouts", day, warehouse_id=warehouse), ONE)
    if row["is_restock"]:
        yield Part(_key("operations_kpis", "restocks", day, warehouse_id=warehouse), ONE)
    if row["seconds_since_previous"] is not None:
        stock_days = Decimal(row["previous_level"] * row["seconds_since_previous"]) / 86_400
        yield Part(_key("operations_kpis", "inventory_turnover", day, category=row["type"]), ZERO, stock_days)


def _web(row: Row) -> Iterator[Part]:
    table = "marketing_funnel"
    day, kind = row["event_time"].date(), row["event_type"]
    campaign, product = row["campaign_id"], row["product_id"]
    if product is not None and kind in ("purchase", "view"):
        key = _key("sales_kpis", "product_conversion_rate", day, product_id=product, category=row["category"])
        yield Part(key, _flag(kind == "purchase"), _flag(kind == "view"))
    if campaign is not None and kind in ("click", "impression"):
        key = _key(table, "click_through_rate", day, campaign_id=campaign)
        yield Part(key, _flag(kind == "click"), _flag(kind == "impression"))
    if kind == "purchase" and row["last_touch_campaign"] is not None:
        key = _key(table, "campaign_roi", day, campaign_id=row["last_touch_campaign"])
        yield Part(key, row["order_value"] or ZERO, ZERO)
    if kind in STAGES:
        yield Part(_key(table, "funnel_stage", day, stage=STAGES[kind]), ONE)
    session_day, region, position = row["session_started_at"].date(), row["region"], row["position"]
    session = _flag(position == 1)
    seconds = row["seconds_since_previous"] or ZERO
    yield Part(_key(table, "session_duration", session_day, region=region), seconds, session)
    if position <= 2:
        yield Part(_key(table, "bounce_rate", session_day, region=region), ONE if position == 1 else -ONE, session)
    yield Part(_key(table, "engagement", session_day, region=region), _flag(kind in ENGAGED), session)


def _crm(row: Row) -> Iterator[Part]:
    table = "customer_insights"
    day, kind, channel = row["event_time"].date(), row["interaction_type"], row["channel"]
    if row["rating"] is not None:
        yield Part(_key(table, "feedback_score", day, channel=channel), Decimal(row["rating"]), ONE)
    yield Part(_key(table, "interaction_volume", day, interaction_type=kind, channel=channel), ONE)
    yield Part(_key(table, "complaint_share", day, channel=channel), _flag(kind == "complaint"), ONE)
    if kind == "loyalty":
        yield Part(_key(table, "loyalty_activity", day, channel=channel), ONE)
    if row["resolution_seconds"] is not None:
        key = _key(table, "resolution_time", day, interaction_type=kind, statistic="mean")
        yield Part(key, row["resolution_seconds"], ONE)


def _campaigns(row: Row) -> Iterator[Part]:
    key = _key("marketing_funnel", "campaign_roi", row["date"], campaign_id=row["campaign_id"])
    yield Part(key, -row["spend"], row["spend"])


def _percentiles(interactions: Sequence[Row]) -> dict[GoldKey, Figures]:
    """The discrete nearest-rank percentiles of the time to resolution."""
    seconds: dict[tuple[date, str], list[Decimal]] = defaultdict(list)
    for row in interactions:
        if row["resolution_seconds"] is not None:
            seconds[row["event_time"].date(), row["interaction_type"]].append(row["resolution_seconds"])
    gold: dict[GoldKey, Figures] = {}
    for (day, kind), values in seconds.items():
        values.sort()
        for percent in (50, 90):
            rank = -(-percent * len(values) // 100)
            key = _key("customer_insights", "resolution_time", day, interaction_type=kind, statistic=f"p{percent}")
            gold[key] = _figures(rounded(values[rank - 1], 4), ONE)
    return gold


_PARTS = {
    "validated_pos": _pos,
    "enriched_inventory": _inventory,
    "sessionized_web_logs": _web,
    "customer_interactions": _crm,
    "campaign_spend": _campaigns,
}
