"""JSON objects whose fields can be renamed, added or replaced while every number keeps the digits it came with."""

import json
from collections.abc import Mapping
from typing import Any

from lakehouse.field_values import Number

Pairs = list[tuple[str, Any]]


class _Object(list[tuple[str, Any]]):
    """A JSON object as its names and values, in their order."""


def decoded(text: str) -> Pairs | None:
    """The fields of one strict JSON object, numbers as `Number`; None for anything else, a name twice included."""
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, _Object) or len({name for name, _ in value}) < len(value):
        return None
    return list(value)


def encoded(value: object) -> str:
    """A mapping, or any value that `decoded` has found in an object, as JSON text without blanks."""
    return _encode(value)


def encoded_texts(fields: Mapping[str, str | None]) -> str:
    """As `encoded` for fields that are texts or null: no `Number` among them."""
    return _to_json(fields)


def _encode(value: object) -> str:
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, _Object):
        return "{" + ",".join(f"{_to_json(name)}:{_encode(part)}" for name, part in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_encode, value)) + "]"
    if isinstance(value, Mapping):
        return _encode(_Object(value.items()))
    return _to_json(value)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_DECODER = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_refuse, object_pairs_hook=_Object)
