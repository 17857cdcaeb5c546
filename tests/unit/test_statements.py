"""Which statements `lakehouse sql` takes, and which tables it sees in them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.statements import Question, StatementError, question, tables_read


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
            ("pivot gold.sales_kpis on kpi_name using sum(value) group by month", {"gold.sales_kpis"}),
            ("pivot gold.sales_kpis on kpi_name in ('a') using sum(value) order by 1 limit 3", {"gold.sales_kpis"}),
            ("pivot (from bronze.pos) on a using sum(b) limit (from bronze.crm)", {"bronze.pos", "bronze.crm"}),
            ("pivot bronze.pos on \"order\" using max(\"limit\")", {"bronze.pos"}),
            ("with p as (pivot bronze.pos on a using sum(b)) from p, bronze.crm", {"bronze.pos", "bronze.crm"}),
            ("select * from (pivot bronze.pos on a using sum(b))", {"bronze.pos"}),
            ("unpivot gold.sales_kpis on numerator, value into name n value v order by v;", {"gold.sales_kpis"}),
            ("explain pivot bronze.pos on a in ('x') using sum(b)", {"bronze.pos"}),
            ("from bronze.pos pivot (sum(b) for a in ('x', 'y'))", {"bronze.pos"}),
            ("explain select * from bronze.pos", {"bronze.pos"}),
            ("explain analyze from bronze.pos", {"bronze.pos"}),
            ("summarize select * from bronze.pos", {"bronze.pos"}),
            ("select 'select * from bronze.pos' -- from bronze.crm", set()),
            ("from bronze.pos; -- from bronze.crm", {"bronze.pos"}),
            ("from bronze.pos; /* done */ ;", {"bronze.pos"}),
            ("-- first\nfrom bronze.pos", {"bronze.pos"}),
            ("summarize bronze.pos; -- from bronze.crm", {"bronze.pos"}),
            ("explain analyze from bronze.pos; -- from bronze.crm", {"bronze.pos"}),
            ("select ';'", set()),
            ("show tables", set()),
            ("show bronze.pos", {"bronze.pos"}),
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

    @pytest.mark.parametrize(
        ("statement", "asked"),
        [
            ("show tables", Question(frozenset(), "tables")),
            ("SHOW ALL TABLES; -- please", Question(frozenset(), "tables")),
            ("describe", Question(frozenset(), "tables")),
            ("show tables from gold", Question(frozenset(), "tables", "gold")),
            ("describe bronze.pos -- its columns", Question(frozenset({"bronze.pos"}), "columns")),
            ("desc Bronze.POS", Question(frozenset({"bronze.pos"}), "columns")),
            ("show bronze.pos;", Question(frozenset({"bronze.pos"}), "columns")),
            ("describe select 1 from bronze.pos", Question(frozenset({"bronze.pos"}))),
            ("describe from bronze.pos", Question(frozenset({"bronze.pos"}))),
            ("summarize bronze.pos", Question(frozenset({"bronze.pos"}))),
            ("explain describe bronze.pos", Question(frozenset({"bronze.pos"}))),
        ],
    )
    def test_what_it_asks_for(self, statement: str, asked: Question) -> None:
        assert question(statement) == asked

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
            "create table rejected.more as pivot rejected.pos on type using count(*)",
            "insert into rejected.pos pivot rejected.pos on type using count(*)",
            "pivot rejected.pos on type using count(*); drop table rejected.pos",
            "select 1; pivot rejected.pos on type using count(*)",
            "explain pivot rejected.pos on type using count(*)",
            "show databases",
            "show",
            "show tables from main",
            "show main.x",
            "from (show tables)",
            "begin",
            "",
            "-- nothing",
        ],
    )
    def test_only_one_reading_statement_runs(self, statement: str) -> None:
        with pytest.raises(StatementError) as caught:
            tables_read(statement)

        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("statement", "message"),
        [
            (
                "delete from rejected.pos",
                "DELETE is not allowed: the lake is read-only here, only its jobs write; write one ",
            ),
            (
                "create view v as select 1",
                "CREATE is not allowed: nothing can be made or changed here: put a query in ",
            ),
            (
                "copy (select 1) to 'out.csv'",
                "COPY is not allowed: no file is written by a statement: use --format csv or ",
            ),
            ("attach 'other.db'", "ATTACH is not allowed: nothing but the tables of this lake can be read; write one "),
            ("set threads = 1", "SET is not allowed: the settings of this reader are fixed; write one "),
            ("select 1; select 2", "2 statements: each statement runs by itself; write one SELECT, "),
            ("", "no statement; write one SELECT, PIVOT, UNPIVOT, DESCRIBE, SUMMARIZE, SHOW TABLES or EXPLAIN"),
            ("show databases", "SHOW DATABASES is not known here: SHOW TABLES lists the tables of the lake, DESCRIBE "),
            ("from information_schema.tables", "information_schema.tables is not known here: SHOW TABLES lists the "),
            ("from duckdb_tables()", "DUCKDB_TABLES() is not known here: SHOW TABLES lists the tables of the lake, "),
            ("summarize 'x.csv'", "'x.csv' is a file: nothing but the tables of this lake can be read"),
            (
                "from sales_kpis -- mine",
                "sales_kpis is no table of the lake: write <layer>.<table>, with a layer of bronze",
            ),
            ("explain pivot rejected.pos on type using count(*)", "EXPLAIN of a PIVOT needs its columns: write PIVOT "),
        ],
    )
    def test_what_is_refused_says_why(self, statement: str, message: str) -> None:
        with pytest.raises(StatementError) as caught:
            tables_read(statement)

        assert str(caught.value).startswith(message)

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
            f"pivot (select * from {source}) on type using count(*)",
            f"pivot rejected.pos on type using count(*) order by (select 1 from {source})",
        ):
            with pytest.raises(StatementError):
                tables_read(statement)
