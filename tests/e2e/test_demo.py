"""`lakehouse demo` as a user runs it, small, and the commands that it tells the user to try next."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS, Settings
from tests.e2e.processes import lakehouse, processes_of

LONGEST_SECONDS = 800


@dataclass(frozen=True)
class Demo:
    """A demo that has ended: its folder, what it printed, and the document that it wrote."""

    folder: Path
    environment: dict[str, str]
    printed: str
    document: dict[str, Any]
    left: dict[int, str]

    @property
    def root(self) -> str:
        return str(self.folder / "lake")

    def run(self, *arguments: str) -> str:
        done = lakehouse([*arguments, "--root", self.root], self.environment, self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def demo(emulator: Settings, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    environment = {"LAKEHOUSE_STATE_DIRECTORY": str(folder / "state"), "COLUMNS": "200"}
    file = folder / "demo.json"
    done = lakehouse(
        ["demo", "--days", "1", "--rate", "200", "--root", str(folder / "lake"), "--json", str(file)],
        environment,
        folder,
        LONGEST_SECONDS,
    )
    logs = "".join(f"\n--- {log.name}\n{log.read_text()[-2000:]}" for log in folder.glob("state/demo/*.log"))
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{logs}"
    left = processes_of(folder / "state")
    return Demo(folder, environment, done.stdout, json.loads(file.read_text()), left)


pytestmark = pytest.mark.timeout(LONGEST_SECONDS + 100)


def test_the_document_has_the_promised_structure_and_a_proof_without_a_difference(demo: Demo) -> None:
    contracts = load_contracts(CONTRACTS)
    assert set(demo.document) == {"seconds", "rows", "proof"}
    assert 0 < demo.document["seconds"] < LONGEST_SECONDS
    assert demo.document["proof"] == {"lost": 0, "duplicated": 0, "kpi_differences": 0, "other_differences": 0}
    assert set(demo.document["rows"]) == set(contracts.sources)
    assert all(set(counts) == {"bronze", "silver", "rejected"} for counts in demo.document["rows"].values())


def test_every_record_is_in_silver_or_rejected(demo: Demo) -> None:
    rows = demo.document["rows"]
    assert {source: counts["bronze"] - counts["silver"] - counts["rejected"] for source, counts in rows.items()} == (
        dict.fromkeys(rows, 0)
    )
    # Real till lines, and faults of every kind among them.
    assert rows["pos"]["silver"] > 1000
    assert all(counts["silver"] > 0 for counts in rows.values())
    assert all(rows[source]["rejected"] > 0 for source in ("pos", "inventory", "web_logs", "crm"))


def test_bronze_holds_what_the_producers_ledger_says(demo: Demo) -> None:
    entries = [json.loads(line) for line in (demo.folder / "state" / "demo" / "ledger.jsonl").read_text().splitlines()]
    streams = [entry["stream"] for entry in entries if "stream" in entry]
    rows = demo.document["rows"]
    assert rows["web_logs"]["bronze"] + rows["crm"]["bronze"] == len(streams)
    assert len({(entry["stream"], entry["shard"], entry["sequence"]) for entry in entries if "stream" in entry}) == (
        len(streams)
    )


def test_it_prints_kpis_quality_the_proof_and_where_to_look_next(demo: Demo) -> None:
    for part in (
        "Sales",
        "Finance",
        "Marketing",
        "Support",
        "Operations",
        "Data quality",
        "was killed",
        "records lost 0, duplicated 0, KPIs that differ 0",
        f"lakehouse dashboard --root {demo.root}",
    ):
        assert part in demo.printed
    assert "does not add up" not in demo.printed


def test_no_process_is_left(demo: Demo) -> None:
    assert demo.left == {}


def test_sql_gives_json_and_csv(demo: Demo) -> None:
    counts = "select count(*) as n, count(distinct record_id) as records from bronze.pos"
    total = demo.document["rows"]["pos"]["bronze"]
    assert json.loads(demo.run("sql", counts, "--format", "json")) == [{"n": total, "records": total}]

    rules = "select rule, count(*) as n from rejected.pos group by all order by all"
    rows = list(csv.DictReader(io.StringIO(demo.run("sql", rules, "--format", "csv"))))
    assert [row["rule"] for row in rows] == sorted(row["rule"] for row in rows)
    assert sum(int(row["n"]) for row in rows) == demo.document["rows"]["pos"]["rejected"]


def test_gold_is_what_silver_adds_up_to(demo: Demo) -> None:
    """By hand, in SQL: the revenue of the till lines is the sum of the KPI's days."""
    revenue = "cast(sum({}) as varchar) as revenue"
    by_hand = f"select {revenue.format('quantity * unit_price')} from silver.validated_pos where type = 'sale'"
    kpi = f"select {revenue.format('numerator')} from gold.sales_kpis where kpi_name = 'daily_revenue'"
    [wanted], [found] = (json.loads(demo.run("sql", query, "--format", "json")) for query in (by_hand, kpi))
    assert Decimal(found["revenue"]) == Decimal(wanted["revenue"]) > 0


def test_reconcile_proves_the_lake_that_the_demo_left(demo: Demo) -> None:
    report = json.loads(demo.run("reconcile", "--json"))
    assert (report["shown"], report["differences"]) == ([], 0)
    compared = {(each["table"], each["what"]): each["rows"] for each in report["compared"]}
    rows = demo.document["rows"]
    assert {source: compared[f"bronze.{source}", "records = silver + rejected"] for source in rows} == {
        source: counts["bronze"] for source, counts in rows.items()
    }
    assert min(compared[f"gold.{name}", "KPIs = independent SQL"] for name in ("sales_kpis", "marketing_funnel")) > 10


def test_lineage_leads_from_a_kpi_to_files_and_shards(demo: Demo) -> None:
    traced = json.loads(demo.run("lineage", "gold.sales_kpis", "--json"))
    sources = list(_leaves(traced))
    # A file of nothing but a header is a source too.
    assert sum(source["records"] for source in sources) > 0, traced
    tree = demo.run("lineage", "silver.validated_pos")
    assert tree.startswith("silver.validated_pos version ")
    assert "pos/" in tree


def _leaves(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The files and shards at the ends of a walk."""
    if "file" in node or "shard" in node:
        yield node
    for each in [*node.get("inputs", ()), *node.get("commits", ())]:
        yield from _leaves(each)
