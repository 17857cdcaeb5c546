"""A record of bronze once more, in the dialect that its source declares now: for redrives after a dialect was declared.

A file whose header the contract does not know is in bronze line by line: its header is a record of encoding
`unreadable` that tells the fault once, each other line one of encoding `line`, with the header beside it. Both hold
the line itself, so that the file need not be there any more.
"""

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from lakehouse.contract_model import Contract
from lakehouse.delimited import Form, HeaderError, fields_of, header_of
from lakehouse.field_values import Value, conversion
from lakehouse.json_text import Pairs, decoded, encoded
from lakehouse.path_fields import path_fields

UTF8 = "utf8"
LINE = "line"
UNREADABLE = "unreadable"


def line_payload(raw: bytes, error: str, header: bytes | None = None, file: str | None = None) -> str:
    """The payload of a line that waits for its dialect: `error` says why, `header` is its file's, `file` names it."""
    payload: dict[str, str] = {} if file is None else {"file": file}
    payload["error"] = error
    if header is not None:
        payload["header"] = header.decode("utf-8", "surrogateescape")
    payload["line"] = raw.decode("utf-8", "surrogateescape")
    # Bytes that are no UTF-8 are lone surrogates now, which ASCII escapes keep.
    return json.dumps(payload)


def reread(record_id: str, payload: str, encoding: str, contract: Contract) -> tuple[str, str]:
    """Payload and encoding of the record in the contract's dialect; as they are where the dialect changes nothing.

    What it gives, it gives again for its own result. Never raises for what a payload holds.
    """
    return rereading(contract)(record_id, payload, encoding)


def rereading(contract: Contract) -> Callable[[str, str, str], tuple[str, str]]:
    """What does so for one record after the other: from record id, payload and encoding to payload and encoding."""
    convert, sign = conversion(contract), _sign_of_change(contract)

    def again(record_id: str, payload: str, encoding: str) -> tuple[str, str]:
        if encoding not in (UTF8, LINE, UNREADABLE):
            return payload, encoding
        beside = path_fields(record_id.rpartition("#")[0], contract)
        if encoding == UTF8:
            return _object(payload, contract, beside, convert, sign), UTF8
        fields = _fields_of_line(payload, contract, beside)
        return (payload, encoding) if fields is None else (fields, UTF8)

    return again


def objects_in_dialect(contract: Contract, beside: Mapping[str, Value]) -> Callable[[str], str]:
    """From a JSON object to one with its fields in the dialect and, where it has none of that name, those `beside` it.

    Text that is no such object, or that the dialect leaves alone, stays as it is to the byte.
    """
    convert, sign = conversion(contract), _sign_of_change(contract)
    return lambda payload: _object(payload, contract, beside, convert, sign)


def _object(
    payload: str,
    contract: Contract,
    beside: Mapping[str, Value],
    convert: Callable[[dict[str, Value]], None] | None,
    sign: re.Pattern[str] | None,
) -> str:
    if not (beside or (sign is not None and sign.search(payload))):
        return payload
    pairs = decoded(payload)
    if pairs is None:
        return payload
    fields = dict(renamed_fields(pairs, contract))
    if convert is not None:
        convert(fields)
    fields = beside_record(fields, beside)
    return payload if [*fields.items()] == pairs else encoded(fields)


def _sign_of_change(contract: Contract) -> re.Pattern[str] | None:
    """What a payload has in it that the dialect may change; None for a dialect that changes none."""
    dialect = contract.dialect
    if dialect.time_formats or dialect.zone or dialect.decimal != ".":
        return re.compile("")
    # An escape may spell any of the words.
    words = [*dialect.null_words, *(name for name, _ in dialect.aliases)]
    signs = [*(re.escape(json.dumps(word, ensure_ascii=False)) for word in words), *([r"\\"] if words else [])]
    if dialect.truncate:
        signs.append(r":[0-9]{2}\.[0-9]{7}")
    return re.compile("|".join(signs)) if signs else None


def beside_record(fields: dict[str, Value], beside: Mapping[str, Value]) -> dict[str, Value]:
    """The record's own fields, and those of its file's path that it lacks."""
    return {**fields, **{name: value for name, value in beside.items() if name not in fields}} if beside else fields


def renamed_fields(pairs: Pairs, contract: Contract) -> Pairs:
    """The fields under the contract's names; a name that would be there twice stays as it came."""
    aliases = dict(contract.dialect.aliases)
    taken = {name for name, _ in pairs}
    result: Pairs = []
    for name, value in pairs:
        field = aliases.get(name, name)
        if field != name and field not in taken:
            taken.add(field)
            name = field
        result.append((name, value))
    return result


def _fields_of_line(payload: str, contract: Contract, beside: Mapping[str, Value]) -> str | None:
    """The payload that the line would have had; None where the dialect still does not say."""
    try:
        held: Any = json.loads(payload)
        line, header = held["line"], held.get("header")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(line, str) or not (header is None or isinstance(header, str)):
        return None
    dialect = contract.dialect
    form = Form.of(dialect)
    try:
        if dialect.columns:
            names = list(dialect.columns)
        elif header is not None:
            names = _cells(header, form, dialect.encoding)
        else:
            return None
        fields = fields_of(_cells(line, form, dialect.encoding), header_of(names, contract))
        if fields is None:
            return None
        convert = conversion(contract)
        if convert is not None:
            convert(fields)
        text = encoded(beside_record(fields, beside))
        text.encode()
    except (csv.Error, HeaderError, UnicodeError):
        return None
    return text


def _cells(text: str, form: Form, encoding: str | None) -> list[str]:
    raw = text.encode("utf-8", "surrogateescape")
    if encoding is not None and not codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        text = raw.decode(encoding, "surrogateescape")
    records = list(form.reader(io.StringIO(text, newline="")))
    return records[0] if len(records) == 1 else []
