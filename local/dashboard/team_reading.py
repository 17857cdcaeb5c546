"""Reads what a team's page shows: the numbers of its cards, what they are compared with, and its charts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go
from dash.development.base_component import Component

from lakehouse.errors import LakehouseError
from local.dashboard.axes import View
from local.dashboard.charts import nothing_yet
from local.dashboard.colors import Styles, styles_of
from local.dashboard.days import (
    WEEK,
    YEAR,
    Amounts,
    Comparison,
    Days,
    compare,
    known_days,
    last_complete_day,
    value_on,
)
from local.dashboard.panels import Card, Panel, Rows, Team
from local.dashboard.pieces import nothing
from local.dashboard.readings import Reading, Readings
from local.sql import MissingTableError, Snapshot

PERIODS = {"all": "All days", "30": "Last 30", "7": "Last 7"}
AGAINST = {"before": "days before", "year": "last year"}

type Drawn = go.Figure | Component
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Choice:
    """What the reader of a page chose: a period (a number of days, or `all`), and what it is compared with."""

    period: str = "all"
    against: str = "before"

    @property
    def days(self) -> int | None:
        """How many days; None for all of them."""
        return int(self.period) if self.period.isdecimal() and int(self.period) > 0 else None


@dataclass(frozen=True)
class CardContent:
    """What a card shows: the value over the days, that of each day, what the complete days and the last one of them
    are compared with, and the last day that is not over.
    """

    total: Decimal | None = None
    daily: tuple[tuple[date, Decimal | None], ...] = ()
    period: Comparison | None = None
    latest: Comparison | None = None
    running: tuple[date, Decimal] | None = None


@dataclass(frozen=True)
class TeamContent:
    """All that a team's page shows, as read at one version of its gold table. `known` days of `days` have figures."""

    days: Days | None
    known: int
    complete: date
    cards: tuple[CardContent, ...]
    panels: Mapping[str, Drawn]


@dataclass(frozen=True)
class Basis:
    """What a page needs of its whole table, whatever period is shown, as read at one version.

    That is on which days each KPI has rows, each card's amounts by day, and the look of every value of a column.
    """

    version: int
    seen: Mapping[str, frozenset[date]]
    amounts: tuple[Amounts, ...]
    styles: Mapping[str, Styles]


class TeamReader:
    """Reads the pages of all teams. `promised` is the freshness that the contract of each gold table promises."""

    def __init__(
        self, readings: Readings, promised: Mapping[str, timedelta | None], now: Clock = lambda: datetime.now(UTC)
    ) -> None:
        self._readings = readings
        self._promised = promised
        self._now = now
        self._complete: dict[str, date] = {}
        self._bases: dict[str, Basis] = {}

    def read(self, team: Team, choice: Choice) -> Reading[TeamContent] | None:
        """What a team's page shows; None before its gold table exists. Raises LakehouseError without a lake."""
        complete = self._last_complete_day(team.table)
        if complete is None:
            return None
        return self._readings.read(
            (team.key, choice),
            [team.table],
            lambda snapshot: _ask(snapshot, team, self._basis(snapshot, team), choice, complete),
            complete,
        )

    def _basis(self, snapshot: Snapshot, team: Team) -> Basis:
        """What was read at this version before, else read now: another period asks for none of it again."""
        version = snapshot.pin(team.table)
        known = self._bases.get(team.key)
        if known is None or known.version != version:
            known = self._bases[team.key] = _read_basis(snapshot, team, version)
        return known

    def _last_complete_day(self, table: str) -> date | None:
        try:
            version = self._readings.versions([table]).get(table)
            if version is None:
                return None
            commit = self._readings.lake().log(table).commit(version)
        except LakehouseError:
            if table not in self._complete:
                raise
        else:
            now = self._now()
            written = commit.committed_at if commit else now
            self._complete[table] = last_complete_day(written, self._promised.get(table), now)
        return self._complete[table]


def _read_basis(snapshot: Snapshot, team: Team, version: int) -> Basis:
    rows = snapshot.query(f"select kpi_name, period_start as day from {team.table} group by all")  # noqa: S608 (declared)
    seen: dict[str, set[date]] = {}
    for row in rows:
        seen.setdefault(row["kpi_name"], set()).add(row["day"])
    columns = {panel.colored_by for panel in team.panels if panel.colored_by}
    return Basis(
        version,
        {kpi: frozenset(days) for kpi, days in seen.items()},
        tuple(_amounts(snapshot, team, card) for card in team.cards),
        {column: _styles(snapshot, team, column) for column in columns},
    )


