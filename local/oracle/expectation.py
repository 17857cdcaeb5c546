"""The lake that must come out of what was delivered: where each record is, every silver row, every KPI."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from local.oracle.checking import Arrival, Checked, Row, arrival_of_record, arrivals_of_file, checked
from local.oracle.deliveries import DeliveredFile, DeliveredRecord
from local.oracle.enrichment import References, ReferenceTable, enriched
from local.oracle.groups import settle
from local.oracle.identities import Fate, contest
from local.oracle.kpis import Figures, GoldKey, gold_of
from local.oracle.rules import REFERENCES, SOURCES, Source


@dataclass(frozen=True)
class Expected:
    """A lake in which everything that was delivered has arrived in every layer.

    `fates`: source, record id, where the record must be. `silver`: table, its rows; each holds `record_id` and all
    columns but `arrived_at`. `gold`: the figures of every row of every gold table.
    """

    fates: Mapping[str, Mapping[str, Fate]]
    silver: Mapping[str, list[Row]]
    gold: Mapping[GoldKey, Figures]


def expect(files: Iterable[DeliveredFile], records: Iterable[DeliveredRecord]) -> Expected:
    """The expected lake. All reference data counts as known before anything else, whenever it was delivered."""
    files, records = [*files], [*records]
    unknown = sorted(({each.source for each in files} | {each.source for each in records}) - SOURCES.keys())
    if unknown:
        raise ValueError(f"deliveries for {', '.join(unknown)}: the sources are {', '.join(SOURCES)}")
    arrivals: dict[str, list[Arrival]] = defaultdict(list)
    for file in files:
        arrivals[file.source].extend(arrivals_of_file(file))
    for record in records:
        arrivals[record.source].append(arrival_of_record(record))

    references: dict[str, ReferenceTable] = {}
    fates: dict[str, dict[str, Fate]] = {}
    silver: dict[str, list[Row]] = {}
    for name in chain(REFERENCES, (each for each in SOURCES if each not in REFERENCES)):
        source = SOURCES[name]
        rows, fates[name] = _settled(arrivals[name], source, references)
        silver[source.table] = rows
        if name in REFERENCES:
            references[name] = ReferenceTable(rows, source.identity[0])
    return Expected(fates, silver, gold_of(silver))


def _settled(arrivals: Iterable[Arrival], source: Source, references: References) -> tuple[list[Row], dict[str, Fate]]:
    """The silver rows of a source and the fate of each of its records."""
    fates: dict[str, Fate] = {}
    valid: list[Checked] = []
    for record in checked(arrivals, source):
        rule, column = record.rule, record.column
        if rule is None:
            column = _unknown_key(record, source, references)
            rule = "reference" if column else None
        if rule is None:
            valid.append(record)
        else:
            fates[record.arrival.record_id] = Fate(f"rejected.{source.name}", frozenset({rule}), column)
    rows, losers = contest(valid, source)
    fates |= losers
    if source.name not in REFERENCES:
        rows = [enriched(source.table, row, references) for row in rows]
        settle(source.table, rows, source.identity)
    fates |= {row["record_id"]: Fate(f"silver.{source.table}") for row in rows}
    return rows, fates


def _unknown_key(record: Checked, source: Source, references: References) -> str | None:
    """The first column whose key the reference data does not know at the record's event time."""
    for field in source.fields:
        key = record.values[field.column]
        if field.key_of is None or key is None:
            continue
        if references[field.key_of].valid_at(key, record.values[source.time]) is None:
            return field.name
    return None
