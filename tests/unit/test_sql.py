"""`Lake`, the Python API of `lakehouse sql`: what it reads, at which version, and what it refuses."""

import json
import re
import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lakehouse.contracts import load_contracts
from lakehouse.errors import LakehouseError
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS
from local.duckdb_reader import extension_path
from local.sql import Lake, MissingTableError
from local.statements import StatementError
from tests.unit.sql_lake import EVENTS, HUGE, KPIS, event, fill, kpi, write

RECORD_ID = "Where the record is from: stream/shard/sequence, or path under the landing area#line."


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A lake of three tables; its folder has a space and a quote in its name."""
    lake = tmp_path / "the lake's"
    fill(lake)
    return lake


@pytest.fixture
def lake(root: Path) -> Any:
    with Lake(str(root)) as opened:
        yield opened


class TestReading:
    def test_decimals_dates_and_nulls_are_exact(self, lake: Lake) -> None:
        rows = lake.query("select * from gold.sales_kpis order by period_start")

        assert rows == [
            kpi("daily_revenue", date(2010, 12, 1), str(HUGE), "1.5", 3),
            kpi("daily_revenue", date(2010, 12, 2), "0.1", "0.1", 1),
            kpi("refunds", date(2011, 1, 1), "-2.5", None, 2),
        ]

    def test_sums_of_decimals_and_integers_are_exact(self, lake: Lake) -> None:
        assert lake.query("select sum(numerator) n, sum(contributions) c, count(*) r from gold.sales_kpis") == [
            {"n": HUGE + Decimal("0.1") - Decimal("2.5"), "c": 6, "r": 3}
        ]
        assert type(lake.query("select sum(contributions) c from gold.sales_kpis")[0]["c"]) is int

    def test_partition_values_with_special_characters_and_null(self, lake: Lake) -> None:
        rows = lake.query("select record_id, region, type from silver.validated_pos order by record_id")

        assert rows == [
            {"record_id": "a#1", "region": "uk", "type": "Home & Garden"},
            {"record_id": "a#2", "region": "europe", "type": "50% off/€"},
            {"record_id": "a#3", "region": None, "type": "x=y"},
        ]
        assert lake.query("select quantity from silver.validated_pos where type = '50% off/€'") == [{"quantity": -2}]

    def test_timestamps_are_in_utc(self, lake: Lake) -> None:
        found = lake.query("select event_time, cast(event_time as date) d from silver.validated_pos limit 1")

        assert found == [{"event_time": datetime(2010, 12, 1, 8, 26, 0, 123456, UTC), "d": date(2010, 12, 1)}]
        assert found[0]["event_time"].utcoffset().total_seconds() == 0

    def test_parameters_by_position_and_by_name(self, lake: Lake) -> None:
        hostile = "refunds' or '1'='1"

        assert lake.query("select contributions from gold.sales_kpis where kpi_name = ?", ["refunds"]) == [
            {"contributions": 2}
        ]
        assert lake.query("select contributions from gold.sales_kpis where kpi_name = $kpi", {"kpi": hostile}) == []

    def test_after_a_merge_and_a_delete_only_the_rows_of_now_are_there(self, root: Path, lake: Lake) -> None:
        table = DeltaTable(Layout(str(root)).table("gold.sales_kpis"))
        change = [
            kpi("refunds", date(2011, 1, 1), "-9.0000", "9", 5),
            kpi("discounts", date(2011, 1, 1), "1.0000", "1", 1),
        ]
        (
            table.merge(
                pa.Table.from_pylist(change, schema=KPIS),
                "s.kpi_name = t.kpi_name and s.month = t.month and s.period_start = t.period_start",
                "s",
                "t",
            )
            .when_matched_update_all()
            .when_not_matched_insert_all()
            .execute()
        )
        table.delete("period_start = '2010-12-02'")

        rows = lake.query("select kpi_name k, numerator n, contributions c from gold.sales_kpis order by 1")

        assert rows == [
            {"k": "daily_revenue", "n": HUGE, "c": 3},
            {"k": "discounts", "n": Decimal(1), "c": 1},
            {"k": "refunds", "n": Decimal(-9), "c": 5},
        ]

    def test_rejected_names_the_source_and_names_ignore_case(self, lake: Lake) -> None:
        assert lake.query("SELECT Record_ID FROM Rejected.POS") == [{"record_id": "b#1"}]

    def test_describe_summarize_and_explain(self, lake: Lake) -> None:
        described = lake.query("describe gold.sales_kpis")

        assert [(each["column_name"], each["column_type"]) for each in described][3:5] == [
            ("numerator", "DECIMAL(28,4)"),
            ("value", "DECIMAL(38,10)"),
        ]
        assert {each["column_name"] for each in lake.query("summarize rejected.pos")} == set(EVENTS.names)
        assert lake.query("explain analyze select count(*) from gold.sales_kpis")

    def test_pivot_and_unpivot(self, lake: Lake) -> None:
        turned = lake.query(
            "pivot gold.sales_kpis on kpi_name using sum(contributions) group by month order by month -- ok"
        )

        assert turned == [
            {"month": "2010-12", "daily_revenue": 4, "refunds": None},
            {"month": "2011-01", "daily_revenue": None, "refunds": 2},
        ]
        assert lake.query(
            "unpivot (select record_id, quantity from silver.validated_pos) on quantity into name n value v order by v"
        ) == [
            {"record_id": "a#2", "n": "quantity", "v": -2},
            {"record_id": "a#3", "n": "quantity", "v": 1},
            {"record_id": "a#1", "n": "quantity", "v": 6},
        ]
        assert lake.query("with p as (pivot rejected.pos on type using count(*)) select sale from p") == [{"sale": 1}]

    def test_show_lists_the_tables_and_describe_the_columns_with_what_they_are(self, root: Path) -> None:
        with Lake(str(root), lambda: load_contracts(CONTRACTS)) as lake:
            assert lake.query("show tables; -- all") == [
                {
                    "table": "gold.sales_kpis",
                    "comment": "KPIs: revenue_by_store, revenue_by_region, units_sold, average_basket, "
                    "product_conversion_rate, daily_revenue, refunds, discounts, net_sales",
                },
                {
                    "table": "rejected.pos",
                    "comment": "Rejected, with the reason: one line of a till receipt: a product sold, or returned "
                    "when the quantity is negative.",
                },
                {"table": "silver.validated_pos", "comment": "One till line, each once, in its latest correction."},
            ]
            assert [each["table"] for each in lake.query("show tables from gold")] == ["gold.sales_kpis"]
            assert lake.query("describe silver.validated_pos") == [
                {"column_name": "record_id", "column_type": "VARCHAR", "comment": RECORD_ID},
                {
                    "column_name": "event_time",
                    "column_type": "TIMESTAMP WITH TIME ZONE",
                    "comment": "When the line was rung up.",
                },
                {"column_name": "quantity", "column_type": "INTEGER", "comment": "Pieces; negative on a return."},
                {"column_name": "region", "column_type": "VARCHAR", "comment": "Region of the store at that time."},
                {
                    "column_name": "type",
                    "column_type": "VARCHAR",
                    "comment": "sale, or refund when the quantity is negative.",
                },
            ]
            assert lake.query("show gold.sales_kpis") == lake.query("describe gold.sales_kpis")

    @pytest.mark.parametrize("name", ["50%", "%", "100 % ours", "%zz"])
    def test_percent_signs_in_the_path(self, root: Path, name: str) -> None:
        moved = root.rename(root.with_name(name))

        with Lake(str(moved)) as lake:
            assert lake.query("select count(*) n, min(type) t from silver.validated_pos") == [
                {"n": 3, "t": "50% off/€"}
            ]
            assert lake.tables() == ["gold.sales_kpis", "rejected.pos", "silver.validated_pos"]
            for file in (moved / "rejected/pos/bad_rows").glob("*.parquet"):
                file.unlink()
            with pytest.raises(LakehouseError, match=rf"{re.escape(str(moved))} cannot be read: .*{re.escape(name)}/"):
                lake.query("select * from rejected.pos")
        assert moved.is_dir()

    def test_a_path_that_no_reader_can_find_is_one_line(self, root: Path) -> None:
        moved = root.rename(root.with_name("a%20b"))

        with pytest.raises(LakehouseError, match="take %20 in a path for an encoded character. Rename that folder$"):
            Lake(str(moved))

    def test_two_columns_of_one_name_are_both_there(self, lake: Lake) -> None:
        assert lake.query("select 1 as a, 2 as a, 3 as a_1") == [{"a": 1, "a_1": 2, "a_1_1": 3}]


class TestVersions:
    def test_a_snapshot_does_not_move_and_a_new_query_does(self, root: Path, lake: Lake) -> None:
        with lake.snapshot() as snapshot:
            before = snapshot.query("select count(*) n from rejected.pos")
            write(root, "rejected.pos", [event("b#2", 1, "uk", "sale")], EVENTS)
            after = snapshot.query("select count(*) n from rejected.pos a, rejected.pos b")

            assert (before, after) == ([{"n": 1}], [{"n": 1}])
            assert snapshot.versions == {"rejected.pos": 0}
        assert lake.query("select count(*) n from rejected.pos a, rejected.pos b") == [{"n": 4}]

    def test_an_older_version_can_be_read(self, root: Path, lake: Lake) -> None:
        write(root, "rejected.pos", [event("b#2", 1, "uk", "sale")], EVENTS)

        assert lake.query("select count(*) n from rejected.pos", versions={"rejected.pos": 0}) == [{"n": 1}]
        assert lake.version("rejected.pos") == 1
        with pytest.raises(MissingTableError, match=r"rejected\.pos has no version 2: its newest is 1"):
            lake.query("select 1 from rejected.pos", versions={"rejected.pos": 2})

    def test_a_table_made_after_the_lake_was_opened_is_found(self, root: Path, lake: Lake) -> None:
        with pytest.raises(MissingTableError):
            lake.query("select 1 from bronze.pos")
        write(root, "bronze.pos", [event("b#2", 1, "uk", "sale")], EVENTS)

        assert lake.query("select count(*) n from bronze.pos") == [{"n": 1}]

    def test_queries_from_several_threads_do_not_disturb_each_other(self, root: Path, lake: Lake) -> None:
        failures: list[object] = []

        def ask(table: str, expected: int) -> None:
            for _ in range(10):
                try:
                    found = lake.query(f"select count(*) n from {table} t, {table} u")[0]["n"]
                    if found not in {number**2 for number in range(expected, expected + 6)}:
                        failures.append((table, found))
                except LakehouseError as error:
                    failures.append(error)

        threads = [
            threading.Thread(target=ask, args=each)
            for each in 2 * [("gold.sales_kpis", 3), ("silver.validated_pos", 3), ("rejected.pos", 1)]
        ]
        for thread in threads:
            thread.start()
        for number in range(5):
            write(root, "rejected.pos", [event(f"c#{number}", 1, "uk", "sale")], EVENTS)
        for thread in threads:
            thread.join()

        assert failures == []


class TestRefusals:
    def test_a_missing_table_lists_the_ones_that_exist(self, lake: Lake) -> None:
        with pytest.raises(MissingTableError) as caught:
            lake.query("select * from gold.sale_kpis")

        assert str(caught.value) == (
            f"there is no table gold.sale_kpis at {lake.layout.root}; "
            "tables there: gold.sales_kpis, rejected.pos, silver.validated_pos"
        )

    def test_a_missing_root_is_named_and_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(LakehouseError, match=r"there is no lake at .*nowhere: give --root"):
            Lake(str(tmp_path / "nowhere"))
        assert not (tmp_path / "nowhere").exists()

    def test_nothing_but_reading_runs(self, lake: Lake) -> None:
        for statement in ("delete from rejected.pos", "select * from read_text('/etc/passwd')", "select 1; select 2"):
            with pytest.raises(StatementError):
                lake.query(statement)
        assert lake.query("select count(*) n from rejected.pos") == [{"n": 1}]

    def test_duckdb_itself_refuses_other_files_and_stays_locked(self, lake: Lake, tmp_path: Path) -> None:
        """The second wall: what would happen if the check of the statement were fooled."""
        (tmp_path / "secret.csv").write_text("a\n1\n")
        connection = lake._database.cursor()

        for statement in (
            f"select * from read_csv('{tmp_path}/secret.csv')",
            f"copy (select 1) to '{tmp_path}/out.csv'",
            f"attach '{tmp_path}/other.db'",
            "set enable_external_access = true",
            "set allowed_directories = ['/']",
            "load httpfs",
            "install spatial",
        ):
            with pytest.raises(Exception, match=r"(?i)disabled|locked|cannot|not be changed"):
                connection.execute(statement)
        assert sorted(each.name for each in tmp_path.iterdir()) == ["secret.csv", "the lake's"]

    def test_python_variables_are_no_tables(self, lake: Lake) -> None:
        gold = pa.table({"a": [1]})

        with pytest.raises(StatementError, match=r"gold is no table of the lake"):
            lake.query("select * from gold")
        assert gold.num_rows == 1

    @pytest.mark.parametrize(
        ("statement", "message"),
        [
            ("selec 1", 'syntax error at or near "selec"'),
            ("select nothing from rejected.pos", 'Referenced column "nothing" not found.*Candidate bindings'),
            ("select missing(1)", "missing does not exist"),
            ("select cast('six' as int)", "Could not convert string 'six' to INT32"),
            ("select ?", "parameter"),
        ],
    )
    def test_a_wrong_statement_is_one_clear_line(self, lake: Lake, statement: str, message: str) -> None:
        with pytest.raises(StatementError, match=message) as caught:
            lake.query(statement)
        assert "\n" not in str(caught.value)
        assert "LINE 1" not in str(caught.value)

    def test_a_table_with_column_mapping_is_refused_because_duckdb_misreads_it(self, root: Path, lake: Lake) -> None:
        write(root, "silver.stores", [event("a#1", 6, "uk", "sale")], EVENTS, "region")
        first = root / "silver/stores/_delta_log/00000000000000000000.json"
        first.write_text("\n".join(map(mapped, first.read_text().splitlines())))
        log = Path(Layout(str(root)).table("silver.stores"))

        with pytest.raises(LakehouseError, match=r"stores uses column mapping \(name\), which DuckDB misreads"):
            lake.query("select * from silver.stores")
        misread = lake._database.cursor().execute(f"from delta_scan('{str(log).replace(chr(39), chr(39) * 2)}')")
        assert misread.to_arrow_table().column("the region").to_pylist() == [None]

    def test_a_data_file_that_is_gone_is_a_failure_that_names_the_lake(self, root: Path, lake: Lake) -> None:
        for file in (root / "rejected/pos/bad_rows").glob("*.parquet"):
            file.unlink()

        with pytest.raises(LakehouseError, match="the lake's cannot be read: ") as caught:
            lake.query("select * from rejected.pos")
        assert not isinstance(caught.value, StatementError)

    def test_extensions_come_from_packages(self) -> None:
        assert extension_path("delta").is_file()
        with pytest.raises(LakehouseError, match=r"install the package duckdb-extension-spatial==1\.5\.5"):
            extension_path("spatial")


def mapped(line: str) -> str:
    """A line of a first commit, changed to what a writer with column mapping makes of it."""
    action = json.loads(line)
    if "protocol" in action:
        action["protocol"] = {"minReaderVersion": 2, "minWriterVersion": 5}
    if "metaData" in action:
        fields = json.loads(action["metaData"]["schemaString"])
        for number, each in enumerate(fields["fields"], 1):
            each["metadata"] = {
                "delta.columnMapping.id": number,
                "delta.columnMapping.physicalName": each["name"],
            }
            each["name"] = f"the {each['name']}"
        action["metaData"] |= {
            "schemaString": json.dumps(fields),
            "partitionColumns": ["the region"],
            "configuration": {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "5"},
        }
    return json.dumps(action)
