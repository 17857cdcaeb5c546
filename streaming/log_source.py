"""When to look: a source of Spark that tells a query of new versions of Delta tables. It brings no rows.

A query on it takes its rows from the tables' logs, and keeps in its own table how far it has come. So nothing depends
on the checkpoint of such a query, and it may lie anywhere.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, override

from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.types import StructType

from runtime.storage import Storage

LOG = "_delta_log"


class TableVersions(DataSource):
    """`spark.readStream.format("table_versions")` with the option `tables`: a JSON list of addresses.

    An offset has the newest version of each table (-1: not there yet), and which start of the query it is of: a query
    that starts looks at once.
    """

    @classmethod
    @override
    def name(cls) -> str:
        return "table_versions"

    @override
    def schema(self) -> str:
        return "nothing boolean"

    @override
    def streamReader(self, schema: StructType) -> "TableVersionsReader":
        return TableVersionsReader(json.loads(self.options["tables"]))


class TableVersionsReader(DataSourceStreamReader):
    """Looks at the tables' logs from the driver's planning process: one small request a table and look."""

    def __init__(self, tables: list[str]) -> None:
        self._tables = tables
        self._start = str(uuid.uuid4())
        self._newest: dict[str, int] = {}

    @override
    def initialOffset(self) -> dict[str, Any]:
        return {"start": "", "versions": {}}

    @override
    def latestOffset(self) -> dict[str, Any]:
        for table in self._tables:
            self._newest[table] = _newest(table, self._newest.get(table, -1))
        return {"start": self._start, "versions": dict(self._newest)}

    @override
    def partitions(self, start: Mapping[str, Any], end: Mapping[str, Any]) -> list[InputPartition]:
        return [InputPartition(0)]

    @override
    def read(self, partition: InputPartition) -> Iterator[tuple[bool]]:
        yield from ()

    @override
    def commit(self, end: Mapping[str, Any]) -> None:
        pass


def _newest(table: str, known: int) -> int:
    """The newest version of a table of which version `known` was seen; -1 where no table is.

    A table that was made anew with fewer versions is noticed when it has more than the old one had, or at the next
    start: its followers notice the new table by themselves.
    """
    if not table.startswith("s3://") and not Path(table, LOG).is_dir():
        return -1  # asking the storage would make the folder
    log = Storage.open(f"{table}/{LOG}")
    if known < 0:
        versions = [each.key.removesuffix(".json") for each in log.list() if each.key.endswith(".json")]
        return max((int(each) for each in versions if each.isdecimal()), default=-1)
    while log.exists(f"{known + 1:020}.json"):
        known += 1
    return known
