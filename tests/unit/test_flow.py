"""A change through the layers of one process: each layer fails by itself, and catches up from the tables below it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lakehouse.delta.table import OwnedTable
from lakehouse.errors import LakehouseError
from lakehouse.kpi_tables import TABLES
from local.oracle.deliveries import DeliveredRecord
from streaming.flow import Flow
from streaming.handover import Handed
from streaming.layers import flow_of
from tests.unit.oracle_deliveries import records
from tests.unit.silver_lake import REFERENCE, SilverLake
from tests.unit.test_silver_batches import basket_line

LINE = basket_line(Random(1)) | {"store_id": 1, "product_id": "A", "unit_price": "2.50", "line_number": 1}
RECORDS = records("pos", *(LINE | {"line_number": number} for number in (1, 2, 3, 4)), b"{")


class FakeTable:
    """A silver or gold table as the flow sees it: it notes what it is asked, and fails when it is told to."""

    def __init__(self, name: str, below: str, folder: Path) -> None:
        self.name, self.below = name, below
        self.bronze_uri = str(folder)
        self.source = type("Source", (), {"name": below.partition(".")[2]})
        self.silver = {below: str(folder)}
        self.asked: list[str] = []
        self.fails: Exception | None = None
        self.fails_upkeep: Exception | None = None

    def follow(self, handed: Any = None, stopped: Callable[[], bool] = lambda: False) -> list[Handed]:
        self.asked.append("handed" if handed else "log")
        if self.fails:
            raise self.fails
        return [Handed(self.name, "id", 1, 1, None)]  # type: ignore[arg-type]

    def keep_up(self) -> None:
        if self.fails_upkeep:
            raise self.fails_upkeep


@pytest.fixture
def pos(tmp_path: Path) -> FakeTable:
    return FakeTable("silver.validated_pos", "bronze.pos", a_table(tmp_path))


@pytest.fixture
def crm(tmp_path: Path) -> FakeTable:
    return FakeTable("silver.customer_interactions", "bronze.crm", a_table(tmp_path))


@pytest.fixture
def sales(tmp_path: Path) -> FakeTable:
    return FakeTable("gold.sales_kpis", "silver.validated_pos", a_table(tmp_path))


def a_table(folder: Path) -> Path:
    (folder / "_delta_log").mkdir(exist_ok=True)
    (folder / "_delta_log" / f"{0:020}.json").touch()
    return folder


def flow(silver: list[FakeTable], gold: list[FakeTable], **more: Any) -> Flow:
    found: list[Any] = [silver, gold]
    return Flow(*found, **more)


HANDED = Handed("bronze.pos", "id", 1, 1, None)  # type: ignore[arg-type]


def test_a_commit_of_bronze_goes_through_silver_and_gold(pos: FakeTable, crm: FakeTable, sales: FakeTable) -> None:
    running = flow([crm, pos], [sales])
    running.follow_bronze()
    running.follow_silver()
    running.hand_on(HANDED)
    assert (pos.asked, crm.asked, sales.asked) == (["log", "handed"], ["log"], ["log", "handed"])


def test_nothing_is_handed_to_a_table_that_has_not_caught_up_yet(pos: FakeTable, sales: FakeTable) -> None:
    """It would read its whole backlog within the trigger of bronze."""
    running = flow([pos], [sales])
    running.hand_on(HANDED)
    assert pos.asked == []
    running.follow_bronze()
    running.hand_on(HANDED)
    assert (pos.asked, sales.asked) == (["log", "handed"], [])


@pytest.mark.parametrize("error", [LakehouseError("refused"), OSError("no answer"), RuntimeError("a bug")])
def test_silver_that_fails_does_not_hold_up_bronze_and_its_query_catches_up(
    pos: FakeTable, sales: FakeTable, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    running = flow([pos], [sales])
    running.follow_bronze()
    pos.fails = error
    running.hand_on(HANDED)
    assert f"silver.validated_pos could not take in what was handed on, its query catches up: {error}" in caplog.text
    running.hand_on(HANDED)
    assert pos.asked == ["log", "handed"], "not again, until its own query has caught up"
    with pytest.raises(type(error), match=str(error)):
        running.follow_bronze()
    running.hand_on(HANDED)
    assert pos.asked == ["log", "handed", "log"]
    pos.fails = None
    running.follow_bronze()
    running.hand_on(HANDED)
    assert pos.asked == ["log", "handed", "log", "log", "handed"]


def test_gold_that_fails_holds_up_neither_bronze_nor_silver_nor_other_gold(
    pos: FakeTable, sales: FakeTable, tmp_path: Path
) -> None:
    other = FakeTable("gold.store_performance", "silver.validated_pos", tmp_path)
    running = flow([pos], [sales, other])
    running.follow_bronze()
    running.follow_silver()
    sales.fails = OSError("no answer")
    for _ in range(2):
        running.hand_on(HANDED)
        running.follow_bronze()
    assert pos.asked == ["log", "handed", "log", "handed", "log"]
    assert sales.asked == ["log", "handed"]
    assert other.asked == ["log", "handed", "handed", "handed", "handed"]
    with pytest.raises(OSError, match="no answer"):
        running.follow_silver()
    sales.fails = None
    running.follow_silver()
    running.hand_on(HANDED)
    assert sales.asked == ["log", "handed", "log", "log", "handed"]


def test_one_table_that_fails_holds_up_none_beside_it_and_a_refusal_is_raised_first(
    pos: FakeTable, crm: FakeTable
) -> None:
    running = flow([crm, pos], [])
    crm.fails = OSError("no answer")
    with pytest.raises(OSError, match="no answer"):
        running.follow_bronze()
    assert pos.asked == ["log"]
    pos.fails = LakehouseError("restored")
    with pytest.raises(LakehouseError, match="restored"):
        running.follow_bronze()
    crm.fails = pos.fails = None
    pos.fails_upkeep = OSError("disk full")
    with pytest.raises(OSError, match="disk full"):
        running.follow_bronze()
    assert (crm.asked, pos.asked) == (["log"] * 3, ["log"] * 3)


def test_tables_whose_source_is_not_there_yet_are_passed_over(pos: FakeTable, sales: FakeTable) -> None:
    pos.bronze_uri = sales.silver["silver.validated_pos"] = pos.bronze_uri + "/nothing"
    running = flow([pos], [sales])
    running.follow_bronze()
    running.follow_silver()
    assert (pos.asked, sales.asked) == ([], [])


def test_a_stopped_job_begins_no_other_table(pos: FakeTable, crm: FakeTable, sales: FakeTable) -> None:
    running = flow([crm, pos], [sales], stopped=lambda: bool(crm.asked))
    running.follow_bronze()
    running.follow_silver()
    assert (crm.asked, pos.asked, sales.asked) == (["log"], [], [])


class TestRealTables:
    """The short cut, and the way around it, give the same lake."""

    @pytest.fixture
    def lake(self, tmp_path: Path) -> SilverLake:
        return SilverLake(tmp_path)

    def hand_on(self, lake: SilverLake, running: Flow, delivered: list[DeliveredRecord]) -> None:
        lake.deliver(delivered)
        bronze = OwnedTable.open(lake.layout.table("bronze.pos"))
        rows = lake.bronze(delivered)
        running.hand_on(Handed("bronze.pos", bronze.id, bronze.version, bronze.version, rows))

    def test_what_fails_on_the_way_is_in_the_tables_all_the_same(
        self, lake: SilverLake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for source in lake.contracts.references:
            lake.deliver([each for each in REFERENCE if each.source == source])
        lake.deliver(RECORDS[:1])
        running = flow_of(lake.settings, lake.contracts)
        running.ensure_silver()
        running.follow_bronze()
        running.ensure_gold()
        running.follow_silver()
        [sales] = [table for table in running.gold if table.name == "gold.sales_kpis"]

        self.hand_on(lake, running, RECORDS[1:2])
        assert revenue(sales.uri) == 2, "at once, through all layers"
        for broken, delivered in ((running.silver[-1], RECORDS[2:3]), (sales, RECORDS[3:4])):
            chosen = next(t for t in running.silver if t.name == "silver.validated_pos") if broken != sales else sales
            with monkeypatch.context() as patch:
                patch.setattr(chosen, "follow", _fails)
                self.hand_on(lake, running, delivered)
            assert revenue(sales.uri) < RECORDS.index(delivered[0]) + 1
            running.follow_bronze()
            running.follow_silver()
            assert revenue(sales.uri) == RECORDS.index(delivered[0]) + 1
        self.hand_on(lake, running, RECORDS[4:])
        assert [str(each) for each in lake.compared([*REFERENCE, *RECORDS]).differences] == []

    def test_handing_the_same_commit_on_twice_changes_nothing(self, lake: SilverLake) -> None:
        for source in lake.contracts.references:
            lake.deliver([each for each in REFERENCE if each.source == source])
        lake.deliver(RECORDS[:1])
        running = replace(flow_of(lake.settings, lake.contracts), gold=())
        running.follow_bronze()
        lake.deliver(RECORDS[1:])
        bronze = OwnedTable.open(lake.layout.table("bronze.pos"))
        for _ in range(2):
            running.hand_on(Handed("bronze.pos", bronze.id, 2, 2, lake.bronze(RECORDS[1:])))
        assert [str(each) for each in lake.compared([*REFERENCE, *RECORDS]).differences] == []

    def test_reference_data_is_read_before_the_facts_that_name_it(self, lake: SilverLake) -> None:
        running = flow_of(lake.settings, lake.contracts)
        names = [table.source.name for table in running.silver]
        assert set(names[: len(lake.contracts.references)]) == set(lake.contracts.references)
        assert [table.name.removeprefix("gold.") for table in running.gold] == [*TABLES]
        lake.deliver(RECORDS)
        for source in lake.contracts.references:
            lake.deliver([each for each in REFERENCE if each.source == source])
        running.follow_bronze()
        assert [str(each) for each in lake.compared([*REFERENCE, *RECORDS]).differences] == []


def _fails(*_: object) -> None:
    raise OSError("no answer")


def revenue(uri: str) -> int:
    """How many lines the revenue in gold is of."""
    rows = OwnedTable.open(uri).read(["kpi_name", "contributions"]).to_pylist()
    return sum(row["contributions"] for row in rows if row["kpi_name"] == "daily_revenue")
