"""What each team sees: its KPI cards and charts, declared here over its gold table.

`kpis` in a statement is the team's gold table within the chosen days.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go

from local.dashboard import charts
from local.dashboard.charts import AMBER, BLUE, ROSE, VIOLET
from local.dashboard.numbers import Format, amount, duration, percent, rating, ratio, whole

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Card:
    """One number: the sum of a KPI's numerators, with `over` its ratio to the sum of the denominators.

    `where` (SQL) keeps some of the KPI's rows; `better` is 1 when more is better, -1 when less is, 0 when neither.
    With `counts` the number is the denominators' sum, such as the sessions of a rate per session.
    """

    title: str
    kpi: str
    text: Format
    over: bool = False
    counts: bool = False
    better: int = 1
    where: str = "true"


@dataclass(frozen=True)
class Panel:
    """One chart: a statement over `kpis` and what to draw of its rows; `kpi` names the declaration that explains it."""

    key: str
    title: str
    kpi: str
    statement: str
    draw: Callable[[Rows], go.Figure]
    note: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Team:
    """A page: its name, the gold table it reads, its cards and its charts."""

    key: str
    name: str
    table: str
    question: str
    cards: tuple[Card, ...]
    panels: tuple[Panel, ...] = field(default=())


def per_day(kpi: str, by: str | None = None, measure: str = "sum(numerator) / sum(denominator)", where: str = "true") -> str:
    """A KPI's value for each day (and value of the dimension `by`), most important dimension values first."""
    dimension = by or "null"
    return (
        f"select period_start as day, {dimension} as name, cast({measure} as double) as value, "
        f"sum(sum(abs(numerator) + abs(denominator))) over (partition by {dimension}) as weight "
        f"from kpis where kpi_name = '{kpi}' and {where} group by all order by weight desc, name, day"
    )  # fmt: skip


def ranking(kpi: str, by: str, measure: str = "sum(numerator)", most: int = 10, order: str = "value") -> str:
    """A KPI's value for each value of a dimension, the greatest `order` first."""
    return (
        f"select {by} as name, cast({measure} as double) as value from kpis where kpi_name = '{kpi}' "
        f"group by all having value is not null order by {order} desc, name limit {most}"
    )


RATIO = "sum(numerator) / nullif(sum(denominator), 0)"
TOTAL = "sum(numerator)"


def series(rows: Rows, most: int = 6) -> dict[Any, list[tuple[Any, float | None]]]:
    """Rows of (day, name, value) as a series per name, the first `most` names."""
    found: dict[Any, list[tuple[Any, float | None]]] = {}
    for row in rows:
        if row["name"] in found or len(found) < most:
            found.setdefault(row["name"], []).append((row["day"], row["value"]))
    return found


def points(rows: Rows) -> list[tuple[Any, float | None]]:
    """Rows of (name, value) in their order."""
    return [(row["name"], row["value"]) for row in rows]


def prefixed(rows: Rows, prefix: str) -> Rows:
    """The rows with a word before each name that is there: a store's number alone says little."""
    return [{**row, "name": None if row["name"] is None else f"{prefix} {row['name']}"} for row in rows]


def _net_sales_by_day(rows: Rows) -> go.Figure:
    by_kpi = series(rows)
    bars: dict[Any, list[tuple[Any, float | None]]] = {
        "Gross revenue": by_kpi.get("daily_revenue", []),
        "Discounts": [(day, -(value or 0)) for day, value in by_kpi.get("discounts", [])],
        "Refunds": [(day, -(value or 0)) for day, value in by_kpi.get("refunds", [])],
    }
    figure = charts.columns(bars, "~s")
    for trace, color in zip(figure.data, ("#a9d3cd", "#f0cf9d", "#ecb3bf"), strict=True):
        trace.marker.color = color
    net = by_kpi.get("net_sales", [])
    figure.add_scatter(
        x=[day for day, _ in net],
        y=[value for _, value in net],
        name="Net sales",
        mode="lines+markers",
        line={"color": charts.INK, "width": 2.4},
        marker={"size": 5},
    )
    return figure


def _from_gross_to_net(rows: Rows) -> go.Figure:
    total = {row["name"]: row["value"] for row in rows}
    steps = [
        ("Gross revenue", total.get("daily_revenue")),
        ("Refunds", -(total.get("refunds") or 0)),
        ("Discounts", -(total.get("discounts") or 0)),
        ("Net sales", total.get("net_sales")),
    ]
    return charts.waterfall(steps, amount)


def _availability(rows: Rows) -> go.Figure:
    return charts.heatmap(
        {(f"Warehouse {row['name']}", row["day"]): row["value"] for row in sorted(rows, key=lambda row: row["name"])},
        ".1%",
    )


