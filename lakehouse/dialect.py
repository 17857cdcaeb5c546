"""How a source writes its files, as its contract's custom property `dialect` says: a frozen value, and its reader.

What a file tells of itself without doubt (a byte order mark, `sep=`, empty columns of a spreadsheet, title lines above
a header that names every required column) needs no word here. It reads no file; `lakehouse.delimited` and
`lakehouse.field_values` carry out what it says.
"""

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

FORMATS = ("csv", "json", "parquet")
SURPLUS = ("reject", "truncate")
HEADER_CASES = ("ignore", "exact")
KEYS = (
    "format",
    "delimiter",
    "quote",
    "escape",
    "encoding",
    "columns",
    "headerCase",
    "aliases",
    "nullWords",
    "nullColumns",
    "decimal",
    "times",
    "records",
    "path",
    "members",
)
TIME_KEYS = ("formats", "zone", "surplus")


class DialectError(ValueError):
    """The property is not what a dialect may say; the message names the key and what it takes."""


@dataclass(frozen=True)
class Dialect:
    """How the files of one source are written; the defaults are what RFC 4180 and JSON lines say.

    `format` (csv, json, parquet) is for names whose suffix says none. `delimiter` None: a tab for .tsv, else a comma.
    `quote` "" is for files without quotes. `encoding` None: UTF-8. `columns` are the names of files without a header.
    `exact_case` tells `ID` from `id`. `aliases` are (name in the file, field). `null_words` mean null in the fields
    `null_columns`; None: in those that are not required. `decimal` is `.` or `,`. `time_formats` are strptime's, and
    `zone` is that of times without one. `truncate` cuts times to microseconds, where they are refused otherwise.
    `records` names the field of a JSON object that holds the array of records. `path` is a regular expression whose
    named groups give fields from the file's path. `members` says which files of an archive are read (`*.csv`).
    """

    format: str | None = None
    delimiter: str | None = None
    quote: str = '"'
    escape: str | None = None
    encoding: str | None = None
    columns: tuple[str, ...] = ()
    exact_case: bool = False
    aliases: tuple[tuple[str, str], ...] = ()
    null_words: tuple[str, ...] = ()
    null_columns: tuple[str, ...] | None = None
    decimal: str = "."
    time_formats: tuple[str, ...] = ()
    zone: str | None = None
    truncate: bool = False
    records: str | None = None
    path: str | None = None
    members: str = "*"


PLAIN = Dialect()


def read_dialect(value: object, fields: tuple[str, ...]) -> Dialect:
    """The dialect that a contract with these fields gives. Raises DialectError naming the key."""
    if not isinstance(value, Mapping):
        raise DialectError(f"must be a mapping of {', '.join(KEYS)}")
    _known(value, KEYS, "")
    times = value.get("times", {})
    if not isinstance(times, Mapping):
        raise DialectError(f"times: must be a mapping of {', '.join(TIME_KEYS)}")
    _known(times, TIME_KEYS, "times.")
    return Dialect(
        format=_choice(value, "format", FORMATS),
        delimiter=_sign(value, "delimiter"),
        quote="" if value.get("quote") == "" else _sign(value, "quote") or '"',
        escape=_sign(value, "escape"),
        encoding=_checked(value, "encoding", _encoding),
        columns=_names(value, "columns") or (),
        exact_case=_choice(value, "headerCase", HEADER_CASES) == "exact",
        aliases=_aliases(value.get("aliases", {}), fields),
        null_words=_names(value, "nullWords") or (),
        null_columns=_fields(value, "nullColumns", fields),
        decimal=_choice(value, "decimal", (".", ",")) or ".",
        time_formats=_names(times, "formats", "times.") or (),
        zone=_checked(times, "zone", ZoneInfo, "times."),
        truncate=_choice(times, "surplus", SURPLUS, "times.") == "truncate",
        records=_text(value, "records"),
        path=_checked(value, "path", lambda pattern: _path(pattern, fields)),
        members=_text(value, "members") or "*",
    )


