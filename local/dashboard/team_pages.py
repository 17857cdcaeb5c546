"""The pages of the teams, laid out: heading, choices, cards and panels."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from dash import dcc, html

from lakehouse.errors import LakehouseError
from local.dashboard.axes import HEIGHT
from local.dashboard.cards import card_box
from local.dashboard.charts import nothing_yet
from local.dashboard.numbers import day, span
from local.dashboard.panels import Panel, Team
from local.dashboard.team_reading import (
    AGAINST,
    PERIODS,
    CardContent,
    Choice,
    Drawn,
    TeamContent,
    TeamReader,
    nothing_here,
)

Outputs = tuple[dict[str, Any] | None, list[html.Div], list[Drawn], str]


def team_page(reader: TeamReader, team: Team, choice: Choice = Choice()) -> html.Div:
    """A team's whole page, filled with what there is now."""
    shown, cards, drawn, status = team_outputs(reader, team, choice)
    panels = [_panel(team, panel, each) for panel, each in zip(team.panels, drawn, strict=True)]
    return html.Div(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.H1(team.name),
                            html.P(team.question, className="question"),
                            html.Div(status, id=f"{team.key}-status", className="status"),
                        ]
                    ),
                    html.Div(
                        [
                            _choices(f"{team.key}-period", "Period", PERIODS, choice.period),
                            _choices(f"{team.key}-against", "Compare with", AGAINST, choice.against),
                        ],
                        className="controls",
                    ),
                ],
                className="heading",
            ),
            html.Div(cards, id=f"{team.key}-cards", className="cards"),
            html.Div(panels, className="panels"),
            dcc.Store(id=f"{team.key}-shown", data=shown),
            dcc.Interval(id=f"{team.key}-tick", interval=3000),
        ],
        id=f"page-{team.key}",
        key=team.key,
    )


def team_outputs(reader: TeamReader, team: Team, choice: Choice) -> Outputs:
    """What changes on a team's page: what was read, the cards, the charts and tables, and the line of their origin.

    What was read tells whether the page is still right: the versions of tables, the choice, the last complete day.
    """
    try:
        reading = reader.read(team, choice)
    except LakehouseError as error:
        return _nothing(team, str(error))
    if reading is None or reading.answer.days is None:
        waiting = f"Nothing yet: {team.table} fills when gold is streamed (lakehouse demo, lakehouse stream all)"
        return _nothing(team, waiting)
    content = reading.answer
    shown = {
        "versions": reading.versions,
        "period": choice.period,
        "against": choice.against,
        "complete": content.complete.isoformat(),
    }
    cards = [card_box(card, value) for card, value in zip(team.cards, content.cards, strict=True)]
    status = _status(content, f"{team.table} version {reading.versions[team.table]}")
    return shown, cards, [content.panels[panel.key] for panel in team.panels], status


def _status(content: TeamContent, source: str) -> str:
    """Which days are shown, how many of them have figures, and what they were read from."""
    days = content.days
    assert days is not None
    missing = content.known < len(days)
    parts = [
        span(days.first, days.last),
        f"{content.known:,} of {len(days):,} days have figures" if missing else "",
        f"not over: {day(days.last)}" if days.last > content.complete else "",
        source,
    ]
    return " · ".join(part for part in parts if part)


def _nothing(team: Team, reason: str) -> Outputs:
    cards = [card_box(card, CardContent()) for card in team.cards]
    return None, cards, [_empty(panel) for panel in team.panels], reason


def _empty(panel: Panel) -> Drawn:
    return nothing_yet("Nothing yet") if panel.shape == "figure" else nothing_here()


def _panel(team: Team, panel: Panel, drawn: Drawn) -> html.Section:
    title = html.H3(dcc.Link(panel.title, href=f"/kpis/{panel.kpi}", title="what this means"))
    heading = html.Header([title, html.Span(panel.note, className="note")])
    key = f"{team.key}-{panel.key}"
    if isinstance(drawn, go.Figure):
        place: Any = dcc.Graph(
            id=key,
            figure=drawn,
            config={"displayModeBar": False, "responsive": True},
            style={"height": f"{HEIGHT}px"},
        )
    else:
        place = html.Div(drawn, id=key)
    return html.Section([heading, place], className="panel wide" if panel.wide else "panel")


def _choices(key: str, name: str, choices: dict[str, str], chosen: str) -> html.Div:
    options: Sequence[dict[str, str]] = [{"label": text, "value": value} for value, text in choices.items()]
    buttons = dcc.RadioItems(options=options, value=chosen, id=key, className="periods", inline=True)
    return html.Div([html.Span(name, className="note"), buttons], className="choice")
