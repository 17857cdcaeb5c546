"""Which SQL statements may run, and which tables of the lake they name. It parses; it runs nothing."""

import logging
from dataclasses import dataclass
from threading import Lock
from typing import Literal

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lakehouse.errors import LakehouseError
from lakehouse.layout import LAYERS

# What may stand where a table does, besides tables: these make rows from their arguments and read nothing.
ROW_FUNCTIONS = frozenset({"generate_series", "range", "unnest", "json_each", "json_tree"})
READING = (exp.Query, exp.Describe, exp.Summarize, exp.Values, exp.Pivot)
ALLOWED = "SELECT, PIVOT, UNPIVOT, DESCRIBE, SUMMARIZE, SHOW TABLES or EXPLAIN"
LISTING = "SHOW TABLES lists the tables of the lake, DESCRIBE <layer>.<table> the columns of one"
# Schemas and functions that tell what there is: here SHOW and DESCRIBE do.
CATALOGUES = ("information_schema", "pg_catalog", "duckdb_", "pragma_", "sqlite_")
READ_ONLY = "the lake is read-only here, only its jobs write"
NO_OBJECTS = "nothing can be made or changed here: put a query in between into WITH"
NO_FILES = "no file is written by a statement: use --format csv or --format json, and the shell's >"
ONLY_THIS_LAKE = "nothing but the tables of this lake can be read"
FIXED = "the settings of this reader are fixed"
ONE_AT_A_TIME = "each statement runs by itself"
REASONS = {
    **dict.fromkeys(("INSERT", "UPDATE", "DELETE", "MERGE_INTO", "VACUUM", "ANALYZE"), READ_ONLY),
    **dict.fromkeys(("CREATE", "DROP", "ALTER"), NO_OBJECTS),
    **dict.fromkeys(("COPY", "EXPORT", "COPY_DATABASE"), NO_FILES),
    **dict.fromkeys(("ATTACH", "DETACH", "LOAD", "EXTENSION", "UPDATE_EXTENSIONS"), ONLY_THIS_LAKE),
    **dict.fromkeys(("SET", "VARIABLE_SET", "PRAGMA", "CALL"), FIXED),
    **dict.fromkeys(("TRANSACTION", "PREPARE", "EXECUTE", "MULTI"), ONE_AT_A_TIME),
}
# DuckDB parses on one connection of the whole process.
PARSER = Lock()
# sqlglot warns about syntax that it keeps as it is; the checks below decide about that.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


class StatementError(LakehouseError):
    """The statement is wrong or does more than read: the one who wrote it must change it."""


@dataclass(frozen=True)
class Question:
    """What one reading statement asks for: rows, the columns of its one table, or the list of tables (of a `layer`).

    `tables` are the tables that it names, such as `silver.validated_pos`.
    """

    tables: frozenset[str]
    asks_for: Literal["rows", "columns", "tables"] = "rows"
    layer: str | None = None


def tables_read(statement: str) -> frozenset[str]:
    """The tables that one reading statement names. Raises StatementError as `question` does."""
    return question(statement).tables


def question(statement: str) -> Question:
    """What one reading statement asks for.

    SELECT (with CTEs, FROM first, VALUES), PIVOT, UNPIVOT, DESCRIBE, SUMMARIZE, SHOW TABLES and EXPLAIN are reading
    statements; comments and a semicolon may follow. Raises StatementError, which says why, for anything else, for
    several statements, for functions that read files, and for names that are no table of a lake.
    """
    _check_kind(statement)
    try:
        text, words = _written(statement)
        explained = words[:1] == ["explain"]
        if explained:
            text, words = _written(_after_explain(text))
        elif words[:1] == ["show"] or words in (["describe"], ["desc"]):
            return _listing(words)
        tree, rest = _trees(text)
    except SqlglotError as error:
        raise StatementError(f"cannot tell which tables it reads: {one_line(error)}") from error
    if not isinstance(tree, READING):
        raise StatementError(_refusal(tree.key.upper(), ONE_AT_A_TIME))
    whole_table = isinstance(tree, exp.Describe) and isinstance(tree.this, exp.Table) and not explained
    tables = frozenset(name for each in (tree, *rest) for name in _tables_in(each))
    return Question(tables, "columns" if whole_table else "rows")


def _check_kind(statement: str) -> None:
    """Asks DuckDB's own parser, which is the one that counts, what kind of statement it sees."""
    try:
        with PARSER:
            statements = duckdb.extract_statements(statement)
    except duckdb.Error as error:
        raise StatementError(one_line(error)) from error
    # PIVOT makes statements around the one that was written, which create what it needs; they have no text.
    written = [each for each in statements if each.query.strip() or each.type.name not in ("CREATE", "TRANSACTION")]
    written = written or [each for each in statements if each.type.name == "CREATE"][-1:]
    if len(written) != 1:
        count = "no statement" if not written else f"{len(written)} statements: {ONE_AT_A_TIME}"
        raise StatementError(f"{count}; write one {ALLOWED}")
    kind = written[0].type.name
    if kind == "EXPLAIN" and len(statements) > 1:
        raise StatementError("EXPLAIN of a PIVOT needs its columns: write PIVOT ... ON column IN ('one', 'other')")
    if kind not in ("SELECT", "EXPLAIN"):
        raise StatementError(_refusal(kind, REASONS.get(kind, READ_ONLY)))


