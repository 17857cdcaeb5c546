"""`python -m infra.configuration_page` writes docs/configuration.md and the keys in Pulumi.yaml, from the model itself:
so that a person, and an editor that knows Pulumi's schema, see every key of a stack.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from infra.config import KEY_PREFIX, EstateConfig

ROOT = Path(__file__).resolve().parent.parent
PAGE, PROJECT = ROOT / "docs" / "configuration.md", ROOT / "Pulumi.yaml"
KEYS = "# From here on written by `python -m infra.configuration_page`.\n"
# Without a value of its own it is that of `aws:region`.
LEFT_TO_OTHERS = ("region",)
TOP = f"""# Configuration

Every key of a stack, with its default. Written by `python -m infra.configuration_page` from `infra/config.py`; a test
keeps it equal. A key is set with `pulumi config set --path '{KEY_PREFIX}:<key>' <value>`, an entry of a list as
`<key>[0]`, of a table as `<key>.<name>`. What is wrong is refused before anything is touched, with key, value and what
is allowed.

| key | values | default | meaning |
| --- | --- | --- | --- |
"""


def page() -> str:
    """docs/configuration.md."""
    return TOP + "".join(f"| {' | '.join(row)} |\n" for row in rows(EstateConfig))


def rows(
    model: type[BaseModel], before: str = "", given: BaseModel | None = None
) -> Iterator[tuple[str, str, str, str]]:
    """Key, values, default and meaning of each field; `given` is what a section has where it is not the model's own."""
    for name, field in model.model_fields.items():
        default = getattr(given, name) if given is not None else field.get_default()
        key = f"{before}{name}"
        if isinstance(default, BaseModel):
            yield from rows(type(default), f"{key}.", default)
            continue
        shown = "" if default in (None, "", (), {}) else f"`{json.dumps(default).strip('"')}`"
        yield f"`{key}`", _values(field).replace("|", "\\|"), shown.replace("|", "\\|"), _meaning(field)


def declared() -> dict[str, dict[str, Any]]:
    """The keys as Pulumi.yaml declares them. One without a default has an empty text there, which stands for none."""
    return {name: _declared(name, field) for name, field in EstateConfig.model_fields.items()}


def _declared(name: str, field: FieldInfo) -> dict[str, Any]:
    default = field.get_default()
    found: dict[str, Any] = {"type": _kind(field.annotation), "description": _meaning(field) or _first_line(field)}
    if found["type"] == "array":
        found["items"] = {"type": "string"}
    if isinstance(default, BaseModel):
        found["default"] = default.model_dump(mode="json")
    elif name in LEFT_TO_OTHERS or default is None:
        found["default"] = ""
    else:
        found["default"] = list(default) if isinstance(default, tuple) else default
    return found


def _kind(annotation: Any) -> str:
    """Pulumi's name of a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "object"
    if get_origin(annotation) in (tuple, dict):
        return "array" if get_origin(annotation) is tuple else "object"
    if get_origin(annotation) is Literal:
        return _kind(type(get_args(annotation)[0]))
    return {bool: "boolean", int: "integer"}.get(annotation, "string")


def _first_line(field: FieldInfo) -> str:
    return str(getattr(field.annotation, "__doc__", "")).strip().splitlines()[0]


def project() -> str:
    """Pulumi.yaml with the keys of today's model."""
    head = PROJECT.read_text(encoding="utf-8").partition(KEYS)[0]
    return head + KEYS + yaml.safe_dump({"config": declared()}, sort_keys=False, width=110, allow_unicode=True)


def _meaning(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).replace("|", "\\|")


def _values(field: FieldInfo) -> str:
    """What a field takes, in words."""
    kind = field.annotation
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    bounds: dict[str, Any] = {
        part: getattr(each, part) for each in field.metadata for part in ("ge", "le") if hasattr(each, part)
    }
    return _word(kind) + (f", {bounds['ge']} to {bounds['le']}" if {"ge", "le"} <= bounds.keys() else "")


def _word(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return "list"
    if get_origin(kind) is dict:
        return "table of lists"
    if get_args(kind):
        return next(_word(each) for each in get_args(kind) if each is not NoneType)
    return {bool: "`true`, `false`", int: "whole number", float: "number"}.get(kind, "text")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    PROJECT.write_text(project(), encoding="utf-8")
