"""What `lakehouse describe` and `lakehouse tables` print."""

import json
from pathlib import Path

import pytest

from lakehouse.contracts import load_contracts
from lakehouse.errors import LakehouseError
from lakehouse.kpis import KPIS
from lakehouse.settings import CONTRACTS, Settings
from local.commands import describe, tables
from local.kpi_docs import page
from tests.unit.gold_lake import FIRST, row, write_gold
from tests.unit.sql_lake import EVENTS, event, write


def printed(capsys: pytest.CaptureFixture[str], name: str, as_json: bool = False) -> str:
    describe.run(name=name, json=as_json, settings=Settings())
    return capsys.readouterr().out


class TestDescribe:
    def test_a_kpi_is_its_page(self, capsys: pytest.CaptureFixture[str]) -> None:
        net_sales = next(kpi for kpi in KPIS if kpi.name == "net_sales")

        assert printed(capsys, "net_sales") == page(net_sales, load_contracts(CONTRACTS))

    def test_a_kpi_as_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        found = json.loads(printed(capsys, "stockouts", as_json=True))

        assert {name: found[name] for name in ("name", "asked_for_by", "table", "question", "dimensions")} == {
            "name": "stockouts",
            "asked_for_by": "Operations",
            "table": "gold.operations_kpis",
            "question": "How often did we run out?",
            "dimensions": ["warehouse_id"],
        }
        assert found["sql"].startswith("select period_start, warehouse_id, value\nfrom gold.operations_kpis\n")

    def test_a_table_says_who_may_read_which_columns(self, capsys: pytest.CaptureFixture[str]) -> None:
        lines = printed(capsys, "silver.validated_pos").splitlines()

        assert lines[:9] == [
            "silver.validated_pos",
            "One till line, each once, in its latest correction.",
            "  owner         Sales",
            "  contract      validated_pos 1.0.0",
            "  identity      transaction_id, line_number, event_time",
            "  partitions    region, month, type",
            "  fresh within  26 hours",
            "  read by       sales: all columns but customer_id",
            "  read by       finance: all columns but customer_id",
        ]
        assert [part.strip() for part in lines[lines.index("") + 9].split("\u2502")] == [
            "quantity", "int", "Pieces; negative on a return.", "internal",
        ]  # fmt: skip

    def test_a_gold_table_lists_its_kpis(self, capsys: pytest.CaptureFixture[str]) -> None:
        found = json.loads(printed(capsys, "operations_kpis", as_json=True))

        assert found["table"] == "gold.operations_kpis"
        assert found["KPIs"] == "stock_availability, stockouts, restocks, inventory_turnover"
        assert found["readers"][0] == {
            "role": "operations",
            "columns": "all columns",
            "rows": "kpi_name in ('stock_availability', 'stockouts', 'restocks', 'inventory_turnover')",
        }

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("net_sale", "did you mean net_sales, "),
            ("gold.sales", "did you mean gold.sales_kpis"),
            ("???", "table: `lake"),
        ],
    )
    def test_another_name_is_one_line_with_those_that_come_near(self, name: str, hint: str) -> None:
        with pytest.raises(LakehouseError) as caught:
            describe.run(name=name, json=False, settings=Settings())

        assert str(caught.value).startswith(f"{name!r} is no KPI and no table: ")
        assert hint in str(caught.value)
        assert str(caught.value).endswith("`lakehouse tables` lists the tables, docs/kpis/README.md the KPIs")


class TestTables:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        write_gold(tmp_path, "gold.operations_kpis", [row("stockouts", FIRST, "1", warehouse_id=1)])
        write(tmp_path, "bronze.pos", [event("b#1", 1, "uk", "sale"), event("b#2", 1, "uk", "sale")], EVENTS)
        return tmp_path

    def test_tables_that_are_there_and_those_that_are_not_yet(
        self, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tables.run(json=False, settings=Settings(root=str(root)))
        lines = capsys.readouterr().out.splitlines()

        shown = [[part.strip() for part in line.split("\u2502")] for line in lines[2:4]]
        assert [line[:4] for line in shown] == [
            ["bronze.pos", "2", "0", ""],
            ["gold.operations_kpis", "1", "0", "2026-01-05"],
        ]
        assert [line[5:] for line in shown] == [
            [
                "Sales",
                "As it came: one line of a till receipt: a product sold, or returned when the quantity is negative.",
            ],
            ["Operations", "KPIs: stock_availability, stockouts, restocks, inventory_turnover"],
        ]
        assert lines[4].startswith("not there yet: bronze.campaigns, bronze.crm, ")

    def test_json(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        tables.run(json=True, settings=Settings(root=str(root)))
        found = json.loads(capsys.readouterr().out)

        assert [(each["table"], each["rows"], each["newest"]) for each in found] == [
            ("bronze.pos", 2, None),
            ("gold.operations_kpis", 1, "2026-01-05"),
        ]

    def test_no_lake_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(LakehouseError, match="there is no lake at"):
            tables.run(json=False, settings=Settings(root=str(tmp_path / "nowhere")))
