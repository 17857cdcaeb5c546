"""The charts: every figure of the dashboard is made here, in one palette and one template."""

import html
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import plotly.graph_objects as go

from local.dashboard.numbers import Format, day, label

INK, MUTED, GRID, SURFACE = "#1f2a37", "#64748b", "#e7ebf0", "#ffffff"
TEAL, BLUE, AMBER, ROSE, VIOLET, GREEN, SLATE = (
    "#0f766e", "#2f6fde", "#c47f17", "#c9415d", "#7757d1", "#5a9a3a", "#8793a3",
)  # fmt: skip
PALETTE = (TEAL, BLUE, AMBER, ROSE, VIOLET, GREEN, SLATE, "#0e9aa7", "#a5673f", "#b04ea0")
HEIGHT = 300
DAY = 86_400_000  # milliseconds, the unit of plotly's time axes
MOST_GAPS = 4

Points = Sequence[tuple[Any, float | None]]
Series = Mapping[Any, Points]

FONT = "Inter, system-ui, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"
AXIS = {"gridcolor": GRID, "linecolor": GRID, "zerolinecolor": GRID, "automargin": True, "tickfont": {"color": MUTED}}
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 12.5, "color": INK},
        "paper_bgcolor": SURFACE,
        "plot_bgcolor": SURFACE,
        "colorway": PALETTE,
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "height": HEIGHT,
        "hoverlabel": {"bgcolor": INK, "bordercolor": INK, "font": {"color": "#ffffff", "size": 12.5}},
        "legend": {
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "xanchor": "left",
            "font": {"color": MUTED},
        },
        "xaxis": AXIS,
        "yaxis": AXIS,
        "bargap": 0.25,
        "uirevision": "keep",
    }
)


def nothing_yet(reason: str = "Nothing yet: no rows for this chart.") -> go.Figure:
    """The chart of no data, which says so."""
    figure = _figure()
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(text=html.escape(reason), showarrow=False, font={"color": MUTED, "size": 13.5})
    return figure


def lines(
    series: Series, axis: str = "", dashed: Sequence[Any] = (), span: tuple[float, float] | None = None
) -> go.Figure:
    """One line per series over days, from zero or over `span`.

    `axis` is a d3 format of the value axis; `dashed` series are secondary.
    """
    figure = _figure()
    for number, (name, points) in enumerate(series.items()):
        color = PALETTE[number % len(PALETTE)]
        figure.add_scatter(
            x=[each for each, _ in points],
            y=[value for _, value in points],
            name=label(name),
            mode="lines+markers" if len(points) <= 45 else "lines",
            line={"width": 2.2, "color": color, "dash": "dot" if name in dashed else "solid"},
            marker={"size": 5 if len(points) > 2 else 9, "color": color},
        )
    _over_days(figure, [each for points in series.values() for each, _ in points])
    figure.update_yaxes(tickformat=axis, rangemode="tozero", range=span)
    figure.update_layout(hovermode="x unified", showlegend=len(series) > 1, hoverlabel=LIGHT_HOVER)
    return figure


def over_time(series: Mapping[str, Sequence[tuple[datetime, float]]], width: float) -> go.Figure:
    """Stacked bars over a span of time, one bar for each `width` seconds."""
    figure = _figure()
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


def area(points: Points, axis: str = "") -> go.Figure:
    """One filled line over days."""
    figure = lines({"": points}, axis)
    figure.update_traces(fill="tozeroy", fillcolor="rgba(15,118,110,0.12)")
    return figure


def columns(series: Series, axis: str = "", stacked: bool = True) -> go.Figure:
    """Upright bars per day or category, one colour per series."""
    figure = _figure()
    for number, (name, points) in enumerate(series.items()):
        figure.add_bar(
            x=[each if isinstance(each, date) else label(each) for each, _ in points],
            y=[value for _, value in points],
            name=label(name),
            marker={"color": PALETTE[number % len(PALETTE)]},
        )
    places = [each for points in series.values() for each, _ in points]
    if all(isinstance(each, date) for each in places):
        if _over_days(figure, places):
            _day_wide(figure, stacked)
    else:
        figure.update_xaxes(**_names([label(each) for each in dict.fromkeys(places)]))
    figure.update_yaxes(tickformat=axis)
    figure.update_layout(
        barmode="relative" if stacked else "group",
        showlegend=len(series) > 1,
        hovermode="x unified",
        hoverlabel=LIGHT_HOVER,
    )
    return figure


def bars(points: Points, text: Format, color: str = TEAL, negative: str = ROSE) -> go.Figure:
    """Lying bars with their values, the first on top; values below zero in another colour."""
    figure = _figure()
    values = [value or 0 for _, value in points]
    names = [label(each) for each, _ in points]
    colors = [color if value >= 0 else negative for value in values]
    figure.add_bar(
        y=names,
        x=values,
        orientation="h",
        text=[text(value) if value is not None else "–" for _, value in points],  # noqa: RUF001
        textposition="outside",
        cliponaxis=False,
        # The outline makes a value of zero visible, and with it its text.
        marker={"color": colors, "line": {"color": colors, "width": 1}, "cornerradius": 3},
        hovertemplate="%{y}: %{text}<extra></extra>",
    )
    figure.update_yaxes(**_names(names), autorange="reversed", gridcolor=SURFACE, ticksuffix="  ")
    room = 0.16 * (max(0, *values) - min(0, *values)) or 1
    left = min(0, *values) - (room if min(0, *values) < 0 else 0)
    figure.update_xaxes(visible=False, range=[left, max(0, *values) + room])
    figure.update_layout(bargap=0.28)
    return figure


