"""Which rows settle together with what a batch changes; and what the owner remembers instead of reading them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from lakehouse.engine.neighbours import Neighbours, Span, read_neighbours
from lakehouse.engine.recent import MINUTE, RecentRows, columns_before
from lakehouse.engine.schemas import arrow_schema
from tests.unit.memory_lake import ALL_CONTRACTS, BEGINNING

SILVER = ALL_CONTRACTS.silver_of("web_logs")
START = datetime(2010, 12, 1, 9, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(minutes: float) -> int:
    return (START + timedelta(minutes=minutes) - EPOCH) // timedelta(microseconds=1)


def events(*given: tuple[str, float]) -> pa.Table:
    """Rows of (visitor, minute); the event is named after both."""
    rows = [
        {"event_id": f"{visitor}{minute:g}", "visitor_id": visitor, "event_time": START + timedelta(minutes=minute)}
        for visitor, minute in given
    ]
    return pa.Table.from_pylist(rows, arrow_schema(SILVER))


class Reader:
    """All rows of silver, and what was asked of them."""

    def __init__(self, *rows: tuple[str, float]) -> None:
        self.rows = events(*rows)
        self.asked: list[dict[str, tuple[float, float]]] = []

    def __call__(self, windows: Mapping[str, Span]) -> pa.Table:
        minutes = {name: ((w.first - at(0)) / MINUTE, (w.last - at(0)) / MINUTE) for name, w in windows.items()}
        self.asked.append(minutes)
        wanted = [
            row["visitor_id"] in windows
            and windows[row["visitor_id"]].first <= at((row["event_time"] - START).total_seconds() / 60)
            and at((row["event_time"] - START).total_seconds() / 60) <= windows[row["visitor_id"]].last
            for row in self.rows.to_pylist()
        ]
        return self.rows.filter(pa.array(wanted, pa.bool_()))

    def neighbours(self, **spans: tuple[float, float]) -> tuple[list[str], dict[str, str]]:
        """The events from the first change on, and the one before of each visitor."""
        found = read_neighbours(
            {name: Span(at(first), at(last)) for name, (first, last) in spans.items()},
            self,
            SILVER,
            columns_before(SILVER),
        )
        return sorted(map(str, found.rows["event_id"].to_pylist())), {
            name: str(row["event_id"]) for name, row in found.before.items()
        }


def test_the_last_row_before_and_all_behind_up_to_a_gap() -> None:
    reader = Reader(("a", -40), ("a", -20), ("a", -10), ("a", 5), ("a", 34), ("a", 64), ("a", 95), ("b", 1))
    assert reader.neighbours(a=(0, 2)) == (["a34", "a5", "a64"], {"a": "a-10"})
    # On from the newest row that was found, as long as there is one within the gap of 30 minutes.
    assert [windows["a"][0] for windows in reader.asked] == pytest.approx([-30, 32, 35, 64], abs=1e-6)
    assert [windows["a"][1] for windows in reader.asked] == [32.0, 35.0, 64.0, 94.0]


def test_a_row_at_the_very_first_change_is_behind_it_and_exactly_a_gap_is_near() -> None:
    reader = Reader(("a", -30), ("a", 0), ("a", 30), ("a", 60))
    assert reader.neighbours(a=(0, 0)) == (["a0", "a30", "a60"], {"a": "a-30"})


def test_groups_read_on_each_by_itself() -> None:
    reader = Reader(("a", 10), ("a", 40), ("b", 100))
    assert reader.neighbours(a=(0, 0), b=(50, 50)) == (["a10", "a40"], {})
    assert [set(windows) for windows in reader.asked] == [{"a", "b"}, {"a"}, {"a"}]


def test_a_span_grows() -> None:
    assert Span(3, 5).including(1).including(7).including(4) == Span(1, 7)


def test_nothing_near_is_no_row() -> None:
    assert Reader().neighbours(a=(0, 0)) == ([], {})
    assert Neighbours(events()).before == {}


class TestRecentRows:
    def identity(self, visitor: str, minute: float) -> tuple[str, int]:
        return f"{visitor}{minute:g}", at(minute)

    def test_what_was_never_seen_behind_the_horizon_is_new(self) -> None:
        recent = RecentRows(SILVER, at(0))
        recent.add(events(("a", 1)))
        asked = [self.identity("a", minute) for minute in (-1, 1, 2)]
        assert recent.unknown(asked) == asked[:2]

    def test_the_last_row_of_a_group_stands_before_what_comes_behind_it(self) -> None:
        recent = RecentRows(SILVER, at(0))
        recent.add(events(("a", 5), ("a", 1), ("b", 3)))
        spans = {name: Span(at(6), at(7)) for name in "abc"}
        before, unknown = recent.before(spans)
        assert {name: row["event_id"] for name, row in before.items()} == {"a": "a5", "b": "b3"}
        # Of c nothing is near: the gap before its change begins before the horizon.
        assert unknown == {"c": spans["c"]}
        assert recent.before({"c": Span(at(30), at(30))}) == ({}, {})

    @pytest.mark.parametrize("minute", [4.0, 5.0])
    def test_a_change_at_or_before_the_last_row_must_be_read(self, minute: float) -> None:
        recent = RecentRows(SILVER, BEGINNING)
        recent.add(events(("a", 5)))
        span = {"a": Span(at(minute), at(9))}
        assert recent.before(span) == ({}, span)

    def test_a_late_row_is_not_taken_for_the_last_of_its_group(self) -> None:
        """The group may go on between that row and the horizon, where nothing is known."""
        recent = RecentRows(SILVER, at(100))
        recent.add(events(("a", 50)))
        span = {"a": Span(at(60), at(60))}
        assert recent.before(span) == ({}, span)

    def test_a_group_that_a_row_left_is_read_from_then_on(self) -> None:
        recent = RecentRows(SILVER, BEGINNING)
        recent.add(events(("a", 5)))
        recent.left(events(("a", 5)))
        assert recent.doubts == 1
        recent.add(events(("a", 6)))
        span = {"a": Span(at(8), at(9))}
        assert recent.before(span) == ({}, span)

    def test_with_too_many_identities_the_oldest_minutes_are_forgotten_and_known_to_be(self) -> None:
        recent = RecentRows(SILVER, BEGINNING, most_identities=2)
        recent.add(events(("a", 1), ("a", 2), ("a", 3)))
        assert recent.unknown([self.identity("x", minute) for minute in (1, 2, 3)]) == [self.identity("x", 1)]
        assert recent.unknown([self.identity("a", 3)]) == [self.identity("a", 3)]

    def test_with_too_many_groups_the_older_half_is_forgotten_and_known_to_be(self) -> None:
        recent = RecentRows(SILVER, BEGINNING, most_groups=2)
        recent.add(events(("a", 1), ("b", 2), ("c", 100)))
        spans = {"a": Span(at(10), at(10)), "c": Span(at(101), at(101)), "d": Span(at(200), at(200))}
        before, unknown = recent.before(spans)
        assert set(before) == {"c"}
        assert set(unknown) == {"a"}

    def test_a_table_without_groups_remembers_identities_only(self) -> None:
        silver = ALL_CONTRACTS.silver_of("campaigns")
        recent = RecentRows(silver, BEGINNING)
        day: dict[str, Any] = {"campaign_id": "c", "date": START.date()}
        recent.add(pa.Table.from_pylist([day], arrow_schema(silver)))
        recent.left(pa.Table.from_pylist([day], arrow_schema(silver)))
        midnight = at(-9 * 60)
        assert recent.unknown([("c", midnight), ("d", midnight)]) == [("c", midnight)]
        assert recent.doubts == 0
