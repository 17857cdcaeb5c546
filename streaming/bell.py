"""When to look: what tells a query of silver or gold that the tables below have new versions. It brings no rows.

A thread of the driver looks at the tables' logs, one small request a table, and rings by a small file in a local
folder; the query streams from that folder with Spark's own file source. A source in Python would need a Python worker
for each query. The query takes its rows from the logs, and its own table says how far it has come: so nothing depends
on the bell, on its folder, or on the checkpoint of such a query, and a query that starts looks at once.
"""

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from runtime.storage import Storage, StorageError

LOG = "_delta_log"
log = logging.getLogger(__name__)


class Bell:
    """Rings at its start, and whenever one of the tables has a new version, until it is stopped."""

    def __init__(self, name: str, tables: Sequence[str], seconds: float) -> None:
        """Looks every `seconds` at the tables, by their addresses; `name` is the query's, for its folder and thread."""
        self._tables = tables
        self._seconds = seconds
        self._folder = Path(tempfile.mkdtemp(prefix=f"lakehouse-{name}-"))
        self._rung = count()
        self._newest: dict[str, int] = {}
        self._stop = threading.Event()
        self._query_is_active: Callable[[], bool] = lambda: True
        self._thread = threading.Thread(target=self._watch, name=f"bell {name}", daemon=True)
        for folder in ("bells", "checkpoint"):
            (self._folder / folder).mkdir()
        self.ring()

    @property
    def checkpoint(self) -> str:
        """Where the query may keep what Spark wants to keep."""
        return f"file://{self._folder}/checkpoint"

    def watch(self, query_is_active: Callable[[], bool] = lambda: True) -> None:
        """Watches the tables as long as the query runs."""
        self._query_is_active = query_is_active
        self._thread.start()

    def stream(self, spark: SparkSession) -> DataFrame:
        """The stream that has something new when the bell rang."""
        reader = spark.readStream.schema("rung string").option("maxFileAge", "1h")
        return reader.text(f"file://{self._folder}/bells")

    def ring(self) -> None:
        """Makes the query look. The file before the last is of no use any more."""
        number = next(self._rung)
        hidden = self._folder / "bells" / f".{number}"
        hidden.write_text(f"{number}\n", encoding="utf-8")
        hidden.rename(self._folder / "bells" / f"{number}")
        (self._folder / "bells" / f"{number - 2}").unlink(missing_ok=True)

    def stop(self) -> None:
        """Ends the watch and removes the folder."""
        self._stop.set()
        shutil.rmtree(self._folder, ignore_errors=True)

    def look(self) -> bool:
        """Whether a table has a version that was not seen before. Raises StorageError where a store does not answer."""
        found = {table: newest_version(table, self._newest.get(table, -1)) for table in self._tables}
        changed, self._newest = found != self._newest, found
        return changed

    def _watch(self) -> None:
        while not self._stop.wait(self._seconds) and self._query_is_active():
            try:
                changed = self.look()
            except StorageError as error:
                # The query says better what is wrong, and is started again with growing pauses.
                log.warning("%s cannot be looked at: %s", ", ".join(self._tables), error)
                changed = True
            if changed and not self._stop.is_set():
                self.ring()


def newest_version(table: str, known: int) -> int:
    """The newest version of a table of which version `known` was seen; -1 where no table is.

    A table that was made anew with fewer versions is noticed when it has more than the old one had, or at the next
    start: its followers notice the new table by themselves.
    """
    if not table.startswith("s3://") and not Path(table, LOG).is_dir():
        return -1  # asking the storage would make the folder
    versions = Storage.open(f"{table}/{LOG}")
    if known < 0:
        names = [each.key.removesuffix(".json") for each in versions.list() if each.key.endswith(".json")]
        return max((int(each) for each in names if each.isdecimal()), default=-1)
    while versions.exists(f"{known + 1:020}.json"):
        known += 1
    return known
