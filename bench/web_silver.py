"""Silver rows of web events in any number, each made from its number by DuckDB: a history, and the batches after it.

Events come at a constant rate of 10 000 a day and end at the same moment in a lake of any size: a larger one only
reaches further back, so its newest days, into which batches go, are the same. A hundred visitors are there at any time;
a visit has five events, 14.4 minutes apart.
"""

from pathlib import Path

import duckdb
import pyarrow as pa

from lakehouse.contracts import Contract, Contracts, load_contracts
from lakehouse.delta.table import OwnedTable
from lakehouse.engine.schemas import arrow_schema
from lakehouse.kpi_tables import sources_of
from lakehouse.layout import Layout
from lakehouse.settings import CONTRACTS, Settings

WEB = "silver.sessionized_web_logs"
SIZES = (100_000, 1_000_000, 10_000_000)
QUICK_SIZES = (10_000, 30_000, 100_000)
# Of a batch of 10 000 changed rows: new ones, and some of the days before as they were and as they are now.
NEW, CORRECTIONS = 9_000, 500
ROWS_AT_ONCE = 250_000
PROPERTIES = {"delta.enableDeletionVectors": "true", "delta.checkpointInterval": "100"}
_EVENTS = """
    SELECT
        'web_logs/shardId-000000000000/' || (g + 1000000000) AS record_id,
        event_time + INTERVAL 1 SECOND AS arrived_at,
        'e' || (g + 1000000000) AS event_id,
        's-' || visit AS session_id,
        CAST(NULL AS VARCHAR) AS user_id,
        '198.51.' || visit % 251 || '.' || visit % 241 AS client_ip,
        'Mozilla/5.0 (X11; Linux x86_64; rv:' || (visit % 40 + 90) || '.0) Gecko' AS user_agent,
        CASE WHEN place = 0 THEN landing_page ELSE '/products/p' || visit % 2000 END AS page,
        event_type,
        CASE WHEN place >= 2 THEN 'p' || visit % 2000 END AS product_id,
        CASE WHEN place <= 1 THEN campaign END AS campaign_id,
        CASE WHEN event_type = 'purchase' THEN 't' || visit END AS transaction_id,
        CASE WHEN event_type = 'purchase' THEN CAST(visit % 100 + 1 + {more} AS DECIMAL(18, 4)) END AS order_value,
        CASE WHEN place = 0 THEN 'https://search.example/?q=gifts' END AS referrer,
        country,
        event_time,
        's-' || visit AS visitor_id,
        CASE WHEN place >= 2 THEN 'category ' || visit % 12 END AS category,
        's-' || visit || '@' || epoch_us(started) AS session_key,
        started AS session_started_at,
        place + 1 AS position,
        CASE WHEN place > 0 THEN CAST(864 + {more} AS DECIMAL(18, 6)) END AS seconds_since_previous,
        landing_page,
        campaign AS last_touch_campaign,
        CASE WHEN country = 'GB' THEN 'uk' WHEN country IN ('FR', 'DE') THEN 'europe' ELSE 'overseas' END AS region,
        strftime(event_time, '%Y-%m') AS month,
        event_type AS type
    FROM (
        SELECT *, '/landing/' || visit % 50 AS landing_page, 'c' || visit % 8 AS campaign,
            ['GB', 'GB', 'GB', 'GB', 'GB', 'GB', 'FR', 'DE', 'US', 'US'][visit % 10 + 1] AS country,
            event_time - to_microseconds(place * 864000000) AS started,
            CASE place WHEN 0 THEN 'impression' WHEN 1 THEN 'click' WHEN 2 THEN 'view'
                WHEN 3 THEN CASE WHEN visit % 3 = 0 THEN 'add_to_cart' ELSE 'scroll' END
                ELSE CASE WHEN visit % 10 = 0 THEN 'purchase' ELSE 'view' END END AS event_type
        FROM (
            SELECT g, TIMESTAMP '2026-10-15 00:00:00' + to_microseconds(g * 8640000) AS event_time,
                1000000000 + n // 500 * 100 + n % 100 AS visit, n % 500 // 100 AS place
            FROM (SELECT g, g + 250 + 500 * 1000000 AS n FROM range({first}, {last}) AS numbers(g))
        )
    ) ORDER BY g"""


class WebSilver:
    """The silver tables behind one gold table, that of web events with so many rows, the others empty."""

    def __init__(self, folder: Path, rows: int, gold: str) -> None:
        """Makes the lake under `folder`, or goes on with the one that is there."""
        root = folder / f"silver-{rows}"
        self.rows = rows
        self.settings = Settings(root=str(root), landing=str(root / "landing"), state_directory=root)
        self.contracts: Contracts = load_contracts(CONTRACTS)
        self.uris = {source: Layout(str(root)).table(source) for source in sources_of(gold)}
        self._connection = duckdb.connect()
        self._batch = 0
        tables = {source: self._table(source) for source in self.uris}
        self._web = tables[WEB]
        if not self._web.live_files():
            for first in range(-rows, 0, ROWS_AT_ONCE):
                self._web.append(self._events(first, min(first + ROWS_AT_ONCE, 0)), {}, "{}")

    def events(self, first: int, last: int) -> pa.Table:
        """The silver rows of events of these numbers; 0 is the first behind the history."""
        return self._events(first, last)

    def change(self) -> int:
        """Commits the next batch of 10 000 changed rows; the version that it makes."""
        first = self._batch * NEW
        # No row is corrected twice.
        corrected = -(self._batch + 1) * CORRECTIONS
        self._batch += 1
        old, new = (self._events(corrected, corrected + CORRECTIONS, more) for more in (0, 1))
        return self._web.replace_rows(old, new, self._events(first, first + NEW), ["event_id"], {}, "{}")

    def _table(self, source: str) -> OwnedTable:
        contract: Contract = self.contracts.table(source)
        return OwnedTable.ensure(self.uris[source], arrow_schema(contract), contract.partitions, PROPERTIES)

    def _events(self, first: int, last: int, more: int = 0) -> pa.Table:
        """The events of these numbers; with `more`, their amounts are higher by that."""
        found = self._connection.execute(_EVENTS.format(first=first, last=last, more=more)).to_arrow_table()
        schema = arrow_schema(self.contracts.table(WEB))
        return pa.table([found[name].cast(schema.field(name).type) for name in schema.names], schema=schema)
