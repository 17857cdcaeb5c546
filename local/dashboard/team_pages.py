"""The pages of the teams: reads a team's cards and charts and lays them out."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go
from dash import dcc, html

from lakehouse.errors import LakehouseError
from lakehouse.kpis import KPIS
from local.dashboard import charts
from local.dashboard.numbers import NOTHING, day
from local.dashboard.panels import Card, Panel, Team
from local.dashboard.readings import Reading, Readings
from local.sql import Snapshot

PERIODS = {"all": "All days", "30": "Last 30", "7": "Last 7"}
MOST_SPARKS = 40
EXPLAINED = {kpi.name: kpi.description for kpi in KPIS}


@dataclass(frozen=True)
class CardValue:
    """What a card shows: the value over the days, and the value of each day."""

    total: Decimal | None
    daily: tuple[tuple[date, Decimal], ...]


@dataclass(frozen=True)
class TeamContent:
    """All that a team's page shows, as read at one version of its gold table."""

    first: date | None
    last: date | None
    cards: tuple[CardValue, ...]
    figures: dict[str, go.Figure]


def read_team(readings: Readings, team: Team, period: str) -> Reading[TeamContent] | None:
    """What a team's page shows of the last days (`period` is a number of days, or `all`); None before gold exists."""
    days = int(period) if period.isdecimal() else None
    return readings.read((team.key, days), [team.table], lambda snapshot: _ask(snapshot, team, days))


def _ask(snapshot: Snapshot, team: Team, days: int | None) -> TeamContent:
    span = f"select min(period_start) as first, max(period_start) as last from {team.table}"  # noqa: S608 (declared)
    (found,) = snapshot.query(span)
    first, last = found["first"], found["last"]
    if last is None:
        return TeamContent(None, None, tuple(CardValue(None, ()) for _ in team.cards), {})
    since = max(first, last - timedelta(days=days - 1)) if days else first
    kpis = f"with kpis as (from {team.table} where period_start >= $since) "
    cards = tuple(_card_value(snapshot, kpis, since, card) for card in team.cards)
    figures = {
        panel.key: _draw(panel, snapshot.query(kpis + panel.statement, {"since": since})) for panel in team.panels
    }
    return TeamContent(since, last, cards, figures)


def _card_value(snapshot: Snapshot, kpis: str, since: date, card: Card) -> CardValue:
    statement = (
        f"{kpis}select period_start as day, sum(numerator) as numerator, sum(denominator) as denominator "  # noqa: S608
        f"from kpis where kpi_name = $kpi and {card.where} group by all order by day"
    )
    rows = snapshot.query(statement, {"since": since, "kpi": card.kpi})
    daily = [(row["day"], _value(card, row["numerator"], row["denominator"])) for row in rows]
    total = _value(card, sum(row["numerator"] for row in rows), sum(row["denominator"] for row in rows))
    return CardValue(total if rows else None, tuple((each, value) for each, value in daily if value is not None))


def _value(card: Card, numerator: Decimal, denominator: Decimal) -> Decimal | None:
    if card.counts:
        return denominator
    if not card.over:
        return numerator
    return Decimal(numerator) / Decimal(denominator) if denominator else None


def _draw(panel: Panel, rows: list[dict[str, Any]]) -> go.Figure:
    return panel.draw(rows) if any(row["value"] is not None for row in rows) else charts.nothing_yet()


