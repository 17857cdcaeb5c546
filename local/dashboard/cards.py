"""The cards of a team's page: one number each, what it is compared with, and its days as small bars."""

from datetime import date
from decimal import Decimal

from dash import dcc, html

from local.dashboard.days import Comparison
from local.dashboard.numbers import NOTHING, span, weekday
from local.dashboard.panels import Card
from local.dashboard.team_reading import CardContent

MOST_SPARKS = 40

Line = list[str | html.Span]


def card_box(card: Card, content: CardContent) -> html.Div:
    """The card as a box; its title leads to the page that explains the KPI."""
    total = content.total
    above = total is not None and total > 1 and card.above_one
    return html.Div(
        [
            html.Div(dcc.Link(card.title, href=f"/kpis/{card.kpi}", title="what this means"), className="card-title"),
            html.Div(
                NOTHING if total is None else card.measure.short(total),
                className="card-value",
                title="" if total is None else card.measure.full(total),
            ),
            *([html.Div(card.above_one, className="card-note")] if above else []),
            *(html.Div(line, className="card-change") for line in change_lines(card, content)),
            _sparks(content),
        ],
        className="card",
    )


def change_lines(card: Card, content: CardContent) -> list[Line]:
    """What the card says below its number: the period's comparison, the last complete day's, the day that runs."""
    lines: list[Line] = []
    if content.period is not None and content.period.now is not None:
        lines.append(_period_line(card, content.period, content))
    if content.latest is not None and content.latest.now is not None:
        day = content.latest.days.first
        shown = card.measure.short(content.latest.now)
        lines.append([f"{weekday(day)}: {shown} ", *_change(card, content.latest, weekday(content.latest.other.first))])
    if content.running is not None:
        day, value = content.running
        lines.append([f"{weekday(day)} so far: {card.measure.short(value)}"])
    return lines or [["nothing yet"]]


def _period_line(card: Card, comparison: Comparison, content: CardContent) -> Line:
    """The change of the complete days; they are named where the card's number has a running day besides."""
    line: Line = []
    if content.running is not None and comparison.now is not None:
        line.append(f"{span(comparison.days.first, comparison.days.last)}: {card.measure.short(comparison.now)} ")
    return [*line, *_change(card, comparison, span(comparison.other.first, comparison.other.last))]


def _change(card: Card, comparison: Comparison, other: str) -> Line:
    """The change and what it is against. It is good or bad only where as many days have figures on either side."""
    now, before = comparison.now, comparison.before
    if now is None or before is None:
        return [f"no figures for {other}"]
    if card.measure.in_points:
        amount, size = now - before, f"{abs(now - before) * 100:,.1f} pp"
    elif before:
        amount = (now - before) / abs(before)
        size = f"{abs(amount) * 100:,.1f} %"
    else:
        return [f"(was {card.measure.short(before)} on {other})"]
    if size.startswith("0.0 "):
        amount = Decimal(0)
    fair = comparison.known == comparison.known_before
    tone = (
        "flat" if not card.better or not amount or not fair else "good" if (amount > 0) == (card.better > 0) else "bad"
    )
    arrow = "▲" if amount > 0 else "▼" if amount < 0 else "="
    explained = "percentage points" if card.measure.in_points else "of the value before"
    line: Line = [html.Span(f"{arrow} {size}", className=tone, title=explained), f" on {other}"]
    if not fair:
        line.append(f" ({comparison.known} days with figures against {comparison.known_before})")
    return line


def _sparks(content: CardContent) -> html.Div:
    """The last days as small bars, one for each day with a figure; the one that runs is pale."""
    daily: list[tuple[date, Decimal]] = [(day, value) for day, value in content.daily if value is not None][
        -MOST_SPARKS:
    ]
    top = max((abs(each) for _, each in daily), default=Decimal(0))
    running = content.running[0] if content.running else None
    return html.Div(
        [
            html.Span(
                className=" ".join(
                    ["spark", *(["below"] if each < 0 else []), *(["running"] if day == running else [])]
                ),
                style={"height": f"{max(6, round(abs(each) / top * 100)) if top else 6}%"},
            )
            for day, each in daily
        ],
        className="sparks",
    )
