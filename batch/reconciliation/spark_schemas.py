"""The columns of a contract as Spark and Glue spell them.

Every column may be null in the table: what is required is a rule that rejects rows with a reason, and a column that a
later contract adds has no value in the rows that are there.
"""

import re

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from lakehouse.contracts import Contract, Contracts

_SCALARS: dict[str, DataType] = {
    "string": StringType(),
    "int": IntegerType(),
    "bigint": LongType(),
    "boolean": BooleanType(),
    "timestamp": TimestampType(),
    "date": DateType(),
}

ERROR = StructType([StructField(name, StringType()) for name in ("rule", "column", "value", "message")])


def spark_type(name: str) -> DataType:
    """The Spark type that a contract writes as `name`, such as `decimal(18,4)`."""
    if name in _SCALARS:
        return _SCALARS[name]
    if match := re.fullmatch(r"decimal\((\d+),(\d+)\)", name):
        return DecimalType(int(match[1]), int(match[2]))
    if match := re.fullmatch(r"array<struct<(.+)>>", name):
        fields = (field.split(":") for field in match[1].split(","))
        return ArrayType(StructType([StructField(field, spark_type(kind)) for field, kind in fields]))
    raise ValueError(f"no Spark type for {name!r}: odcs.py must refuse it")


def struct_type(contract: Contract) -> StructType:
    """The schema of a table, columns in contract order, each with its description as comment."""
    return StructType(
        [
            StructField(column.stored_as, spark_type(column.type), metadata={"comment": column.description})
            for column in contract.columns
        ]
    )


def envelope_type(contracts: Contracts) -> StructType:
    """The schema of every bronze table: one record as it came, where from and when."""
    return struct_type(contracts["bronze_envelope"])


def rejected_type(contracts: Contracts) -> StructType:
    """The schema of every `rejected/<source>/bad_rows`: the record and each rule that it broke."""
    return struct_type(contracts["bad_rows"])
