"""Web events by Pathway: the latest delivery of each, and how many there are of each type and day, to Delta tables.

`python events.py IN OUT`: reads each file of JSON lines that comes into the folder IN, until it is killed. Runs in an
environment of its own. Pathway's own writer of Delta tables wants a licence key, so changes are appended by delta-rs.
"""

import sys
from typing import Any

import pathway as pw  # type: ignore[import-not-found, unused-ignore]
import pyarrow as pa
from deltalake import write_deltalake

FIELDS = (
    *("event_id", "session_id", "client_ip", "user_agent", "page", "event_type", "product_id", "campaign_id"),
    *("transaction_id", "order_value", "country", "timestamp"),
)
REQUIRED = ("event_id", "event_type", "timestamp")
MILLISECONDS = 100
SIGN = "sign"


class Changes:
    """The rows that one moment brings and takes back, appended in one commit at its end."""

    def __init__(self, target: str, schema: pa.Schema) -> None:
        self._target, self._schema = target, schema
        self._rows: list[dict[str, Any]] = []

    def take(self, key: object, row: dict[str, Any], time: int, is_addition: bool) -> None:
        """A row comes, or is taken back."""
        self._rows.append(row | {SIGN: 1 if is_addition else -1})

    def write(self, time: int) -> None:
        """The moment is over."""
        if self._rows:
            write_deltalake(self._target, pa.Table.from_pylist(self._rows, self._schema), mode="append")
            self._rows = []


def main(source: str, target: str) -> None:
    types = dict.fromkeys(FIELDS, str | None) | dict.fromkeys(REQUIRED, str)
    schema = pw.schema_from_types(**types, arrival=int)
    arrived = pw.io.fs.read(source, format="json", schema=schema, mode="streaming", autocommit_duration_ms=MILLISECONDS)
    latest = arrived.groupby(arrived.event_id).reduce(last=pw.reducers.argmax(arrived.arrival))
    rows = arrived.ix(latest.last)
    silver = rows.select(*(rows[name] for name in FIELDS))
    days = silver.select(silver.event_type, day=silver.timestamp.str.slice(0, 10))
    gold = days.groupby(days.event_type, days.day).reduce(days.event_type, days.day, events=pw.reducers.count())
    text, sign = pa.string(), pa.field(SIGN, pa.int8())
    events: list[pa.Field[Any]] = [*(pa.field(name, text) for name in FIELDS), sign]
    counts: list[pa.Field[Any]] = [pa.field("event_type", text), pa.field("day", text), pa.field("events", pa.int64())]
    silver_schema, gold_schema = pa.schema(events), pa.schema([*counts, sign])
    for table, name, columns in ((silver, "silver", silver_schema), (gold, "gold", gold_schema)):
        changes = Changes(f"{target}/{name}", columns)
        pw.io.subscribe(table, on_change=changes.take, on_time_end=changes.write)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


if __name__ == "__main__":
    main(*sys.argv[1:])
