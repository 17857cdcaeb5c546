"""From a bronze record's payload to typed columns and a list of what is wrong with it. Never raises, drops nothing.

What a field may look like is agreed in `lakehouse/engine/parse.py`; here it is said in patterns and casts of Spark.
The session's time zone must be UTC (`runtime.spark.create_session` sees to it).
"""

from pyspark.sql import DataFrame

from batch.reconciliation.recomputed.rules import broken_rule, error, literal, quoted
from lakehouse.contracts import Column, Contract

DEEPEST = 100

_SPACE = r"[ \t\r\n]*+"
_DIGITS = r"[0-9]++"
_MANTISSA = r"(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)"
_CASTABLE = rf"\A{_SPACE}[+-]?+{_MANTISSA}(?:[eE][+-]?+0*+[0-9]{{0,4}}+(?<=[0-9]))?+{_SPACE}\z"
_NEARLY_ZERO = rf"\A{_SPACE}[+-]?+(?:(?:0++(?:\.0*+)?+|\.0++)[eE][+-]?+{_DIGITS}|{_MANTISSA}[eE]-{_DIGITS}){_SPACE}\z"
_INTEGER = rf"\A{_SPACE}[+-]?+{_DIGITS}(?:\.0++)?+{_SPACE}\z"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DAY = rf"\A{_SPACE}{_DATE}{_SPACE}\z"
_ZONE = r"(?:Z|[+-][0-9]{2}:[0-9]{2})"
_TIME = rf"\A{_SPACE}{_DATE}[T ][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]{{1,6}})?+)?+{_ZONE}?+{_SPACE}\z"
_ZONE_AFTER_MINUTES = r"([T ][0-9]{2}:[0-9]{2})(?=Z|[+-])"
_TRUTH = rf"\A{_SPACE}(?:true|false){_SPACE}\z"

# Spark's JSON reader turns a number with a point or an exponent into a double. Such numbers are put in quotes first,
# so that every digit comes through. The pattern walks over everything up to the next number, strings as a whole; a
# number that is not JSON, or where none may stand, ends the walk and is left for the reader to refuse. Every quantifier
# is possessive: time stays linear and no payload is deep enough to exhaust the stack.
_INEXACT = r"[:,\[][ \t\r\n]*+(?:-0|-?+[0-9]++[.eE])"
_NEXT_NUMBER = (
    r'\G([^"0-9\-]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"0-9\-]*+)*+)'
    r"(?=[-+.0-9eE]{1,1100}+(?![-+.0-9eE]))"
    r"(-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+)"
    r"(?=[ \t\r\n]*+[,}\]])"
)
_STRING = r'"([^"\\]*+(?:\\.[^"\\]*+)*+")'
_MARK = "="


def parse(bronze: DataFrame, contract: Contract) -> DataFrame:
    """Bronze records with the columns of their source's contract. Every input row comes out once.

    Gives `record_id`, `arrived_at`, one typed column per contract column under its stored name, and `errors`
    (array<struct<rule, column: string>>, in column order, empty when nothing is wrong; `column` is the field's name).

    Filtering the result would compute it again for the filter: cache it, or split it once.
    """
    record = ["record_id", "arrived_at"]
    columns = contract.columns
    # Each step is used several times by the next: as columns of their own Spark computes them once.
    return (
        bronze.selectExpr(*record, "payload", "payload_encoding", f"{_parsed()} as _parsed")
        .selectExpr(*record, "payload", "payload_encoding", f"{_fields()} as _fields")
        .selectExpr(
            *record,
            "payload",
            "payload_encoding",
            *(f"_fields[{literal(column.name)}] as {_text(column)}" for column in columns),
            "_fields is not null as _is_object",
        )
        .selectExpr(
            *record,
            "payload_encoding",
            *map(_text, columns),
            *(f"{typed_value(_text(column), column.type)} as {quoted(column)}" for column in columns),
            f"{_marked(contract)} as _marked",
            "_is_object",
        )
        .selectExpr(
            *record,
            *(
                f"case when not {_composite(column)} then {quoted(column)} end as {quoted(column)}"
                for column in columns
            ),
            f"case when _is_object then {_errors(contract)} else array({_unparsed()}) end as errors",
        )
    )


def typed_value(text: str, type_name: str) -> str:
    """SQL for the text of a field as a value of the type: null when there is none or it is not of that type."""
    if type_name == "string":
        return f"nullif({text}, '')"
    if type_name in ("int", "bigint"):
        return _when_like(_INTEGER, text, f"try_cast(substring_index({text}, '.', 1) as {type_name})")
    if type_name.startswith("decimal"):
        return _decimal(text, type_name)
    if type_name == "timestamp":
        return _timestamp(text)
    if type_name == "date":
        return _when_like(_DAY, text, f"try_cast({text} as date)")
    if type_name == "boolean":
        return _when_like(_TRUTH, text, f"try_cast({text} as boolean)")
    raise ValueError(f"no field of a payload can be {type_name}")