def _refusal(kind: str, reason: str) -> str:
    return f"{kind.replace('_', ' ')} is not allowed: {reason}; write one {ALLOWED}"


def _written(statement: str) -> tuple[str, list[str]]:
    """The text of a statement without the semicolons and comments around it, and its words in lower case."""
    tokens = sqlglot.tokenize(statement, read="duckdb")
    while tokens and statement[tokens[-1].start] == ";":
        tokens.pop()
    if not tokens:
        return "", []
    return statement[tokens[0].start : tokens[-1].end + 1], [token.text.casefold() for token in tokens]


def _trees(text: str) -> tuple[exp.Expr, list[exp.Expr]]:
    """The statement as a tree; ORDER BY and LIMIT after PIVOT, which sqlglot does not know, are one more tree."""
    tokens = sqlglot.tokenize(text, read="duckdb")
    pivots = bool(tokens) and tokens[0].text.casefold() in ("pivot", "pivot_wider", "unpivot")
    depth = 0
    for token in tokens if pivots else ():
        depth += {"(": 1, ")": -1}.get(text[token.start], 0)
        if depth == 0 and text[token.start : token.end + 1].casefold() in ("order by", "order", "limit"):
            end = f"select 1 {text[token.start :]}"
            return sqlglot.parse_one(text[: token.start], read="duckdb"), [sqlglot.parse_one(end, read="duckdb")]
    return sqlglot.parse_one(text, read="duckdb"), []


def _after_explain(text: str) -> str:
    """What EXPLAIN or EXPLAIN ANALYZE explains; sqlglot keeps it as one text."""
    rest = text[len("explain") :].lstrip()
    return rest[len("analyze") :] if rest[:8].casefold().strip() == "analyze" else rest


def _listing(words: list[str]) -> Question:
    """SHOW TABLES, also of a layer, and SHOW of a table, which is DESCRIBE."""
    match words:
        case ["describe" | "desc"] | ["show", "tables"] | ["show", "all", "tables"]:
            return Question(frozenset(), "tables")
        case ["show", "tables", "from" | "in", layer] if layer in LAYERS:
            return Question(frozenset(), "tables", layer)
        case ["show", layer, ".", name] if layer in LAYERS and name.replace("_", "").isalnum():
            return Question(frozenset({f"{layer}.{name}"}), "columns")
        case _:
            raise StatementError(f"{' '.join(words).upper()} is not known here: {LISTING}")


def _tables_in(tree: exp.Expr) -> frozenset[str]:
    common = {each.alias_or_name.casefold() for each in tree.find_all(exp.CTE)}
    names = set()
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            _check_row_function(table.this)
        elif not (table.db == "" and table.name.casefold() in common):
            names.add(_table_name(table))
    for each in tree.find_all(exp.Describe, exp.Summarize):
        if isinstance(each.this, exp.Literal):
            raise StatementError(f"{each.this.sql('duckdb')} is a file: {ONLY_THIS_LAKE}")
    return frozenset(names)


def _check_row_function(function: exp.Expression) -> None:
    name = (function.name if isinstance(function, exp.Anonymous) else function.key).casefold()
    if name.startswith(CATALOGUES):
        raise StatementError(f"{function.sql('duckdb')} is not known here: {LISTING}")
    if name not in ROW_FUNCTIONS and not isinstance(function, (exp.GenerateSeries, exp.Unnest)):
        raise StatementError(
            f"{function.sql('duckdb')}: only tables of the lake can be read, and rows made by "
            f"{', '.join(sorted(ROW_FUNCTIONS))}"
        )


def _table_name(table: exp.Table) -> str:
    name = table.name.casefold()
    layer = table.db.casefold()
    if layer.startswith(CATALOGUES):
        raise StatementError(f"{table.sql('duckdb', comments=False)} is not known here: {LISTING}")
    if table.catalog or layer not in LAYERS or not name.replace("_", "").isalnum():
        raise StatementError(
            f"{table.sql('duckdb', comments=False)} is no table of the lake: write <layer>.<table>, with a layer of "
            f"{', '.join(LAYERS)}"
        )
    if table.find(exp.HistoricalData, exp.Version) is not None:
        raise StatementError(f"AT is not known here: give the version beside the statement (--at {layer}.{name}=3)")
    return f"{layer}.{name}"


def one_line(error: Exception) -> str:
    """A parser's or DuckDB's message without the excerpt and the colours, on one line."""
    text = str(error).split("\n\nLINE ")[0].split("\nLINE ")[0].replace("\x1b[4m", "").replace("\x1b[0m", "")
    return " ".join(text.split())
