"""Delta tables follow their contracts: nullable columns are added in place, everything else is refused by name."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.contracts import load_contracts
from lakehouse.delta import table as tables
from lakehouse.delta.log import UnreadableLogError, commit, commit_info
from lakehouse.delta.schema import arrow_schema, delta_json
from lakehouse.delta.snapshot import protocol_for
from lakehouse.delta.store import TableStore
from lakehouse.delta.table import IncompatibleTableError, OwnedTable
from lakehouse.engine import schemas
from lakehouse.settings import CONTRACTS
from tests.unit.delta_tables import SCHEMA, SILVER, made, schema_of

PROPERTIES = {"delta.enableDeletionVectors": "true"}
AS_IT_IS = schema_of(store_id=pa.int32(), amount=pa.decimal128(18, 4), region=pa.string())
TILL = pa.field("till", pa.int32(), nullable=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two rows in two partitions."""
    table = OwnedTable.ensure(str(tmp_path / "sales"), AS_IT_IS, ["region"], PROPERTIES)
    rows = pa.table({"store_id": [0, 1], "amount": [Decimal(0), Decimal(1)], "region": ["r0", "r1"]}, schema=AS_IT_IS)
    table.append(rows, {}, "")
    return tmp_path / "sales"


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier tests fitted is not remembered."""
    monkeypatch.setattr(tables, "_FITTED", set())


def ensure(folder: Path, schema: pa.Schema, partitions: Sequence[str] = ("region",)) -> OwnedTable:
    return OwnedTable.ensure(str(folder), schema, partitions, PROPERTIES)


def changed(folder: Path, schema: pa.Schema) -> None:
    """As somebody rewrites a table with other columns."""
    table = OwnedTable.open(str(folder))
    metadata = table._snapshot.metadata | {"schemaString": delta_json(schema)}
    info = commit_info("REPLACE COLUMNS", {}, {}, table.version)
    commit(TableStore(table.uri), table.version + 1, [info, {"metaData": metadata}])


def test_the_same_contract_changes_nothing_in_any_order(folder: Path) -> None:
    assert ensure(folder, AS_IT_IS).version == 1
    assert ensure(folder, pa.schema([AS_IT_IS.field(place) for place in (2, 0, 1)])).version == 1


def test_a_nullable_column_appears_without_a_rewrite(folder: Path) -> None:
    before = sorted(folder.rglob("*.parquet"))
    new = [pa.field("note", pa.string(), metadata={"comment": "Why."}), pa.field("score", pa.decimal128(9, 2))]
    table = ensure(folder, pa.schema([*AS_IT_IS, *new]))
    assert sorted(folder.rglob("*.parquet")) == before
    assert table.schema.names == ["store_id", "amount", "region", "note", "score"]
    assert table.schema.field("note").metadata == {b"comment": b"Why."}
    rows = table.read(["store_id", "note", "score"]).sort_by("store_id").to_pylist()
    assert rows == [{"store_id": number, "note": None, "score": None} for number in (0, 1)]
    assert table.version == 2


NEW_NAME = "give the changed column a new name, or replay into a new table"
REST = list(AS_IT_IS)[1:]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            [pa.field("store_id", pa.string()), *REST],
            f"column store_id is int in the table and string in its contract: {NEW_NAME}",
        ),
        (
            [pa.field("store_id", pa.int64()), *REST],
            f"column store_id is int in the table and bigint in its contract: {NEW_NAME}",
        ),
        (
            [AS_IT_IS.field(0), pa.field("amount", pa.decimal128(18, 2)), AS_IT_IS.field(2)],
            f"column amount is decimal(18,4) in the table and decimal(18,2) in its contract: {NEW_NAME}",
        ),
        (
            [*REST, pa.field("store_id", pa.struct([("x", pa.int64())]))],
            f"column store_id is int in the table and struct<x:bigint> in its contract: {NEW_NAME}",
        ),
        (REST, "its contract no longer has store_id (int): keep columns, mark them deprecated"),
        (
            [*AS_IT_IS, TILL],
            "column till (int) is new and required, but rows that are there have no value for it: make it nullable",
        ),
    ],
)
def test_other_changes_of_columns_are_refused(
    folder: Path, fields: "Sequence[pa.Field[pa.DataType]]", told: str
) -> None:
    with pytest.raises(IncompatibleTableError) as refusal:
        ensure(folder, pa.schema(fields))
    assert str(refusal.value) == f"{folder}: {told}"
    assert OwnedTable.open(str(folder)).version == 1, "a refused contract changes nothing"


def test_another_partitioning_is_refused_and_nothing_is_added(folder: Path) -> None:
    with pytest.raises(IncompatibleTableError) as refusal:
        ensure(folder, AS_IT_IS.append(pa.field("note", pa.string())), ["store_id"])
    assert "is partitioned by ['region'], its contract says ['store_id']: a new partitioning needs" in str(
        refusal.value
    )
    assert OwnedTable.open(str(folder)).version == 1


def test_a_column_that_somebody_took_out_is_told_with_the_way_back(folder: Path) -> None:
    changed(folder, pa.schema(list(AS_IT_IS)[1:]))
    told = (
        f"{folder}: column store_id is gone since version 2, which no job of the lake wrote: bring it back with "
        f"RESTORE TABLE delta.`{folder}` TO VERSION AS OF 1 (docs/operating.md)"
    )
    with pytest.raises(IncompatibleTableError) as refusal:
        ensure(folder, AS_IT_IS)
    assert str(refusal.value) == told
    with pytest.raises(IncompatibleTableError) as refusal:
        OwnedTable.open(str(folder)).refuse_altered(AS_IT_IS)
    assert str(refusal.value) == told


def test_a_type_that_somebody_changed_is_told_with_the_way_back(folder: Path) -> None:
    changed(folder, pa.schema([pa.field("store_id", pa.string()), *list(AS_IT_IS)[1:]]))
    with pytest.raises(IncompatibleTableError, match="column store_id is string instead of int since version 2"):
        ensure(folder, AS_IT_IS)


def test_a_column_that_comes_under_a_running_job_stays(folder: Path) -> None:
    ensure(folder, AS_IT_IS)
    changed(folder, AS_IT_IS.append(pa.field("later", pa.string())))
    assert ensure(folder, AS_IT_IS).schema.names == [*AS_IT_IS.names, "later"]


def test_changed_properties_are_set_once_and_protocol_follows(folder: Path) -> None:
    wanted = PROPERTIES | {"delta.enableChangeDataFeed": "true", "lakehouse.x": "1"}
    for _ in range(2):
        table = OwnedTable.ensure(str(folder), AS_IT_IS, ["region"], wanted)
    assert (table.version, table.properties) == (2, wanted)
    assert "changeDataFeed" in table._snapshot.protocol["writerFeatures"]
    assert table.set_property("lakehouse.x", "1") == 2
    assert table.set_property("lakehouse.x", "2") == 3


def test_descriptions_become_comments_and_do_not_count_as_a_change(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    assert table.schema.equals(SCHEMA, check_metadata=True)
    bare = pa.schema([each.remove_metadata() for each in SCHEMA])
    assert made(tmp_path / "t", SILVER, bare).version == 0


def test_the_tables_of_all_contracts_can_be_made_and_come_back_as_they_are() -> None:
    contracts = load_contracts(CONTRACTS)
    for contract in contracts.values():
        schema = schemas.arrow_schema(contract)
        found = arrow_schema(delta_json(schema))
        assert found.equals(schema, check_metadata=True), contract.name


def test_protocols_are_those_that_spark_writes() -> None:
    assert protocol_for({}) == {"minReaderVersion": 1, "minWriterVersion": 2}
    assert protocol_for({"delta.appendOnly": "true"}) == {"minReaderVersion": 1, "minWriterVersion": 2}
    feed = protocol_for({"delta.enableChangeDataFeed": "true"})
    assert feed == {
        "minReaderVersion": 1,
        "minWriterVersion": 7,
        "writerFeatures": ["appendOnly", "invariants", "changeDataFeed"],
    }
    both = protocol_for(SILVER, feed)
    assert (both["minReaderVersion"], both["minWriterVersion"], both["readerFeatures"]) == (3, 7, ["deletionVectors"])
    assert set(both["writerFeatures"]) == {"appendOnly", "invariants", "changeDataFeed", "deletionVectors"}
    assert protocol_for(SILVER, both) == both
    legacy = {"minReaderVersion": 1, "minWriterVersion": 4}
    assert protocol_for({"delta.enableChangeDataFeed": "true"}, legacy) == legacy


def test_a_table_that_asks_more_of_its_writers_is_refused(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    more = table._snapshot.protocol | {"writerFeatures": ["rowTracking", "domainMetadata"]}
    commit(TableStore(table.uri), 1, [commit_info("x", {}, {}, 0), {"protocol": more}])
    with pytest.raises(UnreadableLogError, match="uses domainMetadata, rowTracking, which the lake's jobs do not"):
        OwnedTable.open(table.uri)
    with pytest.raises(UnreadableLogError, match="rowTracking"):
        table.refresh()
