"""The charts: every figure of the dashboard is made here. Values are exact; hovering shows them in full."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go

from local.dashboard.axes import (
    DAY_LONG,
    LIGHT_HOVER,
    View,
    blank,
    day_axis,
    day_wide,
    names_axis,
    value_axis,
    with_gaps,
)
from local.dashboard.colors import BLUE, GRID, INK, MUTED, PALETTE, ROSE, SURFACE, TEAL, Style
from local.dashboard.numbers import MONEY, NOTHING, Measure, label, percent, whole

MOST_MARKERS = 45

Points = Sequence[tuple[Any, Decimal | None]]


@dataclass(frozen=True)
class Trace:
    """One series: its name as text from data, its look, and its points (a day or a name, and a value)."""

    name: object
    style: Style
    points: Points

    @property
    def places(self) -> list[Any]:
        """Where its points are: days or names."""
        return [each for each, _ in self.points]


def nothing_yet(reason: str = "Nothing yet: no rows for this chart.") -> go.Figure:
    """The chart of no data, which says so."""
    figure = blank()
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(text=html.escape(reason), showarrow=False, font={"color": MUTED, "size": 13.5})
    return figure


def lines(traces: Sequence[Trace], measure: Measure, view: View, span: tuple[float, float] | None = None) -> go.Figure:
    """One line per series over the view's days, from zero or over `span`; it breaks at a day without a value."""
    figure = blank()
    for trace in traces:
        _add_line(figure, trace, measure)
    day_axis(figure, view)
    value_axis(figure, measure, rangemode="tozero", range=span)
    figure.update_layout(hovermode="x unified", showlegend=len(traces) > 1, hoverlabel=LIGHT_HOVER)
    return figure


def _add_line(figure: go.Figure, trace: Trace, measure: Measure) -> None:
    values = dict(trace.points)
    drawn = [each for each, value in values.items() if value is not None]
    days = with_gaps(values)
    # A day between two without values is a point of its own, which only a marker shows.
    alone = any(values.get(each - DAY_LONG) is None and values.get(each + DAY_LONG) is None for each in drawn)
    figure.add_scatter(
        x=days,
        y=[_plotted(values.get(each), measure) for each in days],
        customdata=[_hover(values.get(each), measure) for each in days],
        hovertemplate="%{customdata}",
        name=label(trace.name),
        connectgaps=False,
        mode="lines+markers" if alone or len(drawn) <= MOST_MARKERS else "lines",
        line={"width": 2.2, "color": trace.style.color, "dash": trace.style.dash},
        marker={"size": 5 if len(drawn) > 2 else 9, "color": trace.style.color},
    )


def over_time(series: Mapping[str, Sequence[tuple[datetime, float]]], width: float) -> go.Figure:
    """Stacked bars over a span of time, one bar for each `width` seconds."""
    figure = blank()
    for number, (name, points_in_time) in enumerate(series.items()):
        figure.add_bar(
            x=[time for time, _ in points_in_time],
            y=[value for _, value in points_in_time],
            name=label(name),
            width=width * 1000,
            offset=0,
            marker={"color": PALETTE[number % len(PALETTE)]},
            hovertemplate="%{y:,.1f}",
        )
    figure.update_layout(barmode="stack", bargap=0.1, showlegend=True, hovermode="x unified", hoverlabel=LIGHT_HOVER)
    figure.update_xaxes(tickformat="%H:%M:%S", hoverformat="%H:%M:%S", showgrid=False)
    figure.update_yaxes(tickformat=",~s", rangemode="tozero")
    return figure


def area(trace: Trace, measure: Measure, view: View) -> go.Figure:
    """One filled line over days."""
    figure = lines([trace], measure, view)
    figure.update_traces(fill="tozeroy", fillcolor="rgba(15,118,110,0.12)")
    return figure


def columns(traces: Sequence[Trace], measure: Measure, view: View, stacked: bool = True) -> go.Figure:
    """Upright bars per day or name; hovering over a stack shows its total too."""
    figure = blank()
    for trace in traces:
        figure.add_bar(
            x=[each if isinstance(each, date) else label(each) for each in trace.places],
            y=[_plotted(value, measure) for _, value in trace.points],
            customdata=[_hover(value, measure) for _, value in trace.points],
            hovertemplate="%{customdata}",
            name=label(trace.name),
            marker={"color": trace.style.color, "pattern": {"shape": trace.style.hatch}},
        )
    places = [each for trace in traces for each in trace.places]
    if all(isinstance(each, date) for each in places):
        day_axis(figure, view)
        day_wide(figure, stacked, places, view)
    else:
        figure.update_xaxes(**names_axis([label(each) for each in dict.fromkeys(places)]))
    if stacked and len(traces) > 1:
        _add_total(figure, traces, measure)
    value_axis(figure, measure)
    figure.update_layout(
        barmode="relative" if stacked else "group",
        showlegend=len(traces) > 1,
        hovermode="x unified",
        hoverlabel=LIGHT_HOVER,
    )
    return figure


