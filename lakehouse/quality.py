"""The row-level rules of a contract: each check is a function from a contract's column to the rule that it asks for.

A rule has its name as it stands in the rejected rows, the message for people, and the SQL condition that breaks it.
`CHECKS` lists the checks in the order in which they are tried; the docs pages are made from it. Conditions are text
because that is one call to Spark per batch instead of thousands, and needs no Spark to be read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from lakehouse.contracts import Column, Contract

EARLIEST = "2000-01-01"
VALUE_CHARACTERS = 200


@dataclass(frozen=True)
class Rule:
    """`broken` is a condition over the columns as stored; where it is null the rule is kept."""

    name: str
    message: str
    broken: str


Check = Callable[[Column, Contract], Rule | None]


def required(column: Column, contract: Contract) -> Rule | None:
    """A required column must have a value."""
    return Rule("required", "must have a value", f"{quoted(column)} is null") if column.required else None


def in_range(column: Column, contract: Contract) -> Rule | None:
    """A number must lie between `minimum` and `maximum`, both included."""
    low, high = column.minimum, column.maximum
    if low is None and high is None:
        return None
    broken, bounds = [], []
    if low is not None:
        broken.append(f"{quoted(column)} < {_number(low)}")
        bounds.append(f"at least {_number(low)}")
    if high is not None:
        broken.append(f"{quoted(column)} > {_number(high)}")
        bounds.append(f"at most {_number(high)}")
    return Rule("range", f"must be {' and '.join(bounds)}", " or ".join(broken))


def one_of(column: Column, contract: Contract) -> Rule | None:
    """A text must be one of the valid values."""
    if not column.enum:
        return None
    valid = ", ".join(literal(value) for value in column.enum)
    return Rule("enum", f"must be one of {', '.join(column.enum)}", f"{quoted(column)} not in ({valid})")


def like_pattern(column: Column, contract: Contract) -> Rule | None:
    """The whole text must match the regular expression."""
    if column.pattern is None:
        return None
    whole = literal(rf"\A(?:{column.pattern})\z")
    return Rule("pattern", f"must match {column.pattern}", f"not rlike({quoted(column)}, {whole})")


def not_too_long(column: Column, contract: Contract) -> Rule | None:
    """A text must have at most `maxLength` characters (Unicode code points)."""
    longest = column.max_length
    if longest is None:
        return None
    message = f"must have at most {longest} characters"
    return Rule("length", message, f"char_length({quoted(column)}) > {longest}")


def in_time(column: Column, contract: Contract) -> Rule | None:
    """The event time must not be before 2000 nor a day (or `eventTimeAhead`) after the arrival."""
    if column.stored_as != contract.event_time:
        return None
    hours = int(contract.event_time_ahead.total_seconds()) // 3600
    ahead = f"{hours // 24} days" if hours > 24 and hours % 24 == 0 else f"{hours} hours"
    message = f"must be from {EARLIEST} on, at most {ahead} after the record arrived"
    early = f"{quoted(column)} < {column.type} '{EARLIEST}'"
    late = f"{quoted(column)} > arrived_at + interval {hours} hours"
    return Rule("event_time", message, f"{early} or {late}")


CHECKS: tuple[Check, ...] = (required, in_range, one_of, like_pattern, not_too_long, in_time)


def rules(column: Column, contract: Contract) -> tuple[Rule, ...]:
    """The rules for a column of a source contract, in the order in which they are tried."""
    return tuple(rule for check in CHECKS if (rule := check(column, contract)) is not None)


def error(rule: str, column: str | None, value: str, message: str) -> str:
    """SQL for one entry of the `errors` array; a long value is cut. `value` and `message` are SQL themselves."""
    field = "cast(null as string)" if column is None else literal(column)
    shown = f"substring({value}, 1, {VALUE_CHARACTERS})"
    return f"named_struct('rule', {literal(rule)}, 'column', {field}, 'value', {shown}, 'message', {message})"


def finding(column: Column, contract: Contract, text: str, misfit: str) -> str:
    """SQL for what is wrong with a column: its first broken rule, the name of its field in the payload, and the text.

    `text` is SQL for the field as it came; `misfit` for whether it is there without being of the column's type. The
    rule is null when the column keeps all of them, else `<rule>: <message>`.
    """
    tried = [Rule("type", f"must be {column.type}", misfit), *rules(column, contract)]
    broken = " ".join(f"when {rule.broken} then {literal(f'{rule.name}: {rule.message}')}" for rule in tried)
    return f"named_struct('broken', case {broken} end, 'column', {literal(column.name)}, 'text', {text})"


def gathered(findings: Sequence[str]) -> str:
    """SQL for the findings that found something, as the `errors` array."""
    found = f"filter(array({', '.join(findings)}), each -> each.broken is not null)"
    rule = "substring_index(each.broken, ': ', 1)"
    message = "substring(each.broken, instr(each.broken, ': ') + 2)"
    value = f"substring(each.text, 1, {VALUE_CHARACTERS})"
    entry = f"named_struct('rule', {rule}, 'column', each.column, 'value', {value}, 'message', {message})"
    return f"transform({found}, each -> {entry})"


def quoted(column: Column) -> str:
    """The column as SQL names it."""
    return f"`{column.stored_as}`"


def literal(text: str) -> str:
    """The text as a SQL string."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _number(bound: Decimal) -> str:
    return f"{bound:f}"