def _hours(rows: Rows) -> go.Figure:
    names = {"p50": "median", "mean": "mean", "p90": "p90: nine of ten are faster"}
    found = series([{**row, "value": row["value"] / 3600} for row in rows if row["value"] is not None])
    ordered = {names[each]: found[each] for each in names if each in found}
    return charts.lines(ordered, ".1f", dashed=["mean"])


def _stages(rows: Rows) -> go.Figure:
    total = {row["name"]: row["value"] for row in rows}
    return charts.funnel([(stage, total.get(stage, 0)) for stage in STAGES])


STAGES = ("impression", "click", "view", "cart", "purchase")
FINANCE = "kpi_name in ('daily_revenue', 'refunds', 'discounts', 'net_sales')"

SALES_TEAM = Team(
    "sales",
    "Sales",
    "gold.sales_kpis",
    "What sells, where, and how well does the shop convert?",
    (
        Card("Revenue", "revenue_by_region", amount),
        Card("Units sold", "units_sold", whole),
        Card("Average basket", "average_basket", amount, over=True),
        Card("Product conversion", "product_conversion_rate", percent, over=True),
    ),
    (
        Panel("revenue-region", "Revenue by region", "revenue_by_region", per_day("revenue_by_region", "region", TOTAL), lambda rows: charts.columns(series(rows), "~s"), wide=True),
        Panel("revenue-store", "Revenue by store", "revenue_by_store", ranking("revenue_by_store", "store_id"), lambda rows: charts.bars(points(prefixed(rows, "Store")), amount), note="top 10"),
        Panel("units-category", "Units sold by category", "units_sold", ranking("units_sold", "category"), lambda rows: charts.bars(points(rows), whole, BLUE), note="top 10"),
        Panel("basket", "Average basket", "average_basket", per_day("average_basket"), lambda rows: charts.lines(series(rows), "~s")),
        Panel("conversion", "Product conversion", "product_conversion_rate", ranking("product_conversion_rate", "product_id", RATIO, 10, "sum(denominator)"), lambda rows: charts.bars(points(rows), percent, VIOLET), note="the 10 most viewed products"),
    ),
)  # fmt: skip

FINANCE_TEAM = Team(
    "finance",
    "Finance",
    "gold.sales_kpis",
    "What did we take, what did we give back, what is left?",
    (
        Card("Gross revenue", "daily_revenue", amount),
        Card("Refunds", "refunds", amount, better=-1),
        Card("Discounts", "discounts", amount, better=0),
        Card("Net sales", "net_sales", amount),
    ),
    (
        Panel("net-daily", "Gross revenue, refunds, discounts and net sales by day", "net_sales", f"select period_start as day, kpi_name as name, cast(sum(numerator) as double) as value from kpis where {FINANCE} group by all order by day", _net_sales_by_day, wide=True),
        Panel("net-steps", "From gross revenue to net sales", "net_sales", f"select kpi_name as name, cast(sum(numerator) as double) as value from kpis where {FINANCE} group by all", _from_gross_to_net),
        Panel("net-running", "Net sales, running total", "net_sales", "select day, null as name, sum(value) over (order by day) as value from (select period_start as day, cast(sum(numerator) as double) as value from kpis where kpi_name = 'net_sales' group by all) order by day", lambda rows: charts.area(series(rows)[None], "~s")),
        Panel("given-back", "Share of gross revenue given back", "refunds", f"select period_start as day, kpi_name as name, cast(sum(numerator) as double) / nullif(sum(sum(numerator)) filter (kpi_name = 'daily_revenue') over (partition by period_start), 0) as value from kpis where {FINANCE} group by all qualify kpi_name in ('refunds', 'discounts') order by name desc, day", lambda rows: charts.lines({str(name).capitalize(): each for name, each in series(rows).items()}, ".1%"), note="refunds and discounts", wide=True),
    ),
)  # fmt: skip

