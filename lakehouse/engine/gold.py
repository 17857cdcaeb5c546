"""KPIs from silver rows: changed rows to signed sums, signed sums to the rows of a gold table.

    changed silver rows, `_sign` +1 or -1 --signed_sums--> what to add to each gold row
    all silver rows of the days touched   --percentiles--> what to set gold rows to, where nothing adds up
    both, and the gold rows that are there --apply_sums--> the gold rows that stand from now on

A row's key is the identity of its gold contract. Numbers are decimals, rounded once: a contribution half up to 4
digits, a value half up to 10. What does not fit its column raises; nothing becomes null, or a float.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.contracts import Contract
from lakehouse.engine.schemas import arrow_schema, arrow_type
from lakehouse.errors import LakehouseError
from lakehouse.kpi_model import Contribution
from lakehouse.kpi_tables import contributions_of, ranked_sources_of

# An Arrow column; the stubs of Arrow's compute functions refuse most mixtures of columns and scalars.
type Column = Any

SIGN = "_sign"
# Besides a gold row's key: the percentile to recompute, null for what adds up.
PERCENTILE = "_percentile"
# How many contributions a sum is made of, whatever their sign.
ROWS = "_rows"
AMOUNT, VALUE = pa.decimal128(28, 4), pa.decimal128(38, 10)
_SQL_AMOUNT = "DECIMAL(28, 4)"
_SQL_TYPES = {"string": "VARCHAR", "int": "INTEGER"}
_NUMBERS = ("numerator", "denominator", "contributions")


class KpiError(LakehouseError):
    """A KPI that silver rows cannot give: an expression fails, or a number does not fit its column."""


class UnsupportedRowsError(LakehouseError):
    """Silver takes back what gold never had."""


def columns_of(gold: Contract, silver: Contract) -> list[str]:
    """The columns of a silver table that the KPIs of `gold` name."""
    texts: list[str] = []
    for _, each in contributions_of(gold.name, f"silver.{silver.name}"):
        texts += [each.numerator, each.denominator or "", each.where, each.day, *each.dimensions.values()]
    named = set(re.findall(r"\w+", " ".join(texts)))
    return [name for name in silver.column_names if name in named]


def signed_sums(rows: Mapping[str, pa.Table], gold: Contract, connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """What changed rows of silver tables (`silver.validated_pos` -> rows with `_sign`) add to each key of `gold`.

    Columns: the key, `_percentile`, `numerator`, `denominator` (null where it is the constant 1), `contributions`,
    `_rows`. Rows taken back and added again alike add nothing, and give no key. Different values can swap without
    moving a sum, so a percentile's key is always there: unsupported, until `percentiles` says otherwise. Rows without
    `_sign` count as added.

    Raises KpiError for an amount beyond decimal(28,4).
    """
    found = [_sums(source, changed, gold, connection) for source, changed in rows.items() if changed.num_rows]
    sums = added_up(found, gold)
    return sums.filter(_changes(sums))


def added_up(sums: Sequence[pa.Table], gold: Contract) -> pa.Table:
    """Several signed sums as one. Raises KpiError for a sum beyond decimal(28,4)."""
    if len(sums) == 1:
        return sums[0]
    schema, names = _sums_schema(gold), [*_NUMBERS, ROWS]
    every = pa.concat_tables([schema.empty_table(), *sums]).group_by(_keys(gold))
    found = every.aggregate([(name, "sum") for name in names]).rename_columns(schema.names)
    for name in ("numerator", "denominator"):
        found = found.set_column(schema.get_field_index(name), name, _amounts(found[name], gold))
    return found


def percentiles(
    rows: Mapping[str, pa.Table], gold: Contract, connection: duckdb.DuckDBPyConnection, days: Sequence[date] = ()
) -> pa.Table:
    """The percentiles of `gold` by nearest rank (`sorted[ceil(p * n) - 1]`), with the columns of signed sums.

    `rows` must hold all rows of the `days` asked for; without days, of all that there are.
    """
    columns = (
        f"list_sort(list(numerator))[(count(*) * {PERCENTILE} + 99) // 100] AS numerator, "
        f"CAST(NULL AS {_SQL_AMOUNT}) AS denominator, count(*) AS contributions, count(*) AS {ROWS}"
    )
    among = f"period_start IN ({', '.join(f"DATE '{day}'" for day in days)})" if days else "true"
    found = [
        _grouped(columns, among, source, rows[source], gold, connection, ranked=True)
        for source in ranked_sources_of(gold.name)
        if source in rows
    ]
    return pa.concat_tables([_sums_schema(gold).empty_table(), *found])


def apply_sums(sums: pa.Table, existing: pa.Table, gold: Contract) -> pa.Table:
    """The gold rows that follow from signed sums and the rows that are there; what nothing supports any more goes.

    A key may come several times. A percentile with its number replaces what is there; without, it takes it away.
    `existing` must hold the rows of all keys in `sums`; rows of other keys pass.

    Raises UnsupportedRowsError where `existing` lacks what the sums take back, KpiError for a number beyond its column.
    """
    schema = arrow_schema(gold)
    keys = [name for name in _keys(gold) if name != PERCENTILE]
    ranked = pc.is_valid(sums[PERCENTILE])
    parts = [existing.select([*keys, *_NUMBERS])]
    for chosen, suffix in ((pc.invert(ranked), ""), (ranked, "_set")):
        part = sums.filter(chosen).select([*keys, *_NUMBERS])
        parts.append(part.rename_columns([*keys, *(f"{name}{suffix}" for name in _NUMBERS)]))
    both = pa.concat_tables(parts, promote_options="default").group_by(keys)
    found = both.aggregate(
        [*((name, "sum") for name in _NUMBERS), ("numerator_set", "max"), ("contributions_set", "max")]
    )
    is_set = pc.is_valid(found["contributions_set_max"])
    one = pa.scalar(1, AMOUNT)
    numerator = pc.if_else(is_set, found["numerator_set_max"], _amounts(found["numerator_sum"], gold))
    denominator = pc.if_else(is_set, one, pc.coalesce(_amounts(found["denominator_sum"], gold), one))
    contributions = pc.coalesce(found["contributions_set_max"], found["contributions_sum"])
    _refuse_unsupported(contributions, numerator, gold)
    divisor = pc.if_else(pc.equal(denominator, _none(denominator)), None, denominator)
    made = {
        "numerator": numerator,
        "denominator": denominator,
        "value": _quotients(numerator, divisor, gold),
        "contributions": contributions,
    }
    rows = pa.table([made[name] if name in made else found[name] for name in schema.names], schema=schema)
    return rows.filter(pc.greater(contributions, _none(contributions)))


def recompute(gold: Contract, silver: Mapping[str, pa.Table], connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """The whole gold table from whole silver tables (`silver.validated_pos` -> rows), with the contract's columns."""
    sums = [signed_sums(silver, gold, connection), percentiles(silver, gold, connection)]
    return apply_sums(pa.concat_tables(sums), arrow_schema(gold).empty_table(), gold)


