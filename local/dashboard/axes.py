"""What all charts share: the template, and axes of names and of days, where a day without data is a gap."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import plotly.graph_objects as go

from local.dashboard.colors import GRID, INK, MUTED, PALETTE, SURFACE, Styles
from local.dashboard.numbers import Measure

HEIGHT = 300
DAY = 86_400_000  # milliseconds, the unit of plotly's time axes
DAY_LONG = timedelta(days=1)
SPARSE = 4  # where so many days come on one with data, its bar gets an outline: a day alone would be a hair

FONT = "Inter, system-ui, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"
AXIS = {"gridcolor": GRID, "linecolor": GRID, "zerolinecolor": GRID, "automargin": True, "tickfont": {"color": MUTED}}
LIGHT_HOVER = {"bgcolor": "rgba(255,255,255,0.96)", "bordercolor": "#cbd3dd", "font": {"color": INK, "size": 12.5}}
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


@dataclass(frozen=True)
class View:
    """What a chart is drawn for: its first and last day, the last one that is over, and a style for each value."""

    first: date
    last: date
    complete: date
    styles: Styles = field(default_factory=dict)

    @property
    def number(self) -> int:
        """How many days it has, with data or without."""
        return (self.last - self.first).days + 1


def blank() -> go.Figure:
    """A figure in the house style."""
    return go.Figure(layout={"template": TEMPLATE})


def names_axis(names: Sequence[str]) -> dict[str, Any]:
    """An axis of names in this order. Without it a redrawn chart would keep the order of the names it showed before."""
    return {"type": "category", "categoryorder": "array", "categoryarray": names, "tickfont": {"color": INK}}


def value_axis(figure: go.Figure, measure: Measure, **more: Any) -> None:
    """Makes the upright axis one of the measure's values."""
    figure.update_yaxes(tickformat=measure.axis, tickprefix=measure.prefix, **more)


def day_axis(figure: go.Figure, view: View) -> None:
    """An axis of all the view's days; those that are not over are marked."""
    number = view.number
    # Room for five days at least, else the bar of a single day would fill the chart.
    room = timedelta(hours=max(14, 12 * (6 - number)))
    figure.update_layout(uirevision=f"{view.first} {view.last}")
    figure.update_xaxes(
        showgrid=False,
        type="date",
        range=[f"{_midnight(view.first) - room:%Y-%m-%d %H:%M}", f"{_midnight(view.last) + room:%Y-%m-%d %H:%M}"],
        tickformat="%-d %b" if view.first.year == view.last.year else "%-d %b %Y",
        tickvals=[(view.first + each * DAY_LONG).isoformat() for each in range(number)] if number <= 10 else None,
        hoverformat="%a %-d %b %Y",
    )
    if view.last > view.complete:
        mark_running(figure, max(view.first, view.complete + DAY_LONG), view.last)


def mark_running(figure: go.Figure, first: date, last: date) -> None:
    """Shades the days that are not over, and says so."""
    half = timedelta(hours=12)
    figure.add_vrect(
        x0=f"{_midnight(first) - half:%Y-%m-%d %H:%M}",
        x1=f"{_midnight(last) + half:%Y-%m-%d %H:%M}",
        fillcolor="#eef1f5",
        line_width=0,
        layer="below",
        annotation={"text": "so far", "font": {"color": MUTED, "size": 11}},
        annotation_position="top right",
    )


def day_wide(figure: go.Figure, stacked: bool, days: Sequence[date], view: View) -> None:
    """Gives bars a width in days: on an axis of one day plotly would draw them a hair wide."""
    number = 1 if stacked else max(1, len(figure.data))
    width = 0.76 * DAY / number
    outlined = view.number > SPARSE * len(set(days))
    for place, trace in enumerate(figure.data):
        trace.width = width
        trace.offset = -0.38 * DAY + (0 if stacked else place * width)
        if outlined:
            trace.marker.line = {"width": 1, "color": trace.marker.color}


def with_gaps(days: Iterable[date]) -> list[date]:
    """The days in order, and beside each gap between them the first and the last day that it has."""
    found = set(days)
    edges = {each + step * DAY_LONG for each in found for step in (-1, 1)}
    return sorted(found | {each for each in edges if min(found) < each < max(found)})


def _midnight(value: date) -> datetime:
    return datetime(value.year, value.month, value.day)
