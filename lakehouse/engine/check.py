"""The row-level rules of a contract: each check is a function from a contract's column to the rule that it asks for.

A rule has its name as it stands in the rejected rows, the message for people, and the condition that breaks it, over a
whole column of typed values at once. `CHECKS` lists the checks in the order in which they are tried; the docs pages are
made from it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts import Column, Contract

EARLIEST = date(2000, 1, 1)

# From the array of a column's values, and the one of when each record arrived, to an array that is true where the rule
# is broken. Null is no value, so it breaks no rule but `required`.
Condition = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Rule:
    """`broken` is a condition over the values of the rule's column; where it is null the rule is kept."""

    name: str
    message: str
    broken: Condition


Check = Callable[[Column, Contract], Rule | None]


def required(column: Column, contract: Contract) -> Rule | None:
    """A required column must have a value."""
    return Rule("required", "must have a value", lambda values, _: pc.is_null(values)) if column.required else None


def in_range(column: Column, contract: Contract) -> Rule | None:
    """A number must lie between `minimum` and `maximum`, both included."""
    bounds, beyond = [], []
    if column.minimum is not None:
        bounds.append(f"at least {column.minimum:f}")
        beyond.append((pc.less, _scalar(column.minimum)))
    if column.maximum is not None:
        bounds.append(f"at most {column.maximum:f}")
        beyond.append((pc.greater, _scalar(column.maximum)))
    if not bounds:
        return None

    def broken(values: Any, _: Any) -> Any:
        return reduce(pc.or_, [compare(values, bound) for compare, bound in beyond])

    return Rule("range", f"must be {' and '.join(bounds)}", broken)


def one_of(column: Column, contract: Contract) -> Rule | None:
    """A text must be one of the valid values."""
    if not column.enum:
        return None
    valid = pa.array([*column.enum, None], pa.string())
    return Rule(
        "enum",
        f"must be one of {', '.join(column.enum)}",
        lambda values, _: pc.invert(pc.is_in(values, value_set=valid)),
    )


def like_pattern(column: Column, contract: Contract) -> Rule | None:
    """The whole text must match the regular expression (RE2)."""
    if column.pattern is None:
        return None
    whole = rf"\A(?:{column.pattern})\z"
    return Rule(
        "pattern",
        f"must match {column.pattern}",
        lambda values, _: pc.invert(pc.match_substring_regex(values, whole)),
    )


def not_too_long(column: Column, contract: Contract) -> Rule | None:
    """A text must have at most `maxLength` characters (Unicode code points)."""
    longest = column.max_length
    if longest is None:
        return None
    message = f"must have at most {longest} characters"
    return Rule("length", message, lambda values, _: pc.greater(pc.utf8_length(values), pa.scalar(longest)))


def in_time(column: Column, contract: Contract) -> Rule | None:
    """The event time must not be before 2000 nor a day (or `eventTimeAhead`) after the arrival."""
    if column.stored_as != contract.event_time:
        return None
    hours = int(contract.event_time_ahead.total_seconds()) // 3600
    ahead = f"{hours // 24} days" if hours > 24 and hours % 24 == 0 else f"{hours} hours"
    message = f"must be from {EARLIEST} on, at most {ahead} after the record arrived"

    def broken(values: Any, arrived_at: Any) -> Any:
        times = pc.cast(values, arrived_at.type)
        early = pc.less(times, pa.scalar(EARLIEST, pa.date32()).cast(arrived_at.type))
        late = pc.greater(times, pc.add(arrived_at, pa.scalar(timedelta(hours=hours), pa.duration("us"))))
        return pc.or_kleene(early, late)

    return Rule("event_time", message, broken)


CHECKS: tuple[Check, ...] = (required, in_range, one_of, like_pattern, not_too_long, in_time)


def rules(column: Column, contract: Contract) -> tuple[Rule, ...]:
    """The rules for a column of a source contract, in the order in which they are tried."""
    return tuple(rule for check in CHECKS if (rule := check(column, contract)) is not None)


def first_broken(
    column: Column, contract: Contract, values: "pa.Array[Any]", misfits: pa.BooleanArray, arrived_at: "pa.Array[Any]"
) -> dict[int, Rule]:
    """The first rule that a column breaks, by the number of the row; rows that keep all of them are left out.

    `misfits` are the rows that have the field without its being of the column's type: the very first rule.
    """
    of_type = Rule("type", f"must be {column.type}", lambda _values, _arrived_at: misfits)
    found: dict[int, Rule] = {}
    for rule in (of_type, *rules(column, contract)):
        mask = rule.broken(values, arrived_at)
        if mask.true_count:
            for row in pc.indices_nonzero(mask).to_numpy().tolist():
                found.setdefault(row, rule)
    return found


def _scalar(bound: Decimal) -> "pa.Scalar[Any]":
    """Wide enough in type for Arrow to compare it with any integer or decimal, exactly."""
    whole, _, places = f"{abs(bound):f}".partition(".")
    return pa.scalar(bound, pa.decimal256(len(whole) + len(places), len(places)))
