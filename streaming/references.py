"""The reference tables (stores, products, …) as the batches of facts look them up: small, in memory, never stale."""

from collections.abc import Iterable, Mapping

from lakehouse.contracts import Contracts
from lakehouse.delta.table import OwnedTable
from lakehouse.engine.enrich import ReferenceRows
from lakehouse.engine.schemas import arrow_schema
from lakehouse.layout import Layout
from runtime.tables import open_table, table_exists


class References:
    """The reference rows at their newest version; a table is read again only when its version moved."""

    def __init__(self, contracts: Contracts, layout: Layout) -> None:
        self._contracts = contracts
        self._layout = layout
        self._tables: dict[str, OwnedTable] = {}
        self._held: dict[str, tuple[int, ReferenceRows]] = {}

    def current(self, names: Iterable[str]) -> Mapping[str, ReferenceRows]:
        """The rows of each named reference source; none where its table is not there yet."""
        return {name: self._rows(name) for name in names}

    def _rows(self, name: str) -> ReferenceRows:
        contract = self._contracts.source(name)
        uri = self._layout.table(f"silver.{name}")
        if name not in self._tables:
            if not table_exists(uri):
                return ReferenceRows(arrow_schema(self._contracts.silver_of(name)).empty_table(), contract)
            self._tables[name] = open_table(uri)
        table = self._tables[name]
        version = table.refresh()
        if name not in self._held or self._held[name][0] != version:
            rows = table.read(self._contracts.silver_of(name).column_names)
            self._held[name] = version, ReferenceRows(rows, contract)
        return self._held[name][1]
