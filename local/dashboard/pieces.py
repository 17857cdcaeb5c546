"""Small pieces of HTML that several pages share. Text is only ever a text node: what a record holds stays inert."""

from datetime import datetime

from dash import html

from local.dashboard.numbers import whole


def nothing(text: str) -> html.P:
    """What stands where nothing is yet."""
    return html.P(text, className="empty")


def ago(time: datetime) -> html.Time:
    """How long ago a time was; the page itself keeps it right, each second."""
    return html.Time(dateTime=time.isoformat(), className="ago", title=f"{time:%Y-%m-%d %H:%M:%S} UTC")


def head(*names: str) -> html.Thead:
    """The head of a table; `#` marks columns of numbers."""
    return html.Thead(
        html.Tr([html.Th(name.removeprefix("#"), className="number" if name.startswith("#") else "") for name in names])
    )


def number(value: int) -> html.Td:
    """A cell with a count."""
    return html.Td(whole(value), className="number")
