"""From a bronze record's payload to typed columns and a list of what is wrong with it. Never raises, drops nothing.

What a field may look like (everything else is an error of rule `type`):

| type | text, spaces, tabs and line ends around it aside |
|---|---|
| string | any text as it is; the exact source text of a number; `true` or `false` |
| int, bigint | digits with an optional sign, in range; `6.0` counts as 6 |
| decimal(p,s) | digits, optional point, optional exponent; rounded half up to s places; must fit |
| timestamp | seconds since 1970 as a decimal, below 1e11; or `2010-12-01T08:26`, seconds, microseconds and zone optional |
| date | `2010-12-01` |
| boolean | `true`, `false` |

JSON null, an absent field and an empty text are null; an object or array is of no type. A text of more than 1,000
characters is no number and no time. Zones go from -18:00 to +18:00; without one it is UTC.

Records that are an error as a whole: `malformed_json` (not one strict JSON object; the same field twice; nested deeper
than 100; a number of more than 1,000 digits, a name of more than 50,000 or a text of more than 20 million characters),
`not_utf8`, `unreadable_file`. A lone surrogate, which no UTF-8 can hold, becomes `?`.

The session's time zone must be UTC (`runtime.spark.create_session` sees to it).
"""

from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.contracts import Column, Contract
from lakehouse.quality import error, first_error, gathered

DEEPEST = 100
_STRICT = {
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
    "allowUnquotedControlChars": "false",
    "maxNestingDepth": str(DEEPEST + 1),  # one more for the array that `_parsed` puts around the payload
}

_SPACE = r"[ \t\r\n]*+"
_DIGITS = r"[0-9]++"
_MANTISSA = r"(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)"
_NUMBER = rf"[+-]?+{_MANTISSA}(?:[eE][+-]?+{_DIGITS})?+"
_CASTABLE = rf"\A{_SPACE}[+-]?+{_MANTISSA}(?:[eE][+-]?+0*+[0-9]{{1,4}}+)?+{_SPACE}\z"
_NEARLY_ZERO = rf"\A{_SPACE}[+-]?+(?:(?:0++(?:\.0*+)?+|\.0++)[eE][+-]?+{_DIGITS}|{_MANTISSA}[eE]-{_DIGITS}){_SPACE}\z"
_INTEGER = rf"\A{_SPACE}[+-]?+{_DIGITS}(?:\.0++)?+{_SPACE}\z"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_ZONE = r"(?:Z|[+-][0-9]{2}:[0-9]{2})"
_TIME = rf"\A{_SPACE}{_DATE}[T ][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]{{1,6}})?+)?+{_ZONE}?+{_SPACE}\z"
_LONGEST_SCALAR = 1000

# Spark's JSON reader turns a number with a point or an exponent into a double. Such numbers are put in quotes first,
# so that every digit comes through. The pattern walks over everything up to the next number, strings as a whole; a
# number that is not JSON, or where none may stand, ends the walk and is left for the reader to refuse.
_INEXACT = r"[:,\[][ \t\r\n]*+-?+(?:[0-9]++[.eE]|0[^0-9])"
_NEXT_NUMBER = (
    r'\G([^"0-9\-]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"0-9\-]*+)*+)'
    r"(?=[-+.0-9eE]{1,1100}+(?![-+.0-9eE]))"
    r"(-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+)"
    r"(?=[ \t\r\n]*+[,}\]])"
)
_STRING = r'"([^"\\]*+(?:\\.[^"\\]*+)*+")'
_MARK = "="


def parse(bronze: DataFrame, contract: Contract) -> DataFrame:
    """Bronze records with the columns of their source's contract.

    Gives the columns of `bronze`, one typed column per contract column under its stored name, `errors`
    (array<struct<rule, column, value, message: string>>, in column order, empty when nothing is wrong) and
    `undeclared` (array<string>: names of fields that the contract does not know). Every input row comes out once.

    Filtering the result would compute it again for the filter: cache it, or split it once.
    """
    envelope = [F.col(name) for name in bronze.columns]
    columns = contract.columns
    # Each step is used several times by the next: as columns of their own Spark computes them once.
    parsed = bronze.select(*envelope, _parsed(F.col("payload"), F.col("payload_encoding")).alias("_parsed"))
    fields = parsed.select(*envelope, _fields(F.col("_parsed"), F.col("payload")).alias("_fields"))
    typed = fields.select(
        *envelope,
        "_fields",
        *(typed_value(F.col("_fields")[column.name], column.type).alias(column.stored_as) for column in columns),
    )
    marked = typed.select("*", _marked(contract).alias("_marked"))
    broken = [first_error(column, contract, F.col("_fields")[column.name], _misfit(column)) for column in columns]
    names = F.array(*(F.lit(column.name) for column in columns))
    undeclared = F.coalesce(F.array_except(F.map_keys("_fields"), names), F.array().cast("array<string>"))
    return marked.select(
        *envelope,
        *(F.when(~_composite(column), F.col(column.stored_as)).alias(column.stored_as) for column in columns),
        F.when(F.col("_fields").isNotNull(), gathered(broken)).otherwise(F.array(_unparsed())).alias("errors"),
        undeclared.alias("undeclared"),
    )


