"""What a contract says in SQL and patterns, tried when it is loaded: DuckDB SQL and RE2, as the engine runs them."""

from collections.abc import Iterable
from functools import cache

import duckdb

# DuckDB's own name of each type of a contract that it spells otherwise. Times are UTC, without a zone.
_TYPES = {"string": "VARCHAR"}


def fault_of_pattern(pattern: str) -> str | None:
    """Why RE2 cannot take the pattern; None where it can."""
    try:
        _connection().execute("SELECT regexp_full_match('', ?)", [pattern]).fetchall()
    except duckdb.Error as error:
        return _told(error)
    return None


def fault_of_expression(expression: str, columns: Iterable[tuple[str, str]]) -> str | None:
    """Why DuckDB cannot compute the expression from columns (name and type of the contract); None where it can."""
    given = ", ".join(f'CAST(NULL AS {_TYPES.get(kind, kind)}) AS "{name}"' for name, kind in columns)
    try:
        _connection().execute(f"SELECT TRY({expression}) FROM (SELECT {given})").fetchall()  # noqa: S608 - it is tried
    except duckdb.Error as error:
        return _told(error)
    return None


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def _told(error: duckdb.Error) -> str:
    """The first line, which says what is wrong; the rest points into SQL that the contract's author has not written."""
    return str(error).partition("\n")[0]
