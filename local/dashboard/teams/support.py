"""The page of the Support team."""

import plotly.graph_objects as go

from local.dashboard import charts
from local.dashboard.axes import View
from local.dashboard.charts import Trace
from local.dashboard.colors import BLUE, ROSE, SLATE, TEAL, Style
from local.dashboard.numbers import COUNT, HOURS, RATING, SECONDS, SHARE
from local.dashboard.panels import (
    RATE,
    Card,
    Panel,
    Rows,
    Team,
    bar_chart,
    column_chart,
    each_day,
    first_values,
    line_chart,
    ranking,
    value_of,
)

STATISTICS = {
    "p50": ("median", Style(TEAL)),
    "mean": ("mean", Style(SLATE, dash="dot")),
    "p90": ("p90: nine of ten are faster", Style(BLUE)),
}


def _hours(rows: Rows, view: View) -> go.Figure:
    found = [
        Trace(name, style, [(row["day"], value_of(row, RATE)) for row in rows if row["name"] == statistic])
        for statistic, (name, style) in STATISTICS.items()
    ]
    return charts.lines([each for each in found if each.points], HOURS, view)


SUPPORT_TEAM = Team(
    "support",
    "Support",
    "gold.customer_insights",
    "Are customers content, and how fast do we help?",
    (
        Card("Feedback score", "feedback_score", RATING, RATE),
        Card("Interactions", "interaction_volume", COUNT, better=0),
        Card("Complaint share", "complaint_share", SHARE, RATE, better=-1),
        Card("Time to resolution, mean", "resolution_time", SECONDS, RATE, better=-1, where="statistic = 'mean'"),
        Card("Loyalty activity", "loyalty_activity", COUNT),
    ),
    (
        Panel(
            "feedback",
            "Feedback score by channel",
            "feedback_score",
            each_day("feedback_score", "channel"),
            line_chart(RATING, span=(0.9, 5.1)),
            note="ratings from 1 to 5",
            wide=True,
            colored_by="channel",
        ),
        Panel(
            "volume",
            "Interactions by type",
            "interaction_volume",
            each_day("interaction_volume", "interaction_type"),
            column_chart(COUNT),
            colored_by="interaction_type",
        ),
        Panel(
            "volume-channel",
            "Interactions by channel and type",
            "interaction_volume",
            first_values("interaction_volume", "interaction_type", "coalesce(channel, '(none)')"),
            column_chart(COUNT),
            colored_by="interaction_type",
        ),
        Panel(
            "resolution",
            "Hours to the resolution of a complaint",
            "resolution_time",
            each_day("resolution_time", "statistic", where="interaction_type = 'complaint'"),
            _hours,
        ),
        Panel(
            "complaints",
            "Complaint share by channel",
            "complaint_share",
            ranking("complaint_share", "channel", RATE),
            bar_chart(SHARE, RATE, ROSE),
        ),
        Panel(
            "loyalty",
            "Loyalty activity by channel",
            "loyalty_activity",
            each_day("loyalty_activity", "channel"),
            column_chart(COUNT),
            wide=True,
            colored_by="channel",
        ),
    ),
)
