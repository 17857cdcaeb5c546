"""When a query looks: at its start, and whenever one of its tables has a new version; never for anything else."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql.types import StructType

from runtime.storage import Storage
from runtime.tables import ensure_table
from streaming.log_source import TableVersions, TableVersionsReader

SCHEMA = pa.schema([pa.field("id", pa.int64())])
ROWS = pa.table({"id": [1]}, schema=SCHEMA)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return str(tmp_path / "table")


def append(uri: str) -> None:
    ensure_table(uri, SCHEMA, [], {}).append(ROWS, {}, "")


def test_a_start_looks_at_once_and_a_look_that_finds_nothing_new_is_no_batch(uri: str) -> None:
    append(uri)
    reader, restarted = TableVersionsReader([uri]), TableVersionsReader([uri])
    first = reader.latestOffset()
    assert first != reader.initialOffset()
    assert first["versions"] == {uri: 1}
    assert reader.latestOffset() == first
    assert restarted.latestOffset() != first, "a new start is a new offset, on the checkpoint of the one before too"


def test_a_new_version_of_any_table_is_a_batch(uri: str, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    append(uri)
    append(other)
    reader = TableVersionsReader([uri, other])
    seen = [reader.latestOffset()]
    for table in (uri, other):
        append(table)
        append(table)
        seen.append(reader.latestOffset())
    assert [each["versions"] for each in seen] == [{uri: 1, other: 1}, {uri: 3, other: 1}, {uri: 3, other: 3}]


def test_a_table_that_is_not_there_yet_is_waited_for_and_not_made(uri: str) -> None:
    reader = TableVersionsReader([uri])
    assert reader.latestOffset()["versions"] == {uri: -1}
    assert not Path(uri).exists()
    append(uri)
    assert reader.latestOffset()["versions"] == {uri: 1}


def test_a_look_asks_for_the_next_version_only(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    append(uri)
    reader = TableVersionsReader([uri])
    reader.latestOffset()
    asked: list[str] = []
    monkeypatch.setattr(Storage, "list", lambda *_: pytest.fail("a listing for each look"))
    monkeypatch.setattr(Storage, "exists", lambda _, key: asked.append(key))
    reader.latestOffset()
    assert asked == [f"{2:020}.json"]


def test_a_log_whose_first_versions_were_cleaned_away_is_seen(uri: str) -> None:
    for _ in range(3):
        append(uri)
    for version in (0, 1):
        (Path(uri) / "_delta_log" / f"{version:020}.json").unlink()
    assert TableVersionsReader([uri]).latestOffset()["versions"] == {uri: 3}


def test_it_brings_no_rows(uri: str) -> None:
    source = TableVersions({"tables": json.dumps([uri])})
    assert source.name() == "table_versions"
    reader = source.streamReader(StructType())
    assert isinstance(reader, TableVersionsReader)
    offset = reader.latestOffset()
    json.dumps(offset)  # Spark keeps it as such
    [partition] = reader.partitions(reader.initialOffset(), offset)
    assert [*reader.read(partition)] == []
    reader.commit(offset)
