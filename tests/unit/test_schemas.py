"""Contracts as Spark schemas and as Glue columns."""

import pytest
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from lakehouse.contracts import Contracts, load_contracts
from lakehouse.glue_columns import GlueColumn, glue_columns
from lakehouse.schemas import ERROR, envelope_type, rejected_type, spark_type, struct_type
from lakehouse.settings import CONTRACTS


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return load_contracts(CONTRACTS)


def test_silver_schema_has_spark_s_types(contracts: Contracts) -> None:
    schema = struct_type(contracts.table("silver.validated_pos"))
    assert {field.name: field.dataType for field in schema} == {
        "record_id": StringType(),
        "arrived_at": TimestampType(),
        "transaction_id": StringType(),
        "line_number": IntegerType(),
        "store_id": IntegerType(),
        "product_id": StringType(),
        "quantity": IntegerType(),
        "unit_price": DecimalType(18, 4),
        "revenue": DecimalType(18, 4),
        "discount_applied": DecimalType(18, 4),
        "customer_id": StringType(),
        "event_time": TimestampType(),
        "country": StringType(),
        "category": StringType(),
        "unit_cost": DecimalType(18, 4),
        "basket_key": StringType(),
        "is_first_line": BooleanType(),
        "region": StringType(),
        "month": StringType(),
        "type": StringType(),
    }


def test_columns_may_be_null_and_say_what_they_are(contracts: Contracts) -> None:
    field = struct_type(contracts.table("gold.sales_kpis"))["numerator"]
    assert field == StructField(
        "numerator",
        DecimalType(28, 4),
        nullable=True,
        metadata={"comment": "Sum of what the contributing rows add above the line."},
    )


def test_envelope_is_one_for_all_sources(contracts: Contracts) -> None:
    assert envelope_type(contracts) == struct_type(contracts.table("bronze.web_logs"))
    assert envelope_type(contracts)["ingest_date"].dataType == DateType()


def test_rejected_rows_carry_every_error(contracts: Contracts) -> None:
    schema = rejected_type(contracts)
    assert schema["errors"].dataType == ArrayType(ERROR)
    assert StructType([StructField(name, StringType()) for name in ("rule", "column", "value", "message")]) == ERROR
    assert schema["batch_number"].dataType == LongType()


def test_a_type_that_no_contract_can_have_is_a_fault() -> None:
    with pytest.raises(ValueError, match="no Spark type for 'double'"):
        spark_type("double")


def test_every_contract_has_a_schema_and_glue_columns(contracts: Contracts) -> None:
    for table in contracts.tables:
        contract = contracts.table(table)
        columns = glue_columns(contract)
        assert [column.name for column in columns] == struct_type(contract).names
        assert [column.type for column in columns] == [field.dataType.simpleString() for field in struct_type(contract)]
        assert tuple(column.name for column in columns if column.partition) == contract.partitions


def test_glue_column_carries_type_and_comment(contracts: Contracts) -> None:
    assert glue_columns(contracts.table("gold.sales_kpis"))[0] == GlueColumn(
        name="kpi_name", type="string", comment="Which KPI the row is about.", partition=True
    )