def _ask(snapshot: Snapshot, team: Team, basis: Basis, choice: Choice, complete: date) -> TeamContent:
    every = {day for days in basis.seen.values() for day in days}
    if not every:
        return TeamContent(None, 0, complete, tuple(CardContent() for _ in team.cards), {})
    last = max(every)
    first = max(min(every), last - timedelta(days=choice.days - 1)) if choice.days else min(every)
    days = Days(first, last)
    cards = tuple(
        _card_content(card, amounts, known_days(card.kpi, basis.seen), days, complete, choice)
        for card, amounts in zip(team.cards, basis.amounts, strict=True)
    )
    view = View(first, last, complete)
    answers: dict[str, Rows] = {}
    panels = {
        panel.key: _draw(
            panel,
            _panel_rows(snapshot, team, panel, days, answers),
            view,
            basis.styles.get(panel.colored_by or "", {}),
        )
        for panel in team.panels
    }
    return TeamContent(days, sum(day in days for day in every), complete, cards, panels)


def _amounts(snapshot: Snapshot, team: Team, card: Card) -> Amounts:
    statement = (
        f"select period_start as day, sum(numerator) as numerator, sum(denominator) as denominator "  # noqa: S608
        f"from {team.table} where kpi_name = $kpi and {card.where} group by all order by day"
    )
    rows = snapshot.query(statement, {"kpi": card.kpi})
    return {row["day"]: (row["numerator"], row["denominator"]) for row in rows}


def _card_content(
    card: Card, amounts: Amounts, known: frozenset[date], days: Days, complete: date, choice: Choice
) -> CardContent:
    over = Days(days.first, min(days.last, complete))
    shown = sorted(day for day in known if day in days)
    last_over = max((day for day in known if day in over), default=None)
    last_year = choice.against == "year"
    running = shown[-1] if shown and shown[-1] > complete else None
    so_far = value_on(card, amounts, known, Days(running, running)) if running else None
    return CardContent(
        total=value_on(card, amounts, known, days),
        daily=tuple((day, value_on(card, amounts, known, Days(day, day))) for day in shown),
        period=compare(card, amounts, known, over, YEAR if last_year else choice.days) if choice.days else None,
        latest=compare(card, amounts, known, Days(last_over, last_over), YEAR if last_year else WEEK)
        if last_over
        else None,
        running=(running, so_far) if running and so_far is not None else None,
    )


def _styles(snapshot: Snapshot, team: Team, column: str) -> Styles:
    """A style for each value that a column of the table ever had, so that none depends on the period."""
    rows = snapshot.query(f"select distinct {column} as name from {team.table} where {column} is not null")  # noqa: S608
    return styles_of(row["name"] for row in rows)


def _panel_rows(snapshot: Snapshot, team: Team, panel: Panel, days: Days, answers: dict[str, Rows]) -> Rows:
    """The rows of a panel; `answers` remembers those of statements that several panels ask."""
    if panel.statement not in answers:
        kpis = f"with kpis as (from {team.table} where period_start >= $since) "
        answers[panel.statement] = snapshot.query(kpis + panel.statement, {"since": days.first})
    rows = answers[panel.statement]
    if panel.beside is None:
        return rows
    try:
        return [*rows, *snapshot.query(panel.beside[1], {"since": days.first, "until": days.last})]
    except MissingTableError:
        return rows


def _draw(panel: Panel, rows: Rows, view: View, styles: Styles) -> Drawn:
    """The chart over its own rows' days: the table may hold days of other KPIs, years away."""
    if not any(value is not None for row in rows for name, value in row.items() if name not in NO_VALUES):
        return nothing_yet() if panel.shape == "figure" else nothing_here()
    days = [row["day"] for row in rows if isinstance(row.get("day"), date)]
    own = replace(view, first=min(days, default=view.first), last=max(days, default=view.last), styles=styles)
    return panel.draw(rows, own)


def nothing_here() -> Component:
    """What stands in the place of a table without rows."""
    return nothing("Nothing yet: no rows for this table.")


NO_VALUES: Any = ("day", "name", "others")
