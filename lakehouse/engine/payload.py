"""A record's payload as the fields that it holds, and a field as text. Strict JSON, within limits, exact to the digit.

A payload is one JSON object with each field once; nested at most 100 deep; no number of more than 1,000 digits, no
name of more than 50,000 and no text of more than 20 million characters. A lone surrogate, which no UTF-8 can hold,
becomes `?`. Objects inside fields may have a field twice: nobody looks into them.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

DEEPEST = 100
MOST_DIGITS = 1_000
LONGEST_NAME = 50_000
LONGEST_TEXT = 20_000_000

# Strings as a whole, so that brackets in them do not count; one that never ends takes all that is left. Possessive
# quantifiers keep the walk linear on whatever comes.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


class Number(str):
    """The source text of a JSON number."""

    __slots__ = ()


class Doubled(tuple[tuple[str, Any], ...]):
    """The fields of an object that has one of them twice, in order."""

    __slots__ = ()


class _NotJson(ValueError):
    """Something that the standard library reads and JSON does not know, or that is beyond the limits."""


def fields_of(payload: str) -> dict[str, Any] | None:
    """The fields of a record by name, in their order; None unless the payload is as this module says.

    A field is None, a bool, a `str` (numbers as `Number`), a list, a dict or a `Doubled`.
    """
    # Before the decoder, which follows the nesting with its own stack.
    if payload.count("[") + payload.count("{") > DEEPEST and _too_deep(payload):
        return None
    try:
        fields = _decode(payload)
    except ValueError:
        return None
    if type(fields) is not dict:
        return None
    if len(payload) > LONGEST_NAME and _too_long(fields):
        return None
    return _without_surrogates(fields) if "\\u" in payload else fields


def text_of(field: Any) -> str | None:
    """A field as its record says it: texts and numbers as they are, objects and arrays as JSON without spaces."""
    if field is None or isinstance(field, str):
        return field
    return _representable(_json(field))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | Doubled:
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else Doubled(pairs)


def _number(text: str) -> Number:
    if len(text) > MOST_DIGITS and sum(map(text.count, "0123456789")) > MOST_DIGITS:
        raise _NotJson(f"a number of more than {MOST_DIGITS} digits")
    return Number(text)


def _refuse(constant: str) -> None:
    raise _NotJson(constant)  # NaN, Infinity, -Infinity


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_number, parse_int=_number, parse_constant=_refuse
).decode
_encode_text = json.JSONEncoder(ensure_ascii=False).encode


def _too_deep(payload: str) -> bool:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(payload):
        if match[0] in ("[", "{"):
            depth += 1
            if depth > DEEPEST:
                return True
        elif match[0] in ("]", "}"):
            depth -= 1
    return False


def _too_long(field: Any) -> bool:
    if isinstance(field, str):
        return len(field) > LONGEST_TEXT
    if isinstance(field, list):
        return any(map(_too_long, field))
    if isinstance(field, dict | Doubled):
        return any(len(name) > LONGEST_NAME or _too_long(value) for name, value in _pairs(field))
    return False


def _without_surrogates(fields: dict[str, Any]) -> dict[str, Any] | None:
    """None where two names become one; what is inside a field is seen to when it becomes a text."""
    whole = {
        _representable(name): _representable(value) if type(value) is str else value for name, value in fields.items()
    }
    return whole if len(whole) == len(fields) else None


def _representable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _json(field: Any) -> str:
    if isinstance(field, Number):
        return field
    if isinstance(field, str):
        return _encode_text(field)
    if isinstance(field, list):
        return f"[{','.join(map(_json, field))}]"
    if isinstance(field, dict | Doubled):
        return "{" + ",".join(f"{_encode_text(name)}:{_json(value)}" for name, value in _pairs(field)) + "}"
    return {None: "null", True: "true", False: "false"}[field]


def _pairs(fields: "dict[str, Any] | Doubled") -> Iterable[tuple[str, Any]]:
    return fields.items() if isinstance(fields, dict) else fields
