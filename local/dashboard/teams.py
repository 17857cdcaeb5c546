"""What each team sees: its cards and charts over its gold table, declared. To add a chart, add a Panel."""
# ruff: noqa: S608 (statements are put together from declarations alone; values from outside are parameters)

import plotly.graph_objects as go

from local.dashboard import charts
from local.dashboard.charts import AMBER, BLUE, ROSE, VIOLET
from local.dashboard.numbers import amount, duration, percent, rating, ratio, whole
from local.dashboard.panels import (
    BASES,
    RATIO,
    TOTAL,
    Card,
    Panel,
    Rows,
    Series,
    Team,
    bar_chart,
    column_chart,
    line_chart,
    per_day,
    ranking,
    series,
    titled,
)


def _net_sales_by_day(rows: Rows) -> go.Figure:
    by_kpi = series(rows)
    bars: Series = {
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
        lowest=0.9,
    )


def _hours(rows: Rows) -> go.Figure:
    names = {"p50": "median", "mean": "mean", "p90": "p90: nine of ten are faster"}
    found = series([{**row, "value": row["value"] / 3600} for row in rows if row["value"] is not None])
    ordered = {names[each]: found[each] for each in names if each in found}
    return charts.lines(ordered, ".1f", dashed=["mean"])


def _stages(rows: Rows) -> go.Figure:
    total = {row["name"]: row["value"] for row in rows}
    return charts.funnel([(stage, total.get(stage, 0)) for stage in STAGES])


def _running(rows: Rows) -> go.Figure:
    return charts.area(series(rows)[None], "~s")


def _shares(rows: Rows) -> go.Figure:
    return charts.lines(titled(rows), ".1%")


def _movements(rows: Rows) -> go.Figure:
    return charts.columns(titled(rows), "~s", stacked=False)


STAGES = ("impression", "click", "view", "cart", "purchase")
VALUE = "cast(sum(numerator) as double) as value"
DAILY = f"select period_start as day, kpi_name as name, {VALUE} from kpis"
FINANCE = "kpi_name in ('daily_revenue', 'refunds', 'discounts', 'net_sales')"