def funnel(points: Points) -> go.Figure:
    """Stages from top to bottom; a stage smaller than the one before shows its share of that."""
    figure = _figure()
    before = [None, *(value for _, value in points)]
    shares = [
        f"  ({value / last:.1%})" if value is not None and last and value <= last else ""
        for last, (_, value) in zip(before, points, strict=False)
    ]
    figure.add_funnel(
        y=[label(each).capitalize() for each, _ in points],
        x=[value for _, value in points],
        text=[f"{value or 0:,.0f}{share}" for share, (_, value) in zip(shares, points, strict=True)],
        textinfo="text",
        textposition="auto",
        marker={"color": PALETTE[: len(points)]},
        insidetextfont={"color": "#ffffff"},
        connector={"line": {"color": GRID}, "fillcolor": "#f3f5f8"},
        hovertemplate="%{y}: %{text}<extra></extra>",
    )
    figure.update_yaxes(tickfont={"color": INK})
    return figure


def waterfall(points: Points, text: Format) -> go.Figure:
    """From the first value by steps to the last, which is the total."""
    figure = _figure()
    figure.add_waterfall(
        x=[label(each) for each, _ in points],
        y=[value for _, value in points],
        measure=["absolute", *("relative" for _ in points[2:]), "total"],
        text=[text(value or 0) for _, value in points],
        textposition="outside",
        cliponaxis=False,
        connector={"line": {"color": "#cbd3dd"}},
        increasing={"marker": {"color": TEAL}},
        decreasing={"marker": {"color": ROSE}},
        totals={"marker": {"color": BLUE}},
        hovertemplate="%{x}: %{text}<extra></extra>",
    )
    top = max((value or 0 for _, value in points), default=0)
    figure.update_yaxes(tickformat="~s", range=[0, float(top) * 1.12 or 1])
    return figure


def heatmap(values: Mapping[tuple[Any, date], float], tick: str, lowest: float) -> go.Figure:
    """Shares: a row per name and a column per day; dark is 1, pale is `lowest` or less."""
    names = list(dict.fromkeys(name for name, _ in values))
    days = sorted({each for _, each in values})
    figure = _figure()
    figure.add_heatmap(
        x=[each.isoformat() for each in days],
        y=[label(name) for name in names],
        z=[[values.get((name, each)) for each in days] for name in names],
        colorscale=[[0, "#f6d5cf"], [0.5, "#f4efe0"], [1, TEAL]],
        zmin=min(lowest, *values.values()),
        zmax=1,
        xgap=2,
        ygap=2,
        colorbar={"thickness": 10, "tickformat": tick, "outlinewidth": 0, "tickfont": {"color": MUTED}},
        hovertemplate="%{y}, %{x}: %{z:" + tick + "}<extra></extra>",
    )
    _side_by_side(figure, days)
    figure.update_yaxes(**_names([label(name) for name in names]), autorange="reversed", showgrid=False, ticks="")
    return figure


LIGHT_HOVER = {"bgcolor": "rgba(255,255,255,0.96)", "bordercolor": "#cbd3dd", "font": {"color": INK, "size": 12.5}}


def _figure() -> go.Figure:
    return go.Figure(layout={"template": TEMPLATE})


def _names(names: Sequence[str]) -> dict[str, Any]:
    """An axis of names in this order. Without it a redrawn chart would keep the order of the names it showed before."""
    return {"type": "category", "categoryorder": "array", "categoryarray": names, "tickfont": {"color": INK}}


def _over_days(figure: go.Figure, days: Sequence[date]) -> bool:
    """An axis of days; False when only the days with values are on it, side by side, because they lie far apart."""
    found = sorted(set(days))
    if not found:
        return True
    first, last = found[0], found[-1]
    figure.update_layout(uirevision=f"{first} {last}")
    figure.update_xaxes(showgrid=False)
    span = (last - first).days + 1
    if span > MOST_GAPS * len(found) + 7:
        _side_by_side(figure, found)
        return False
    # Room for five days at least, else the bar of a single day would fill the chart.
    room = timedelta(hours=max(14, 12 * (6 - span)))
    figure.update_xaxes(
        type="date",
        range=[f"{_midnight(first) - room:%Y-%m-%d %H:%M}", f"{_midnight(last) + room:%Y-%m-%d %H:%M}"],
        tickformat="%-d %b" if first.year == last.year else "%-d %b %Y",
        tickvals=[each.isoformat() for each in found] if span <= 10 else None,
        hoverformat="%a %-d %b %Y",
    )
    return True


def _side_by_side(figure: go.Figure, days: Sequence[date]) -> None:
    """An axis of these days alone, however far apart they are."""
    names = [each.isoformat() for each in days]
    shown = range(0, len(days), len(days) // 8 + 1)
    figure.update_xaxes(
        **_names(names),
        showgrid=False,
        ticks="",
        tickvals=[names[place] for place in shown],
        ticktext=[day(days[place]) for place in shown],
    )


def _day_wide(figure: go.Figure, stacked: bool) -> None:
    """Gives bars a width in days: on an axis of one day plotly would draw them a hair wide."""
    number = 1 if stacked else len(figure.data)
    width = 0.76 * DAY / max(1, number)
    for place, trace in enumerate(figure.data):
        trace.width = width
        trace.offset = -0.38 * DAY + (0 if stacked else place * width)


def _midnight(value: date) -> datetime:
    return datetime(value.year, value.month, value.day)
