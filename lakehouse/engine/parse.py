"""From a bronze record's payload to typed columns and a list of what is wrong with it. Never raises, drops nothing.

What a payload is says `payload.py`, what a field may look like `types.py`, which rules it must keep `check.py`.

| field | text |
|---|---|
| text | as it is |
| number | its exact source text |
| `true`, `false` | `true`, `false` |
| null, absent | none |
| object, array | of no type: an error of rule `type` in every column |

Records that are an error as a whole: `malformed_json`, `not_utf8`, `unreadable_file`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts import Column, Contract
from lakehouse.engine.check import first_broken
from lakehouse.engine.payload import fields_of, text_of
from lakehouse.engine.schemas import ERROR
from lakehouse.engine.types import misfits, typed

MOST_UNDECLARED = 100
VALUE_CHARACTERS = 200

Fields = Mapping[str, Any]
Error = dict[str, str | None]
_NO_FIELDS: Fields = {}


def parse(bronze: pa.Table, source: Contract) -> pa.Table:
    """Bronze records with the columns of their source's contract, in the same order.

    Gives the columns of `bronze`, one typed column per contract column under its stored name, `errors`
    (list<struct<rule, column, value, message: string>>, in column order, empty when nothing is wrong) and `undeclared`
    (list<string>: names of fields that the contract does not know, the first 100). Every input row comes out once.
    """
    records, unparsed = _records(bronze)
    arrived_at = bronze["arrived_at"].combine_chunks()
    errors: dict[int, list[Error]] = {row: [error] for row, error in unparsed.items()}
    parsed = bronze
    for column in source.columns:
        fields = [record.get(column.name) for record in records]
        texts, composites = _texts(fields)
        values = typed(texts, column.type)
        not_of_type = pc.or_(composites, misfits(texts, values))
        for row, rule in first_broken(column, source, values, not_of_type, arrived_at).items():
            if row not in unparsed:
                errors.setdefault(row, []).append(_error(rule.name, column.name, text_of(fields[row]), rule.message))
        parsed = parsed.append_column(column.stored_as, values)
    undeclared = _undeclared(records, source.columns)
    return parsed.append_column("errors", _lists(errors, len(records), ERROR)).append_column(
        "undeclared", _lists(undeclared, len(records), pa.string())
    )


def _records(bronze: pa.Table) -> tuple[Sequence[Fields], dict[int, Error]]:
    """The fields of each record, and what is wrong with those that give none, by the number of the row."""
    records: list[Fields] = []
    unparsed: dict[int, Error] = {}
    payloads, encodings = bronze["payload"].to_pylist(), bronze["payload_encoding"].to_pylist()
    for row, (payload, encoding) in enumerate(zip(payloads, encodings, strict=True)):
        fields = fields_of(payload) if encoding == "utf8" and payload is not None else None
        if fields is None:
            unparsed[row] = _unparsed(payload, encoding)
        records.append(_NO_FIELDS if fields is None else fields)
    return records, unparsed


def _unparsed(payload: str | None, encoding: str | None) -> Error:
    if encoding == "unreadable":
        note = fields_of(payload or "") or _NO_FIELDS
        reason = text_of(note.get("error")) or "reason unknown"
        message = f"the file could not be read to its end: {reason}"
        return _error("unreadable_file", None, text_of(note.get("file")), message)
    if encoding == "base64":
        return _error("not_utf8", None, payload, "must be UTF-8 text; the payload is kept as base64")
    return _error("malformed_json", None, payload, "must be one JSON object with each field once")


def _error(rule: str, column: str | None, value: str | None, message: str) -> Error:
    shown = None if value is None else value[:VALUE_CHARACTERS]
    return {"rule": rule, "column": column, "value": shown, "message": message}


def _texts(fields: Sequence[Any]) -> tuple[pa.StringArray, pa.BooleanArray]:
    """The texts of a column's fields, and which of them are objects or arrays: those have none."""
    try:
        return pa.array(fields, pa.string()), pa.repeat(False, len(fields))
    except pa.ArrowTypeError:  # not all are texts: rare enough to look at each
        composites = [isinstance(field, dict | list | tuple) for field in fields]
        texts = [None if composite else text_of(field) for field, composite in zip(fields, composites, strict=True)]
        return pa.array(texts, pa.string()), pa.array(composites, pa.bool_())


def _undeclared(records: Sequence[Fields], columns: Iterable[Column]) -> dict[int, list[str]]:
    """The names that the contract does not know, by the number of the row; rows without such a field are left out."""
    known = frozenset(column.name for column in columns)
    return {
        row: [name for name in record if name not in known][:MOST_UNDECLARED]
        for row, record in enumerate(records)
        if not known.issuperset(record)
    }


def _lists(items: Mapping[int, Sequence[Any]], rows: int, kind: Any) -> "pa.Array[Any]":
    """A list for each row, empty for those that have none."""
    if not items:
        return pa.ListArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows + 1), pa.nulls(0, kind))
    return pa.array([items.get(row, ()) for row in range(rows)], pa.list_(kind))
