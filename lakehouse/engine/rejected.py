"""The rows of `rejected/<source>/bad_rows`: what broke a rule, and what lost to another record of its identity."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts import Contract
from lakehouse.engine.contest import Beaten, Contest
from lakehouse.engine.schemas import ERROR

MESSAGES = {
    "duplicate": "the same record was delivered again: the latest delivery stands",
    "superseded": "a correction with the same identity arrived later and stands",
}
KEPT = ("payload", "payload_encoding", "arrived_at", "partition_key")


def rejected_faults(rows: pa.Table, source: Contract) -> pa.Table:
    """The bad rows of records that broke a rule: the first error leads, all are kept in `errors`.

    Columns are those of the contract `bad_rows` but for `batch` and `batch_number`, which the writer knows.
    """
    faulty = rows.filter(pc.greater(pc.list_value_length(rows["errors"]), pa.scalar(0)))
    first = pc.list_element(faulty["errors"].combine_chunks(), 0) if faulty.num_rows else pa.array([], ERROR)
    leading = {name: pc.struct_field(first, name) for name in ("rule", "column", "value", "message")}
    kept = {name: faulty[name] for name in KEPT}
    return _bad_rows(faulty["record_id"], leading, faulty["errors"], kept, faulty["ingest_date"], source)


def rejected_rivals(candidates: pa.Table, rivals: pa.Table, contest: Contest, source: Contract) -> pa.Table:
    """The bad rows of records that another one of their identity beats.

    A row displaced from silver has no payload at hand: its typed columns as JSON stand in, encoding `typed`.
    """
    lost = candidates.take(pa.array([each.place for each in contest.losers], pa.int64()))
    left = rivals.take(pa.array([each.place for each in contest.beaten], pa.int64()))
    by_losers = _beaten(lost, contest.losers, {name: lost[name] for name in KEPT}, lost["ingest_date"], source)
    typed = pa.array([_typed(row, source) for row in left.to_pylist()], pa.string())
    stand_in = {
        "payload": typed,
        "payload_encoding": pa.repeat(pa.scalar("typed"), left.num_rows),
        "arrived_at": left["arrived_at"],
        "partition_key": pa.nulls(left.num_rows, pa.string()),
    }
    by_displaced = _beaten(left, contest.beaten, stand_in, left["arrived_at"].cast(pa.date32()), source)
    return pa.concat_tables([by_losers, by_displaced])


def _beaten(
    rows: pa.Table, beaten: Sequence[Beaten], kept: dict[str, Any], ingest_date: Any, source: Contract
) -> pa.Table:
    column = ", ".join(source.identity)
    errors = [
        {"rule": each.rule, "column": column, "value": each.winner, "message": MESSAGES[each.rule]} for each in beaten
    ]
    leading = {name: pa.array([each[name] for each in errors], pa.string()) for name in errors[0]} if errors else None
    if leading is None:
        leading = {name: pa.array([], pa.string()) for name in ("rule", "column", "value", "message")}
    told = pa.array([[each] for each in errors], pa.list_(ERROR))
    return _bad_rows(rows["record_id"], leading, told, kept, ingest_date, source)


def _bad_rows(
    record_id: Any, leading: dict[str, Any], errors: Any, kept: dict[str, Any], ingest_date: Any, source: Contract
) -> pa.Table:
    number = len(record_id)
    columns = {
        "record_id": record_id,
        "source": pa.repeat(pa.scalar(source.name), number),
        **leading,
        "errors": errors,
        **kept,
        "contract_version": pa.repeat(pa.scalar(source.version), number),
        "ingest_date": ingest_date,
    }
    return pa.table(columns)


def _typed(row: dict[str, Any], source: Contract) -> str:
    """A silver row's own fields as the source would send them; fields without a value are left out."""
    fields = {column.name: row[column.stored_as] for column in source.columns if row[column.stored_as] is not None}
    return json.dumps(fields, default=_spelled, ensure_ascii=False)


def _spelled(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    assert isinstance(value, Decimal), f"{type(value)} is no type of a silver column"
    return str(value)
