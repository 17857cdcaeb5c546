"""Rows as text: CSV that a spreadsheet cannot be tricked by, JSON with exact numbers, a table for a terminal.

Values may come from hostile records: nothing here lets one act as a formula, as terminal control or as markup.
"""

import base64
import csv
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Before what a spreadsheet would take for a formula, in full width too: at the start of the cell, and where one whose
# list separator is not the comma cuts it: our quotes count for nothing there.
FORMULA_STARTS = re.compile(r"""^(?=[\t\r\n])|(?:^|(?<=[;\t\r\n]))(?=[ "]*[=+\-@\uff1d\uff0b\uff0d\uff20])""")
PLAIN_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
NUMBERS = (int, float, Decimal)
MOST_TABLE_ROWS = 1000
WIDE = 10_000

Row = Mapping[str, Any]


def json_text(value: object) -> str:
    """A value as JSON on one line.

    Decimals and integers keep every digit; timestamps with a zone are ISO 8601 in UTC with Z; what JSON cannot say
    (NaN, infinities) is null; bytes are base64 text.
    """
    match value:
        case None | bool():
            return json.dumps(value)
        case Decimal():
            return format(value, "f") if value.is_finite() else "null"
        case float():
            return repr(value) if math.isfinite(value) else "null"
        case int():
            return str(value)
        case Mapping():
            return "{" + ", ".join(f"{json.dumps(str(key))}: {json_text(each)}" for key, each in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(json_text, value)) + "]"
        case _:
            return json.dumps(_text(value), ensure_ascii=False)


def cell_text(value: object) -> str:
    """A value as plain text: as in JSON, but text without quotes and nothing for null."""
    if value is None:
        return ""
    if isinstance(value, (bool, int, float, Decimal, Mapping, list, tuple)):
        return json_text(value)
    return _text(value)


def write_csv(columns: Sequence[str], rows: Sequence[Row], stream: TextIO) -> None:
    """Writes a header and the rows as CSV (RFC 4180, null is empty).

    Where a spreadsheet would take text, or what follows a `;`, tab or line break in it, for a formula, a `'` comes
    before; numbers stay numbers.
    """
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([inert_cell(name) for name in columns])
    for row in rows:
        writer.writerow([inert_cell(row[name]) for name in columns])


def inert_cell(value: object) -> str:
    """The text of a CSV cell, which no spreadsheet evaluates, nor a part of it."""
    text = cell_text(value)
    if isinstance(value, NUMBERS) or PLAIN_NUMBER.fullmatch(text):
        return text
    return FORMULA_STARTS.sub("'", text)


def write_json(rows: Sequence[Row], stream: TextIO) -> None:
    """Writes the rows as one JSON array, a line each."""
    if not rows:
        stream.write("[]\n")
        return
    stream.write("[\n" + ",\n".join(json_text(row) for row in rows) + "\n]\n")


def standard_console() -> Console:
    """A console on standard output. Into a pipe or file lines are as wide as they are: only a terminal has an edge."""
    return Console(width=None if sys.stdout.isatty() else WIDE)


def write_table(columns: Sequence[str], rows: Sequence[Row], console: Console) -> None:
    """Prints at most 1000 rows as a table, numbers to the right, and says how many there are."""
    table = Table(header_style="bold", show_edge=False, pad_edge=False)
    for name in columns:
        numeric = any(isinstance(row[name], NUMBERS) and not isinstance(row[name], bool) for row in rows)
        table.add_column(Text(visible(name)), justify="right" if numeric else "left", overflow="fold")
    for row in rows[:MOST_TABLE_ROWS]:
        table.add_row(*(Text(visible(cell_text(row[name]))) for name in columns))
    console.print(table)
    more = f", the first {MOST_TABLE_ROWS:,} shown: --format csv writes all" if len(rows) > MOST_TABLE_ROWS else ""
    console.print(Text(f"{len(rows):,} row{'' if len(rows) == 1 else 's'}{more}", style="dim"))


def length_of_time(time: timedelta) -> str:
    """A length of time in the greatest unit that divides it: `27 hours`, `1 minute`."""
    seconds = int(time.total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}{'' if seconds == size else 's'}"
    return f"{seconds} seconds"


def visible(text: str) -> str:
    """The text with control and direction characters spelled out, so that none reaches a terminal or a page."""
    return CONTROL.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value.tzinfo else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)
