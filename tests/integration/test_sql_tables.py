"""`Lake` over what Spark writes (deletion vectors, merges, checkpoints), which takes a session, and over S3."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from delta.tables import DeltaTable
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from lakehouse.contracts import load_contracts
from lakehouse.errors import LakehouseError
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS, Settings
from local.dashboard.health import Health
from local.dashboard.readings import Readings
from local.sql import Lake, MissingTableError
from runtime.delta_log import DeltaLog
from runtime.tables import ensure_table

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PROPERTIES = {"delta.enableDeletionVectors": "true", "delta.enableChangeDataFeed": "true"}


def write_with_spark(spark: SparkSession, root: Path) -> None:
    """A table partitioned as silver is: 200 rows, of which a merge changes 10 and adds 5 and a delete takes 20."""
    path = str(root / "silver" / "validated_pos")
    columns: dict[str, pa.DataType] = {
        "record_id": pa.string(),
        "quantity": pa.int32(),
        "unit_price": pa.decimal128(18, 4),
        "event_time": pa.timestamp("us", "UTC"),
        "region": pa.string(),
        "month": pa.string(),
        "type": pa.string(),
    }
    ensure_table(path, pa.schema(columns), ["region", "month", "type"], PROPERTIES)
    rows = (
        "concat('r', id) record_id, cast(id as int) quantity, cast(id / 8 as decimal(18,4)) unit_price, "
        "timestamp'2010-12-01 08:00:00Z' + make_interval(0, 0, 0, 0, 0, 0, id) event_time, "
        "if(id % 2 = 0, 'uk', null) region, '2010-12' month, if(id % 5 = 0, 'Home & Garden', 'sale') type"
    )
    spark.sql(f"select {rows} from range(200)").coalesce(1).write.format("delta").mode("append").save(path)
    change = spark.sql(
        f"select record_id, -1 as quantity, unit_price, event_time, region, month, type "
        f"from (select {rows} from range(190, 205))"
    )
    (
        DeltaTable.forPath(spark, path)
        .alias("t")
        .merge(change.alias("s"), "t.record_id = s.record_id and t.month = s.month")
        .whenMatchedUpdateAll()
        .whenNotMatchedInsertAll()
        .execute()
    )
    DeltaTable.forPath(spark, path).delete("quantity >= 50 and quantity < 70")


@pytest.fixture(scope="module")
def root(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spark-lake")
    write_with_spark(spark, folder)
    return folder


def test_deletion_vectors_merges_partitions_and_decimals_read_as_spark_reads_them(
    spark: SparkSession, root: Path
) -> None:
    with Lake(str(root)) as lake:
        found = lake.query("select * from silver.validated_pos order by event_time")

    vectors = list((root / "silver" / "validated_pos").rglob("deletion_vector_*.bin"))
    frame = spark.read.format("delta").load(str(root / "silver" / "validated_pos")).orderBy("event_time")
    expected = [row.asDict() for row in frame.collect()]
    assert vectors, "the table was to have deletion vectors"
    assert len(found) == len(expected) == 185
    for row in expected:
        row["event_time"] = row["event_time"].replace(tzinfo=UTC)
    assert found == expected
    assert found[0] == {
        "record_id": "r0",
        "quantity": 0,
        "unit_price": Decimal("0.0000"),
        "event_time": datetime(2010, 12, 1, 8, tzinfo=UTC),
        "region": "uk",
        "month": "2010-12",
        "type": "Home & Garden",
    }


def test_counts_and_filters_leave_deleted_rows_out(root: Path) -> None:
    with Lake(str(root)) as lake:
        assert lake.query("select count(*) n, sum(quantity) q from silver.validated_pos") == [
            {"n": 185, "q": sum(range(190)) - sum(range(50, 70)) - 15}
        ]
        assert lake.query("select count(*) n from silver.validated_pos where quantity = 60") == [{"n": 0}]
        assert lake.query("select count(*) n from silver.validated_pos where region is null") == [{"n": 92}]


def test_the_version_before_the_delete_is_still_there(root: Path) -> None:
    with Lake(str(root)) as lake:
        newest = lake.version("silver.validated_pos")
        assert newest == 3
        counts = [
            lake.query("select count(*) n from silver.validated_pos", versions={"silver.validated_pos": version})[0][
                "n"
            ]
            for version in range(newest + 1)
        ]
    assert counts == [0, 200, 205, 185]


def test_a_table_read_through_a_checkpoint(spark: SparkSession, root: Path) -> None:
    log = spark._jvm.org.apache.spark.sql.delta.DeltaLog  # type: ignore[union-attr]
    log.forTable(spark._jsparkSession, str(root / "silver" / "validated_pos")).checkpoint()

    with Lake(str(root)) as lake:
        assert lake.query("select count(*) n from silver.validated_pos") == [{"n": 185}]


def test_the_dashboard_counts_rows_without_the_deleted_ones(root: Path) -> None:
    (table,) = Health(Readings(str(root)), load_contracts(CONTRACTS)).tables()

    assert (table.name, table.version, table.rows) == ("silver.validated_pos", 3, 185)


def test_spark_commits_tell_their_operation(root: Path) -> None:
    log = DeltaLog(str(root), "silver.validated_pos")

    commits = [log.commit(version) for version in range(4)]
    assert [each and each.operation for each in commits] == ["CREATE TABLE", "WRITE", "MERGE", "DELETE"]
    assert commits[0] is not None
    assert commits[0].configuration == PROPERTIES, "and no column mapping, which DuckDB misreads"


def test_a_lake_on_s3(s3: "S3Client", bucket: str, emulator: Settings) -> None:
    root = f"s3://{bucket}/a lake"
    options = {"allow_http": "true", "aws_conditional_put": "etag"}
    table = pa.table({"kpi_name": ["refunds", "units_sold"], "numerator": pa.array([Decimal("1.5"), None])})
    for _ in range(2):
        write_deltalake(
            Layout(root).table("gold.sales_kpis"),
            table,
            mode="append",
            partition_by=["kpi_name"],
            storage_options=options,
        )
    s3.put_object(Bucket=bucket, Key="other/secret.csv", Body=b"a\n1\n")

    with Lake(root.replace("s3://", "s3a://")) as lake:
        assert lake.query(
            "select kpi_name, sum(numerator) n, count(*) c from gold.sales_kpis group by 1 order by 1"
        ) == [
            {"kpi_name": "refunds", "n": Decimal(3), "c": 2},
            {"kpi_name": "units_sold", "n": None, "c": 2},
        ]
        assert lake.query("select count(*) c from gold.sales_kpis", versions={"gold.sales_kpis": 0}) == [{"c": 2}]
        with pytest.raises(
            MissingTableError, match=r"no table bronze\.pos at s3://.*; tables there: gold\.sales_kpis$"
        ):
            lake.query("select * from bronze.pos")
        with pytest.raises(Exception, match=r"Cannot access file .*secret\.csv"):
            lake._database.cursor().execute(f"from read_csv('s3://{bucket}/other/secret.csv')")


def test_a_bucket_that_is_not_there_is_one_clear_line(emulator: Settings) -> None:
    with Lake("s3://no-such-bucket-anywhere") as lake, pytest.raises(LakehouseError, match="no-such-bucket-anywhere"):
        lake.query("select * from gold.sales_kpis")
