"""The page of the Finance team."""

from datetime import date
from decimal import Decimal

import plotly.graph_objects as go

from local.dashboard import charts
from local.dashboard.axes import View
from local.dashboard.charts import Trace
from local.dashboard.colors import AMBER, INK, PLAIN, ROSE, Style
from local.dashboard.numbers import MONEY, SHARE
from local.dashboard.panels import Card, Panel, Rows, Team, whole_days

GROSS, REFUNDS, DISCOUNTS, NET = "daily_revenue", "refunds", "discounts", "net_sales"
OF_FINANCE = whole_days(GROSS, REFUNDS, DISCOUNTS, NET)
ZERO = Decimal(0)


def _by_day(rows: Rows, kpi: str) -> dict[date, Decimal]:
    return {row["day"]: row["numerator"] for row in rows if row["name"] == kpi}


def _taken_back(rows: Rows, kpi: str) -> list[tuple[date, Decimal | None]]:
    return [(day, -value) for day, value in _by_day(rows, kpi).items()]


def _net_sales_by_day(rows: Rows, view: View) -> go.Figure:
    figure = charts.columns(
        [
            Trace("Gross revenue", Style("#a9d3cd"), list(_by_day(rows, GROSS).items())),
            Trace("Discounts", Style("#f0cf9d"), _taken_back(rows, DISCOUNTS)),
            Trace("Refunds", Style("#ecb3bf"), _taken_back(rows, REFUNDS)),
        ],
        MONEY,
        view,
    )
    # Gross less discounts and refunds is the line of net sales: a total beside it would say it twice.
    figure.data = [trace for trace in figure.data if trace.name != "Total"]
    net = Trace("Net sales", Style(INK), list(_by_day(rows, NET).items()))
    figure.add_trace(charts.lines([net], MONEY, view).data[0])
    figure.update_layout(showlegend=True)
    return figure


def _from_gross_to_net(rows: Rows, _view: View) -> go.Figure:
    total = {kpi: sum(_by_day(rows, kpi).values(), ZERO) for kpi in (GROSS, REFUNDS, DISCOUNTS, NET)}
    return charts.waterfall(
        [
            ("Gross revenue", total[GROSS]),
            ("Refunds", -total[REFUNDS]),
            ("Discounts", -total[DISCOUNTS]),
            ("Net sales", total[NET]),
        ]
    )


def _running_total(rows: Rows, view: View) -> go.Figure:
    reached, points = ZERO, []
    for day, value in sorted(_by_day(rows, NET).items()):
        reached += value
        points.append((day, reached))
    return charts.area(Trace("Net sales", PLAIN, points), MONEY, view)


def _given_back(rows: Rows, view: View) -> go.Figure:
    gross = _by_day(rows, GROSS)
    looks = {REFUNDS: ("Refunds", Style(ROSE)), DISCOUNTS: ("Discounts", Style(AMBER))}
    return charts.lines(
        [
            Trace(
                name,
                style,
                [(day, _by_day(rows, kpi).get(day, ZERO) / taken if taken else None) for day, taken in gross.items()],
            )
            for kpi, (name, style) in looks.items()
        ],
        SHARE,
        view,
    )


FINANCE_TEAM = Team(
    "finance",
    "Finance",
    "gold.sales_kpis",
    "What did we take, what did we give back, what is left?",
    (
        Card("Gross revenue", GROSS, MONEY),
        Card("Refunds", REFUNDS, MONEY, better=-1),
        Card("Discounts", DISCOUNTS, MONEY, better=0),
        Card("Net sales", NET, MONEY),
    ),
    (
        Panel(
            "net-daily",
            "Gross revenue, refunds, discounts and net sales by day",
            NET,
            OF_FINANCE,
            _net_sales_by_day,
            wide=True,
        ),
        Panel("net-steps", "From gross revenue to net sales", NET, OF_FINANCE, _from_gross_to_net),
        Panel("net-running", "Net sales, running total", NET, OF_FINANCE, _running_total),
        Panel(
            "given-back",
            "Share of gross revenue given back",
            REFUNDS,
            OF_FINANCE,
            _given_back,
            note="refunds and discounts",
            wide=True,
        ),
    ),
)