def _sums(source: str, rows: pa.Table, gold: Contract, connection: duckdb.DuckDBPyConnection) -> pa.Table:
    def added(name: str, otherwise: str) -> str:
        """Nothing adds up under a percentile's key."""
        return f"CASE WHEN {PERCENTILE} IS NULL THEN sum({name} * {SIGN}) ELSE {otherwise} END"

    columns = (
        f"CAST({added('numerator', 'NULL')} AS {_SQL_AMOUNT}) AS numerator, "
        f"CAST({added('denominator', 'NULL')} AS {_SQL_AMOUNT}) AS denominator, "
        f"CAST({added('1', '0')} AS BIGINT) AS contributions, count(*) AS {ROWS}"
    )
    return _grouped(columns, "true", source, rows, gold, connection)


def _grouped(
    columns: str,
    where: str,
    source: str,
    rows: pa.Table,
    gold: Contract,
    connection: duckdb.DuckDBPyConnection,
    ranked: bool = False,
) -> pa.Table:
    """SQL aggregates over the contributions of a silver table's rows, by key; one pass over the rows, for all KPIs."""
    structs = ", ".join(
        f"CASE WHEN {each.where} THEN {_contribution(kpi.name, each, gold)} END"
        for kpi, each in contributions_of(gold.name, source)
        if each.percentile is not None or not ranked
    )
    sign = SIGN if SIGN in rows.column_names else f"1 AS {SIGN}"
    month = "strftime(period_start, '%Y-%m') AS month"
    keys = [name for name in _keys(gold) if name != "month"]
    sql = f"""
        SELECT {", ".join(keys)}, {month}, {columns}
        FROM (SELECT c.*, {SIGN} FROM (SELECT {sign}, unnest([{structs}]) AS c FROM changed_rows) WHERE c IS NOT NULL)
        WHERE {where} GROUP BY {", ".join(keys)}"""  # noqa: S608
    try:
        connection.register("changed_rows", _without_zones(rows))
        found = connection.execute(sql).to_arrow_table()
    except duckdb.Error as error:
        raise KpiError(f"the KPIs of gold.{gold.name} from {source}: {str(error).partition('\n')[0]}") from error
    finally:
        connection.unregister("changed_rows")
    schema = _sums_schema(gold)
    return found.select(schema.names).cast(schema)


