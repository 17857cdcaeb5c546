"""The log of one Delta table, read without Spark: which versions there are and what each commit says of itself.

It reads small JSON objects only, never data files, and never writes.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from obstore.exceptions import BaseError

from lakehouse.layout import Layout
from runtime.storage import Storage, StorageError

VERSION_FILE = re.compile(r"/(\d{20})\.(?:json|checkpoint\..*parquet)$")
# A table may be deleted and made again under a long-lived reader: look at the whole listing now and then.
SECONDS_BETWEEN_LISTINGS = 30.0
# Entries that a log remembers; a reader that lives for weeks must not grow with the table.
MOST_KEPT = 4096


@dataclass(frozen=True)
class Commit:
    """One entry of a Delta log.

    `metadata` is the commit's userMetadata text (None where there is none), `parameters` those of its operation as
    Delta notes them, `metrics` what the writer measured,
    `configuration` the table's properties if this commit sets them (the first does, ALTER TABLE does).
    """

    version: int
    committed_at: datetime
    operation: str
    metadata: str | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    configuration: Mapping[str, str] | None = None


class DeltaLog:
    """The log of the table `name` (such as `silver.validated_pos`) under a lake's root.

    Safe between threads. A newer version is found with one small read; the entries read last are kept.
    """

    def __init__(self, root: str, name: str) -> None:
        layout = Layout(root)
        self.name = name
        self.uri = layout.table(name)
        self._storage = Storage.open(layout.root)
        self._folder = f"{self.uri.removeprefix(layout.root).strip('/')}/_delta_log"
        self._lock = Lock()
        self._commits: dict[int, Commit] = {}
        self._newest: int | None = None
        self._listed_at = float("-inf")

    def newest(self) -> int | None:
        """The newest version; None where no table is."""
        with self._lock:
            if self._newest is None or time.monotonic() - self._listed_at > SECONDS_BETWEEN_LISTINGS:
                self._list()
            while self._newest is not None and self._read(self._newest + 1) is not None:
                self._newest += 1
            return self._newest

    def commit(self, version: int) -> Commit | None:
        """The entry of a version; None where there is none (never written, or older than the log's retention)."""
        with self._lock:
            return self._read(version)

    def actions(self, version: int) -> list[bytes]:
        """The lines of a version's entry, each a JSON object with one key; empty where there is no entry."""
        if version < 0 or not self._may_exist():
            return []
        with self._named_errors():
            content = self._storage.read(f"{self._folder}/{version:020}.json")
        return content.splitlines() if content else []

    def forget(self) -> None:
        """Drops what was remembered: the next question is answered from storage."""
        with self._lock:
            self._newest = None
            self._commits.clear()

    def _may_exist(self) -> bool:
        """False for a folder that is not there: asking the storage would make it."""
        return self.uri.startswith("s3://") or Path(self.uri).is_dir()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Storage errors with the table's name, on one line."""
        try:
            yield
        except BaseError as error:
            first = str(error).partition("\n")[0].partition(": <?xml")[0]
            raise StorageError(f"the log of {self.name} at {self.uri} cannot be read: {first}") from error

    def _list(self) -> None:
        objects = []
        if self._may_exist():
            with self._named_errors():
                objects = self._storage.list(self._folder)
        found = [VERSION_FILE.search(f"/{each.key}") for each in objects]
        newest = max((int(match[1]) for match in found if match), default=None)
        if newest is None or (self._newest is not None and newest < self._newest):
            self._commits.clear()
        self._newest = newest
        self._listed_at = time.monotonic()

    def _read(self, version: int) -> Commit | None:
        if version not in self._commits:
            if version < 0 or not self._may_exist():
                return None
            with self._named_errors():
                content = self._storage.read(f"{self._folder}/{version:020}.json")
            if content is None:
                return None
            while len(self._commits) >= MOST_KEPT:
                del self._commits[next(iter(self._commits))]
            self._commits[version] = parse_commit(version, content)
        return self._commits[version]


def parse_commit(version: int, content: bytes) -> Commit:
    """The entry in a commit file's bytes. Actions on files are skipped unread: there may be thousands."""
    info: dict[str, Any] = {}
    configuration: dict[str, str] | None = None
    for line in content.splitlines():
        start = line[:40]
        if b'"commitInfo"' in start:
            info = json.loads(line)["commitInfo"]
        elif b'"metaData"' in start:
            configuration = json.loads(line)["metaData"].get("configuration") or {}
    milliseconds = info.get("inCommitTimestamp") or info.get("timestamp") or 0
    metadata = info.get("userMetadata")
    return Commit(
        version=version,
        committed_at=datetime.fromtimestamp(milliseconds / 1000, UTC),
        operation=str(info.get("operation", "unknown")),
        metadata=metadata if isinstance(metadata, str) else None,
        metrics={name: str(value) for name, value in (info.get("operationMetrics") or {}).items()},
        parameters={name: str(value) for name, value in (info.get("operationParameters") or {}).items()},
        configuration=configuration,
    )
