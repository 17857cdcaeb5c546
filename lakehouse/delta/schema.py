"""Columns of a Delta table in Delta's JSON, in Arrow and in a contract's spelling, and which changes are allowed."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from lakehouse.errors import LakehouseError

COMMENT = b"comment"
_SCALARS: dict[str, tuple[str, pa.DataType]] = {
    "string": ("string", pa.string()),
    "integer": ("int", pa.int32()),
    "long": ("bigint", pa.int64()),
    "boolean": ("boolean", pa.bool_()),
    "timestamp": ("timestamp", pa.timestamp("us", "UTC")),
    "date": ("date", pa.date32()),
    "short": ("smallint", pa.int16()),
    "byte": ("tinyint", pa.int8()),
    "float": ("float", pa.float32()),
    "double": ("double", pa.float64()),
    "binary": ("binary", pa.binary()),
}
_OF_ARROW = {kind: (name, spelled) for name, (spelled, kind) in _SCALARS.items()}
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")


class IncompatibleTableError(LakehouseError):
    """A table holds something that its contract no longer allows; the message names column and types."""


def spelled(kind: pa.DataType) -> str:
    """The type as a contract writes it, such as `decimal(18,4)`."""
    if kind in _OF_ARROW:
        return _OF_ARROW[kind][1]
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_list(kind):
        return f"array<{spelled(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{','.join(f'{each.name}:{spelled(each.type)}' for each in kind)}>"
    raise LakehouseError(f"no Delta type for {kind}")


def delta_json(schema: pa.Schema) -> str:
    """The schema as the log's `metaData` holds it."""
    return json.dumps(_struct_json(list(schema)), separators=(",", ":"))


def arrow_schema(text: str) -> pa.Schema:
    """The schema that the log's `metaData` holds. Raises LakehouseError for a type that no contract has."""
    return pa.schema([_arrow_field(each) for each in json.loads(text)["fields"]])


def additions(uri: str, present: pa.Schema, wanted: pa.Schema, more: bool) -> "list[pa.Field[Any]]":
    """The columns to add; raises IncompatibleTableError for every other difference, but for columns that are not wanted
    where the table may have `more`. Order does not matter to Delta, nor here.
    """
    for column in wanted:
        found = _type_in(present, column.name)
        if found is not None and spelled(found) != spelled(column.type):
            raise IncompatibleTableError(
                f"{uri}: column {column.name} is {spelled(found)} in the table and {spelled(column.type)} in its "
                "contract: give the changed column a new name, or replay into a new table"
            )
        if found is None and not column.nullable:
            raise IncompatibleTableError(
                f"{uri}: column {column.name} ({spelled(column.type)}) is new and required, but rows that are there "
                "have no value for it: make it nullable"
            )
    gone = [each for each in present if each.name not in wanted.names]
    if gone and not more:
        columns = ", ".join(f"{each.name} ({spelled(each.type)})" for each in gone)
        raise IncompatibleTableError(f"{uri}: its contract no longer has {columns}: keep columns, mark them deprecated")
    return [column for column in wanted if column.name not in present.names]


def lost_columns(present: pa.Schema, wanted: pa.Schema) -> "list[pa.Field[Any]]":
    """The wanted columns that the table does not have as they are wanted."""
    return [each for each in wanted if not _has(present, each)]


def refuse_lost(uri: str, present: pa.Schema, wanted: pa.Schema, history: Mapping[int, pa.Schema]) -> None:
    """Raises IncompatibleTableError for a column that an earlier version had as it is wanted: somebody took it out of
    the table or changed its type, and added again it would be null in all rows.

    `history` has the schema as of each version that set one, oldest first, as far back as the log goes.
    """
    for column in lost_columns(present, wanted):
        whole = [version for version, had in history.items() if _has(had, column)]
        if not whole:
            continue
        since = next(version for version in history if version > whole[-1])
        found = _type_in(present, column.name)
        now = "is gone" if found is None else f"is {spelled(found)} instead of {spelled(column.type)}"
        raise IncompatibleTableError(
            f"{uri}: column {column.name} {now} since version {since}, which no job of the lake wrote: bring it back "
            f"with RESTORE TABLE delta.`{uri}` TO VERSION AS OF {since - 1} (docs/operating.md)"
        )


def refuse_partitions(uri: str, present: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises IncompatibleTableError for another partitioning."""
    if list(present) != list(wanted):
        raise IncompatibleTableError(
            f"{uri} is partitioned by {list(present)}, its contract says {list(wanted)}: "
            "a new partitioning needs a new table and a replay"
        )


def _has(schema: pa.Schema, column: "pa.Field[Any]") -> bool:
    """Whether the schema has the column with its type. By spelling: Arrow has several lists, Delta one."""
    found = _type_in(schema, column.name)
    return found is not None and spelled(found) == spelled(column.type)


def _type_in(schema: pa.Schema, name: str) -> pa.DataType | None:
    return schema.field(name).type if name in schema.names else None


def _struct_json(fields: "Sequence[pa.Field[Any]]") -> dict[str, Any]:
    return {
        "type": "struct",
        "fields": [
            {
                "name": each.name,
                "type": _type_json(each.type),
                "nullable": True,
                "metadata": {"comment": comment.decode()} if (comment := (each.metadata or {}).get(COMMENT)) else {},
            }
            for each in fields
        ],
    }


def _type_json(kind: pa.DataType) -> str | dict[str, Any]:
    if kind in _OF_ARROW:
        return _OF_ARROW[kind][0]
    if pa.types.is_list(kind):
        return {"type": "array", "elementType": _type_json(kind.value_type), "containsNull": True}
    if pa.types.is_struct(kind):
        return _struct_json(list(kind))
    return spelled(kind)


def _arrow_field(field: dict[str, Any]) -> "pa.Field[Any]":
    comment = field.get("metadata", {}).get("comment")
    metadata = {COMMENT: str(comment).encode()} if comment is not None else None
    return pa.field(field["name"], _arrow_type(field["type"]), metadata=metadata)


def _arrow_type(kind: str | dict[str, Any]) -> pa.DataType:
    if isinstance(kind, str):
        if kind in _SCALARS:
            return _SCALARS[kind][1]
        if match := _DECIMAL.fullmatch(kind):
            return pa.decimal128(int(match[1]), int(match[2]))
    elif kind["type"] == "array":
        return pa.list_(_arrow_type(kind["elementType"]))
    elif kind["type"] == "struct":
        return pa.struct([_arrow_field(each) for each in kind["fields"]])
    raise LakehouseError(f"a column of type {kind} is none that a contract can have")