def _contribution(name: str, declared: Contribution, gold: Contract) -> str:
    fields = {"kpi_name": f"'{name}'", "period_start": f"CAST({declared.day} AS DATE)"}
    for column in gold.identity:
        kind = gold.column(column).type
        dimension = declared.dimensions.get(column, "NULL")
        fields.setdefault(column, f"CAST({dimension} AS {_SQL_TYPES.get(kind, kind)})")
    fields[PERCENTILE] = f"CAST({declared.percentile or 'NULL'} AS INTEGER)"
    fields["numerator"] = _amount(declared.numerator)
    fields["denominator"] = "NULL" if declared.denominator is None else _amount(declared.denominator)
    fields["denominator"] = f"CAST({fields['denominator']} AS {_SQL_AMOUNT})"
    return f"{{{', '.join(f'{column}: {value}' for column, value in fields.items())}}}"


def _amount(expression: str) -> str:
    return f"coalesce(CAST({expression} AS {_SQL_AMOUNT}), 0)"


def _without_zones(rows: pa.Table) -> pa.Table:
    """Timestamps as UTC wall clock: what day a moment falls on must not depend on the connection's time zone."""
    fields = [
        field.with_type(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field for field in rows.schema
    ]
    return rows.cast(pa.schema(fields))


def _keys(gold: Contract) -> list[str]:
    """What identifies a row of signed sums: the gold key, the month that follows from it, and the percentile."""
    return [*gold.identity, "month", PERCENTILE]


def _sums_schema(gold: Contract) -> pa.Schema:
    types: dict[str, pa.DataType] = {"numerator": AMOUNT, "denominator": AMOUNT, PERCENTILE: pa.int32()}
    types |= {"contributions": pa.int64(), ROWS: pa.int64()}
    names = [*_keys(gold), *_NUMBERS, ROWS]
    return pa.schema([pa.field(name, types.get(name) or arrow_type(gold.column(name).type)) for name in names])


def _changes(sums: pa.Table) -> Column:
    """Whether signed sums change their gold row."""
    changed = pc.is_valid(sums[PERCENTILE])
    for name in _NUMBERS:
        none = _none(sums[name])
        changed = pc.or_(changed, pc.not_equal(pc.coalesce(sums[name], none), none))
    return changed


def _none(numbers: Column) -> Any:
    """The 0 of a column."""
    return pa.scalar(0, numbers.type)


def _amounts(sums: Column, gold: Contract) -> Column:
    try:
        return sums.cast(AMOUNT)
    except pa.ArrowInvalid as error:
        raise KpiError(f"gold.{gold.name}: a sum exceeds decimal(28,4): {error}") from error


def _quotients(numerators: Column, denominators: Column, gold: Contract) -> Column:
    """Exact, half up at the value's digits: Arrow cuts a quotient off far behind them, which rounds the same way."""
    wide = pa.decimal256(AMOUNT.precision, AMOUNT.scale)
    quotients = pc.divide(numerators.cast(wide), denominators.cast(wide))
    try:
        return pc.round(quotients, VALUE.scale, round_mode="half_towards_infinity").cast(VALUE)
    except pa.ArrowInvalid as error:
        raise KpiError(f"gold.{gold.name}: a value exceeds decimal(38,10): {error}") from error


def _refuse_unsupported(contributions: Column, numerators: Column, gold: Contract) -> None:
    """The invariant that additive maintenance rests on: gold holds what silver's changes take back."""
    rest = pc.and_(pc.equal(contributions, _none(contributions)), pc.not_equal(numerators, _none(numerators)))
    if pc.any(pc.or_(pc.less(contributions, _none(contributions)), rest)).as_py():
        raise UnsupportedRowsError(
            f"gold.{gold.name} lacks rows that silver takes back: it was written by something else than its job. "
            "Take its property lakehouse.fingerprint away (ALTER TABLE … UNSET TBLPROPERTIES): it is then built anew"
        )
