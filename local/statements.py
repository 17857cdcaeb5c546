"""Which SQL statements may run, and which tables of the lake they name. It parses; it runs nothing."""

import logging
from threading import Lock

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lakehouse.errors import LakehouseError
from lakehouse.layout import LAYERS

# What may stand where a table does, besides tables: these make rows from their arguments and read nothing.
ROW_FUNCTIONS = frozenset({"generate_series", "range", "unnest", "json_each", "json_tree"})
READING = (exp.Query, exp.Describe, exp.Summarize, exp.Values)
# DuckDB parses on one connection of the whole process.
PARSER = Lock()
# sqlglot warns about syntax that it keeps as it is, such as EXPLAIN; the check below decides about that.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


class StatementError(LakehouseError):
    """The statement is wrong or does more than read: the one who wrote it must change it."""


def tables_read(statement: str) -> frozenset[str]:
    """The tables, such as `silver.validated_pos`, that one reading statement names.

    SELECT (with CTEs, FROM first, VALUES), DESCRIBE, SUMMARIZE, and EXPLAIN of these are reading statements. Raises
    StatementError for anything else, for several statements, for functions that read files, and for names that are
    no table of a lake.
    """
    _check_kind(statement)
    tree = _tree(statement)
    common = {each.alias_or_name.casefold() for each in tree.find_all(exp.CTE)}
    names = set()
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            _check_row_function(table.this)
        elif not (table.db == "" and table.name.casefold() in common):
            names.add(_table_name(table))
    return frozenset(names)


def _check_kind(statement: str) -> None:
    """Asks DuckDB's own parser, which is the one that counts, what kind of statement it sees."""
    try:
        with PARSER:
            statements = duckdb.extract_statements(statement)
    except duckdb.Error as error:
        raise StatementError(one_line(error)) from error
    if len(statements) != 1:
        count = "no statement" if not statements else f"{len(statements)} statements"
        raise StatementError(f"{count} where one SELECT, DESCRIBE, SUMMARIZE or EXPLAIN is wanted")
    if statements[0].type not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
        raise StatementError(_only_reading(statements[0].type.name))


def _tree(statement: str) -> exp.Expr:
    """The statement as a tree; of EXPLAIN what it explains."""
    try:
        tokens = sqlglot.tokenize(statement, read="duckdb")
        if tokens and tokens[0].text.casefold() == "explain":
            explained = statement[tokens[0].end + 1 :].lstrip()
            statement = explained[len("analyze") :] if explained[:8].casefold().strip() == "analyze" else explained
        found = sqlglot.parse_one(statement, read="duckdb")
    except SqlglotError as error:
        raise StatementError(f"cannot tell which tables it reads: {one_line(error)}") from error
    if not isinstance(found, READING):
        raise StatementError(_only_reading(found.key.upper()))
    return found


def _only_reading(kind: str) -> str:
    return f"{kind} is not allowed: the lake is read-only here, use SELECT, DESCRIBE, SUMMARIZE or EXPLAIN of these"


def _check_row_function(function: exp.Expression) -> None:
    name = (function.name if isinstance(function, exp.Anonymous) else function.key).casefold()
    if name not in ROW_FUNCTIONS and not isinstance(function, (exp.GenerateSeries, exp.Unnest)):
        raise StatementError(
            f"{function.sql('duckdb')}: only tables of the lake can be read, and rows made by "
            f"{', '.join(sorted(ROW_FUNCTIONS))}"
        )


def _table_name(table: exp.Table) -> str:
    name = table.name.casefold()
    layer = table.db.casefold()
    if table.catalog or layer not in LAYERS or not name.replace("_", "").isalnum():
        raise StatementError(
            f"{table.sql('duckdb')} is no table of the lake: write <layer>.<table>, with a layer of {', '.join(LAYERS)}"
        )
    if table.find(exp.HistoricalData, exp.Version) is not None:
        raise StatementError(f"AT is not known here: give the version beside the statement (--at {layer}.{name}=3)")
    return f"{layer}.{name}"


def one_line(error: Exception) -> str:
    """A parser's or DuckDB's message without the excerpt and the colours, on one line."""
    text = str(error).split("\n\nLINE ")[0].split("\nLINE ")[0].replace("\x1b[4m", "").replace("\x1b[0m", "")
    return " ".join(text.split())
