"""How a change goes through the layers of one process: bronze commits, silver takes it in, then gold, in one trigger.

    bronze commit --Handed--> silver.follow --Handed--> gold.follow

What is handed on in memory is only ever a short cut: each table knows from its own commits how far it has come, and
reads from the log below what it was not handed. So a layer that fails holds up none below it; its own query catches up.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lakehouse.errors import LakehouseError
from runtime.failpoints import failpoint
from runtime.tables import table_exists
from streaming.gold import GoldTable
from streaming.handover import Handed
from streaming.silver import SilverTable

log = logging.getLogger(__name__)


@dataclass
class Flow:
    """The silver and gold tables that one process writes. Silver tables stand in the order in which they are read:
    reference data first, so that facts are not checked against tables not yet read.
    """

    silver: Sequence[SilverTable] = ()
    gold: Sequence[GoldTable] = ()
    stopped: Callable[[], bool] = lambda: False
    # Tables that may be handed changes: their own query has caught up since the start, or the last failure.
    _ready: set[str] = field(default_factory=set)

    def hand_on(self, handed: Handed) -> None:
        """Takes a commit of bronze, which has just been made, through silver and gold.

        What fails there is left to the query of that layer, which says why and tries again.
        """
        for table in self.silver:
            if f"bronze.{table.source.name}" == handed.table and table.name in self._ready:
                try:
                    changes = table.follow(handed, self.stopped)
                except Exception as error:  # bronze must go on: records leave a stream after a day
                    self._leave(table.name, error)
                    return
                self._hand_to_gold(changes)

    def ensure_silver(self) -> None:
        """What the silver query does when it starts: raises what would be the same at every try, such as
        IncompatibleTableError and RestoredTableError.
        """
        for table in self.silver:
            table.ensure()

    def ensure_gold(self) -> None:
        """What the gold query does when it starts, for the tables whose silver is there. Raises as `ensure_silver`."""
        for table in self.gold:
            if all(table_exists(uri) for uri in table.silver.values()):
                table.ensure()

    def follow_bronze(self) -> None:
        """Brings every silver table up to date with bronze, then gold with them; what the silver query does.

        All tables are tried; then the first failure is raised.
        """
        failures: list[Exception] = []
        for table in self.silver:
            if self.stopped() or not table_exists(table.bronze_uri):
                continue
            try:
                changes = table.follow(stopped=self.stopped)
                table.keep_up()
                failpoint("silver.done")
            except Exception as error:  # raised below, once its neighbours are up to date
                failures.append(error)
                continue
            self._ready.add(table.name)
            self._hand_to_gold(changes)
        _raise_first(failures)

    def follow_silver(self) -> None:
        """Brings every gold table up to date with silver; what the gold query does. Raises as `follow_bronze`."""
        failures: list[Exception] = []
        for table in self.gold:
            if self.stopped() or not all(table_exists(uri) for uri in table.silver.values()):
                continue
            try:
                table.follow(stopped=self.stopped)
                table.keep_up()
            except Exception as error:  # raised below, once its neighbours are up to date
                failures.append(error)
                continue
            self._ready.add(table.name)
        _raise_first(failures)

    def _hand_to_gold(self, changes: Sequence[Handed]) -> None:
        for handed in changes:
            for table in self.gold:
                if handed.table in table.silver and table.name in self._ready:
                    try:
                        table.follow({handed.table: handed}, self.stopped)
                    except Exception as error:  # silver must go on
                        self._leave(table.name, error)

    def _leave(self, table: str, error: Exception) -> None:
        self._ready.discard(table)
        log.warning("%s could not take in what was handed on, its query catches up: %s", table, error)


def _raise_first(failures: Sequence[Exception]) -> None:
    """Refusals first: they would be the same at every try."""
    for failure in sorted(failures, key=lambda each: not isinstance(each, LakehouseError)):
        raise failure
