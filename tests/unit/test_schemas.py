"""Contracts as Arrow schemas and as Glue columns."""

import pyarrow as pa
import pytest

from lakehouse.contracts import Contracts, load_contracts
from lakehouse.delta.schema import spelled
from lakehouse.engine.schemas import ERROR, TIMESTAMP, arrow_schema, arrow_type, envelope_schema, rejected_schema
from lakehouse.glue_columns import GlueColumn, glue_columns
from lakehouse.settings import CONTRACTS


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return load_contracts(CONTRACTS)


def test_silver_schema_has_arrow_s_types_in_the_order_of_the_contract(contracts: Contracts) -> None:
    contract = contracts.table("silver.validated_pos")
    schema = arrow_schema(contract)
    assert schema.names == list(contract.column_names)
    assert {field.name: field.type for field in schema} == {
        "record_id": pa.string(),
        "arrived_at": pa.timestamp("us", "UTC"),
        "transaction_id": pa.string(),
        "line_number": pa.int32(),
        "store_id": pa.int32(),
        "product_id": pa.string(),
        "quantity": pa.int32(),
        "unit_price": pa.decimal128(18, 4),
        "revenue": pa.decimal128(18, 4),
        "discount_applied": pa.decimal128(18, 4),
        "customer_id": pa.string(),
        "event_time": TIMESTAMP,
        "country": pa.string(),
        "category": pa.string(),
        "unit_cost": pa.decimal128(18, 4),
        "basket_key": pa.string(),
        "is_first_line": pa.bool_(),
        "region": pa.string(),
        "month": pa.string(),
        "type": pa.string(),
    }


def test_columns_may_be_null_and_say_what_they_are(contracts: Contracts) -> None:
    field = arrow_schema(contracts.table("gold.sales_kpis")).field("numerator")
    assert (field.type, field.nullable) == (pa.decimal128(28, 4), True)
    assert field.metadata == {b"comment": b"Sum of what the contributing rows add above the line."}


def test_envelope_is_one_for_all_sources(contracts: Contracts) -> None:
    assert envelope_schema(contracts) == arrow_schema(contracts.table("bronze.web_logs"))
    assert envelope_schema(contracts).field("ingest_date").type == pa.date32()


def test_rejected_rows_carry_every_error(contracts: Contracts) -> None:
    schema = rejected_schema(contracts)
    assert schema.field("errors").type == pa.list_(ERROR)
    assert pa.struct([pa.field(name, pa.string()) for name in ("rule", "column", "value", "message")]) == ERROR
    assert schema.field("batch_number").type == pa.int64()


@pytest.mark.parametrize("name", ["double", "decimal(18)", "decimal(18,4", "array<string>", "xstring"])
def test_a_type_that_no_contract_can_have_is_a_fault(name: str) -> None:
    with pytest.raises(ValueError, match="no Arrow type for"):
        arrow_type(name)


def test_every_contract_has_a_schema_and_glue_columns(contracts: Contracts) -> None:
    for table in contracts.tables:
        contract = contracts.table(table)
        columns = glue_columns(contract)
        assert [column.name for column in columns] == arrow_schema(contract).names
        assert [column.type for column in columns] == [spelled(field.type) for field in arrow_schema(contract)]
        assert tuple(column.name for column in columns if column.partition) == contract.partitions


def test_glue_column_carries_type_and_comment(contracts: Contracts) -> None:
    assert glue_columns(contracts.table("gold.sales_kpis"))[0] == GlueColumn(
        name="kpi_name", type="string", comment="Which KPI the row is about.", partition=True
    )
