"""Reads one Open Data Contract Standard file into a Contract. Whether contracts fit each other is `contracts.py`'s.

Beside the standard's own keys a contract may carry these custom properties, and no others:
contract: kind, extends, eventTime, eventTimeAhead, precedence, group {key, gap, order}, dialect (`lakehouse.dialect`);
column: storedAs, lookup, expression, settled; role: columns, excludeClassification, rowFilter.
A key that nobody knows is refused: it would be a rule unheard.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from open_data_contract_standard.model import (
    CustomProperty,
    OpenDataContractStandard,
    SchemaProperty,
    ServiceLevelAgreementProperty,
)
from open_data_contract_standard.model import Role as OdcsRole
from pydantic import BaseModel, ValidationError

from lakehouse.contract_model import CLASSIFICATIONS, CLOCK_SKEW, KINDS, Column, Contract, ContractError, Group, Role
from lakehouse.dialect import PLAIN, Dialect, DialectError, read_dialect
from lakehouse.expressions import fault_of_pattern

CONTRACT_PROPERTIES = ("kind", "extends", "eventTime", "eventTimeAhead", "precedence", "group", "dialect")
COLUMN_PROPERTIES = ("storedAs", "lookup", "expression", "settled")
ROLE_PROPERTIES = ("columns", "excludeClassification", "rowFilter")
GROUP_KEYS = ("key", "gap", "order")
OPTIONS = ("minimum", "maximum", "pattern", "maxLength")
LONGEST_COMMENT = 255
LOGICAL_TYPES = {
    "string": "string",
    "int": "integer",
    "bigint": "integer",
    "decimal": "number",
    "timestamp": "timestamp",
    "date": "date",
    "boolean": "boolean",
    "array": "array",
}
_TYPE = re.compile(
    r"string|int|bigint|boolean|timestamp|date|decimal\((?P<precision>[1-9]\d?),(?P<scale>\d\d?)\)"
    r"|array<struct<\w+:string(,\w+:string)*>>"
)
_SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "min": timedelta(minutes=1), "s": timedelta(seconds=1)}


def read_contract(file: Path) -> Contract:
    """The contract in an ODCS file, its own columns only (`extends` is not followed).

    Raises ContractError naming the file, the key and what is wrong with it.
    """
    try:
        raw = yaml.load(file.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a safe loader
        if not isinstance(raw, dict):
            raise ContractError(f"{file.name}: holds no mapping, so no contract")
        odcs = OpenDataContractStandard(**raw)
        _refuse_unknown_keys(raw, odcs, "")
        return _contract(odcs)
    except ContractError as error:
        raise ContractError(f"{file.name}: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ContractError(f"{file.name}: {faults}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ContractError(f"{file.name}: is no YAML: {error}") from error


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key written twice in one mapping, where the standard loader keeps the last unsaid."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise ContractError(f"line {node.start_mark.line + 1}: the key {name!r} is written twice")
        return super().construct_mapping(node, deep)


def _refuse_unknown_keys(raw: object, model: object, path: str) -> None:
    if isinstance(model, BaseModel) and isinstance(raw, Mapping):
        fields = {field.alias or name: name for name, field in type(model).model_fields.items()}
        for key, value in raw.items():
            if key not in fields:
                raise ContractError(f"{path}{key}: the standard has no such key")
            _refuse_unknown_keys(value, getattr(model, fields[key]), f"{path}{key}.")
    elif isinstance(model, list) and isinstance(raw, list):
        for index, (raw_item, item) in enumerate(zip(raw, model, strict=True)):
            name = raw_item.get("name") or raw_item.get("role") if isinstance(raw_item, Mapping) else None
            _refuse_unknown_keys(raw_item, item, f"{path}{name or index}.")


def _contract(odcs: OpenDataContractStandard) -> Contract:
    name = odcs.name or ""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ContractError(f"name: {name!r} is no table name (lower case letters, digits and _)")
    custom = _custom(odcs.customProperties, CONTRACT_PROPERTIES, "customProperties")
    kind = custom.get("kind")
    if kind not in KINDS:
        raise ContractError(f"customProperties.kind: {kind!r} is none of {', '.join(KINDS)}")
    if not _SEMVER.fullmatch(odcs.version or ""):
        raise ContractError(f"version: {odcs.version!r} is no semantic version such as 1.0.0")
    schema = odcs.schema_ or []
    if len(schema) != 1 or schema[0].name != name:
        raise ContractError(f"schema: must describe exactly one table, named {name}")
    properties = schema[0].properties or []
    stored = [(item, _column(item, f"schema.{name}.{item.name}")) for item in properties]
    event_time = _text(custom, "eventTime")
    identity = _by_position(stored, "primaryKey")
    return Contract(
        name=name,
        kind=kind,
        version=str(odcs.version),
        description=" ".join((schema[0].description or "").split()),
        columns=tuple(column for _, column in stored),
        identity=identity,
        precedence=_names(custom.get("precedence", []), "customProperties.precedence"),
        partitions=_by_position(stored, "partitioned"),
        event_time=event_time,
        group=_group(custom["group"]) if "group" in custom else None,
        extends=_text(custom, "extends"),
        owner=_owner(odcs),
        retention_days=_retention_days(odcs.slaProperties or []),
        freshness=_agreed_time(odcs.slaProperties or [], "freshness"),
        roles=tuple(_role(role) for role in odcs.roles or []),
        event_time_ahead=_event_time_ahead(custom, event_time),
        dialect=_dialect(custom, properties),
    )


def _column(item: SchemaProperty, path: str) -> Column:
    custom = _custom(item.customProperties, COLUMN_PROPERTIES, f"{path}.customProperties")
    options = item.logicalTypeOptions or {}
    for option in options:
        if option not in OPTIONS:
            raise ContractError(f"{path}.logicalTypeOptions.{option}: only {', '.join(OPTIONS)} are checked")
    if not item.name or not item.description:
        raise ContractError(f"{path}: a column needs a name and a description")
    if len(item.description) > LONGEST_COMMENT:
        raise ContractError(f"{path}.description: the Glue catalog takes {LONGEST_COMMENT} characters at most")
    if item.classification not in CLASSIFICATIONS:
        raise ContractError(f"{path}.classification: {item.classification!r} is none of {', '.join(CLASSIFICATIONS)}")
    stored_as = _text(custom, "storedAs") or item.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", stored_as):
        raise ContractError(f"{path}: {stored_as!r} is no column name (lower case letters, digits and _); use storedAs")
    column = Column(
        name=item.name,
        stored_as=stored_as,
        type=_type(item, path),
        required=bool(item.required),
        description=" ".join(item.description.split()),
        classification=item.classification,
        minimum=_number(options.get("minimum"), f"{path}.logicalTypeOptions.minimum"),
        maximum=_number(options.get("maximum"), f"{path}.logicalTypeOptions.maximum"),
        enum=_enum(item, path),
        pattern=options.get("pattern"),
        max_length=options.get("maxLength"),
        reference=_reference(item, path),
        lookup=_pair(custom["lookup"], f"{path}.customProperties.lookup") if "lookup" in custom else None,
        expression=_text(custom, "expression"),
        settled=custom.get("settled") is True,
    )
    _refuse_unfit_rules(column, path)
    return column


def _type(item: SchemaProperty, path: str) -> str:
    written = (item.physicalType or "").replace(" ", "")
    match = _TYPE.fullmatch(written)
    if match is None:
        known = "string, int, bigint, boolean, timestamp, date, decimal(p,s), array<struct<name:string,...>>"
        raise ContractError(f"{path}.physicalType: {item.physicalType!r} is none of {known}")
    if match["precision"] and not int(match["scale"]) <= int(match["precision"]) <= 38:
        raise ContractError(f"{path}.physicalType: {written} needs scale <= precision <= 38")
    logical = LOGICAL_TYPES[re.split(r"[(<]", written)[0]]
    if item.logicalType != logical:
        raise ContractError(f"{path}.logicalType: {item.logicalType!r} must be {logical} for {written}")
    return written


def _refuse_unfit_rules(column: Column, path: str) -> None:
    numeric = LOGICAL_TYPES[re.split(r"[(<]", column.type)[0]] in ("integer", "number")
    if not numeric and (column.minimum is not None or column.maximum is not None):
        raise ContractError(f"{path}.logicalTypeOptions: minimum and maximum are for numbers, not for {column.type}")
    if column.type != "string" and (column.enum or column.pattern or column.max_length is not None):
        raise ContractError(f"{path}: enum, pattern and maxLength are for strings, not for {column.type}")
    if column.pattern is not None:
        fault = fault_of_pattern(column.pattern)
        if fault is not None:
            raise ContractError(f"{path}.logicalTypeOptions.pattern: {column.pattern!r} is no RE2 pattern: {fault}")
    given = (column.lookup is not None, column.expression is not None, column.settled)
    if sum(given) > 1:
        raise ContractError(f"{path}.customProperties: only one of lookup, expression and settled can give a column")


def _enum(item: SchemaProperty, path: str) -> tuple[str, ...]:
    values: tuple[str, ...] = ()
    for quality in item.quality or []:
        arguments = quality.arguments or {}
        if quality.metric != "invalidValues" or set(arguments) != {"validValues"} or quality.mustBe != 0:
            raise ContractError(f"{path}.quality: only invalidValues with validValues and mustBe: 0 is checked")
        values += _names(arguments["validValues"], f"{path}.quality.validValues")
    return values


def _reference(item: SchemaProperty, path: str) -> tuple[str, str] | None:
    relationships = item.relationships or []
    if not relationships:
        return None
    if len(relationships) > 1:
        raise ContractError(f"{path}.relationships: a column refers to one table at most")
    return _pair(relationships[0].to, f"{path}.relationships.to")


def _role(role: OdcsRole) -> Role:
    path = f"roles.{role.role}.customProperties"
    custom = _custom(role.customProperties, ROLE_PROPERTIES, path)
    excluded = _names(custom.get("excludeClassification", []), f"{path}.excludeClassification")
    for classification in excluded:
        if classification not in CLASSIFICATIONS:
            raise ContractError(
                f"{path}.excludeClassification: {classification!r} is none of {', '.join(CLASSIFICATIONS)}"
            )
    if role.access != "read":
        raise ContractError(f"roles.{role.role}.access: {role.access!r}: contracts grant read access only")
    return Role(
        name=role.role or "",
        description=" ".join((role.description or "").split()),
        columns=_names(custom["columns"], f"{path}.columns") if "columns" in custom else None,
        excluded=excluded,
        row_filter=_text(custom, "rowFilter"),
    )


def _group(value: object) -> Group:
    path = "customProperties.group"
    if not isinstance(value, Mapping) or set(value) != set(GROUP_KEYS):
        raise ContractError(f"{path}: must have {', '.join(GROUP_KEYS)}")
    gap = _duration(value["gap"], f"{path}.gap")
    return Group(str(value["key"]), gap, _names(value["order"], f"{path}.order"))


def _event_time_ahead(custom: Mapping[str, Any], event_time: str | None) -> timedelta:
    if "eventTimeAhead" not in custom:
        return CLOCK_SKEW
    path = "customProperties.eventTimeAhead"
    if event_time is None or custom["kind"] != "source":
        raise ContractError(f"{path}: only a source with an eventTime can say how far ahead it may be")
    return _duration(custom["eventTimeAhead"], path)


def _dialect(custom: Mapping[str, Any], properties: Sequence[SchemaProperty]) -> Dialect:
    if "dialect" not in custom:
        return PLAIN
    path = "customProperties.dialect"
    if custom["kind"] != "source":
        raise ContractError(f"{path}: only a source has files of its own")
    try:
        return read_dialect(custom["dialect"], tuple(item.name or "" for item in properties))
    except DialectError as error:
        raise ContractError(f"{path}.{error}") from error


def _duration(value: object, path: str) -> timedelta:
    match = _DURATION.fullmatch(str(value))
    if match is None or not any(match.groups()):
        raise ContractError(f"{path}: {value!r} is no ISO 8601 duration such as PT30M or P2D")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _owner(odcs: OpenDataContractStandard) -> str:
    if odcs.team is None or isinstance(odcs.team, list) or not odcs.team.name:
        raise ContractError("team.name: names no owner")
    return odcs.team.name


def _agreed_time(agreements: Sequence[ServiceLevelAgreementProperty], name: str) -> timedelta | None:
    for agreement in agreements:
        if agreement.property not in ("freshness", "retention"):
            raise ContractError(f"slaProperties.{agreement.property}: only freshness and retention are kept")
        if agreement.property == name:
            unit = _UNITS.get(str(agreement.unit))
            if unit is None or type(agreement.value) is not int or agreement.value <= 0:
                raise ContractError(f"slaProperties.{name}: needs a whole value and a unit of {', '.join(_UNITS)}")
            return agreement.value * unit
    return None


def _retention_days(agreements: Sequence[ServiceLevelAgreementProperty]) -> int | None:
    retention = _agreed_time(agreements, "retention")
    return None if retention is None else retention.days


def _by_position(stored: Sequence[tuple[SchemaProperty, Column]], key: str) -> tuple[str, ...]:
    position = {"primaryKey": "primaryKeyPosition", "partitioned": "partitionKeyPosition"}[key]
    marked = [(getattr(item, position), column.stored_as) for item, column in stored if getattr(item, key)]
    if sorted(place or 0 for place, _ in marked) != list(range(1, len(marked) + 1)):
        raise ContractError(f"{position}: the {key} columns must be numbered from 1: {marked}")
    return tuple(name for _, name in sorted(marked))


def _custom(properties: Sequence[CustomProperty] | None, known: Sequence[str], path: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in properties or []:
        name = item.property or ""
        if name not in known:
            raise ContractError(f"{path}.{name}: unknown custom property; known are {', '.join(known)}")
        if name in values:
            raise ContractError(f"{path}.{name}: is given twice")
        values[name] = item.value
    return values


def _text(custom: Mapping[str, Any], name: str) -> str | None:
    value = custom.get(name)
    if value is not None and not isinstance(value, str):
        raise ContractError(f"customProperties.{name}: {value!r} is no text")
    return " ".join(value.split()) if value else None


def _names(value: object, path: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ContractError(f"{path}: {value!r} is no list of names")
    return tuple(value)


def _pair(value: object, path: str) -> tuple[str, str]:
    table, dot, column = str(value).partition(".")
    if not (table and dot and column) or "." in column:
        raise ContractError(f"{path}: {value!r} is not <source>.<column>")
    return table, column


def _number(value: object, path: str) -> Decimal | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ContractError(f"{path}: {value!r} is no number")
    return Decimal(str(value))
