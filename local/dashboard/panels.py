"""What a team's page is made of: cards and charts as values, and the statements that most charts ask.

`kpis` in a statement is the team's gold table within the chosen days.
"""
# ruff: noqa: S608 (statements are put together from declarations alone; values from outside are parameters)

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from local.dashboard import charts
from local.dashboard.numbers import Format

Rows = Sequence[dict[str, Any]]
Series = dict[Any, list[tuple[Any, float | None]]]

RATIO = "sum(numerator) / nullif(sum(denominator), 0)"
TOTAL = "sum(numerator)"
BASES = "sum(denominator)"


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
    panels: tuple[Panel, ...]


def per_day(
    kpi: str, by: str | None = None, measure: str = "sum(numerator) / sum(denominator)", where: str = "true"
) -> str:
    """A KPI's value for each day (and value of the dimension `by`), most important dimension values first."""
    return (
        f"select day, name, value from (select period_start as day, {by or 'null'} as name, "
        f"cast({measure} as double) as value, sum(abs(numerator) + abs(denominator)) as weight "
        f"from kpis where kpi_name = '{kpi}' and {where} group by all) "
        "order by sum(weight) over (partition by name) desc, name, day"
    )


def ranking(kpi: str, by: str, measure: str = "sum(numerator)", most: int = 10, order: str = "value") -> str:
    """A KPI's value for each value of a dimension, the greatest `order` first."""
    return (
        f"select {by} as name, cast({measure} as double) as value from kpis where kpi_name = '{kpi}' "
        f"group by all having value is not null order by {order} desc, name limit {most}"
    )


def series(rows: Rows, most: int = 6) -> Series:
    """Rows of (day, name, value) as a series per name, the first `most` names."""
    found: Series = {}
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


def line_chart(axis: str, span: tuple[float, float] | None = None) -> Callable[[Rows], go.Figure]:
    """Draws rows of (day, name, value) as a line per name, from zero or over `span`."""
    return lambda rows: charts.lines(series(rows), axis, span=span)


def column_chart(rows: Rows) -> go.Figure:
    """Draws rows of (day, name, value) as columns, one colour per name."""
    return charts.columns(series(rows), "~s")


def bar_chart(text: Format, color: str = charts.TEAL, prefix: str = "") -> Callable[[Rows], go.Figure]:
    """Draws rows of (name, value) as lying bars; `prefix` goes before each name."""
    return lambda rows: charts.bars(points(prefixed(rows, prefix) if prefix else rows), text, color)


def titled(rows: Rows) -> Series:
    """Rows of (day, name, value) as a series per name, names with a capital."""
    return {str(name).capitalize(): found for name, found in series(rows).items()}
