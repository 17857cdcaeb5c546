"""Silver rows looked up once more, in reference data that has changed since."""

from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts import Contract
from lakehouse.engine.enrich import ReferenceRows, compute, microseconds
from lakehouse.engine.schemas import arrow_schema


def enriched_again(
    rows: pa.Table,
    source: Contract,
    silver: Contract,
    references: Mapping[str, ReferenceRows],
    connection: duckdb.DuckDBPyConnection,
) -> tuple[pa.Table, pa.Table]:
    """The silver rows that get other values from the reference tables in `references`, as they are and as they will be.

    Looked-up columns and the columns computed from them change. A row whose key is no longer known at its event time
    keeps what it has.
    """
    new = rows
    for each in source.columns:
        if each.reference is not None and each.reference[0] in references:
            new = _looked_up(new, each.stored_as, each.reference[0], silver, references[each.reference[0]])
    computed = [each.stored_as for each in silver.columns if each.expression]
    schema = arrow_schema(silver)
    new = compute(new.drop_columns(computed), silver, connection).select(schema.names).cast(schema)
    lookups = [each.stored_as for each in silver.columns if each.lookup]
    differs = pa.array([False] * rows.num_rows, pa.bool_())
    for name in (*lookups, *computed):
        differs = pc.or_(differs, _different(rows[name].combine_chunks(), new[name].combine_chunks()))
    return rows.filter(differs), new.filter(differs)


def _looked_up(rows: pa.Table, key: str, name: str, silver: Contract, reference: ReferenceRows) -> pa.Table:
    times = microseconds(rows[str(silver.event_time)]).to_pylist()
    places = pa.array(reference.places(rows[key].to_pylist(), times), pa.int64())
    for each in silver.columns:
        if each.lookup and each.lookup[0] == name:
            found = reference.rows[each.lookup[1]].take(places).cast(rows[each.stored_as].type)
            kept = pc.if_else(places.is_null(), rows[each.stored_as].combine_chunks(), found.combine_chunks())
            rows = rows.set_column(rows.column_names.index(each.stored_as), each.stored_as, kept)
    return rows


def _different(left: Any, right: Any) -> Any:
    """Whether two columns differ, row by row; null is equal to null."""
    unlike = pc.fill_null(pc.not_equal(left, right), False)
    return pc.or_(unlike, pc.xor(pc.is_null(left), pc.is_null(right)))
