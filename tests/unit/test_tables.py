"""Tables follow their contracts: nullable columns are added in place, everything else is refused by name."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import StringType, StructField, StructType

from lakehouse.contracts import load_contracts
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS, Settings
from runtime.delta_log import DeltaLog
from runtime.tables import IncompatibleTableError, ensure_table, table_exists, table_version
from streaming.references import References
from streaming.silver import SilverTable
from tests.unit.oracle_deliveries import contact, records
from tests.unit.silver_lake import with_references

PROPERTIES = {"delta.enableDeletionVectors": "true"}
AS_IT_IS = "store_id int, amount decimal(18,4), region string"


def schema(ddl: str) -> StructType:
    found = StructType.fromDDL(ddl)
    assert isinstance(found, StructType)
    return found


def files(folder: Path) -> dict[str, int]:
    """The data files with their time of change: a rewrite would show in either."""
    return {str(each.relative_to(folder)): each.stat().st_mtime_ns for each in folder.rglob("*.parquet")}


@pytest.fixture
def table(spark: SparkSession, tmp_path: Path) -> Path:
    """Two rows in two partitions."""
    folder = tmp_path / "silver" / "sales"
    ensure_table(spark, str(folder), schema(AS_IT_IS), ["region"], PROPERTIES)
    rows = spark.sql(
        "select id::int as store_id, cast(id as decimal(18,4)) as amount, 'r' || id as region from range(2)"
    )
    rows.write.format("delta").mode("append").save(str(folder))
    return folder


def test_the_same_contract_changes_nothing(spark: SparkSession, table: Path) -> None:
    ensure_table(spark, str(table), schema(AS_IT_IS), ["region"], PROPERTIES)
    assert table_version(spark, str(table)) == 1


def test_columns_in_another_order_are_the_same_columns(spark: SparkSession, table: Path) -> None:
    ensure_table(spark, str(table), schema("amount decimal(18,4), region string, store_id int"), ["region"], PROPERTIES)
    assert table_version(spark, str(table)) == 1


def test_a_nullable_column_appears_without_a_rewrite(spark: SparkSession, table: Path) -> None:
    before = files(table)
    ensure_table(spark, str(table), schema(f"{AS_IT_IS}, note string, score decimal(9,2)"), ["region"], PROPERTIES)

    assert files(table) == before
    found = spark.read.format("delta").load(str(table)).orderBy("store_id")
    assert found.columns == ["store_id", "amount", "region", "note", "score"]
    assert [(row["store_id"], row["note"], row["score"]) for row in found.collect()] == [
        (0, None, None),
        (1, None, None),
    ]
    entry = (table / "_delta_log" / f"{2:020}.json").read_text()
    assert '"add"' not in entry
    assert '"remove"' not in entry


def test_a_column_of_a_contract_appears_in_its_silver_table_at_the_next_start(
    spark: SparkSession, tmp_path: Path
) -> None:
    """As an engineer does it: one column more in the file of the source, then the job starts again."""
    lake = with_references(spark, tmp_path / "lake")
    lake.process(records("crm", contact("i1", "2010-12-01T09:00:00Z")), 0)
    folder = Path(lake.layout.table("silver.customer_interactions"))
    before = files(folder)
    contracts = tmp_path / "contracts"
    contracts.mkdir()
    for file in CONTRACTS.glob("*.odcs.yaml"):
        (contracts / file.name).write_text(file.read_text())
    crm = contracts / "crm.odcs.yaml"
    crm.write_text(
        crm.read_text().replace(
            "      - name: message_excerpt\n",
            "      - name: mood\n"
            "        logicalType: string\n"
            "        physicalType: string\n"
            "        classification: internal\n"
            "        description: How the customer sounded.\n"
            "      - name: message_excerpt\n",
        )
    )
    changed = load_contracts(contracts)
    settings = Settings(root=str(lake.settings.root), contracts_directory=contracts)
    table = SilverTable(settings, changed, "crm", References(changed, Layout(settings.root)))

    table.ensure(spark)
    kept = files(folder)
    later = records("crm", contact("i1", "2010-12-01T09:00:00Z"), contact("i2", "2010-12-01T10:00:00Z", mood="calm"))
    lake.tables["crm"] = table
    lake.process(later[1:], 1)

    assert kept == before
    rows = {row["interaction_id"]: row for row in lake.content("crm").silver.values()}
    assert {name: row["mood"] for name, row in rows.items()} == {"i1": None, "i2": "calm"}


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (
            "store_id string, amount decimal(18,4), region string",
            ["store_id", "is int in the table", "string in its contract"],
        ),
        (
            "store_id int, amount decimal(18,2), region string",
            ["amount", "decimal(18,4) in the table", "decimal(18,2) in its contract"],
        ),
        ("store_id bigint, amount decimal(18,4), region string", ["store_id", "is int", "bigint in its contract"]),
        ("amount decimal(18,4), region string", ["no longer has store_id (int)", "mark them deprecated"]),
        (f"{AS_IT_IS}, till int not null", ["till (int)", "new and required", "make it nullable"]),
    ],
)
def test_other_changes_of_columns_are_refused(
    spark: SparkSession, table: Path, wanted: str, told: Sequence[str]
) -> None:
    with pytest.raises(IncompatibleTableError) as refusal:
        ensure_table(spark, str(table), schema(wanted), ["region"], PROPERTIES)
    for part in [str(table), *told]:
        assert part in str(refusal.value)
    assert table_version(spark, str(table)) == 1, "a refused contract changes nothing"


def test_another_partitioning_is_refused_and_nothing_is_added(spark: SparkSession, table: Path) -> None:
    with pytest.raises(IncompatibleTableError) as refusal:
        ensure_table(spark, str(table), schema(f"{AS_IT_IS}, note string"), ["store_id"], PROPERTIES)
    assert "is partitioned by ['region'], its contract says ['store_id']" in str(refusal.value)
    assert table_version(spark, str(table)) == 1


def test_changed_properties_are_set(spark: SparkSession, table: Path) -> None:
    wanted = PROPERTIES | {"delta.enableChangeDataFeed": "true"}
    ensure_table(spark, str(table), schema(AS_IT_IS), ["region"], wanted)
    ensure_table(spark, str(table), schema(AS_IT_IS), ["region"], wanted)
    assert table_version(spark, str(table)) == 2


def test_descriptions_become_comments_and_do_not_count_as_a_change(spark: SparkSession, tmp_path: Path) -> None:
    folder = str(tmp_path / "gold" / "figures")
    described = StructType([StructField("name", StringType(), metadata={"comment": "What it is called."})])
    ensure_table(spark, folder, described, [], {})
    ensure_table(spark, folder, StructType([StructField("name", StringType(), metadata={"comment": "New."})]), [], {})
    assert table_version(spark, folder) == 0


def test_a_folder_without_a_table_is_none(spark: SparkSession, tmp_path: Path) -> None:
    assert not table_exists(spark, str(tmp_path / "nothing"))
    assert table_version(spark, str(tmp_path / "nothing")) == -1
    assert DeltaLog(str(tmp_path), "silver.nothing").newest() is None
