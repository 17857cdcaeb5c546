"""A lake in a folder with all silver and gold tables and the products, whose batches of web events go through `Flow`.

That is what a batch of `lakehouse stream all` does from the moment that Kinesis has given its records.
"""

import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from bench.web_events import PRODUCTS, SOURCE, event
from lakehouse.contracts import Contracts, load_contracts
from lakehouse.delta.table import OwnedTable
from lakehouse.engine.schemas import envelope_schema
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS, Settings
from runtime.tables import ensure_table
from runtime.upkeep import Upkeep
from streaming.bronze import BRONZE_PROPERTIES, envelope, lineage, shard_ranges
from streaming.handover import Continuity, Handed
from streaming.kinesis_rows import SCHEMA
from streaming.layers import flow_of

BEGUN = datetime(2026, 10, 15, tzinfo=UTC)
BETWEEN = timedelta(milliseconds=2)
# A batch corrects one event in a hundred of those before it, and brings as many again as they were.
ONE_IN = 100
Event = tuple[int, datetime, bytes]


class FlowLake:
    """The lake and its flow; batches are numbered from 0 and follow each other."""

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        self.settings = settings or settings_of(folder)
        self.contracts: Contracts = load_contracts(CONTRACTS)
        self.flow = flow_of(self.settings, self.contracts)
        self.layout = Layout(self.settings.root)
        schema = envelope_schema(self.contracts)
        uri = self.layout.table(f"bronze.{SOURCE}")
        self.bronze: OwnedTable = ensure_table(uri, schema, ["ingest_date"], BRONZE_PROPERTIES)
        self._continuity = Continuity()
        self._upkeep = Upkeep(self.settings, [self.bronze])
        self._batch = 0
        self._append_products(schema)
        self.flow.ensure_silver()
        self.look()

    def append(self, records: pa.Table) -> Handed:
        """What the bronze query does with a batch, its records being there (see streaming/bronze.py)."""
        self._continuity.found(self.bronze.refresh())
        rows = envelope(records, datetime.now(UTC))
        commit = lineage(SOURCE, self._batch, shard_ranges(records))
        version = self.bronze.append(rows, {"bench:bronze": self._batch}, commit)
        self._batch += 1
        return Handed(f"bronze.{SOURCE}", self.bronze.id, self._continuity.changed(version), version, rows)

    def keep_up(self) -> None:
        """What the bronze query does behind each batch."""
        if self._upkeep.run():
            self._continuity.unchanged(self.bronze.version)

    def look(self) -> None:
        """What the silver and gold queries do when they look, every few seconds: catch up, compact."""
        self.flow.follow_bronze()
        self.flow.follow_silver()

    def _append_products(self, schema: pa.Schema) -> None:
        columns = {"category": "category {}", "unit_cost": "1", "valid_from": "2010-01-01T00:00:00Z"}
        rows = [
            {
                "record_id": f"products/products.csv#{number}",
                "payload": json.dumps(
                    {"product_id": f"p{number}"} | {key: text.format(number % 12) for key, text in columns.items()}
                ),
                "payload_encoding": "utf8",
                "arrived_at": BEGUN,
                "ingested_at": BEGUN,
                "partition_key": None,
                "ingest_date": BEGUN.date(),
            }
            for number in range(PRODUCTS)
        ]
        table = ensure_table(self.layout.table("bronze.products"), schema, ["ingest_date"], BRONZE_PROPERTIES)
        table.append(pa.Table.from_pylist(rows, schema), {}, "{}")


def settings_of(folder: Path) -> Settings:
    """Settings for a lake in a folder, whatever the environment says."""
    return Settings(root=str(folder), landing=str(folder / "landing"), state_directory=folder, symlink_manifests=False)


def batch(first: int, events: int, arrived: datetime | None = None) -> pa.Table:
    """So many records as the Kinesis source gives them, from event `first` on, two milliseconds apart.

    Where there are events before: one in a hundred is such an event again, and one in a hundred corrects one.
    """
    rows: list[Event] = [(number, _time(number), event(number, _time(number))[1]) for number in _range(first, events)]
    if first:
        for place in range(0, events, ONE_IN):
            again, corrected = first - 1 - place % first, first - 3 - place % max(1, first - 3)
            rows[place] = (rows[place][0], _time(first + place), event(again, _time(again))[1])
            if place + 1 < events:
                data = event(corrected, _time(corrected))[1].replace(b'"page": "', b'"page": "/corrected')
                rows[place + 1] = (rows[place + 1][0], _time(first + place), data)
    return records(rows, arrived)


def batches(size: int, count: int) -> list[pa.Table]:
    """Batches of the same size that follow each other."""
    return [batch(number * size, size) for number in range(count)]


def records(events: Sequence[Event], arrived: datetime | None = None) -> pa.Table:
    """Events as rows of the Kinesis source on two shards; each is its number, when it arrived, and its data."""
    count = len(events)
    columns = {
        "stream": [SOURCE] * count,
        "shard_id": [f"shardId-{number % 2:012d}" for number, _, _ in events],
        "sequence_number": [f"{number:056d}" for number, _, _ in events],
        "sub_sequence_number": [None] * count,
        "partition_key": list(itertools.repeat("k", count)),
        "arrived_at": [arrived or at + timedelta(seconds=1) for _, at, _ in events],
        "data": [data for _, _, data in events],
    }
    return pa.table(columns, schema=SCHEMA)


def _range(first: int, events: int) -> range:
    return range(first, first + events)


def _time(number: int) -> datetime:
    return BEGUN + BETWEEN * number
