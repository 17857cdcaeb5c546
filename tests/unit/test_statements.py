"""Which statements `lakehouse sql` takes, and which tables it sees in them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.statements import StatementError, tables_read


class TestTablesRead:
    @pytest.mark.parametrize(
        ("statement", "tables"),
        [
            ("select 1", set()),
            ("from gold.sales_kpis", {"gold.sales_kpis"}),
            ("table bronze.pos", {"bronze.pos"}),
            ("values (1), (2)", set()),
            ("with a as (from bronze.pos), b as (from a) from b, silver.stores", {"bronze.pos", "silver.stores"}),
            ("select * from a.b", None),
            ("from (select * from gold.sales_kpis) where x in (from bronze.crm)", {"gold.sales_kpis", "bronze.crm"}),
            ("select e.rule from rejected.pos, unnest(errors) as u(e)", {"rejected.pos"}),
            ("select * from range(3), generate_series(1, 2), json_each('{}')", set()),
            ("select p->>'$.page', list_transform(errors, lambda e: e.rule) from rejected.crm", {"rejected.crm"}),
            ("pivot gold.sales_kpis on kpi_name using sum(value) group by month", None),
            ("explain select * from bronze.pos", {"bronze.pos"}),
            ("explain analyze from bronze.pos", {"bronze.pos"}),
            ("summarize select * from bronze.pos", {"bronze.pos"}),
            ("select 'select * from bronze.pos' -- from bronze.crm", set()),
            ("select * from bronze.pos positional join bronze.crm", {"bronze.pos", "bronze.crm"}),
            ("with gold as (select 1) select * from gold", set()),
        ],
    )  # fmt: skip
    def test_names(self, statement: str, tables: set[str] | None) -> None:
        if tables is None:
            with pytest.raises(StatementError):
                tables_read(statement)
        else:
            assert tables_read(statement) == tables

    @given(st.text(max_size=60))
    def test_no_text_raises_anything_but_a_statement_error(self, statement: str) -> None:
        with contextlib.suppress(StatementError):
            tables_read(statement)


class TestRefusals:
    @pytest.mark.parametrize(
        "statement",
        [
            "insert into rejected.pos select * from rejected.pos",
            "delete from rejected.pos",
            "update rejected.pos set quantity = 1",
            "create table rejected.more as select 1",
            "create view v as select 1",
            "drop table rejected.pos",
            "copy (select 1) to 'out.csv'",
            "copy rejected.pos from 'in.csv'",
            "attach 'other.db'",
            "install httpfs",
            "load httpfs",
            "set enable_external_access = true",
            "reset allowed_directories",
            "use memory",
            "call pragma_version()",
            "checkpoint",
            "export database 'x'",
            "prepare p as select 1",
            "explain analyze insert into rejected.pos select * from rejected.pos",
            "explain copy (select 1) to 'out.csv'",
            "pragma database_list",
            "select 1; select 2",
            "select 1; drop table rejected.pos",
            "",
            "-- nothing",
        ],
    )
    def test_only_one_reading_statement_runs(self, statement: str) -> None:
        with pytest.raises(StatementError) as caught:
            tables_read(statement)

        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "source",
        [
            "read_csv('/etc/passwd')",
            "read_text('/etc/passwd')",
            "read_blob('/etc/passwd')",
            "read_json('x.json')",
            "read_parquet('x.parquet')",
            "parquet_metadata('x.parquet')",
            "delta_scan('/tmp')",
            "glob('/*')",
            "sniff_csv('/etc/passwd')",
            "query('select * from read_text(''/etc/passwd'')')",
            "query_table('rejected.pos')",
            "duckdb_secrets()",
            "duckdb_settings()",
            "pragma_database_list()",
            "'/etc/passwd'",
            "'x.parquet'",
            '"/etc/passwd"',
            "information_schema.tables",
            "main.x",
            "other.gold.sales_kpis",
            'gold."../silver/validated_pos"',
            "rejected.pos at (version => 0)",
        ],
    )
    def test_only_tables_of_the_lake_are_read(self, source: str) -> None:
        for statement in (
            f"select * from {source}",
            f"from {source}",
            f"select (select count(*) from {source})",
            f"with a as (select * from {source}) select * from a",
            f"explain select * from {source}",
            f"select * from rejected.pos union all select * from {source}",
        ):
            with pytest.raises(StatementError):
                tables_read(statement)
