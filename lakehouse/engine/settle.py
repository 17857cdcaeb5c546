"""What a row learns from the row before it in its group: the causal attributes of the silver tables.

A rule is a function of one row and the row before it in the group's order, which already has its own attributes; None
stands for no row within the group's gap. So a row never looks ahead, and the state of a whole group is its last row.

Rows are mappings of column to value; timestamps are microseconds since 1970.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from lakehouse.contracts import Group

Row = Mapping[str, Any]
MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Rule:
    """How a silver table's rows settle: `reads` are the columns that `settle` looks at, besides the event time."""

    reads: tuple[str, ...]
    settle: Callable[[Row, Row | None], dict[str, Any]]


def basket_line(row: Row, before: Row | None) -> dict[str, Any]:
    """`is_first_line`: no line of the same basket comes before it."""
    return {"is_first_line": before is None}


def stock_reading(row: Row, before: Row | None) -> dict[str, Any]:
    """`previous_level` and whole `seconds_since_previous` of the reading before; whether stock rose or fell to 0."""
    if before is None:
        return {"previous_level": None, "seconds_since_previous": None, "is_restock": False, "is_stockout": False}
    level, previous = row["stock_level"], before["stock_level"]
    return {
        "previous_level": previous,
        "seconds_since_previous": (row["event_time"] - before["event_time"]) // MICROSECONDS,
        "is_restock": level > previous,
        "is_stockout": level == 0 and previous > 0,
    }


def visit_event(row: Row, before: Row | None) -> dict[str, Any]:
    """A visitor's visit: when and where it began, the row's place in it, and the last campaign seen so far."""
    if before is None:
        return {
            "session_key": f"{row['visitor_id']}@{row['event_time']}",
            "session_started_at": row["event_time"],
            "position": 1,
            "seconds_since_previous": None,
            "landing_page": row["page"],
            "last_touch_campaign": row["campaign_id"],
        }
    campaign = row["campaign_id"]
    return {
        "session_key": before["session_key"],
        "session_started_at": before["session_started_at"],
        "position": before["position"] + 1,
        "seconds_since_previous": _seconds(row["event_time"] - before["event_time"]),
        "landing_page": before["landing_page"],
        "last_touch_campaign": before["last_touch_campaign"] if campaign is None else campaign,
    }


def case_event(row: Row, before: Row | None) -> dict[str, Any]:
    """A case's current opening, whether it is resolved by now, and on the resolving event the seconds it took.

    Every `opened` event begins the case anew; what precedes the first opening belongs to none.
    """
    if row["status"] == "opened":
        return {"case_opened_at": row["event_time"], "case_resolved": False, "resolution_seconds": None}
    opened_at = before["case_opened_at"] if before else None
    if before is None or opened_at is None:
        return {"case_opened_at": None, "case_resolved": False, "resolution_seconds": None}
    resolves = row["status"] == "resolved" and not before["case_resolved"]
    return {
        "case_opened_at": opened_at,
        "case_resolved": before["case_resolved"] or resolves,
        "resolution_seconds": _seconds(row["event_time"] - opened_at) if resolves else None,
    }


RULES: Mapping[str, Rule] = {
    "validated_pos": Rule((), basket_line),
    "enriched_inventory": Rule(("stock_level",), stock_reading),
    "sessionized_web_logs": Rule(("visitor_id", "page", "campaign_id"), visit_event),
    "customer_interactions": Rule(("status",), case_event),
}


def settled(rows: Sequence[Row], rule: Rule, group: Group, time: str, before: Row | None) -> Iterator[dict[str, Any]]:
    """The attributes of each of a group's rows, which are in the group's order and follow the row `before`.

    `time` is the column with the event time. A row more than the group's gap behind the one before it has none before.
    """
    gap = int(group.gap.total_seconds() * MICROSECONDS)
    for row in rows:
        near = before is not None and row[time] - before[time] <= gap
        attributes = rule.settle(row, before if near else None)
        before = {**row, **attributes}
        yield attributes


def _seconds(microseconds: int) -> Decimal:
    return Decimal(microseconds).scaleb(-6)