def team_page(readings: Readings, team: Team, period: str = "all") -> html.Div:
    """A team's whole page, filled with what there is now."""
    versions, cards, figures, status = team_outputs(readings, team, period)
    panels = [
        html.Section(
            [
                html.Header(
                    [html.H3(panel.title), html.Span(panel.note, className="note")],
                    title=EXPLAINED[panel.kpi],
                ),
                dcc.Graph(
                    id=f"{team.key}-{panel.key}",
                    figure=figure,
                    config={"displayModeBar": False, "responsive": True},
                    style={"height": f"{charts.HEIGHT}px"},
                ),
            ],
            className="panel wide" if panel.wide else "panel",
        )
        for panel, figure in zip(team.panels, figures, strict=True)
    ]
    return html.Div(
        [
            html.Div(
                [
                    html.Div([html.H1(team.name), html.P(team.question, className="question")]),
                    html.Div(
                        [
                            html.Div(status, id=f"{team.key}-status", className="status"),
                            dcc.RadioItems(
                                options=[{"label": text, "value": value} for value, text in PERIODS.items()],
                                value=period,
                                id=f"{team.key}-period",
                                className="periods",
                                inline=True,
                            ),
                        ],
                        className="controls",
                    ),
                ],
                className="heading",
            ),
            html.Div(cards, id=f"{team.key}-cards", className="cards"),
            html.Div(panels, className="panels"),
            dcc.Store(id=f"{team.key}-shown", data={"versions": versions, "period": period}),
            dcc.Interval(id=f"{team.key}-tick", interval=3000),
        ],
        id=f"page-{team.key}",
        key=team.key,
    )


def team_outputs(
    readings: Readings, team: Team, period: str
) -> tuple[dict[str, int] | None, list[html.Div], list[go.Figure], str]:
    """What changes on a team's page: the versions read, the cards, the figures, and the line that says as of when."""
    try:
        reading = read_team(readings, team, period)
    except LakehouseError as error:
        return None, _empty_cards(team), _empty_figures(team), str(error)
    if reading is None or reading.answer.last is None or reading.answer.first is None:
        status = f"Nothing yet: {team.table} fills when the gold job runs (lakehouse demo, lakehouse stream all)"
        return None, _empty_cards(team), _empty_figures(team), status
    content = reading.answer
    cards = [_card(card, value) for card, value in zip(team.cards, content.cards, strict=True)]
    figures = [content.figures[panel.key] for panel in team.panels]
    version = reading.versions[team.table]
    assert content.first is not None
    assert content.last is not None
    days = day(content.first) if content.first == content.last else f"{day(content.first)} to {day(content.last)}"
    status = f"{days} · {team.table} version {version}"
    return reading.versions, cards, figures, status


def _empty_cards(team: Team) -> list[html.Div]:
    return [_card(card, CardValue(None, ())) for card in team.cards]


def _empty_figures(team: Team) -> list[go.Figure]:
    return [charts.nothing_yet("Nothing yet") for _ in team.panels]


def _card(card: Card, value: CardValue) -> html.Div:
    shown = NOTHING if value.total is None else card.text(value.total)
    return html.Div(
        [
            html.Div(card.title, className="card-title"),
            html.Div(shown, className="card-value", title="" if value.total is None else f"{value.total:f}"[:40]),
            _comparison(card, value),
            _spark(value),
        ],
        className="card",
        title=EXPLAINED[card.kpi],
    )


def _comparison(card: Card, value: CardValue) -> html.Div:
    """The last day against the day before it."""
    if not value.daily:
        return html.Div("nothing yet", className="card-change")
    last, now = value.daily[-1]
    text = f"{last.day} {last:%b}: {card.text(now)}"
    before = value.daily[-2][1] if len(value.daily) > 1 else None
    if not before:
        return html.Div(text, className="card-change")
    change = (now - before) / abs(before)
    tone = "flat" if not card.better or not change else "good" if (change > 0) == (card.better > 0) else "bad"
    arrow = "▲" if change > 0 else "▼" if change < 0 else "="
    return html.Div(
        [f"{text} ", html.Span(f"{arrow} {abs(change) * 100:,.1f} %", className=tone)],
        className="card-change",
        title="the last day against the day before",
    )


def _spark(value: CardValue) -> html.Div:
    """The days as small bars."""
    daily = value.daily[-MOST_SPARKS:]
    top = max((abs(each) for _, each in daily), default=Decimal(0))
    return html.Div(
        [
            html.Span(
                className="spark below" if each < 0 else "spark",
                style={"height": f"{max(6, round(abs(each) / top * 100)) if top else 6}%"},
            )
            for _, each in daily
        ],
        className="sparks",
    )
