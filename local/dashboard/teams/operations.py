"""The page of the Operations team."""

import plotly.graph_objects as go

from local.dashboard import charts
from local.dashboard.axes import View
from local.dashboard.charts import Trace
from local.dashboard.colors import AMBER, ROSE, TEAL, Style
from local.dashboard.numbers import COUNT, RATIO, SHARE
from local.dashboard.panels import (
    RATE,
    TOTAL,
    Card,
    Others,
    Panel,
    Rows,
    Team,
    bar_chart,
    each_day,
    name_of,
    ranking,
    value_of,
    whole_days,
)

MOVES = {"stockouts": ("Stockouts", Style(ROSE)), "restocks": ("Restocks", Style(TEAL))}


def _availability(rows: Rows, view: View) -> go.Figure:
    by_name = sorted(rows, key=lambda row: (isinstance(name_of(row), Others), row["name"] is None, row["name"] or 0))
    return charts.heatmap(
        {
            (
                name if isinstance(name := name_of(row), Others) or name is None else f"Warehouse {name}",
                row["day"],
            ): value_of(row, RATE)
            for row in by_name
        },
        SHARE,
        view,
        lowest=0.9,
    )


def _movements(rows: Rows, view: View) -> go.Figure:
    found = [
        Trace(name, style, [(row["day"], value_of(row, TOTAL)) for row in rows if row["name"] == kpi])
        for kpi, (name, style) in MOVES.items()
    ]
    return charts.columns([each for each in found if each.points], COUNT, view, stacked=False)


OPERATIONS_TEAM = Team(
    "operations",
    "Operations",
    "gold.operations_kpis",
    "Is the stock where it is needed?",
    (
        Card("Stock availability", "stock_availability", SHARE, RATE),
        Card("Stockouts", "stockouts", COUNT, better=-1),
        Card("Restocks", "restocks", COUNT, better=0),
        Card("Inventory turnover", "inventory_turnover", RATIO, RATE),
    ),
    (
        Panel(
            "availability",
            "Stock availability by warehouse",
            "stock_availability",
            each_day("stock_availability", "warehouse_id", most=12),
            _availability,
            note="the 12 with most readings, and all others",
            wide=True,
        ),
        Panel(
            "movements",
            "Stockouts and restocks by day",
            "stockouts",
            whole_days("stockouts", "restocks"),
            _movements,
        ),
        Panel(
            "stockouts",
            "Stockouts by warehouse",
            "stockouts",
            ranking("stockouts", "warehouse_id"),
            bar_chart(COUNT, color=ROSE, prefix="Warehouse"),
            note="the 10 greatest, and all others",
        ),
        Panel(
            "turnover",
            "Inventory turnover by category",
            "inventory_turnover",
            ranking("inventory_turnover", "category", RATE),
            bar_chart(RATIO, RATE, AMBER),
            note="units sold over units held for a day: the 10 greatest, and all others",
            wide=True,
        ),
    ),
)
