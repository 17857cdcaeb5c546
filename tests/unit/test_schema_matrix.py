"""Every change of a schema on every layer: what adds goes through, anything else is refused at the start of a job.

The tables are the lake's own, from their contracts, with a row each. A refusal names the column with its types and says
what to do, and leaves the table as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakehouse.contracts import Contracts, load_contracts
from lakehouse.delta.table import IncompatibleTableError
from lakehouse.engine.schemas import arrow_schema, envelope_schema, rejected_schema
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS
from runtime.tables import ensure_table, open_table, table_version


@dataclass(frozen=True)
class Layer:
    """A table of a layer, and the columns of it that change: one that keys need, one to widen, their types."""

    table: str
    renamed: str
    renamed_type: str
    widened: str
    widened_type: str
    wider: pa.DataType
    wider_type: str


LAYERS = (
    Layer("bronze.pos", "payload", "string", "ingest_date", "date", pa.string(), "string"),
    Layer("silver.validated_pos", "store_id", "int", "quantity", "int", pa.int64(), "bigint"),
    Layer("gold.sales_kpis", "store_id", "int", "period_start", "date", pa.string(), "string"),
    Layer("rejected.pos", "rule", "string", "batch_number", "bigint", pa.string(), "string"),
)


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return load_contracts(CONTRACTS)


@pytest.fixture(scope="module")
def root(contracts: Contracts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four tables as their contracts say, with a row of nothing but nulls."""
    root = tmp_path_factory.mktemp("lake")
    for layer in LAYERS:
        uri = Layout(str(root)).table(layer.table)
        schema, partitions = agreed(contracts, layer)
        table = ensure_table(uri, schema, partitions, {})
        table.append(pa.Table.from_pylist([dict.fromkeys(schema.names)], schema), {}, "")
    return root


def agreed(contracts: Contracts, layer: Layer) -> tuple[pa.Schema, Sequence[str]]:
    if layer.table.startswith("bronze."):
        return envelope_schema(contracts), ["ingest_date"]
    if layer.table.startswith("rejected."):
        return rejected_schema(contracts), ["ingest_date"]
    contract = contracts.table(layer.table)
    return arrow_schema(contract), contract.partitions


def without(schema: pa.Schema, name: str) -> "list[pa.Field[Any]]":
    return [field for field in schema if field.name != name]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.table)
def test_what_is_no_addition_is_refused_with_column_types_and_way_out(
    contracts: Contracts, root: Path, layer: Layer
) -> None:
    uri = Layout(str(root)).table(layer.table)
    schema, partitions = agreed(contracts, layer)
    before = table_version(uri)
    renamed = pa.field(f"{layer.renamed}_new", schema.field(layer.renamed).type)
    gone = (
        f"{uri}: its contract no longer has {layer.renamed} ({layer.renamed_type}): keep columns, mark them deprecated"
    )
    new_name = "give the changed column a new name, or replay into a new table"
    changes: dict[str, tuple[list[pa.Field[Any]], str]] = {
        "dropped": (without(schema, layer.renamed), gone),
        "renamed": ([*without(schema, layer.renamed), renamed], gone),
        "widened": (
            [*without(schema, layer.widened), pa.field(layer.widened, layer.wider)],
            f"{uri}: column {layer.widened} is {layer.widened_type} in the table and {layer.wider_type} in its "
            f"contract: {new_name}",
        ),
        "changed": (
            [*without(schema, layer.renamed), pa.field(layer.renamed, pa.struct([("x", pa.int64())]))],
            f"{uri}: column {layer.renamed} is {layer.renamed_type} in the table and struct<x:bigint> in its "
            f"contract: {new_name}",
        ),
        "added and required": (
            [*schema, pa.field("till", pa.int64(), nullable=False)],
            f"{uri}: column till (bigint) is new and required, but rows that are there have no value for it: make it "
            "nullable",
        ),
    }
    for change, (fields, message) in changes.items():
        with pytest.raises(IncompatibleTableError) as refused:
            ensure_table(uri, pa.schema(fields), partitions, {})
        assert (change, str(refused.value)) == (change, message)
    assert table_version(uri) == before


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.table)
def test_another_order_changes_nothing_and_an_added_column_is_null_in_the_rows_that_are_there(
    contracts: Contracts, root: Path, layer: Layer
) -> None:
    uri = Layout(str(root)).table(layer.table)
    schema, partitions = agreed(contracts, layer)
    before = table_version(uri)
    ensure_table(uri, pa.schema(list(schema)[::-1]), partitions, {})
    assert table_version(uri) == before

    files = {file for file in Path(uri).rglob("*.parquet")}
    ensure_table(uri, pa.schema([pa.field("till", pa.int64()), *schema]), partitions, {})
    table = open_table(uri)
    assert table.schema.names == [*schema.names, "till"]
    assert table.read(["till"]).to_pylist() == [{"till": None}]
    assert {file for file in Path(uri).rglob("*.parquet")} == files, "nothing is rewritten"
