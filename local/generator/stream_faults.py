"""What goes wrong on streams: records that are no records, that break a rule, that come twice, late, or corrected."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from random import Random

from local.generator.events import Event
from local.generator.file_faults import FAR_AHEAD, GHOST, LONG_AGO
from local.generator.formats import Record, TimeStyle, epoch_text, json_text

LATE_SHARE = 0.004
REPEATED_SHARE = 0.003
CORRECTED_SHARE = 0.002
LARGEST = 1_048_000
DEPTH = 3000
STYLES: tuple[TimeStyle, ...] = ("epoch", "epoch", "epoch", "iso", "iso", "spaced", "offset")

Spoil = Callable[[Record], Record]
Damage = Callable[[Record], bytes]


@dataclass(frozen=True)
class Placed:
    """A record with its place in the production: from 0, the start, to about 1, the end."""

    place: float
    source: str
    key: str
    data: bytes
    fault: str | None = None


def _milliseconds(record: Record) -> Record:
    time = record["timestamp"]
    assert isinstance(time, datetime)
    return record | {"timestamp": Decimal(epoch_text(time)) * 1000}


COMMON: dict[str, Spoil] = {
    "null": lambda record: record | {"timestamp": None},
    "long ago": lambda record: record | {"timestamp": LONG_AGO},
    "far ahead": lambda record: record | {"timestamp": FAR_AHEAD},
    "milliseconds": _milliseconds,
    "no time": lambda record: record | {"timestamp": "yesterday at noon"},
}
RULES: Mapping[str, Mapping[str, Spoil]] = {
    "web_logs": COMMON
    | {
        "empty text": lambda record: record | {"page": ""},
        "wrong type": lambda record: record | {"order_value": "a lot"},
        "unknown enum": lambda record: record | {"event_type": "hover"},
        "unknown product": lambda record: record | {"product_id": GHOST},
        "negative": lambda record: record | {"order_value": Decimal("-1")},
        "huge number": lambda record: record | {"order_value": Decimal("1E+400")},
        "pattern": lambda record: record | {"country": "England"},
        "long identifier": lambda record: record | {"event_id": "e" * 129},
    },
    "crm": COMMON
    | {
        "missing": lambda record: {name: cell for name, cell in record.items() if name != "customer_id"},
        "wrong type": lambda record: record | {"rating": "four"},
        "unknown enum": lambda record: record | {"interaction_type": "rumour"},
        "unknown status": lambda record: record | {"status": "lost"},
        "out of range": lambda record: record | {"rating": 9},
        "huge number": lambda record: record | {"rating": 10**30},
        "pattern": lambda record: record | {"channel": "Carrier Pigeon!"},
        "long identifier": lambda record: record | {"interaction_id": "i" * 129},
    },
}


def _text(record: Record) -> str:
    return json_text(record, "iso")


DAMAGE: Mapping[str, Damage] = {
    "single quotes": lambda record: _text(record).replace('"', "'").encode(),
    "trailing comma": lambda record: (_text(record)[:-1] + ",}").encode(),
    "two objects": lambda record: (_text(record) * 2).encode(),
    "not a number": lambda record: (_text(record)[:-1] + ', "score": NaN}').encode(),
    "no object": lambda record: b'["event", 1]',
    "plain text": lambda record: b"GET / HTTP/1.1",
    "truncated": lambda record: _text(record).encode()[: len(_text(record)) // 2],
    "truncated bytes": lambda record: _text(record | {"note": "\u20ac"}).encode()[:-3],
    "not utf8": lambda record: _text(record | {"note": "caf\u00e9"}).encode("latin-1", "replace"),
    "empty": lambda record: b"",
    "nested": lambda record: _text(record | {"timestamp": "@"}).replace('"@"', '{"at": [1]}').encode(),
    "deep nesting": lambda record: (_text(record)[:-1] + ', "deep": ' + "[" * DEPTH + "]" * DEPTH + "}").encode(),
}


def placed_events(events: Sequence[Event], random: Random, share: float) -> list[Placed]:
    """The events in their order as stream records, with faulty, late, repeated and corrected ones between them.

    About `share` of the records of each source break a rule or are no records at all; every kind of fault occurs, and
    one record of almost a megabyte. With `share` 0 there are none, and nothing is repeated or corrected either.
    """
    places = [number / len(events) for number in range(len(events))]
    placed = [_on_its_way(event, place, random, share) for event, place in zip(events, places, strict=True)]
    if not share:
        return placed
    for source in sorted({event.source for event in events}):
        own = [(event, place) for event, place in zip(events, places, strict=True) if event.source == source]
        placed += _faulty(source, [event for event, _ in own], random, share)
        placed += _repeated(own, random)
        placed += _corrected(own, random)
    return placed


def _on_its_way(event: Event, place: float, random: Random, share: float) -> Placed:
    data = json_text(event.record, random.choice(STYLES)).encode()
    if event.late or (share and random.random() < LATE_SHARE):
        return Placed(place + random.uniform(0.02, 0.08), event.source, event.key, data, "late")
    if share and random.random() < LATE_SHARE:
        data = json_text(event.record | {"experiment": "blue button"}, "iso").encode()
        return Placed(place, event.source, event.key, data, "undeclared field")
    return Placed(place, event.source, event.key, data)


def _faulty(source: str, events: Sequence[Event], random: Random, share: float) -> list[Placed]:
    kinds = [*RULES[source], *DAMAGE]
    placed: list[Placed] = []
    for number in range(max(len(kinds), round(len(events) * share))):
        kind = kinds[number % len(kinds)]
        event = random.choice(events)
        name = next(iter(event.record))
        record = event.record | {name: f"faulty-{number:04d}"}
        data = DAMAGE[kind](record) if kind in DAMAGE else json_text(RULES[source][kind](record)).encode()
        placed.append(Placed(random.random(), source, event.key, data, kind))
    event = random.choice(events)
    field = "page" if source == "web_logs" else "message_excerpt"
    largest = event.record | {field: "x" * (LARGEST - len(json_text(event.record)) - 200)}
    return [*placed, Placed(random.random(), source, event.key, json_text(largest).encode(), "one megabyte")]


def _repeated(events: Sequence[tuple[Event, float]], random: Random) -> list[Placed]:
    """The same event once more: with its fields the other way round, as producers may write them on a retry."""
    chosen = random.sample(events, max(2, round(len(events) * REPEATED_SHARE)))
    return [
        Placed(
            place + random.uniform(0.001, 0.05),
            event.source,
            event.key,
            json_text(dict(reversed(event.record.items())), random.choice(STYLES)).encode(),
            "duplicate",
        )
        for event, place in chosen
    ]


def _corrected(events: Sequence[tuple[Event, float]], random: Random) -> list[Placed]:
    chosen = random.sample(events, max(2, round(len(events) * CORRECTED_SHARE)))
    return [
        Placed(
            place + random.uniform(0.001, 0.05),
            event.source,
            event.key,
            json_text(event.record | _correction(event.record), "epoch").encode(),
            "correction",
        )
        for event, place in chosen
    ]


def _correction(record: Record) -> Record:
    """What the event should have said."""
    if "rating" in record:
        return {"rating": 5 if record["rating"] != 5 else 4, "message_excerpt": "I wrote in the wrong form before."}
    value = record.get("order_value")
    if isinstance(value, Decimal):
        return {"order_value": value + 10}
    return {"page": f"{record['page']}?corrected", "country": None}
