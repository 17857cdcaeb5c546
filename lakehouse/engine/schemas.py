"""The columns of a contract as Arrow spells them.

Every column may be null in the table: what is required is a rule that rejects rows with a reason, and a column that a
later contract adds has no value in the rows that are there.
"""

import re

import pyarrow as pa

from lakehouse.contracts import Contract, Contracts

TIMESTAMP = pa.timestamp("us", "UTC")
_SCALARS: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "timestamp": TIMESTAMP,
    "date": pa.date32(),
}
ERROR = pa.struct([pa.field(name, pa.string()) for name in ("rule", "column", "value", "message")])


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type that a contract writes as `name`, such as `decimal(18,4)`."""
    if name in _SCALARS:
        return _SCALARS[name]
    if match := re.fullmatch(r"decimal\((\d+),(\d+)\)", name):
        return pa.decimal128(int(match[1]), int(match[2]))
    if match := re.fullmatch(r"array<struct<(.+)>>", name):
        fields = (field.split(":") for field in match[1].split(","))
        return pa.list_(pa.struct([pa.field(field, arrow_type(kind)) for field, kind in fields]))
    raise ValueError(f"no Arrow type for {name!r}: odcs.py must refuse it")


def arrow_schema(contract: Contract) -> pa.Schema:
    """The schema of a table, columns in contract order, each with its description as `comment` in its metadata."""
    return pa.schema(
        [
            pa.field(column.stored_as, arrow_type(column.type), metadata={"comment": column.description})
            for column in contract.columns
        ]
    )


def envelope_schema(contracts: Contracts) -> pa.Schema:
    """The schema of every bronze table: one record as it came, where from and when."""
    return arrow_schema(contracts["bronze_envelope"])


def rejected_schema(contracts: Contracts) -> pa.Schema:
    """The schema of every `rejected/<source>/bad_rows`: the record and each rule that it broke."""
    return arrow_schema(contracts["bad_rows"])
