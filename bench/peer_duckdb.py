"""DuckDB alone, everything again from all records: the limit of one machine where nothing is kept up to date."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

EVERYTHING = """
    CREATE TEMP TABLE events AS
    SELECT * EXCLUDE (rank) FROM (
        SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY arrived_at DESC, record_id DESC) AS rank
        FROM (
            SELECT arrived_at, record_id, unnest(from_json(payload, '{structure}')) FROM read_parquet({files})
        )
    ) WHERE rank = 1;
    CREATE TEMP TABLE visits AS
    SELECT *, sum(opens) OVER (PARTITION BY visitor_id ORDER BY event_time, event_id) AS visit
    FROM (
        SELECT *, CASE WHEN event_time - lag(event_time) OVER (PARTITION BY visitor_id ORDER BY event_time, event_id)
            <= INTERVAL 30 MINUTE THEN 0 ELSE 1 END AS opens
        FROM (
            SELECT *, "timestamp"::TIMESTAMPTZ AS event_time,
                coalesce(session_id, client_ip || '|' || user_agent, event_id) AS visitor_id
            FROM events
        )
    );
    CREATE TEMP TABLE settled AS
    SELECT *, row_number() OVER visit AS position, first_value(page) OVER visit AS landing_page
    FROM visits WINDOW visit AS (PARTITION BY visitor_id, visit ORDER BY event_time, event_id);
    COPY settled TO '{folder}/silver.parquet';
    COPY (
        SELECT event_time::DATE AS day, event_type, count(*) AS events, sum(order_value::DECIMAL(18, 4)) AS amount,
            count(*) FILTER (position = 1) AS visits
        FROM settled GROUP BY ALL
    ) TO '{folder}/gold.parquet';
"""
FIELDS = (
    *("event_id", "session_id", "client_ip", "user_agent", "page", "event_type", "product_id", "campaign_id"),
    *("transaction_id", "order_value", "country", "timestamp"),
)


class DuckDbAlone:
    """Computes silver and a funnel from all bronze files, each time."""

    name = "DuckDB alone, all again"
    does = "parse, latest delivery of each event, visits, funnel, from all records; Parquet, no checks or rejected rows"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def process(self, files: Sequence[str]) -> None:
        """Everything again, from these files."""
        structure = "{" + ", ".join(f'"{name}": "VARCHAR"' for name in FIELDS) + "}"
        names = "[" + ", ".join(f"'{each}'" for each in files) + "]"
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(EVERYTHING.format(structure=structure, files=names, folder=self._folder))
        connection.close()
