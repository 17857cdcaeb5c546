"""The producer's own record of what it delivered: one JSON object a line, appended as the deliveries are confirmed.

A file is `{"path", "modified", "size", "sha256"}`, a stream record `{"index", "stream", "shard", "sequence",
"partition_key", "acknowledged_at", "sha256"}`, where `index` is its place in the production.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lakehouse.errors import LakehouseError
from local.generator.events import StreamEvent
from local.generator.production import Production
from local.oracle.deliveries import DeliveredFile, DeliveredRecord


class LedgerError(LakehouseError):
    """A ledger that does not belong to the production; the message names the file, the line and what differs."""


@dataclass(frozen=True)
class Acknowledged:
    """A record of the production and what Kinesis said when it took it."""

    record: StreamEvent
    stream: str
    shard: str
    sequence: str
    at: datetime


class Ledger:
    """Appends to the file at `path`. Each call is on the disk when it returns, so a stopped producer loses no entry."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def add_files(self, files: Iterable[DeliveredFile]) -> None:
        """Notes files as they stand in the landing area."""
        self._append(
            {
                "path": file.path,
                "modified": file.modified.isoformat(),
                "size": len(file.data),
                "sha256": _digest(file.data),
            }
            for file in files
        )

    def add_records(self, acknowledged: Iterable[Acknowledged]) -> None:
        """Notes records that Kinesis took."""
        self._append(
            {
                "index": each.record.index,
                "stream": each.stream,
                "shard": each.shard,
                "sequence": each.sequence,
                "partition_key": each.record.partition_key,
                "acknowledged_at": each.at.isoformat(),
                "sha256": _digest(each.record.data),
            }
            for each in acknowledged
        )

    def _append(self, entries: Iterable[Mapping[str, object]]) -> None:
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        if not text:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def read_ledger(path: Path, production: Production) -> tuple[list[DeliveredFile], list[DeliveredRecord]]:
    """The files and records that the ledger says were delivered, with their bytes from the production.

    A last line without an end, as a killed producer may leave it, is left out: its record may or may not be in the
    lake. Raises LedgerError if the ledger is not of this production, FileNotFoundError if there is none.
    """
    contents = {file.path: file.data for file in production.files}
    files: dict[str, DeliveredFile] = {}
    records: list[DeliveredRecord] = []
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), 1):
        entry = json.loads(line)
        if "path" in entry:
            data = contents.get(entry["path"])
            files[entry["path"]] = DeliveredFile(
                entry["path"], datetime.fromisoformat(entry["modified"]), _proven(path, number, entry, data)
            )
        else:
            records.append(_delivered(path, number, entry, production))
    return list(files.values()), records


def _delivered(path: Path, number: int, entry: Mapping[str, Any], production: Production) -> DeliveredRecord:
    index = entry["index"]
    known = production.records[index] if index < len(production.records) else None
    data = _proven(path, number, entry, known.data if known else None)
    assert known is not None
    return DeliveredRecord(
        known.source,
        entry["stream"],
        entry["shard"],
        entry["sequence"],
        datetime.fromisoformat(entry["acknowledged_at"]),
        data,
    )


def _proven(path: Path, number: int, entry: Mapping[str, Any], data: bytes | None) -> bytes:
    """The production's bytes, if they are those that the ledger noted."""
    if data is None or _digest(data) != entry["sha256"]:
        what = entry.get("path", f"record {entry.get('index')}")
        raise LedgerError(
            f"{path}:{number}: {what} is not what the plan has: plan with the days, seed and options of the producer"
        )
    return data


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