def typed_value(text: Expression, type_name: str) -> Expression:
    """The text of a field as a value of the type; null when there is none or it is not of that type."""
    if type_name == "string":
        return F.nullif(text, F.lit(""))
    short = F.when(F.octet_length(text) <= _LONGEST_SCALAR, text)
    if type_name in ("int", "bigint"):
        return F.when(text.rlike(_INTEGER), F.substring_index(short, ".", 1).try_cast(type_name))
    if type_name.startswith("decimal"):
        return _decimal(short, type_name)
    if type_name == "timestamp":
        return _timestamp(short)
    if type_name == "date":
        return F.when(text.rlike(rf"\A{_SPACE}{_DATE}{_SPACE}\z"), short.try_cast("date"))
    if type_name == "boolean":
        return F.when(text.rlike(rf"\A{_SPACE}(?:true|false){_SPACE}\z"), short.try_cast("boolean"))
    raise ValueError(f"no field of a payload can be {type_name}")


def _decimal(text: Expression, type_name: str) -> Expression:
    """An exponent of more than four digits would take the cast forever; such a number is 0 or fits nothing."""
    castable = F.when(text.rlike(_CASTABLE), text.try_cast(type_name))
    return castable.when(text.rlike(_NEARLY_ZERO), F.lit(0).cast(type_name))


def _timestamp(text: Expression) -> Expression:
    seconds = _decimal(text, "decimal(38,6)")
    micros = F.when(F.abs(seconds) < 10**11, (seconds * 1_000_000).cast("bigint"))
    # Spark knows no zone after minutes alone.
    with_seconds = F.regexp_replace(text, r"([T ][0-9]{2}:[0-9]{2})(?=Z|[+-])", "$1:00")
    return F.when(text.rlike(_TIME), with_seconds.try_cast("timestamp")).otherwise(F.timestamp_micros(micros))


def _parsed(payload: Expression, encoding: Expression) -> Expression:
    """The payload and a second object as array<map<string,string>>.

    Spark's JSON reader stops at the end of a value and never sees what follows. In an array the closing bracket must
    follow. The second object holds the payload's hash: a payload that brings its own bracket cannot bring that too.
    """
    exact = F.when(payload.rlike(_INEXACT), F.regexp_replace(payload, _NEXT_NUMBER, '$1"$2"')).otherwise(payload)
    return F.when(encoding == "utf8", _read(exact, payload))


def _read(text: Expression, payload: Expression) -> Expression:
    closed = F.concat(F.lit("["), text, F.lit(',{"":"'), _seal(payload), F.lit('"}]'))
    return F.from_json(closed, "array<map<string,string>>", _STRICT)


def _seal(payload: Expression) -> Expression:
    return F.xxhash64(payload).cast("string")


def _fields(parsed: Expression, payload: Expression) -> Expression:
    """The text of each field by name; null unless the payload is one JSON object with each name once."""
    first, second = F.get(parsed, 0), F.get(parsed, 1)
    sealed = (F.size(parsed) == 2) & (second[""] == _seal(payload))
    return F.when(sealed & (F.size(F.array_distinct(F.map_keys(first))) == F.size(first)), first)


def _misfit(column: Column) -> Expression:
    """The field is there, but not of the column's type."""
    if column.type == "string":
        return _composite(column)
    text = F.col("_fields")[column.name]
    return F.col(column.stored_as).isNull() & text.rlike(r"[^ \t\r\n]")


def _marked(contract: Contract) -> Expression:
    """The fields once more, every JSON string marked with `=`; only where a string column begins like an object.

    The reader gives an object as its text, so `{"a":1}` may be an object or a string. In this second reading only
    strings begin with the mark.
    """
    texts = [F.col(column.stored_as) for column in contract.columns if column.type == "string"]
    marked = F.regexp_replace("payload", _STRING, f'"{_MARK}$1')
    doubtful = F.lit(False)
    for text in texts:
        doubtful = doubtful | text.startswith("{") | text.startswith("[")
    return F.when(doubtful, F.get(_read(marked, F.col("payload")), 0))


def _composite(column: Column) -> Expression:
    """The field is a JSON object or array, for a string column; what else it must not be, the cast refuses."""
    if column.type != "string":
        return F.lit(False)
    text, second = F.col(column.stored_as), F.col("_marked")[f"{_MARK}{column.name}"]
    return F.coalesce((text.startswith("{") | text.startswith("[")) & ~second.startswith(_MARK), F.lit(False))


def _unparsed() -> Expression:
    """What is wrong with a record that gives no fields at all."""
    payload, encoding = F.col("payload"), F.col("payload_encoding")
    fault = F.coalesce(F.get_json_object(payload, "$.error"), F.lit("reason unknown"))
    unreadable = error(
        "unreadable_file",
        None,
        F.get_json_object(payload, "$.file"),
        F.concat(F.lit("the file could not be read to its end: "), fault),
    )
    not_utf8 = error("not_utf8", None, payload, "must be UTF-8 text; the payload is kept as base64")
    malformed = error("malformed_json", None, payload, "must be one JSON object with each field once")
    return F.when(encoding == "unreadable", unreadable).when(encoding == "base64", not_utf8).otherwise(malformed)
