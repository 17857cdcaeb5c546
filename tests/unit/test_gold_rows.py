"""Which files of a gold table a batch reads, and which it writes."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.contracts import load_contracts
from lakehouse.delta.snapshot import DataFile
from lakehouse.delta.table import OwnedTable
from lakehouse.engine.schemas import arrow_schema
from lakehouse.settings import CONTRACTS
from streaming import gold_rows
from streaming.gold_rows import Day, RecentFiles, days_of, files_of, parts_of

CONTRACT = load_contracts(CONTRACTS)["sales_kpis"]
SCHEMA = arrow_schema(CONTRACT)
FIRST = date(2026, 1, 20)
DAYS = st.tuples(
    st.sampled_from(["refunds", "discounts", "net_sales"]), st.integers(0, 40).map(lambda n: FIRST + timedelta(n))
)


def rows_of(days: Sequence[Day]) -> pa.Table:
    rows = [{"kpi_name": kpi, "period_start": day, "month": f"{day:%Y-%m}"} for kpi, day in days]
    return pa.Table.from_pylist(rows, SCHEMA)


@given(there=st.lists(DAYS, max_size=60), touched=st.sets(DAYS, max_size=8))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_each_part_is_of_one_partition_and_a_few_days_lie_apart(there: list[Day], touched: set[Day]) -> None:
    parts = parts_of(rows_of(there), touched)
    assert sorted(row for part in parts for row in _days(part)) == sorted(there)
    assert [part for part in parts if len({(kpi, f"{day:%Y-%m}") for kpi, day in _days(part)}) != 1] == []
    of_month: dict[tuple[str, str], set[date]] = {}
    for kpi, day in touched:
        of_month.setdefault((kpi, f"{day:%Y-%m}"), set()).add(day)
    for part in parts:
        kpi, day = _days(part)[0]
        few = len(of_month.get((kpi, f"{day:%Y-%m}"), ())) <= gold_rows.MOST_DAYS_APART
        assert not few or not days_of(part) & touched or len(days_of(part)) == 1


def _days(rows: pa.Table) -> list[Day]:
    return [(row["kpi_name"], row["period_start"]) for row in rows.to_pylist()]


def test_only_files_that_can_hold_the_days_are_read(tmp_path: Path) -> None:
    table = OwnedTable.ensure(str(tmp_path), SCHEMA, CONTRACT.partitions, {})
    days = [("refunds", FIRST + timedelta(number)) for number in range(20)]
    for day in days:
        table.append(rows_of([day, ("net_sales", day[1])]), {}, "{}")
    found = files_of({days[3], days[15]}, table.files())
    assert sorted(row for file in found for row in _days(table.read_file(file))) == [days[3], days[15]]


def test_rows_of_files_are_read_once_and_not_kept_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gold_rows, "MOST_KEPT", 3)
    table = OwnedTable.ensure(str(tmp_path), SCHEMA, CONTRACT.partitions, {})
    recent = RecentFiles(SCHEMA)
    parts = [rows_of([("refunds", FIRST + timedelta(number))]) for number in range(5)]
    files = table.replace_files([], parts, {}, "{}")
    recent.replaced([], files, parts)
    read: list[str] = []

    def read_file(file: DataFile) -> pa.Table:
        read.append(file.path)
        return parts[files.index(file)]

    monkeypatch.setattr(table, "read_file", read_file)
    assert recent.read(table, files[2:]).num_rows == 3
    assert read == []
    assert recent.read(table, files[:1]).num_rows == 1
    assert read == [files[0].path]