def _when_like(pattern: str, text: str, value: str, otherwise: str = "null") -> str:
    short = f"octet_length({text}) <= 1000"
    return f"case when {short} and rlike({text}, {literal(pattern)}) then {value} else {otherwise} end"


def _decimal(text: str, type_name: str) -> str:
    """An exponent of more than four digits would take the cast forever; such a number is 0 or fits nothing."""
    zero = _when_like(_NEARLY_ZERO, text, f"cast(0 as {type_name})")
    return _when_like(_CASTABLE, text, f"try_cast({text} as {type_name})", otherwise=zero)


def _timestamp(text: str) -> str:
    seconds = _decimal(text, "decimal(38,6)")
    # An array of one or none, so that the seconds are written down, and computed, once.
    micros = "case when abs(s) < 100000000000 then timestamp_micros(cast(s * 1000000 as bigint)) end"
    from_number = f"get(transform(array({seconds}), s -> {micros}), 0)"
    # Spark knows no zone after minutes alone.
    with_seconds = f"regexp_replace({text}, {literal(_ZONE_AFTER_MINUTES)}, '$1:00')"
    return _when_like(_TIME, text, f"try_cast({with_seconds} as timestamp)", otherwise=from_number)


def _parsed() -> str:
    """SQL for the payload and a second object as array<map<string,string>>.

    Spark's JSON reader stops at the end of a value and never sees what follows. In an array the closing bracket must
    follow. The second object holds the payload's hash: a payload that brings its own bracket cannot bring that too.
    """
    exact = f"regexp_replace(payload, {literal(_NEXT_NUMBER)}, {literal('$1"$2"')})"
    text = f"case when rlike(payload, {literal(_INEXACT)}) then {exact} else payload end"
    return f"case when payload_encoding = 'utf8' then {_read(text)} end"


def _read(text: str) -> str:
    closed = f"""concat('[', {text}, ',{{"":"', cast(xxhash64(payload) as string), '"}}]')"""
    deepest = DEEPEST + 1  # one more for the array around the payload
    strict = (
        "map('allowSingleQuotes', 'false', 'allowNonNumericNumbers', 'false', 'allowUnquotedControlChars', 'false', "
        f"'maxNestingDepth', '{deepest}')"
    )
    return f"from_json({closed}, 'array<map<string,string>>', {strict})"


def _fields() -> str:
    """SQL for the text of each field by name: null unless the payload is one JSON object with each name once."""
    first = "get(_parsed, 0)"
    sealed = "get(_parsed, 1)[''] = cast(xxhash64(payload) as string)"
    return f"case when {sealed} and size(array_distinct(map_keys({first}))) = size({first}) then {first} end"


def _text(column: Column) -> str:
    """The name of the column that holds the field as it came."""
    return f"`_{column.stored_as}`"


def _errors(contract: Contract) -> str:
    found = ", ".join(broken_rule(column, contract, _misfit(column)) for column in contract.columns)
    return f"filter(array({found}), each -> each.rule is not null)"


def _misfit(column: Column) -> str:
    """SQL for: the field is there, but not of the column's type."""
    if column.type == "string":
        return _composite(column)
    return f"{quoted(column)} is null and rlike({_text(column)}, {literal('[^ \\t\\r\\n]')})"


def _marked(contract: Contract) -> str:
    """SQL for the fields once more, every JSON string marked with `=`; only where a text begins like an object.

    The reader gives an object as its text, so `{"a":1}` may be an object or a string. In this second reading only
    strings begin with the mark.
    """
    doubtful = " or ".join(_like_composite(column) for column in contract.columns if column.type == "string")
    marked = f"regexp_replace(payload, {literal(_STRING)}, {literal(f'"{_MARK}$1')})"
    return f"case when {doubtful or 'false'} then get({_read(marked)}, 0) end"


def _like_composite(column: Column) -> str:
    return f"startswith({_text(column)}, '{{') or startswith({_text(column)}, '[')"


def _composite(column: Column) -> str:
    """SQL for: the field of a string column is a JSON object or array. Elsewhere the cast refuses its text anyway."""
    marked = f"_marked[{literal(_MARK + column.name)}]"
    return f"coalesce(({_like_composite(column)}) and not startswith({marked}, '{_MARK}'), false)"


def _unparsed() -> str:
    """SQL for what is wrong with a record that gives no fields at all."""
    rule = "case payload_encoding when 'unreadable' then 'unreadable_file' when 'base64' then 'not_utf8' "
    return error(f"{rule} else 'malformed_json' end", "null")
