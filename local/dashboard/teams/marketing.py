"""The page of the Marketing team."""

import plotly.graph_objects as go

from local.dashboard import charts
from local.dashboard.axes import View
from local.dashboard.campaigns import OF_CAMPAIGNS, ORDERS, campaign_table
from local.dashboard.colors import AMBER
from local.dashboard.numbers import COUNT, RATIO, SECONDS, SHARE
from local.dashboard.panels import (
    BASE,
    RATE,
    Card,
    Panel,
    Rows,
    Team,
    bar_chart,
    column_chart,
    each_day,
    line_chart,
    ranking,
    whole_days,
)

STAGES = ("impression", "click", "view", "cart", "purchase")
CLICKED_UNSEEN = "over 100 %: clicks without an impression, as from mails and links"


def _stages(rows: Rows, _view: View) -> go.Figure:
    total = {row["name"]: row["numerator"] for row in rows}
    return charts.funnel([(stage, total.get(stage)) for stage in STAGES])


MARKETING_TEAM = Team(
    "marketing",
    "Marketing",
    "gold.marketing_funnel",
    "Which campaigns pay, and where do visitors leave?",
    (
        Card("Click-through rate", "click_through_rate", SHARE, RATE, above_one=CLICKED_UNSEEN),
        Card("Campaign ROI", "campaign_roi", SHARE, RATE),
        Card("Sessions", "bounce_rate", COUNT, BASE),
        Card("Bounce rate", "bounce_rate", SHARE, RATE, better=-1),
        Card("Session duration", "session_duration", SECONDS, RATE),
        Card("Engagement", "engagement", RATIO, RATE),
    ),
    (
        Panel(
            "campaigns",
            "Campaigns",
            "campaign_roi",
            OF_CAMPAIGNS,
            campaign_table,
            note="the greatest loss first; orders count for the last campaign of their visit",
            wide=True,
            shape="children",
            beside=ORDERS,
        ),
        Panel(
            "funnel",
            "Funnel",
            "funnel_stage",
            ranking("funnel_stage", "stage"),
            _stages,
            note="events, and their share of the stage before",
        ),
        Panel(
            "engagement",
            "Engagement",
            "engagement",
            whole_days("engagement"),
            line_chart(RATIO),
            note="actions per session",
        ),
        Panel(
            "ctr",
            "Click-through rate by campaign",
            "click_through_rate",
            each_day("click_through_rate", "campaign_id"),
            line_chart(SHARE),
            note="the 6 most seen, and all others; over 100 % where clicks come without an impression, as from mails",
            wide=True,
            colored_by="campaign_id",
        ),
        Panel(
            "sessions",
            "Sessions by region",
            "bounce_rate",
            each_day("bounce_rate", "region"),
            column_chart(COUNT, BASE),
            colored_by="region",
        ),
        Panel(
            "bounce",
            "Bounce rate by region",
            "bounce_rate",
            each_day("bounce_rate", "region"),
            line_chart(SHARE),
            colored_by="region",
        ),
        Panel(
            "session-duration",
            "Session duration by region",
            "session_duration",
            ranking("session_duration", "region", RATE),
            bar_chart(SECONDS, RATE, AMBER),
            note="the 10 longest, and all others",
            wide=True,
        ),
    ),
)
