"""Web events by Pathway: the latest delivery of each, and how many there are of each type and day, to Delta tables.

`python events.py IN OUT`: reads each file of JSON lines that comes into the folder IN, until it is killed. Runs in an
environment of its own.
"""

import sys

import pathway as pw  # type: ignore[import-not-found, unused-ignore]

FIELDS = (
    *("event_id", "session_id", "client_ip", "user_agent", "page", "event_type", "product_id", "campaign_id"),
    *("transaction_id", "order_value", "country", "timestamp"),
)
REQUIRED = ("event_id", "event_type", "timestamp")
MILLISECONDS = 100


def main(source: str, target: str) -> None:
    types = dict.fromkeys(FIELDS, str | None) | dict.fromkeys(REQUIRED, str)
    schema = pw.schema_from_types(**types, arrival=int)
    arrived = pw.io.fs.read(source, format="json", schema=schema, mode="streaming", autocommit_duration_ms=MILLISECONDS)
    latest = arrived.groupby(arrived.event_id).reduce(last=pw.reducers.argmax(arrived.arrival))
    rows = arrived.ix(latest.last)
    silver = rows.select(*(rows[name] for name in FIELDS))
    days = silver.select(silver.event_type, day=silver.timestamp.str.slice(0, 10))
    gold = days.groupby(days.event_type, days.day).reduce(days.event_type, days.day, events=pw.reducers.count())
    pw.io.deltalake.write(silver, f"{target}/silver", min_commit_frequency=MILLISECONDS)
    pw.io.deltalake.write(gold, f"{target}/gold", min_commit_frequency=MILLISECONDS)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


if __name__ == "__main__":
    main(*sys.argv[1:])
