"""What a new process reads of silver for a batch: by windows of time and by values, whatever the values are."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lakehouse.delta.table import OwnedTable
from lakehouse.engine.settle import MICROSECONDS
from streaming import silver_rows
from streaming.silver_rows import APART, MOST_WINDOWS
from tests.unit.oracle_deliveries import records, web
from tests.unit.silver_lake import SilverLake, with_references

START = datetime(2010, 11, 20, 23, 30, tzinfo=UTC)
# Odd texts, and more windows of time than are read one by one; over two months' ends.
NAMES = ["o'brien", '"', "a\\b", "%_", "é", "日本", "; DROP TABLE t", " ", "x" * 60]
EVENTS = MOST_WINDOWS + 10


def event(number: int, **fields: Any) -> dict[str, Any]:
    name = f"{NAMES[number % len(NAMES)]}{number}"
    return web(name, (START + timedelta(days=number, minutes=number)).isoformat(), user_id=name, **fields)


@pytest.mark.parametrize("most_values", [silver_rows.MOST_VALUES, 3])
def test_corrections_of_old_rows_find_them_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_values: int
) -> None:
    monkeypatch.setattr(silver_rows, "MOST_VALUES", most_values)
    lake = with_references(tmp_path)
    old = [event(number) for number in range(EVENTS)]
    late = [event(number, country="DE") for number in range(EVENTS)]
    # One more in each old session, before what is there.
    bridges = [
        web(f"late{number}", (START + timedelta(days=number, minutes=number - 20)).isoformat())
        | {"user_id": event(number)["user_id"]}
        for number in range(EVENTS)
    ]
    made = records("web_logs", *old, *late, *bridges)
    delivered = [replace(each, sequence=f"{number:09}") for number, each in enumerate(made)]
    lake.process(delivered[:EVENTS], 0)
    SilverLake(tmp_path).process(delivered[EVENTS:], 1)
    found = lake.content("web_logs")
    assert len(found.silver) == 2 * EVENTS
    assert [rule for _, rule in found.rejected] == ["superseded"] * EVENTS
    assert [str(each) for each in lake.compared(delivered).differences if "web_logs" in each.table] == []


def test_windows_that_lie_close_together_are_one_and_never_too_many() -> None:
    assert silver_rows._merged([(5, 7), (0, 1), (APART + 8, APART + 9)]) == [(0, 7), (APART + 8, APART + 9)]
    many = [(number * 10 * APART, number * 10 * APART) for number in range(3 * MOST_WINDOWS)]
    merged = silver_rows._merged(many)
    assert len(merged) <= MOST_WINDOWS
    assert all(any(first <= at <= last for first, last in merged) for at, _ in many)


def test_months_of_a_window() -> None:
    def at(day: date) -> int:
        return (day - date(1970, 1, 1)).days * 86_400 * MICROSECONDS

    assert silver_rows._months(at(date(2010, 11, 30)), at(date(2011, 2, 1)) - 1) == ["2010-11", "2010-12", "2011-01"]
    assert silver_rows._months(at(date(2010, 1, 1)), at(date(2010, 1, 1))) == ["2010-01"]


def test_files_without_statistics_are_no_empty_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another engine may leave them."""
    lake = with_references(tmp_path)
    delivered = records("web_logs", web("a", START.isoformat()), web("a", START.isoformat(), country="DE"))
    lake.process(delivered[:1], 0)
    known = OwnedTable.files

    def bare(table: OwnedTable) -> list[Any]:
        return [type("Bare", (), {"stats": {}})() for _ in known(table)]

    monkeypatch.setattr(OwnedTable, "files", bare)
    SilverLake(tmp_path).process(delivered[1:], 1)
    monkeypatch.undo()
    assert [*lake.content("web_logs").silver] == [delivered[1].record_id]
