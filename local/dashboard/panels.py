"""What a team's page is made of: cards and charts as values, the statements that most charts ask, and their drawing.

`kpis` in a statement is the team's gold table within the chosen days. A statement that shows only the first values of a
dimension adds the others up in one row, so that what is drawn always comes to what the card says.
"""
# ruff: noqa: S608 (statements are put together from declarations alone; values from outside are parameters)

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import plotly.graph_objects as go
from dash.development.base_component import Component

from local.dashboard import charts
from local.dashboard.axes import View
from local.dashboard.charts import Trace
from local.dashboard.colors import OTHER, PLAIN, Style
from local.dashboard.numbers import Measure

Rows = Sequence[dict[str, Any]]
Draw = Callable[[Rows, View], go.Figure | Component]

# What orders the values of a dimension: how much all rows of one move, whatever their sign.
WEIGHT = "sum(size) over own"


class Worth(Enum):
    """What a KPI's rows come to together. Its SQL is that of all rows of one value, to order values by."""

    TOTAL = "sum(numerator) over own"
    RATE = "sum(numerator) over own / nullif(sum(denominator) over own, 0)"
    BASE = "sum(denominator) over own"

    def of(self, numerator: Decimal, denominator: Decimal) -> Decimal | None:
        """The value of summed numerators and denominators; None for a rate over nothing."""
        if self is Worth.TOTAL:
            return numerator
        if self is Worth.BASE:
            return denominator
        return Decimal(numerator) / Decimal(denominator) if denominator else None


TOTAL, RATE, BASE = Worth.TOTAL, Worth.RATE, Worth.BASE


@dataclass(frozen=True)
class Others:
    """The values of a dimension that have no series of their own, added up."""

    number: int

    def __str__(self) -> str:
        return f"Other ({self.number})"


@dataclass(frozen=True)
class Card:
    """One number: what a KPI's rows come to together.

    `where` (SQL) keeps some of the KPI's rows; `better` is 1 when more is better, -1 when less is, 0 when neither.
    `above_one` explains a share of more than 100 %.
    """

    title: str
    kpi: str
    measure: Measure
    worth: Worth = TOTAL
    better: int = 1
    where: str = "true"
    above_one: str = ""


@dataclass(frozen=True)
class Panel:
    """One chart or table: a statement over `kpis` and how to draw its rows; `kpi` names the declaration behind it.

    `colored_by` is the column whose values have their own colours. `beside` is a table that is not gold, and a
    statement over it and the parameters `since` and `until`, whose rows come after the others when the table exists.
    """

    key: str
    title: str
    kpi: str
    statement: str
    draw: Draw
    note: str = ""
    wide: bool = False
    colored_by: str | None = None
    shape: Literal["figure", "children"] = "figure"
    beside: tuple[str, str] | None = None


@dataclass(frozen=True)
class Team:
    """A page: its name, the gold table it reads, its cards and its charts."""

    key: str
    name: str
    table: str
    question: str
    cards: tuple[Card, ...]
    panels: tuple[Panel, ...]


def first_values(kpi: str, by: str, per: str = "null", most: int = 6, order: str = WEIGHT, where: str = "true") -> str:
    """A KPI's sums for the values of the column `by`, the greatest `order` first, and `per` day or other column.

    Columns: day, name, others, numerator, denominator. The first `most` values have rows of their own; the rows of all
    others are added up, under no name, with how many values these are in `others` (0 for a value of its own).
    """
    summed = (
        f"select {per} as day, {by} as name, sum(numerator) as numerator, sum(denominator) as denominator, "
        "sum(abs(numerator) + abs(denominator)) as size "
        f"from kpis where kpi_name = '{kpi}' and {where} group by all"
    )
    weighed = f"select *, {order} as weight from ({summed}) window own as (partition by name)"
    placed = f"select *, dense_rank() over (order by weight desc nulls last, name) as place from ({weighed})"
    # One value more than wanted is shown: "Other (1)" would hide it for nothing.
    limited = (
        f"select *, max(place) over () as number, if(number <= {most + 1}, number, {most}) as shown from ({placed})"
    )
    return (
        "select day, if(place <= shown, name, null) as name, if(place <= shown, 0, number - shown) as others, "
        f"sum(numerator) as numerator, sum(denominator) as denominator from ({limited}) "
        "group by day, if(place <= shown, name, null), if(place <= shown, 0, number - shown) "
        "order by min(place), day"
    )


def each_day(kpi: str, by: str, most: int = 6, where: str = "true") -> str:
    """A KPI's sums for each day and value of a column, most important values first."""
    return first_values(kpi, by, "period_start", most, WEIGHT, where)


def ranking(kpi: str, by: str, worth: Worth = TOTAL, most: int = 10, order: Worth | None = None) -> str:
    """A KPI's sums for each value of a column, the greatest first."""
    return first_values(kpi, by, "null", most, (order or worth).value)


def whole_days(*kpis: str) -> str:
    """The sums of some KPIs for each day; `name` is the KPI."""
    names = ", ".join(f"'{kpi}'" for kpi in kpis)
    return (
        "select period_start as day, kpi_name as name, 0 as others, sum(numerator) as numerator, "
        f"sum(denominator) as denominator from kpis where kpi_name in ({names}) group by all order by name, day"
    )


def name_of(row: dict[str, Any]) -> object:
    """The value that a row is about: of the dimension, or all others of it."""
    return Others(row["others"]) if row["others"] else row["name"]


def value_of(row: dict[str, Any], worth: Worth) -> Decimal | None:
    """What a row comes to."""
    return worth.of(row["numerator"], row["denominator"])


def traces(rows: Rows, worth: Worth, view: View) -> list[Trace]:
    """A series per value, in the order in which they come, each in the value's own colour."""
    points: dict[object, list[tuple[Any, Decimal | None]]] = {}
    for row in rows:
        points.setdefault(name_of(row), []).append((row["day"], value_of(row, worth)))
    return [Trace(name, style_of(name, view), found) for name, found in points.items()]


def style_of(name: object, view: View) -> Style:
    """The look of a value's series."""
    return OTHER if isinstance(name, Others) else view.styles.get(name, PLAIN)


def line_chart(measure: Measure, worth: Worth = RATE, span: tuple[float, float] | None = None) -> Draw:
    """Draws a line per value, from zero or over `span`."""
    return lambda rows, view: charts.lines(traces(rows, worth, view), measure, view, span)


def column_chart(measure: Measure, worth: Worth = TOTAL) -> Draw:
    """Draws stacked columns, one colour per value."""
    return lambda rows, view: charts.columns(traces(rows, worth, view), measure, view)


def bar_chart(measure: Measure, worth: Worth = TOTAL, color: str | None = None, prefix: str = "") -> Draw:
    """Draws lying bars; `prefix` goes before each name that is there: a store's number alone says little."""
    style = Style(color) if color else PLAIN

    def draw(rows: Rows, _view: View) -> go.Figure:
        return charts.bars(
            [
                (
                    _prefixed(name_of(row), prefix),
                    value_of(row, worth),
                    OTHER if row["others"] else style,
                )
                for row in rows
            ],
            measure,
        )

    return draw


def _prefixed(name: object, prefix: str) -> object:
    return f"{prefix} {name}" if prefix and name is not None and not isinstance(name, Others) else name
