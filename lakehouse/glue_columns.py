"""The columns of a contract as the Glue catalog lists them. No Spark: the infrastructure program calls this."""

from dataclasses import dataclass

from lakehouse.contracts import Contract


@dataclass(frozen=True)
class GlueColumn:
    """A column in the catalog; `partition` tells whether the table's folders are made by it."""

    name: str
    type: str
    comment: str
    partition: bool


def glue_columns(contract: Contract) -> tuple[GlueColumn, ...]:
    """Every column of the table in contract order. Glue's type names are the contract's: both are Hive's."""
    return tuple(
        GlueColumn(column.stored_as, column.type, column.description, column.stored_as in contract.partitions)
        for column in contract.columns
    )