def as_property(dialect: Dialect) -> dict[str, object]:
    """What a contract writes for this dialect; `read_dialect` gives it back."""
    times = {
        "formats": list(dialect.time_formats),
        "zone": dialect.zone,
        "surplus": "truncate" if dialect.truncate else None,
    }
    written: dict[str, object] = {
        "format": dialect.format,
        "delimiter": dialect.delimiter,
        "quote": None if dialect.quote == PLAIN.quote else dialect.quote,
        "escape": dialect.escape,
        "encoding": dialect.encoding,
        "columns": list(dialect.columns),
        "headerCase": "exact" if dialect.exact_case else None,
        "aliases": dict(dialect.aliases),
        "nullWords": list(dialect.null_words),
        "nullColumns": None if dialect.null_columns is None else list(dialect.null_columns),
        "decimal": None if dialect.decimal == PLAIN.decimal else dialect.decimal,
        "times": {key: value for key, value in times.items() if value},
        "records": dialect.records,
        "path": dialect.path,
        "members": None if dialect.members == PLAIN.members else dialect.members,
    }
    return {key: value for key, value in written.items() if value not in (None, [], {})}


def _known(value: Mapping[object, object], keys: tuple[str, ...], path: str) -> None:
    for key in value:
        if key not in keys:
            raise DialectError(f"{path}{key}: there is no such key: there are {', '.join(keys)}")


def _text(value: Mapping[str, object], key: str, path: str = "") -> str | None:
    found = value.get(key)
    if found is not None and not isinstance(found, str):
        raise DialectError(f"{path}{key}: {found!r} is no text: put it in quotes")
    return found


def _sign(value: Mapping[str, object], key: str) -> str | None:
    found = _text(value, key)
    if found is not None and (len(found) != 1 or found in "\r\n\0 "):
        raise DialectError(f"{key}: {found!r} is not one character")
    return found


def _choice(value: Mapping[str, object], key: str, choices: tuple[str, ...], path: str = "") -> str | None:
    found = _text(value, key, path)
    if found is not None and found not in choices:
        raise DialectError(f"{path}{key}: {found!r} is none of {', '.join(choices)}")
    return found


def _checked(value: Mapping[str, object], key: str, check: Callable[[str], object], path: str = "") -> str | None:
    found = _text(value, key, path)
    if found is not None:
        try:
            check(found)
        except (LookupError, ValueError, ZoneInfoNotFoundError, OSError) as error:
            raise DialectError(f"{path}{key}: {found!r}: {error}") from error
    return found


def _encoding(name: str) -> None:
    """Raises LookupError or ValueError for an encoding that is unknown, or none of text."""
    b"a\n".decode(codecs.lookup(name).name, "surrogateescape")


def _path(pattern: str, fields: tuple[str, ...]) -> None:
    groups = re.compile(pattern).groupindex
    if not groups or not set(groups) <= set(fields):
        raise ValueError(f"its named groups (?P<name>...) must be fields of the contract: {', '.join(fields)}")


def _names(value: Mapping[str, object], key: str, path: str = "") -> tuple[str, ...] | None:
    found = value.get(key)
    if found is None:
        return None
    if not isinstance(found, list) or not found or not all(isinstance(each, str) for each in found):
        raise DialectError(f"{path}{key}: {found!r} is no list of texts: put words such as NULL or no in quotes")
    if len(set(found)) < len(found):
        raise DialectError(f"{path}{key}: {found!r} names one twice")
    return tuple(found)


def _fields(value: Mapping[str, object], key: str, fields: tuple[str, ...]) -> tuple[str, ...] | None:
    names = _names(value, key)
    for name in names or ():
        if name not in fields:
            raise DialectError(f"{key}: {name!r} is no field of the contract: there are {', '.join(fields)}")
    return names


def _aliases(value: object, fields: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for pair in value.items() for each in pair):
        raise DialectError(f"aliases: {value!r} is no mapping of a file's name to a field")
    for field in value.values():
        if field not in fields:
            raise DialectError(f"aliases: {field!r} is no field of the contract: there are {', '.join(fields)}")
    return tuple((name, field) for name, field in value.items())
