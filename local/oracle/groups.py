"""What a row owes to the rows before it: baskets, stock levels, sessions, cases. Adds the columns in place."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from local.oracle.checking import Row
from local.oracle.lexical import microseconds_of

MICROSECOND = timedelta(microseconds=1)


def settle(table: str, rows: Iterable[Row], identity: tuple[str, ...]) -> None:
    """Fills the columns that the rows of a group give each other, for the tables that have groups."""
    if table not in _SETTLE:
        return
    key, gap, fill = _SETTLE[table]
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    for group in groups.values():
        group.sort(key=lambda row: (row["event_time"], *(row[column] for column in identity)))
        for chain in _chains(group, gap):
            fill(chain)


def _chains(group: list[Row], gap: timedelta) -> Iterator[list[Row]]:
    """The group cut wherever two neighbours are further apart than the gap."""
    chain: list[Row] = []
    for row in group:
        if chain and row["event_time"] - chain[-1]["event_time"] > gap:
            yield chain
            chain = []
        chain.append(row)
    yield chain


def _basket(lines: list[Row]) -> None:
    for line in lines:
        line["is_first_line"] = line is lines[0]


def _stock(readings: list[Row]) -> None:
    previous: Row | None = None
    for reading in readings:
        level = previous["stock_level"] if previous else None
        now = reading["stock_level"]
        reading["previous_level"] = level
        reading["seconds_since_previous"] = (
            (reading["event_time"] - previous["event_time"]) // timedelta(seconds=1) if previous else None
        )
        reading["is_restock"] = level is not None and now > level
        reading["is_stockout"] = level is not None and level > 0 and now == 0
        previous = reading


def _session(events: list[Row]) -> None:
    first = events[0]
    campaign: str | None = None
    previous: datetime | None = None
    for position, event in enumerate(events, 1):
        campaign = event["campaign_id"] or campaign
        event["session_key"] = f"{event['visitor_id']}@{microseconds_of(first['event_time'])}"
        event["session_started_at"] = first["event_time"]
        event["position"] = position
        event["seconds_since_previous"] = _seconds(previous, event["event_time"]) if previous else None
        event["landing_page"] = first["page"]
        event["last_touch_campaign"] = campaign
        previous = event["event_time"]


def _case(events: list[Row]) -> None:
    opened_at: datetime | None = None
    resolved = False
    for event in events:
        if event["status"] == "opened":
            opened_at, resolved = event["event_time"], False
        resolves = event["status"] == "resolved" and opened_at is not None and not resolved
        resolved = resolved or resolves
        event["case_opened_at"] = opened_at
        event["case_resolved"] = resolved
        event["resolution_seconds"] = _seconds(opened_at, event["event_time"]) if resolves and opened_at else None


def _seconds(start: datetime, end: datetime) -> Decimal:
    return Decimal((end - start) // MICROSECOND).scaleb(-6)


_SETTLE: Mapping[str, tuple[Callable[[Row], Any], timedelta, Callable[[list[Row]], None]]] = {
    "validated_pos": (lambda row: row["basket_key"], timedelta(days=1), _basket),
    "enriched_inventory": (lambda row: row["stock_key"], timedelta(days=2), _stock),
    "sessionized_web_logs": (lambda row: row["visitor_id"], timedelta(minutes=30), _session),
    "customer_interactions": (lambda row: row["case_key"], timedelta(days=30), _case),
}
