"""What rows learn from the rows before them: each settle rule on rows worked out by hand.

A row `before` the rows at hand stands for all that precede them. Those here hold figures that no computation would
give: they must be handed on as they are.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from lakehouse.engine.settle import MICROSECONDS, RULES, settled
from tests.unit.memory_lake import ALL_CONTRACTS

START = 1_291_194_000 * MICROSECONDS  # 2010-12-01T09:00Z
Row = dict[str, Any]


def at(minutes: float = 0, microseconds: int = 0) -> int:
    return START + round(minutes * 60 * MICROSECONDS) + microseconds


def attributes(table: str, rows: Sequence[Row], before: Row | None = None) -> list[tuple[Any, ...]]:
    """What each row of one group is given, columns in the order of the contract."""
    contract = ALL_CONTRACTS[table]
    names = [column.stored_as for column in contract.columns if column.settled]
    assert contract.group is not None
    found = [*settled(rows, RULES[table], contract.group, str(contract.event_time), before)]
    assert all(set(each) == set(names) for each in found), "a rule gives every settled column, and no other"
    return [tuple(each[name] for name in names) for each in found]


def test_every_table_with_groups_has_a_rule() -> None:
    assert set(RULES) == {contract.name for contract in ALL_CONTRACTS.values() if contract.group}


def line(minutes: float) -> Row:
    return {"basket_key": "T|sale", "event_time": at(minutes)}


def test_first_lines_of_baskets() -> None:
    day = 24 * 60
    assert attributes("validated_pos", [line(0), line(0), line(day), line(2 * day + 1)]) == [
        (True,),
        (False,),
        (False,),
        (True,),
    ]


def test_a_line_behind_the_line_before_is_not_the_first() -> None:
    before = line(0) | {"is_first_line": False}
    assert attributes("validated_pos", [line(1)], before) == [(False,)]


def reading(time: int, level: int, **more: Any) -> Row:
    return {"stock_key": "A@5", "event_time": time, "stock_level": level, **more}


def test_stock_readings() -> None:
    two_days = 2 * 24 * 60
    rows = [
        reading(at(0), 5),
        reading(at(1, 999_999), 0),
        reading(at(2), 0),
        reading(at(3), 8),
        reading(at(3 + two_days), 8),
        reading(at(3 + 2 * two_days, 1), 0),
    ]
    # previous_level, seconds_since_previous, is_restock, is_stockout
    assert attributes("enriched_inventory", rows) == [
        (None, None, False, False),
        (5, 60, False, True),
        (0, 59, False, False),
        (0, 60, True, False),
        (8, two_days * 60, False, False),
        (None, None, False, False),
    ]


def test_the_reading_before_counts() -> None:
    odd: Row = {"previous_level": 70, "seconds_since_previous": 71, "is_restock": True, "is_stockout": True}
    assert attributes("enriched_inventory", [reading(at(1), 4)], reading(at(0), 5, **odd)) == [(5, 60, False, False)]


def event(name: str, time: int, campaign: str | None = None, visitor: str = "ann", **more: Any) -> Row:
    return {"visitor_id": visitor, "event_time": time, "page": f"/{name}", "campaign_id": campaign, **more}


def test_sessions() -> None:
    rows = [
        event("a", at(0)),
        event("b", at(10, 1), "c1"),
        event("c", at(40, 1)),
        event("d", at(70, 2), "c2"),
        event("e", at(70, 2)),
    ]
    first, second = (f"ann@{at(0)}", at(0)), (f"ann@{at(70, 2)}", at(70, 2))
    # session_key, session_started_at, position, seconds_since_previous, landing_page, last_touch_campaign
    assert attributes("sessionized_web_logs", rows) == [
        (*first, 1, None, "/a", None),
        (*first, 2, Decimal("600.000001"), "/a", "c1"),
        (*first, 3, Decimal("1800.000000"), "/a", "c1"),
        (*second, 1, None, "/d", "c2"),
        (*second, 2, Decimal("0.000000"), "/d", "c2"),
    ]
    assert attributes("sessionized_web_logs", [event("x", at(5), visitor="bob")]) == [
        (f"bob@{at(5)}", at(5), 1, None, "/x", None)
    ]


def test_the_event_before_hands_its_session_on() -> None:
    """It began long before the rows at hand."""
    odd: Row = {
        "session_key": f"ann@{at(-300)}",
        "session_started_at": at(-300),
        "position": 42,
        "seconds_since_previous": Decimal("7.5"),
        "landing_page": "/long/ago",
        "last_touch_campaign": "c9",
    }
    rows = [event("c", at(20)), event("d", at(30), "c1"), event("e", at(61))]
    began, fresh = (f"ann@{at(-300)}", at(-300)), (f"ann@{at(61)}", at(61))
    assert attributes("sessionized_web_logs", rows, event("b", at(10), **odd)) == [
        (*began, 43, Decimal("600"), "/long/ago", "c9"),
        (*began, 44, Decimal("600"), "/long/ago", "c1"),
        (*fresh, 1, None, "/e", None),
    ]


def step(minutes: float, status: str | None, **more: Any) -> Row:
    return {"case_key": "k", "event_time": at(minutes), "status": status, **more}


def test_cases() -> None:
    month = 30 * 24 * 60
    rows = [
        step(0, "resolved"),
        step(1, "opened"),
        step(2, None),
        step(3, "resolved"),
        step(4, "resolved"),
        step(5, "opened"),
        step(6, "updated"),
        step(7 + month, "resolved"),
        step(8 + month, "opened"),
        step(8 + 2 * month, "resolved"),
    ]
    # case_opened_at, case_resolved, resolution_seconds
    assert attributes("customer_interactions", rows) == [
        (None, False, None),
        (at(1), False, None),
        (at(1), False, None),
        (at(1), True, Decimal(120)),
        (at(1), True, None),
        (at(5), False, None),
        (at(5), False, None),
        (None, False, None),
        (at(8 + month), False, None),
        (at(8 + month), True, Decimal(month * 60)),
    ]


@pytest.mark.parametrize(
    ("resolved", "then"), [(False, (at(-90), True, Decimal(91 * 60))), (True, (at(-90), True, None))]
)
def test_the_case_event_before_hands_its_state_on(resolved: bool, then: tuple[Any, ...]) -> None:
    odd = {"case_opened_at": at(-90), "case_resolved": resolved, "resolution_seconds": Decimal("0.25")}
    assert attributes("customer_interactions", [step(1, "resolved")], step(0, "updated", **odd)) == [then]


@pytest.mark.parametrize("table", RULES)
def test_a_row_before_that_is_too_far_away_is_none(table: str) -> None:
    """By a microsecond; at exactly the gap it counts."""
    group = ALL_CONTRACTS[table].group
    assert group is not None
    gap = int(group.gap.total_seconds() * MICROSECONDS)
    row = event("a", at(0), "c") | reading(at(0), 3) | step(0, "updated")
    [alone] = attributes(table, [row])
    names = [column.stored_as for column in ALL_CONTRACTS[table].columns if column.settled]
    odd = dict(zip(names, alone, strict=True)) | {"case_opened_at": at(-1), "position": 7}
    assert attributes(table, [row], {**row, **odd, "event_time": at(0) - gap - 1}) == [alone]
    assert attributes(table, [row], {**row, **odd, "event_time": at(0) - gap}) != [alone]
