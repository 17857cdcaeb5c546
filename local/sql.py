"""SQL over the lake's Delta tables without Spark: DuckDB reads them where they lie, and can do nothing but read.

    with Lake("s3://shopware-lakehouse") as lake:
        lake.query("select sum(numerator) from gold.sales_kpis where kpi_name = $kpi", {"kpi": "daily_revenue"})

Every statement sees each table at one version. Extensions come from installed packages, never from a download.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import count
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

import boto3
import duckdb
import pyarrow as pa

from lakehouse.contract_model import Contracts
from lakehouse.errors import LakehouseError
from lakehouse.layout import LAYERS, Layout
from local.duckdb_reader import identifier, literal, open_reader, s3_secret
from local.plain_path import PlainPath
from local.statements import Question, StatementError, one_line, question
from local.table_contents import content_of
from runtime.delta_log import DeltaLog
from runtime.region import region

Parameters = Sequence[object] | Mapping[str, object]

WRONG_STATEMENT = (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError, duckdb.PermissionException)


class MissingTableError(LakehouseError):
    """A table, or the version of it that was asked for, is not in the lake."""


class Lake:
    """The tables of one lake, for reading. It may be shared between threads; close it when done."""

    def __init__(self, root: str, contracts: Callable[[], Contracts] | None = None) -> None:
        """`root` is a folder or s3://bucket/prefix; endpoint and credentials come from AWS_* (or boto3's other places).

        `contracts` are asked for when a statement wants to know what tables and columns mean. Raises LakehouseError
        when the folder is not there, or DuckDB's extensions are not installed.
        """
        self.layout = Layout(root)
        self._on_s3 = self.layout.root.startswith("s3://")
        if not self._on_s3:
            self.layout = Layout(str(Path(self.layout.root).resolve()))
            if not Path(self.layout.root).is_dir():
                raise LakehouseError(f"there is no lake at {root}: give --root, or fill one (lakehouse demo)")
        self.contracts = contracts
        self._plain = PlainPath("" if self._on_s3 else self.layout.root)
        self._read_by = Layout(self._plain.path or self.layout.root)
        self._lock = Lock()
        self._numbers = count(1)
        self._logs: dict[str, DeltaLog] = {}
        self._session = boto3.session.Session()
        self._secret = ""
        self._database = open_reader(self._read_by.root)

    def query(
        self, statement: str, parameters: Parameters | None = None, versions: Mapping[str, int] | None = None
    ) -> list[dict[str, Any]]:
        """The rows of a statement, a dict each.

        Decimals are Decimal, exact; sums of integers are int; timestamps are datetime in UTC. (Dividing decimals makes
        a float in DuckDB.) `parameters` fill `?` (a sequence) or `$name` (a mapping); `versions` pins tables, the
        others are read at their newest version. Raises StatementError for a wrong statement, MissingTableError naming
        the tables that there are, LakehouseError when the lake cannot be read.
        """
        with self.snapshot(versions) as snapshot:
            return snapshot.query(statement, parameters)

    def arrow(
        self, statement: str, parameters: Parameters | None = None, versions: Mapping[str, int] | None = None
    ) -> pa.Table:
        """As `query`, as an Arrow table with the types that DuckDB gives."""
        with self.snapshot(versions) as snapshot:
            return snapshot.arrow(statement, parameters)

    def snapshot(self, versions: Mapping[str, int] | None = None) -> "Snapshot":
        """Several statements over the same versions: a table is pinned when a statement first names it."""
        with self._lock:
            self._renew_credentials()
            connection = self._database.cursor()
        return Snapshot(self, connection, next(self._numbers), versions or {})

    def version(self, table: str) -> int | None:
        """The newest version of a table such as `gold.sales_kpis`; None where there is none yet."""
        return self.log(table).newest()

    def log(self, table: str) -> DeltaLog:
        """The log of a table, which remembers what it has read."""
        with self._lock:
            return self._logs.setdefault(table, DeltaLog(self.layout.root, table))

    def address(self, table: str) -> str:
        """Where readers of Delta tables find a table: its place, on a way that they all understand."""
        return self._read_by.table(table)

    def named(self, message: str) -> str:
        """A message of a reader with the lake's own path in it."""
        return message.replace(self._read_by.root, self.layout.root)

    def tables(self) -> list[str]:
        """The names of all tables that the lake holds, sorted."""
        return sorted(
            f"{layer}.{name}"
            for layer in LAYERS
            for name in self._folders(layer)
            if self.version(f"{layer}.{name}") is not None
        )

    def close(self) -> None:
        """Frees DuckDB's memory; the lake can no longer be asked."""
        self._database.close()
        self._plain.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _folders(self, layer: str) -> list[str]:
        """The folders right under a layer, found without listing the data files below them."""
        if not self._on_s3:
            folder = Path(self.layout.root) / layer
            return [each.name for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []
        bucket, _, path = self.layout.root.removeprefix("s3://").partition("/")
        prefix = f"{path}/{layer}/" if path else f"{layer}/"
        pages = (
            boto3.client("s3", region_name=region())
            .get_paginator("list_objects_v2")
            .paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
        )
        return [
            each["Prefix"].removeprefix(prefix).rstrip("/") for page in pages for each in page.get("CommonPrefixes", ())
        ]

    def _renew_credentials(self) -> None:
        """Gives DuckDB the credentials in force; those of a role change within hours."""
        if not self._on_s3:
            return
        secret = s3_secret(self.layout.root, self._session)
        if secret != self._secret:
            self._database.execute(secret)
            self._secret = secret


class Snapshot:
    """The tables of a lake, each at one version, for several statements of one thread."""

    def __init__(
        self, lake: Lake, connection: duckdb.DuckDBPyConnection, number: int, versions: Mapping[str, int]
    ) -> None:
        self._lake = lake
        self._connection = connection
        self._catalog = f"snapshot {number}"
        self._wanted = dict(versions)
        self._closed = False
        self.versions: dict[str, int] = {}
        connection.execute(f"ATTACH ':memory:' AS {identifier(self._catalog)}")
        connection.execute(f"USE {identifier(self._catalog)}")

    def query(self, statement: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """As `Lake.query`, over this snapshot."""
        return self.rows(statement, parameters)[1]

    def rows(self, statement: str, parameters: Parameters | None = None) -> tuple[list[str], list[dict[str, Any]]]:
        """The names of the columns, and the rows as `query` gives them. A name that is there twice gets a number."""
        table = self.arrow(statement, parameters)
        table = table.rename_columns(_distinct(table.column_names))
        # DuckDB sums integers as HUGEINT, which Arrow can only carry as a decimal without fraction.
        whole = [each.name for each in table.schema if isinstance(each.type, pa.Decimal128Type) and not each.type.scale]
        rows: list[dict[str, Any]] = table.to_pylist()
        for row in rows:
            for name in whole:
                value = row[name]
                row[name] = int(value) if isinstance(value, Decimal) else value
        return table.column_names, rows

    def arrow(self, statement: str, parameters: Parameters | None = None) -> pa.Table:
        """As `Lake.arrow`, over this snapshot."""
        asked = question(statement)
        if asked.asks_for == "tables":
            return self._list_tables(asked)
        for table in sorted(asked.tables):
            self.pin(table)
        try:
            result: pa.Table = self._connection.execute(statement, parameters).to_arrow_table()
        except WRONG_STATEMENT as error:
            raise StatementError(self._lake.named(one_line(error))) from error
        except duckdb.Error as error:
            for table in self.versions:
                self._lake.log(table).forget()
            raise LakehouseError(
                f"{self._lake.layout.root} cannot be read: {self._lake.named(one_line(error))}"
            ) from error
        return self._with_meanings(result, *asked.tables) if asked.asks_for == "columns" else result

    def _list_tables(self, asked: Question) -> pa.Table:
        """The tables that the lake holds, and what a row of each is: columns `table` and `comment`."""
        contracts = self._lake.contracts() if self._lake.contracts else None
        names = [each for each in self._lake.tables() if asked.layer in (None, each.partition(".")[0])]
        known = contracts.tables if contracts else ()
        comments = [content_of(each, contracts) if contracts and each in known else None for each in names]
        return pa.table({"table": pa.array(names, pa.string()), "comment": pa.array(comments, pa.string())})

    def _with_meanings(self, described: pa.Table, table: str) -> pa.Table:
        """What DESCRIBE gives of a table, with what each column is: `column_name`, `column_type`, `comment`."""
        contracts = self._lake.contracts() if self._lake.contracts else None
        meanings: dict[str, str] = {}
        if contracts and table in contracts.tables:
            meanings = {each.stored_as: each.description for each in contracts.table(table).columns}
        comments = [meanings.get(str(name)) for name in described.column("column_name").to_pylist()]
        columns = described.select(["column_name", "column_type"])
        return columns.append_column("comment", pa.array(comments, pa.string()))

    def pin(self, table: str) -> int:
        """Fixes the version at which this snapshot sees a table, if it is not yet, and returns it.

        Raises MissingTableError when the table or the version is not there, LakehouseError when DuckDB would misread
        the table.
        """
        if table in self.versions:
            return self.versions[table]
        log = self._lake.log(table)
        newest = log.newest()
        version = self._wanted.get(table, newest)
        if newest is None or version is None:
            there = ", ".join(self._lake.tables()) or "none yet"
            raise MissingTableError(f"there is no table {table} at {self._lake.layout.root}; tables there: {there}")
        if not 0 <= version <= newest:
            raise MissingTableError(f"{table} has no version {version}: its newest is {newest}")
        _refuse_column_mapping(log)
        layer, _, name = table.partition(".")
        source = identifier(f"{self._catalog} {table}")
        place = literal(self._lake.address(table))
        self._connection.execute(f"ATTACH {place} AS {source} (TYPE delta, READ_ONLY, PIN_SNAPSHOT, VERSION {version})")
        self.versions[table] = version
        try:
            self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(layer)}")
            self._connection.execute(f"CREATE VIEW {identifier(layer)}.{identifier(name)} AS FROM {source}")
        except duckdb.Error as error:
            log.forget()
            raise LakehouseError(
                f"{table} cannot be read at version {version}: {self._lake.named(one_line(error))}"
            ) from error
        return version

    def close(self) -> None:
        """Lets go of the tables."""
        if self._closed:
            return
        self._closed = True
        self._connection.execute("USE memory")
        self._connection.execute(f"DETACH {identifier(self._catalog)}")
        for table in self.versions:
            self._connection.execute(f"DETACH {identifier(f'{self._catalog} {table}')}")
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _refuse_column_mapping(log: DeltaLog) -> None:
    """DuckDB reads partition columns of such a table as NULL without a word, so it is refused."""
    first = log.commit(0)
    mode = (first.configuration or {}).get("delta.columnMapping.mode", "none") if first else "none"
    if mode != "none":
        raise LakehouseError(
            f"{log.uri} uses column mapping ({mode}), which DuckDB misreads: write the table anew with "
            "delta.columnMapping.mode = none"
        )


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, those that are there twice with `_1`, `_2` and so on after the first."""
    distinct: list[str] = []
    for name in names:
        free = (name, *(f"{name}_{number}" for number in range(1, len(names) + 1)))
        distinct.append(next(each for each in free if each not in distinct))
    return distinct
