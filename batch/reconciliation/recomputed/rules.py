"""The row-level rules of a contract as Spark SQL conditions: which rule a column breaks first."""

from collections.abc import Iterator
from decimal import Decimal

from batch.reconciliation.recomputed.dialect import whole_text
from lakehouse.contracts import Column, Contract

EARLIEST = "2000-01-01"


def broken_rule(column: Column, contract: Contract, misfit: str) -> str:
    """SQL for the first rule that the column breaks, as an entry of `errors`; its `rule` is null if it keeps them all.

    `misfit` is SQL for: the field is there without being of the column's type.
    """
    tried = [("type", misfit), *_conditions(column, contract)]
    broken = " ".join(f"when {condition} then '{rule}'" for rule, condition in tried)
    return error(f"case {broken} end", literal(column.name))


def error(rule: str, column: str) -> str:
    """SQL for an entry of `errors`; both are SQL themselves."""
    return f"named_struct('rule', {rule}, 'column', cast({column} as string))"


def _conditions(column: Column, contract: Contract) -> Iterator[tuple[str, str]]:
    """Each rule with SQL that is true of a value that breaks it; null is not."""
    value = quoted(column)
    if column.required:
        yield "required", f"{value} is null"
    if column.minimum is not None:
        yield "range", f"{value} < {_number(column.minimum)}"
    if column.maximum is not None:
        yield "range", f"{value} > {_number(column.maximum)}"
    if column.enum:
        yield "enum", f"{value} not in ({', '.join(map(literal, column.enum))})"
    if column.pattern is not None:
        yield "pattern", f"not rlike({value}, {literal(whole_text(column.pattern))})"
    if column.max_length is not None:
        yield "length", f"char_length({value}) > {column.max_length}"
    if column.stored_as == contract.event_time:
        seconds = int(contract.event_time_ahead.total_seconds())
        yield "event_time", f"{value} < {column.type} '{EARLIEST}'"
        yield "event_time", f"{value} > arrived_at + interval {seconds} seconds"


def quoted(column: Column) -> str:
    """The column as SQL names it."""
    return f"`{column.stored_as}`"


def literal(text: str) -> str:
    """The text as a SQL string."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _number(bound: Decimal) -> str:
    return f"{bound:f}"
