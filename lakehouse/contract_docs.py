"""A page in Markdown for each contract, so that people read what the jobs obey. Makes text only, writes no file."""

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta

from lakehouse.contracts import Column, Contract, Contracts
from lakehouse.dialect import PLAIN, as_property
from lakehouse.engine.check import CHECKS, rules
from lakehouse.policies import readable_columns

INDEX = "README.md"
_KINDS = {"source": "Source", "silver": "Silver", "gold": "Gold", "bronze": "Bronze", "rejected": "Rejected"}
_TABLES = {"bronze": "bronze/<source>", "rejected": "rejected/<source>/bad_rows"}


def pages(contracts: Contracts) -> dict[str, str]:
    """The text of each page by file name, with an index of all."""
    return {INDEX: _index(contracts), **{f"{name}.md": page(contract) for name, contract in contracts.items()}}


def page(contract: Contract) -> str:
    """What a contract agrees on: keys, times, columns with their rules, and who may read them."""
    parts = [
        f"# {contract.name}",
        contract.description,
        _table(("agreed", ""), _facts(contract)),
        "## Columns",
        _table(*_columns(contract)),
        *([] if not contract.roles else ["## Who may read it", _table(("role", "columns", "rows"), _roles(contract))]),
    ]
    return "\n\n".join(parts) + "\n"


def _index(contracts: Contracts) -> str:
    parts = ["# Contracts", "Made from `contracts/*.odcs.yaml`: one page per table."]
    for kind, title in _KINDS.items():
        rows = [
            (f"[{contract.name}]({contract.name}.md)", contract.owner, contract.description)
            for contract in contracts.values()
            if contract.kind == kind
        ]
        parts += [f"## {title}", _table(("contract", "owner", "what a row is"), rows)]
    checks = [(check.__name__, (check.__doc__ or "").strip()) for check in CHECKS]
    parts += ["## Checks of every field, in this order", _table(("check", "what it holds"), checks)]
    return "\n\n".join(parts) + "\n"


def _facts(contract: Contract) -> Iterable[tuple[str, str]]:
    yield "kind", contract.kind
    yield "version", contract.version
    yield "owner", contract.owner
    if contract.kind in _TABLES:
        yield "table", f"`{_TABLES[contract.kind]}`"
    if contract.extends:
        yield "made from", f"[{contract.extends}]({contract.extends}.md)"
    if contract.kind == "source" and contract.dialect != PLAIN:
        written = json.dumps(as_property(contract.dialect), ensure_ascii=False)
        yield "[dialect](../files.md) of its files", f"`{written}`".replace("|", "\\|")
    if contract.identity:
        yield "identity", _names(contract.identity)
    if contract.precedence:
        yield "of two records with one identity wins", f"the greater {_names(contract.precedence)}"
    if contract.event_time:
        yield "event time", f"`{contract.event_time}`"
        if contract.kind == "source":
            yield "event time is later than the arrival by", f"at most {_duration(contract.event_time_ahead)}"
    if contract.partitions:
        yield "partitions", _names(contract.partitions)
    if contract.group:
        yield "settled by", f"`{contract.group.key}`, up to {_duration(contract.group.gap)} apart"
        yield "order in the group", _names(contract.group.order)
    if contract.freshness:
        yield "a record is here within", _duration(contract.freshness)
    if contract.retention_days:
        yield "kept for", f"{contract.retention_days} days"


def _columns(contract: Contract) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    if contract.kind == "source":
        head: tuple[str, ...] = ("field", "column", "type", "what it is", "rules", "classification")
        return head, [_field(column, contract) for column in contract.columns]
    head = ("column", "type", "what it is", "where it is from", "classification")
    return head, [
        (f"`{column.name}`", f"`{column.type}`", column.description, _origin(column), column.classification)
        for column in contract.columns
    ]


def _field(column: Column, contract: Contract) -> tuple[str, ...]:
    kept = [f"{rule.name}: {rule.message}" for rule in rules(column, contract)] + _reference(column)
    return (
        f"`{column.name}`",
        f"`{column.stored_as}`",
        f"`{column.type}`",
        column.description,
        "; ".join(kept),
        column.classification,
    )


def _reference(column: Column) -> list[str]:
    return [f"reference: must be in {'.'.join(column.reference)} at the event time"] if column.reference else []


def _origin(column: Column) -> str:
    if column.lookup:
        return f"`{'.'.join(column.lookup)}` at the event time"
    if column.expression:
        return f"`{column.expression}`"
    return "settled with the rows before it in its group" if column.settled else ""


def _roles(contract: Contract) -> list[tuple[str, ...]]:
    every = contract.column_names
    return [
        (
            role.name,
            "all" if (columns := readable_columns(contract, role)) == every else _names(columns),
            f"`{role.row_filter}`" if role.row_filter else "all",
        )
        for role in contract.roles
    ]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _duration(time: timedelta) -> str:
    seconds = int(time.total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}{'' if seconds == size else 's'}"
    raise AssertionError("whole seconds divide by one")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
