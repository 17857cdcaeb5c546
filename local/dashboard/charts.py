"""The charts: every figure of the dashboard is made here, in one palette and one template."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import plotly.graph_objects as go

from local.dashboard.numbers import Format, label

INK, MUTED, GRID, SURFACE = "#1f2a37", "#64748b", "#e7ebf0", "#ffffff"
TEAL, BLUE, AMBER, ROSE, VIOLET, GREEN, SLATE = (
    "#0f766e", "#2f6fde", "#d98a1f", "#c9415d", "#7757d1", "#5a9a3a", "#8793a3",
)  # fmt: skip
PALETTE = (TEAL, BLUE, AMBER, ROSE, VIOLET, GREEN, SLATE, "#0e9aa7", "#a5673f", "#b04ea0")
HEIGHT = 300

Points = Sequence[tuple[Any, float | None]]
Series = Mapping[Any, Points]

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "Inter, system-ui, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif", "size": 12.5, "color": INK},
        "paper_bgcolor": SURFACE,
        "plot_bgcolor": SURFACE,
        "colorway": PALETTE,
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "height": HEIGHT,
        "hoverlabel": {"bgcolor": INK, "bordercolor": INK, "font": {"color": "#ffffff", "size": 12.5}},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left", "font": {"color": MUTED}},
        "xaxis": {"gridcolor": GRID, "linecolor": GRID, "zerolinecolor": GRID, "automargin": True, "tickfont": {"color": MUTED}},
        "yaxis": {"gridcolor": GRID, "linecolor": GRID, "zerolinecolor": "#cbd3dd", "automargin": True, "tickfont": {"color": MUTED}},
        "bargap": 0.25,
        "uirevision": "keep",
    }
)  # fmt: skip


def nothing_yet(reason: str = "Nothing yet: no rows for this chart.") -> go.Figure:
    """The chart of no data, which says so."""
    figure = _figure()
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(text=label(reason), showarrow=False, font={"color": MUTED, "size": 13.5})
    return figure


def lines(series: Series, axis: str = "", dashed: Sequence[Any] = ()) -> go.Figure:
    """One line per series over days. `axis` is a d3 format of the value axis; `dashed` series are secondary."""
    figure = _figure()
    for number, (name, points) in enumerate(series.items()):
        color = PALETTE[number % len(PALETTE)]
        figure.add_scatter(
            x=[each for each, _ in points],
            y=[value for _, value in points],
            name=label(name),
            mode="lines+markers" if len(points) <= 45 else "lines",
            line={"width": 2.2, "color": color, "dash": "dot" if name in dashed else "solid"},
            marker={"size": 5, "color": color},
        )
    _over_days(figure, [each for points in series.values() for each, _ in points])
    figure.update_yaxes(tickformat=axis, rangemode="tozero")
    figure.update_layout(hovermode="x unified", showlegend=len(series) > 1, hoverlabel=LIGHT_HOVER)
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
        _over_days(figure, places)
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
    figure.add_bar(
        y=[label(each) for each, _ in points],
        x=values,
        orientation="h",
        text=[text(value) if value is not None else "–" for _, value in points],  # noqa: RUF001
        textposition="auto",
        cliponaxis=False,
        marker={"color": [color if value >= 0 else negative for value in values], "cornerradius": 3},
        hovertemplate="%{y}: %{text}<extra></extra>",
    )
    figure.update_yaxes(type="category", autorange="reversed", tickfont={"color": INK}, gridcolor=SURFACE)
    figure.update_xaxes(visible=False, zeroline=True)
    figure.update_layout(bargap=0.28)
    return figure


def funnel(points: Points) -> go.Figure:
    """Stages from top to bottom, with the share of the first stage and of the stage before."""
    figure = _figure()
    figure.add_funnel(
        y=[label(each).capitalize() for each, _ in points],
        x=[value for _, value in points],
        texttemplate="%{value:,}  (%{percentInitial:.1%})",
        textposition="auto",
        marker={"color": PALETTE[: len(points)]},
        connector={"line": {"color": GRID}, "fillcolor": "#f3f5f8"},
        hovertemplate="%{y}: %{x:,}<br>%{percentPrevious:.1%} of the stage before<extra></extra>",
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


def heatmap(values: Mapping[tuple[Any, date], float], tick: str) -> go.Figure:
    """A row per name and a column per day; dark is high."""
    names = list(dict.fromkeys(name for name, _ in values))
    days = sorted({each for _, each in values})
    figure = _figure()
    figure.add_heatmap(
        x=days,
        y=[label(name) for name in names],
        z=[[values.get((name, each)) for each in days] for name in names],
        colorscale=[[0, "#f6d5cf"], [0.5, "#f4efe0"], [1, "#0f766e"]],
        zmax=1,
        xgap=2,
        ygap=2,
        colorbar={"thickness": 10, "tickformat": tick, "outlinewidth": 0, "tickfont": {"color": MUTED}},
        hovertemplate="%{y}, %{x|%-d %b %Y}: %{z:" + tick + "}<extra></extra>",
    )
    _over_days(figure, days)
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, tickfont={"color": INK})
    return figure


LIGHT_HOVER = {"bgcolor": "rgba(255,255,255,0.96)", "bordercolor": "#cbd3dd", "font": {"color": INK, "size": 12.5}}


def _figure() -> go.Figure:
    return go.Figure(layout={"template": TEMPLATE})


def _over_days(figure: go.Figure, days: Sequence[Any]) -> None:
    """A date axis that shows whole days, also when there are only one or two."""
    if not days:
        return
    first, last = min(days), max(days)
    half = timedelta(hours=14)
    few = (last - first).days < 10
    figure.update_xaxes(
        type="date",
        range=[f"{_midnight(first) - half:%Y-%m-%d %H:%M}", f"{_midnight(last) + half:%Y-%m-%d %H:%M}"],
        tickformat="%-d %b" if first.year == last.year else "%-d %b %Y",
        dtick=86_400_000 if few else None,
        hoverformat="%a %-d %b %Y",
        showgrid=False,
    )
    figure.update_layout(uirevision=f"{first} {last}")


def _midnight(value: date) -> datetime:
    return datetime(value.year, value.month, value.day)
