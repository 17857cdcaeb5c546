"""What the dashboard reads: answers are kept until a table they came from has a new version.

The jobs that fill the lake need the machine more than a page does: an answer that took long to compute is not computed
again before five times as long have passed.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from lakehouse.errors import LakehouseError
from local.sql import Lake, Snapshot

Versions = dict[str, int]

REST = 4.0


@dataclass(frozen=True)
class Reading[Answer]:
    """An answer, and the version of each table at which it was read."""

    versions: Versions
    answer: Answer


class Readings:
    """Answers about one lake, which may not exist yet. Safe between threads."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._lake: Lake | None = None
        self._lock = Lock()
        self._kept: dict[Any, _Kept] = {}

    def lake(self) -> Lake:
        """The lake; opened when it is first there. Raises LakehouseError while it is not."""
        with self._lock:
            if self._lake is None:
                self._lake = Lake(self.root)
            return self._lake

    def versions(self, tables: Sequence[str]) -> Versions:
        """The newest version of each of the tables that exist. Raises LakehouseError when the lake cannot be read."""
        lake = self.lake()
        found = {table: lake.version(table) for table in tables}
        return {table: version for table, version in found.items() if version is not None}

    def read[Answer](
        self, key: Any, tables: Sequence[str], ask: Callable[[Snapshot], Answer], given: object = None
    ) -> Reading[Answer] | None:
        """What `ask` finds in a snapshot of the tables, kept under `key`; None when none of the tables exists.

        What was kept is asked for again when a table has a new version, or `given` is not what it was then. Raises
        LakehouseError when the lake cannot be read and nothing was kept.
        """
        with self._lock:
            kept = self._kept.setdefault(key, _Kept())
        with kept.lock:
            try:
                self._renew(kept, tables, ask, given)
            except LakehouseError:
                if kept.reading is None:
                    raise
            return kept.reading

    def _renew(self, kept: "_Kept", tables: Sequence[str], ask: Callable[[Snapshot], Any], given: object) -> None:
        if time.monotonic() < kept.rests_until:
            return
        versions = self.versions(tables)
        if not versions:
            kept.reading = None
        elif kept.reading is None or (kept.reading.versions, kept.given) != (versions, given):
            began = time.monotonic()
            with self.lake().snapshot(versions) as snapshot:
                kept.reading, kept.given = Reading(versions, ask(snapshot)), given
            kept.rests_until = time.monotonic() + REST * (time.monotonic() - began)

    def close(self) -> None:
        """Closes the lake."""
        with self._lock:
            if self._lake is not None:
                self._lake.close()
                self._lake = None


class _Kept:
    """The last answer under one key; its lock lets one thread compute it while the others wait for the result."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.reading: Reading[Any] | None = None
        self.given: object = None
        self.rests_until = float("-inf")
