"""The row-level rules of a contract: each check is a function from a contract's column to the rule that it asks for.

A rule carries its name as it stands in the rejected rows, the message for people, and the condition that breaks it as
a native Spark expression. `CHECKS` lists them in the order in which they are tried; docs pages are made from it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from pyspark.sql import Column as Expression
from pyspark.sql import functions as F

from lakehouse.contracts import Column, Contract
from lakehouse.schemas import ERROR

EARLIEST = date(2000, 1, 1)
LATEST_HOURS_AFTER_ARRIVAL = 24
VALUE_CHARACTERS = 200


@dataclass(frozen=True)
class Rule:
    """`broken` tells from a typed value whether the rule is broken; null means it is not."""

    name: str
    message: str
    broken: Callable[[Expression], Expression]


Check = Callable[[Column, Contract], Rule | None]


def required(column: Column, contract: Contract) -> Rule | None:
    """A required column must have a value."""
    return Rule("required", "must have a value", lambda value: value.isNull()) if column.required else None


def in_range(column: Column, contract: Contract) -> Rule | None:
    """A number must lie between `minimum` and `maximum`, both included."""
    low, high = column.minimum, column.maximum
    if low is None and high is None:
        return None
    bounds = [f"at least {low:f}" if low is not None else "", f"at most {high:f}" if high is not None else ""]

    def broken(value: Expression) -> Expression:
        below = value < _number(low, column.type) if low is not None else F.lit(False)
        return below | (value > _number(high, column.type)) if high is not None else below

    return Rule("range", f"must be {' and '.join(filter(None, bounds))}", broken)


def one_of(column: Column, contract: Contract) -> Rule | None:
    """A text must be one of the valid values."""
    if not column.enum:
        return None
    return Rule("enum", f"must be one of {', '.join(column.enum)}", lambda value: ~value.isin(*column.enum))


def like_pattern(column: Column, contract: Contract) -> Rule | None:
    """The whole text must match the regular expression."""
    if column.pattern is None:
        return None
    whole = rf"\A(?:{column.pattern})\z"
    return Rule("pattern", f"must match {column.pattern}", lambda value: ~value.rlike(whole))


def not_too_long(column: Column, contract: Contract) -> Rule | None:
    """A text must have at most `maxLength` characters (Unicode code points)."""
    longest = column.max_length
    if longest is None:
        return None
    return Rule("length", f"must have at most {longest} characters", lambda value: F.char_length(value) > longest)


def in_time(column: Column, contract: Contract) -> Rule | None:
    """The event time must not be before 2000 nor more than a day after the record arrived (`arrived_at`)."""
    if column.stored_as != contract.event_time:
        return None
    message = f"must be from {EARLIEST} on, at most {LATEST_HOURS_AFTER_ARRIVAL} hours after the record arrived"

    def broken(value: Expression) -> Expression:
        first = F.lit(EARLIEST.isoformat()).cast(column.type)
        last = F.col("arrived_at") + F.make_interval(hours=F.lit(LATEST_HOURS_AFTER_ARRIVAL))
        return (value < first) | (value > last)

    return Rule("event_time", message, broken)


CHECKS: tuple[Check, ...] = (required, in_range, one_of, like_pattern, not_too_long, in_time)


def rules(column: Column, contract: Contract) -> tuple[Rule, ...]:
    """The rules for a column of a source contract, in the order in which they are tried."""
    return tuple(rule for check in CHECKS if (rule := check(column, contract)) is not None)


def error(rule: str, column: str | None, value: Expression, message: Expression | str) -> Expression:
    """One entry of the `errors` array; a long value is cut to its first 200 characters."""
    text = F.lit(message) if isinstance(message, str) else message
    entry = F.struct(
        F.lit(rule).alias("rule"),
        F.lit(column).alias("column"),
        F.substring(value, 1, VALUE_CHARACTERS).alias("value"),
        text.alias("message"),
    )
    return entry.cast(ERROR)


def first_error(column: Column, contract: Contract, text: Expression, misfit: Expression) -> Expression:
    """The error of a column's first broken rule, null when it keeps all of them.

    `text` is the field as it came; `misfit` whether it is there without being of the column's type. The error names
    the field as the payload does.
    """
    value = F.col(column.stored_as)
    found = F.when(misfit, error("type", column.name, text, f"must be {column.type}"))
    for rule in rules(column, contract):
        found = found.when(rule.broken(value), error(rule.name, column.name, text, rule.message))
    return found


def gathered(errors: Sequence[Expression]) -> Expression:
    """The errors that are not null as an array, cheap where there is none."""
    none = F.array().cast(f"array<{ERROR.simpleString()}>")
    return F.when(F.coalesce(*errors).isNull(), none).otherwise(F.array_compact(F.array(*errors)))


def _number(bound: Decimal, type_name: str) -> Expression:
    return F.lit(bound if type_name.startswith("decimal") else int(bound)).cast(type_name)
