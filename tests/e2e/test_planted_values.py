"""Personal data and secrets stay in the tables: no log, metric, checkpoint or lineage repeats what a record says.

Values of four kinds are planted in good and in broken records of every source, and in the names of fields, and then
looked for in all that the jobs print, report and write beside the data files.
"""

import gzip
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.settings import Settings
from local.sql import Lake
from tests.e2e.processes import lakehouse

# Put together here, so that the scan of this repository does not find the key.
PLANTED = (
    "erika.mustermann@example.com",
    "4111111111111111",
    "+4915112345678",
    "wJalrXUtnFEMI" + "K7MDENGbPxRfiCYEXAMPLEKEYQ",
)
MAIL, CARD, PHONE, SECRET = PLANTED
TIME = "2024-05-01T10:00:00Z"
LONGEST_SECONDS = 420
pytestmark = pytest.mark.timeout(LONGEST_SECONDS + 200)


def broken(good: dict[str, Any], *fields: str) -> list[dict[str, Any] | str]:
    """The good record; each planted value in each of the fields; as a field's name; in what is no JSON."""
    rows: list[dict[str, Any] | str] = [good]
    rows += [good | {field: value} for field in fields for value in PLANTED]
    rows += [good | {value: value} for value in PLANTED]
    rows += [good | {fields[0]: {"nested": value}} for value in PLANTED]
    rows += [f'{{"note": "{value}", ' for value in PLANTED]
    return rows


STORE = {"store_id": 1, "region": "north", "country": "GB", "valid_from": "2009-01-01T00:00Z"}
WAREHOUSE = {"warehouse_id": 5, "region": "north", "country": "GB", "valid_from": "2009-01-01T00:00Z"}
PRODUCT = {"product_id": "A", "category": "toys", "unit_cost": "1.10", "valid_from": "2009-01-01T00:00Z"}
SALE = {"transaction_id": "T", "line_number": 1, "store_id": 1, "product_id": "A", "quantity": 1, "unit_price": "2.50"}
SALE |= {"revenue": "2.50", "timestamp": TIME, "customer_id": MAIL}
STOCK = {"inventory_id": "I", "product_id": "A", "warehouse_id": 5, "stock_level": 3, "last_updated": TIME}
SPEND = {"campaign_id": "c", "name": "May", "channel": "email", "date": "2024-05-01", "spend": "9.99"}
VISIT = {"event_id": "e", "page": f"/reset?mail={MAIL}", "event_type": "view", "timestamp": TIME, "user_id": PHONE}
CONTACT = {"interaction_id": "i", "customer_id": MAIL, "interaction_type": "loyalty", "timestamp": TIME}
FILES = {
    # Not `region`: it partitions silver, so that its values are folder names on purpose.
    "stores": broken(STORE, "store_id", "country", "valid_from"),
    "warehouses": broken(WAREHOUSE, "warehouse_id", "country", "valid_from"),
    "products": broken(PRODUCT, "unit_cost", "valid_from"),
    "pos": broken(SALE, "store_id", "quantity", "product_id", "timestamp", "revenue"),
    "inventory": broken(STOCK, "stock_level", "warehouse_id", "last_updated"),
    "campaigns": broken(SPEND, "spend", "channel", "date"),
}
STREAMS = {
    "web_logs": broken(VISIT, "event_type", "timestamp", "product_id", "country"),
    "crm": broken(CONTACT, "interaction_type", "timestamp", "rating", "channel"),
}


@dataclass(frozen=True)
class Told:
    """A lake that has run, all that its commands printed, and the bodies of all metrics that they sent."""

    root: Path
    state: Path
    printed: dict[str, str]
    metrics: list[str]