RUNNING_NET_SALES = (
    "select day, null as name, sum(value) over (order by day) as value "
    f"from ({DAILY} where kpi_name = 'net_sales' group by all) order by day"
)
GIVEN_BACK = (
    "select a.day, a.name, a.value / nullif(b.value, 0) as value "
    f"from ({DAILY} where kpi_name in ('refunds', 'discounts') group by all) a "
    f"join ({DAILY} where kpi_name = 'daily_revenue' group by all) b on a.day = b.day order by a.name desc, a.day"
)
VOLUME_BY_CHANNEL = (
    f"from (select channel as day, interaction_type as name, {VALUE} from kpis where kpi_name = 'interaction_volume' "
    "group by all) order by sum(value) over (partition by day) desc, name"
)
MOVEMENTS = f"{DAILY} where kpi_name in ('stockouts', 'restocks') group by all order by name, day"

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
        Panel(
            "revenue-region",
            "Revenue by region",
            "revenue_by_region",
            per_day("revenue_by_region", "region", TOTAL),
            column_chart,
            wide=True,
        ),
        Panel(
            "revenue-store",
            "Revenue by store",
            "revenue_by_store",
            ranking("revenue_by_store", "store_id"),
            bar_chart(amount, prefix="Store"),
            note="top 10",
        ),
        Panel(
            "units-category",
            "Units sold by category",
            "units_sold",
            ranking("units_sold", "category"),
            bar_chart(whole, BLUE),
            note="top 10",
        ),
        Panel("basket", "Average basket", "average_basket", per_day("average_basket"), line_chart("~s")),
        Panel(
            "conversion",
            "Product conversion",
            "product_conversion_rate",
            ranking("product_conversion_rate", "product_id", RATIO, 10, BASES),
            bar_chart(percent, VIOLET),
            note="the 10 most viewed products",
        ),
    ),
)

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
        Panel(
            "net-daily",
            "Gross revenue, refunds, discounts and net sales by day",
            "net_sales",
            f"{DAILY} where {FINANCE} group by all order by day",
            _net_sales_by_day,
            wide=True,
        ),
        Panel(
            "net-steps",
            "From gross revenue to net sales",
            "net_sales",
            f"select kpi_name as name, {VALUE} from kpis where {FINANCE} group by all",
            _from_gross_to_net,
        ),
        Panel("net-running", "Net sales, running total", "net_sales", RUNNING_NET_SALES, _running),
        Panel(
            "given-back",
            "Share of gross revenue given back",
            "refunds",
            GIVEN_BACK,
            _shares,
            note="refunds and discounts",
            wide=True,
        ),
    ),
)

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
        Panel(
            "funnel",
            "Funnel",
            "funnel_stage",
            ranking("funnel_stage", "stage"),
            _stages,
            note="events, and their share of the stage before",
        ),
        Panel(
            "roi",
            "Return on investment by campaign",
            "campaign_roi",
            ranking("campaign_roi", "campaign_id", RATIO),
            bar_chart(percent),
            note="top 10",
        ),
        Panel(
            "ctr",
            "Click-through rate by campaign",
            "click_through_rate",
            per_day("click_through_rate", "campaign_id"),
            line_chart(".1%"),
            note="the 6 most seen",
            wide=True,
        ),
        Panel("sessions", "Sessions by region", "bounce_rate", per_day("bounce_rate", "region", BASES), column_chart),
        Panel(
            "bounce", "Bounce rate by region", "bounce_rate", per_day("bounce_rate", "region", RATIO), line_chart(".0%")
        ),
        Panel(
            "session-duration",
            "Session duration by region",
            "session_duration",
            ranking("session_duration", "region", RATIO),
            bar_chart(duration, AMBER),
        ),
        Panel(
            "engagement",
            "Engagement",
            "engagement",
            per_day("engagement", None, RATIO),
            line_chart(".2f"),
            note="actions per session",
        ),
    ),
)

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
        Panel(
            "feedback",
            "Feedback score by channel",
            "feedback_score",
            per_day("feedback_score", "channel", RATIO),
            line_chart(".1f", (0.9, 5.1)),
            note="ratings from 1 to 5",
            wide=True,
        ),
        Panel(
            "volume",
            "Interactions by type",
            "interaction_volume",
            per_day("interaction_volume", "interaction_type", TOTAL),
            column_chart,
        ),
        Panel(
            "volume-channel", "Interactions by channel and type", "interaction_volume", VOLUME_BY_CHANNEL, column_chart
        ),
        Panel(
            "resolution",
            "Hours to the resolution of a complaint",
            "resolution_time",
            per_day("resolution_time", "statistic", RATIO, "interaction_type = 'complaint'"),
            _hours,
        ),
        Panel(
            "complaints",
            "Complaint share by channel",
            "complaint_share",
            ranking("complaint_share", "channel", RATIO),
            bar_chart(percent, ROSE),
        ),
        Panel(
            "loyalty",
            "Loyalty activity by channel",
            "loyalty_activity",
            per_day("loyalty_activity", "channel", TOTAL),
            column_chart,
            wide=True,
        ),
    ),
)

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
        Panel(
            "availability",
            "Stock availability by warehouse",
            "stock_availability",
            per_day("stock_availability", "warehouse_id", RATIO),
            _availability,
            wide=True,
        ),
        Panel("movements", "Stockouts and restocks by day", "stockouts", MOVEMENTS, _movements),
        Panel(
            "stockouts",
            "Stockouts by warehouse",
            "stockouts",
            ranking("stockouts", "warehouse_id"),
            bar_chart(whole, ROSE, "Warehouse"),
            note="top 10",
        ),
        Panel(
            "turnover",
            "Inventory turnover by category",
            "inventory_turnover",
            ranking("inventory_turnover", "category", RATIO),
            bar_chart(ratio, AMBER),
            note="top 10: units sold over units held for a day",
            wide=True,
        ),
    ),
)

TEAMS = (SALES_TEAM, FINANCE_TEAM, MARKETING_TEAM, SUPPORT_TEAM, OPERATIONS_TEAM)
