"""What contracts say in DuckDB SQL and RE2, as Spark understands it."""

import re
from functools import lru_cache

import sqlglot
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from sqlglot.errors import SqlglotError

from lakehouse.contracts import Contract
from lakehouse.errors import LakehouseError

# One element of a pattern: an escape, a class of POSIX, what opens a group or class, or any other character.
_ELEMENT = re.compile(r"\\Q.*?(?:\\E|\Z)|\\x\{[0-9A-Fa-f]+\}|\\.|\[:\^?[a-z]+:\]|\(\?P<|\(\?[a-zA-Z-]*|&&|.", re.DOTALL)
# Java's `\s` holds one character more than RE2's, and its `\v` is a class.
_SPACES = r" \t\n\f\r"
_POSIX = {
    "alnum": r"\p{Alnum}", "alpha": r"\p{Alpha}", "ascii": r"\p{ASCII}", "blank": r" \t", "cntrl": r"\p{Cntrl}",
    "digit": "0-9", "graph": r"\p{Graph}", "lower": "a-z", "print": r"\p{Print}", "punct": r"\p{Punct}",
    "space": r" \t\n\x0B\f\r", "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip


class UntranslatableError(LakehouseError):
    """Spark cannot compute what a contract asks for: there is no second opinion on this table."""


@lru_cache(maxsize=1024)
def spark_sql(expression: str) -> str:
    """A DuckDB expression as Spark SQL. Raises UntranslatableError with the expression."""
    try:
        (translated,) = sqlglot.transpile(expression, read="duckdb", write="spark")
    except (SqlglotError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise UntranslatableError(f"{expression!r} cannot be said in Spark SQL: {first}") from error
    return translated


def whole_text(pattern: str) -> str:
    r"""A Java pattern for texts that match an RE2 pattern as a whole.

    `(?d)`: only `\n` ends a line, as in RE2. Raises UntranslatableError for what the two do not mean alike: flags,
    `\b` and `\B` (which letters make a word), `\C`, escaped digits, `\S` and negated POSIX classes inside a class.
    """
    translated: list[str] = []
    inside, opened, previous = False, False, ""
    for each in _ELEMENT.findall(pattern):
        if not inside:
            translated.append(_outside_class(each, pattern))
            inside = opened = each == "["
        else:
            # A bracket that comes first in a class stands for itself.
            opened = opened and previous in ("[", "^")
            closes = each == "]" and not (opened and (previous == "[" or translated[-2:] == ["[", "^"]))
            translated.append("]" if closes else _inside_class(each, pattern))
            inside = not closes
        previous = each
    return rf"(?d)\A(?:{''.join(translated)})\z"


def refuse_patterns(spark: SparkSession, contract: Contract) -> None:
    """Raises UntranslatableError, which names the column, for a pattern that Java refuses."""
    java = spark._jvm
    assert java is not None
    for column in contract.columns:
        if column.pattern is None:
            continue
        try:
            java.java.util.regex.Pattern.compile(whole_text(column.pattern))
        except (PySparkException, UntranslatableError) as error:
            first = str(error).partition("\n")[0]
            raise UntranslatableError(
                f"contract {contract.name}, column {column.name}: Spark cannot check the pattern {column.pattern!r}, "
                f"so `lakehouse reconcile` cannot prove this table: {first}"
            ) from error


def _outside_class(element: str, pattern: str) -> str:
    if element in (r"\b", r"\B", r"\C") or re.fullmatch(r"\\[0-9]", element):
        raise UntranslatableError(f"{element} in the pattern {pattern!r} means something else to Java than to RE2")
    if element.startswith("(?") and element not in ("(?", "(?P<"):
        raise UntranslatableError(f"flags in the pattern {pattern!r} mean something else to Java than to RE2")
    return {"(?P<": "(?<", r"\s": f"[{_SPACES}]", r"\S": f"[^{_SPACES}]", r"\v": r"\x0B"}.get(element, element)


def _inside_class(element: str, pattern: str) -> str:
    if element.startswith("[:"):
        name = element.strip("[:]")
        if name in _POSIX:
            return _POSIX[name]
    elif element != r"\S" and not re.fullmatch(r"\\[0-9]", element):
        # Brackets and `&&` inside a class are characters to RE2, and classes and their intersection to Java.
        escaped = "".join(f"\\{character}" for character in element)
        return escaped if element in ("[", "]", "&&") else {r"\s": _SPACES, r"\v": r"\x0B"}.get(element, element)
    raise UntranslatableError(f"{element} in the pattern {pattern!r} means something else to Java than to RE2")