@pytest.fixture(scope="module")
def metrics() -> Iterator[tuple[str, list[str]]]:
    """An address that takes any metric, and what it was sent."""
    bodies: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
            bodies.append(f"{self.path} {body.decode('utf-8', 'replace')}")
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def told(emulator: Settings, tmp_path_factory: pytest.TempPathFactory, metrics: tuple[str, list[str]]) -> Told:
    folder = tmp_path_factory.mktemp("planted")
    root, landing = folder / "lake", folder / "landing"
    for source, rows in FILES.items():
        (landing / source).mkdir(parents=True)
        lines = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
        (landing / source / "day.json").write_text(f"{lines}\n")
    (landing / "pos" / "till.csv").write_text(f'{",".join(SALE)}\n{MAIL},{CARD}\n"{SECRET}\n')
    (landing / "pos" / "cut.json.gz").write_bytes(gzip.compress(json.dumps(SALE).encode() * 50)[:60])
    (landing / "pos" / "latin.json").write_bytes(f'{{"customer_id": "{MAIL} \xe9"}}\n'.encode("latin-1"))
    pq.write_table(pa.table({"transaction_id": [MAIL], "quantity": [CARD]}), landing / "pos" / "till.parquet")
    environment = {
        "LAKEHOUSE_STATE_DIRECTORY": str(folder / "state"),
        "LAKEHOUSE_METRICS_NAMESPACE": "Lakehouse/test",
        "AWS_ENDPOINT_URL_CLOUDWATCH": metrics[0],
    }
    printed: dict[str, str] = {}

    def run(*arguments: str) -> None:
        done = lakehouse(arguments, environment, folder, LONGEST_SECONDS)
        printed[" ".join(arguments[:2])] = done.stdout + done.stderr
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"

    for source, rows in STREAMS.items():
        file = folder / f"{source}.jsonl"
        file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
        run("produce", emulator.streams[source], str(file))
    run("batch", "all", "--landing", str(landing), "--root", str(root))
    run("stream", "all", "--drain", "--root", str(root))
    run("redrive", "pos", "--root", str(root))
    run("maintain", "silver.validated_pos", "--root", str(root))
    run("lineage", "gold.sales_kpis", "--root", str(root))
    run("lineage", "silver.validated_pos", "--root", str(root))
    run("lineage", "rejected.crm", "--root", str(root), "--json")
    return Told(root, folder / "state", printed, metrics[1])


def test_the_planted_values_went_in_and_were_judged(told: Told) -> None:
    with Lake(str(told.root)) as lake:
        for source in (*FILES, *STREAMS):
            [row] = lake.query(
                f"SELECT (SELECT count(*) FROM bronze.{source}) AS bronze, count(*) AS rejected, "
                f"count(*) FILTER (WHERE payload LIKE $mail) AS planted FROM rejected.{source}",
                {"mail": f"%{MAIL}%"},
            )
            assert row["bronze"] >= 17, source
            assert row["rejected"] > 4, source
            assert row["planted"] > 1, source


def test_nothing_that_is_printed_repeats_a_value(told: Told) -> None:
    found = [(command, value) for command, text in told.printed.items() for value in PLANTED if value in text]
    assert found == []


def test_no_metric_carries_a_value(told: Told) -> None:
    assert told.metrics
    assert [value for body in told.metrics for value in PLANTED if value in body] == []


def test_nothing_beside_the_data_files_repeats_a_value(told: Told) -> None:
    files = [file for folder in (told.root, told.state) for file in folder.rglob("*") if file.is_file()]
    looked = {str(file.relative_to(told.root.parent)): _written(file) for file in files}
    assert any(name.startswith("lake/checkpoints/bronze") for name in looked)
    assert any("_delta_log" in name for name in looked)
    found = [(name, value) for name, text in looked.items() for value in PLANTED if value.encode() in text]
    assert found == []


def _written(file: Path) -> bytes:
    """What a file says, without the data: no Parquet, and of a table's log not its columns' bounds."""
    if file.suffix == ".parquet":
        return b""
    if file.parent.name != "_delta_log" or file.suffix not in (".json", ".crc") or file.name.startswith("."):
        return file.read_bytes()
    return json.dumps([_without_statistics(json.loads(line)) for line in file.read_text().splitlines()]).encode()


def _without_statistics(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_statistics(each) for key, each in value.items() if key != "stats"}
    return [_without_statistics(each) for each in value] if isinstance(value, list) else value