MARKETING_TEAM = Team(
    "marketing",
    "Marketing",
    "gold.marketing_funnel",
    "Which campaigns pay, and where do visitors leave?",
    (
        Card("Click-through rate", "click_through_rate", percent, over=True),
        Card("Campaign ROI", "campaign_roi", percent, over=True),
        Card("Sessions", "bounce_rate", whole, counts=True),
        Card("Bounce rate", "bounce_rate", percent, over=True, better=-1),
        Card("Session duration", "session_duration", duration, over=True),
        Card("Engagement", "engagement", ratio, over=True),
    ),
    (
        Panel("funnel", "Funnel", "funnel_stage", ranking("funnel_stage", "stage"), _stages, note="share of impressions"),
        Panel("roi", "Return on investment by campaign", "campaign_roi", ranking("campaign_roi", "campaign_id", RATIO), lambda rows: charts.bars(points(rows), percent), note="top 10"),
        Panel("ctr", "Click-through rate by campaign", "click_through_rate", per_day("click_through_rate", "campaign_id"), lambda rows: charts.lines(series(rows), ".1%"), note="the 6 most seen", wide=True),
        Panel("sessions", "Sessions by region", "bounce_rate", per_day("bounce_rate", "region", "sum(denominator)"), lambda rows: charts.columns(series(rows), "~s")),
        Panel("bounce", "Bounce rate by region", "bounce_rate", per_day("bounce_rate", "region", RATIO), lambda rows: charts.lines(series(rows), ".0%")),
        Panel("session-duration", "Session duration by region", "session_duration", ranking("session_duration", "region", RATIO), lambda rows: charts.bars(points(rows), duration, AMBER)),
        Panel("engagement", "Engagement", "engagement", per_day("engagement", None, RATIO), lambda rows: charts.lines(series(rows), ".2f"), note="actions per session"),
    ),
)  # fmt: skip

SUPPORT_TEAM = Team(
    "support",
    "Support",
    "gold.customer_insights",
    "Are customers content, and how fast do we help?",
    (
        Card("Feedback score", "feedback_score", rating, over=True),
        Card("Interactions", "interaction_volume", whole, better=0),
        Card("Complaint share", "complaint_share", percent, over=True, better=-1),
        Card("Time to resolution, mean", "resolution_time", duration, over=True, better=-1, where="statistic = 'mean'"),
        Card("Loyalty activity", "loyalty_activity", whole),
    ),
    (
        Panel("feedback", "Feedback score by channel", "feedback_score", per_day("feedback_score", "channel", RATIO), lambda rows: charts.lines(series(rows), ".1f"), note="ratings from 1 to 5", wide=True),
        Panel("volume", "Interactions by type", "interaction_volume", per_day("interaction_volume", "interaction_type", TOTAL), lambda rows: charts.columns(series(rows), "~s")),
        Panel("volume-channel", "Interactions by channel and type", "interaction_volume", "select channel as day, interaction_type as name, cast(sum(numerator) as double) as value from kpis where kpi_name = 'interaction_volume' group by all order by sum(sum(numerator)) over (partition by channel) desc, name", lambda rows: charts.columns(series(rows), "~s")),
        Panel("resolution", "Hours to the resolution of a complaint", "resolution_time", per_day("resolution_time", "statistic", RATIO, "interaction_type = 'complaint'"), _hours),
        Panel("complaints", "Complaint share by channel", "complaint_share", ranking("complaint_share", "channel", RATIO), lambda rows: charts.bars(points(rows), percent, ROSE)),
        Panel("loyalty", "Loyalty activity by channel", "loyalty_activity", per_day("loyalty_activity", "channel", TOTAL), lambda rows: charts.columns(series(rows), "~s"), wide=True),
    ),
)  # fmt: skip

OPERATIONS_TEAM = Team(
    "operations",
    "Operations",
    "gold.operations_kpis",
    "Is the stock where it is needed?",
    (
        Card("Stock availability", "stock_availability", percent, over=True),
        Card("Stockouts", "stockouts", whole, better=-1),
        Card("Restocks", "restocks", whole, better=0),
        Card("Inventory turnover", "inventory_turnover", ratio, over=True),
    ),
    (
        Panel("availability", "Stock availability by warehouse", "stock_availability", per_day("stock_availability", "warehouse_id", RATIO), _availability, wide=True),
        Panel("movements", "Stockouts and restocks by day", "stockouts", "select period_start as day, kpi_name as name, cast(sum(numerator) as double) as value from kpis where kpi_name in ('stockouts', 'restocks') group by all order by name, day", lambda rows: charts.columns({str(name).capitalize(): each for name, each in series(rows).items()}, "~s", stacked=False)),
        Panel("stockouts", "Stockouts by warehouse", "stockouts", ranking("stockouts", "warehouse_id"), lambda rows: charts.bars(points(prefixed(rows, "Warehouse")), whole, ROSE), note="top 10"),
        Panel("turnover", "Inventory turnover by category", "inventory_turnover", ranking("inventory_turnover", "category", RATIO), lambda rows: charts.bars(points(rows), ratio, AMBER), note="top 10: units sold over units held for a day", wide=True),
    ),
)  # fmt: skip

TEAMS = (SALES_TEAM, FINANCE_TEAM, MARKETING_TEAM, SUPPORT_TEAM, OPERATIONS_TEAM)
ZERO = Decimal(0)