def _add_total(figure: go.Figure, traces: Sequence[Trace], measure: Measure) -> None:
    """A series that nobody sees and that hovering tells of: what each stack comes to."""
    totals: dict[Any, Decimal] = {}
    for trace in traces:
        for place, value in trace.points:
            totals[place] = totals.get(place, Decimal(0)) + (value or 0)
    figure.add_scatter(
        x=[each if isinstance(each, date) else label(each) for each in totals],
        y=[_plotted(each, measure) for each in totals.values()],
        customdata=[measure.full(each) for each in totals.values()],
        hovertemplate="<b>%{customdata}</b>",
        name="Total",
        mode="markers",
        marker={"opacity": 0, "color": INK},
        showlegend=False,
    )


def bars(rows: Sequence[tuple[object, Decimal | None, Style]], measure: Measure, negative: str = ROSE) -> go.Figure:
    """Lying bars with their values, the first on top; values below zero in another colour."""
    figure = blank()
    values = [float(value or 0) for _, value, _ in rows]
    names = [label(each) for each, _, _ in rows]
    colors = [negative if value < 0 else style.color for value, (_, _, style) in zip(values, rows, strict=True)]
    figure.add_bar(
        y=names,
        x=values,
        orientation="h",
        text=[measure.short(value) if value is not None else NOTHING for _, value, _ in rows],
        customdata=[_hover(value, measure) for _, value, _ in rows],
        textposition="outside",
        cliponaxis=False,
        # The outline makes a value of zero visible, and with it its text.
        marker={"color": colors, "line": {"color": colors, "width": 1}, "cornerradius": 3},
        hovertemplate="%{y}: %{customdata}<extra></extra>",
    )
    figure.update_yaxes(**names_axis(names), autorange="reversed", gridcolor=SURFACE, ticksuffix="  ")
    room = 0.2 * (max(0, *values) - min(0, *values)) or 1
    left = min(0, *values) - (room if min(0, *values) < 0 else 0)
    figure.update_xaxes(visible=False, range=[left, max(0, *values) + room])
    figure.update_layout(bargap=0.28)
    return figure


def funnel(points: Points) -> go.Figure:
    """Stages from top to bottom; a stage smaller than the one before shows its share of that."""
    figure = blank()
    before = [None, *(value for _, value in points)]
    shares = [
        f"  ({percent(value / last)})" if value is not None and last and value <= last else ""
        for last, (_, value) in zip(before, points, strict=False)
    ]
    figure.add_funnel(
        y=[label(each).capitalize() for each, _ in points],
        x=[float(value or 0) for _, value in points],
        text=[f"{whole(value or 0)}{share}" for share, (_, value) in zip(shares, points, strict=True)],
        textinfo="text",
        textposition="auto",
        marker={"color": PALETTE[: len(points)]},
        insidetextfont={"color": "#ffffff"},
        connector={"line": {"color": GRID}, "fillcolor": "#f3f5f8"},
        hovertemplate="%{y}: %{text}<extra></extra>",
    )
    figure.update_yaxes(tickfont={"color": INK})
    return figure


def waterfall(points: Points) -> go.Figure:
    """Money, from the first value by steps to the last, which is the total."""
    figure = blank()
    figure.add_waterfall(
        x=[label(each) for each, _ in points],
        y=[float(value or 0) for _, value in points],
        measure=["absolute", *("relative" for _ in points[2:]), "total"],
        text=[MONEY.short(value or 0) for _, value in points],
        customdata=[MONEY.full(value or 0) for _, value in points],
        textposition="outside",
        cliponaxis=False,
        connector={"line": {"color": "#cbd3dd"}},
        increasing={"marker": {"color": TEAL}},
        decreasing={"marker": {"color": ROSE}},
        totals={"marker": {"color": BLUE}},
        hovertemplate="%{x}: %{customdata}<extra></extra>",
    )
    top = max((float(value or 0) for _, value in points), default=0)
    value_axis(figure, MONEY, range=[0, top * 1.12 or 1])
    return figure


def heatmap(
    values: Mapping[tuple[object, date], Decimal | None], measure: Measure, view: View, lowest: float
) -> go.Figure:
    """Shares: a row per name and a column per day, empty without a value; dark is 1, pale is `lowest` or less."""
    names = list(dict.fromkeys(name for name, _ in values))
    days = with_gaps(each for _, each in values)
    figure = blank()
    figure.add_heatmap(
        x=days,
        y=[label(name) for name in names],
        z=[[_plotted(values.get((name, each)), measure) for each in days] for name in names],
        customdata=[[_hover(values.get((name, each)), measure) for each in days] for name in names],
        colorscale=[[0, "#f6d5cf"], [0.5, "#f4efe0"], [1, TEAL]],
        zmin=min([lowest, *(float(value) for value in values.values() if value is not None)]),
        zmax=1,
        xgap=2 if view.number <= 60 else 0,
        ygap=2,
        hoverongaps=False,
        colorbar={"thickness": 10, "tickformat": measure.axis, "outlinewidth": 0, "tickfont": {"color": MUTED}},
        hovertemplate="%{y}, %{x}: %{customdata}<extra></extra>",
    )
    day_axis(figure, view)
    figure.update_yaxes(**names_axis([label(name) for name in names]), autorange="reversed", showgrid=False, ticks="")
    return figure


def _plotted(value: Decimal | None, measure: Measure) -> float | None:
    return None if value is None else float(value if measure.unit == 1 else value / measure.unit)


def _hover(value: Decimal | None, measure: Measure) -> str:
    return NOTHING if value is None else measure.full(value)
