"""Why records are rejected, as `lakehouse quality` tells it: what is wrong with whole files first."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from batch.readers import read_rows
from lakehouse.contracts import load_contracts
from lakehouse.engine.parse import parse
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS, Settings
from local.commands import quality as command
from local.rejected_files import reject_reasons
from local.sql import Lake

STORES = load_contracts(CONTRACTS).source("stores")
NOW = datetime(2024, 3, 1, tzinfo=UTC)
FILES = {
    "stores/semicolons.csv": b"store_id;region;country;valid_from\n1;North;GB;2010-01-01\n2;South;GB;2010-01-01\n",
    "stores/camel.csv": b"storeId,region,country,valid_from\n1,North,GB,2010-01-01T00:00:00Z\n",
    "stores/good.csv": b"store_id,region,country,valid_from\n"
    + b"".join(b"%d,North,GB,2010-01-01T00:00:00Z\n" % number for number in range(20))
    + b"x,North,GB,2010-01-01T00:00:00Z\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Bronze and rejected rows of these files, as the readers and the engine make them."""
    bronze: dict[str, list[Any]] = {name: [] for name in ("record_id", "payload", "payload_encoding", "arrived_at")}
    for path, content in FILES.items():
        for row in read_rows(path, iter([content]), len(content), contract=STORES):
            for column, value in zip(bronze, (f"{path}#{row.line}", row.payload, row.encoding, NOW), strict=True):
                bronze[column].append(value)
    table = pa.table(bronze).set_column(3, "arrived_at", pa.array(bronze["arrived_at"], pa.timestamp("us", "UTC")))
    parsed = parse(table, STORES).to_pylist()
    rejected = [
        {
            "record_id": row["record_id"],
            "rule": row["errors"][0]["rule"],
            "errors": row["errors"],
            "payload": row["payload"],
            "payload_encoding": row["payload_encoding"],
        }
        for row in parsed
        if row["errors"]
    ]
    layout = Layout(str(tmp_path))
    write_deltalake(
        layout.table("bronze.stores"), table.append_column("ingest_date", pa.array([date(2024, 3, 1)] * len(table)))
    )
    write_deltalake(layout.table("rejected.stores"), pa.Table.from_pylist(rejected))
    return tmp_path


def test_files_come_first_with_how_many_of_their_lines_and_what_they_have_instead(root: Path) -> None:
    with Lake(str(root)) as lake:
        found = reject_reasons(lake, STORES)
    semicolons, camel, line = found
    assert (semicolons.rejected, semicolons.lines, semicolons.of_file) == (3, 3, True)
    assert str(semicolons).startswith("stores/semicolons.csv: 3 of 3 lines: unreadable_file: the header shares no name")
    assert "its delimiter is ';'" in str(semicolons)
    assert "North" not in "".join(map(str, found))
    assert str(camel) == (
        "stores/camel.csv: 1 of 1 lines lack store_id: it has storeId, which the contract does not know"
    )
    assert str(line) == "stores/good.csv: 1 of 21 lines: type: store_id must be int: the first is stores/good.csv#22"
    assert [each.of_file for each in found] == [True, True, False]


def test_the_command_lists_them_and_says_when_there_are_none(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.run(source="stores", json=True, settings=Settings(root=str(root)))
    assert [each["rejected"] for each in json.loads(capsys.readouterr().out)] == [3, 1, 1]
    command.run(source=None, json=False, settings=Settings(root=str(root)))
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines.count("Single records")) == ("Whole files", 1)
    command.run(source="pos", json=False, settings=Settings(root=str(root)))
    assert capsys.readouterr().out == "No record is rejected, duplicates aside.\n"
