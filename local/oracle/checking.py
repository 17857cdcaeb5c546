"""One record against the rules of its source: typed values, or the rule that it breaks."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from local.oracle.deliveries import DeliveredFile, DeliveredRecord
from local.oracle.files import records_of
from local.oracle.lexical import Malformed, Text, WrongType, cast, fields_of, microseconds_of, time_of
from local.oracle.rules import EARLIEST_EVENT, NULL_WORDS, SOURCES, SPOKEN_BY, Field, Source

EARLIEST = cast(EARLIEST_EVENT, "timestamp")
HOUR = 3_600_000_000
Row = dict[str, Any]


@dataclass(frozen=True)
class Arrival:
    """A record on its way in: `rank` orders it among records of its source, later arrivals higher."""

    record_id: str
    rank: tuple[int, str]
    fields: Mapping[str, Text]
    rule: str | None = None


@dataclass(frozen=True)
class Checked:
    """A record with its typed values under their silver names; `rule` and `column` say what it breaks, if anything.

    The column is named as in the payload.
    """

    arrival: Arrival
    values: Row
    rule: str | None = None
    column: str | None = None


def arrivals_of_file(file: DeliveredFile) -> Iterator[Arrival]:
    """The file's records, named `<path>#<line>`."""
    modified = microseconds_of(file.modified)
    for record in records_of(file):
        record_id = f"{file.path}#{record.number}"
        rank = (modified, record_id)
        if record.rule:
            yield Arrival(record_id, rank, {}, record.rule)
        elif record.fields is not None:
            yield Arrival(record_id, rank, _meant(record.fields, file.source))
        else:
            arrival = _arrival(record_id, rank, record.payload or "")
            yield replace(arrival, fields=_meant(arrival.fields, file.source))


def _meant(fields: Mapping[str, Text], source: str) -> dict[str, Text]:
    """The fields as the shop means them: words for null, times cut to microseconds."""
    meant = dict(fields)
    for field in SOURCES[source].fields if source in SPOKEN_BY else ():
        text = meant.get(field.name)
        if not field.required and isinstance(text, str) and text in NULL_WORDS:
            meant[field.name] = None
        elif field.type == "timestamp" and isinstance(text, str):
            meant[field.name] = re.sub(r"(:\d{2}\.\d{6})\d{1,3}(?!\d)", r"\1", text)
    return meant


def arrival_of_record(record: DeliveredRecord) -> Arrival:
    """The stream record; its sequence number decides between records of one moment."""
    rank = (microseconds_of(record.acknowledged_at), record.sequence.zfill(128))
    try:
        payload = record.data.decode()
    except UnicodeDecodeError:
        return Arrival(record.record_id, rank, {}, "not_utf8")
    return _arrival(record.record_id, rank, payload)


def checked(arrivals: Iterable[Arrival], source: Source) -> list[Checked]:
    """Each arrival with its values or the first rule, in the order of the columns, that it breaks."""
    return [_checked(arrival, source) for arrival in arrivals]


def _arrival(record_id: str, rank: tuple[int, str], payload: str) -> Arrival:
    try:
        return Arrival(record_id, rank, fields_of(payload))
    except Malformed:
        return Arrival(record_id, rank, {}, "malformed_json")


def _checked(arrival: Arrival, source: Source) -> Checked:
    if arrival.rule:
        return Checked(arrival, {}, arrival.rule)
    values: Row = {}
    for field in source.fields:
        try:
            value = cast(arrival.fields.get(field.name), field.type)
        except WrongType:
            return Checked(arrival, values, "type", field.name)
        rule = _broken_rule(field, value) or (
            _broken_time(value, arrival.rank[0], source.latest_hours) if field.column == source.time else None
        )
        if rule:
            return Checked(arrival, values, rule, field.name)
        values[field.column] = time_of(value) if field.type == "timestamp" and value is not None else value
    return Checked(arrival, values)


def _broken_rule(field: Field, value: Any) -> str | None:
    if value is None:
        return "required" if field.required else None
    too_small = field.minimum is not None and value < field.minimum
    if too_small or (field.maximum is not None and value > field.maximum):
        return "range"
    if field.allowed and value not in field.allowed:
        return "enum"
    if field.pattern is not None and not re.fullmatch(field.pattern, value):
        return "pattern"
    if field.longest is not None and len(value) > field.longest:
        return "length"
    return None


def _broken_time(value: Any, arrived_at: int, latest_hours: int) -> str | None:
    """Event times lie between 2000 and some hours after the arrival; a date stands for its first moment."""
    moment = cast(value.isoformat() + "T00:00", "timestamp") if isinstance(value, date) else value
    return None if EARLIEST <= moment <= arrived_at + latest_hours * HOUR else "event_time"
