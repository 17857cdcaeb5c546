"""After `up` the pieces work together: section 8 of docs/deploy.md, run as it is written, ends with KPIs in all four
gold tables, when the jobs run with the settings, paths and names that the estate gives them.

Two settings are of this machine: Spark runs here (`platform`), and the endpoint is the emulator's.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.commands.sample import sample
from local.oracle.deliveries import DeliveredFile, DeliveredRecord
from local.oracle.expectation import expect
from tests.infra.deployed import Deployed
from tests.infra.engine import credentials
from tests.infra.page_commands import install

ROOT = Path(__file__).resolve().parents[2]
HERE = {"LAKEHOUSE_PLATFORM": "local"}
GOLD = ("gold.sales_kpis", "gold.marketing_funnel", "gold.customer_insights", "gold.operations_kpis")
PAGE = ROOT / "docs" / "deploy.md"
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def commands(section: str) -> str:
    """What the page's section has to be typed."""
    [block] = re.findall(rf"^## {section}.*?^```\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)[:1]
    return str(block)


def expected() -> dict[str, str]:
    """The sum of each KPI's numerators that an independent reading of the sample gives, but for percentiles."""
    put = sample(1)
    files = [DeliveredFile(file.path, NOW, file.data) for file in put.files]
    records = [DeliveredRecord(each.source, each.source, "s", str(each.index), NOW, each.data) for each in put.records]
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for key, figures in expect(files, records).gold.items():
        sums[f"gold.{key.table} {key.kpi}"] += figures.numerator
    return {name: f"{total:.4f}" for name, total in sums.items()}


@pytest.mark.timeout(1800)
def test_section_8_of_the_page_ends_with_kpis_in_all_gold_tables(deployed: Deployed, tmp_path: Path) -> None:
    told = deployed.engine.outputs()
    with open_buckets(deployed):
        run(["bash", "-euo", "pipefail", "-c", commands("8")], deployed, install(tmp_path, told), tmp_path)
        for job, settings in told["jobSettings"].items():
            lakehouse(deployed, ["stream", job, "--drain"], settings, tmp_path)
        parts = (
            f"select '{table}' || ' ' || kpi_name as kpi, sum(numerator)::varchar as total from {table} group by 1"
            for table in GOLD
        )
        query = " union all ".join(parts)
        shown = lakehouse(deployed, ["sql", query, "--format", "json"], told["jobSettings"]["all"], tmp_path)

    found = {each["kpi"]: f"{Decimal(each['total']):.4f}" for each in json.loads(shown)}
    assert found == expected()
    assert {name.partition(" ")[0] for name in found} == set(GOLD)
    lake = told["lake"].removeprefix("s3://")
    pages = client(deployed, "s3").get_paginator("list_objects_v2").paginate(Bucket=lake)
    keys = [each["Key"] for page in pages for each in page["Contents"]]
    assert {key.partition("/")[0] for key in keys} >= {"bronze", "silver", "gold", "checkpoints"}
    manifests = [key for key in keys if "_symlink_format_manifest" in key]
    assert manifests, "the gold job keeps the manifests that Redshift Spectrum reads"
    assert partitions_for_spectrum(deployed) == {tuple(name.removeprefix("gold.").split(" ")) for name in found}
    metrics = {each["MetricName"] for each in client(deployed, "cloudwatch").list_metrics()["Metrics"]}
    assert metrics >= {"FreshnessSeconds", "RejectRatio"}, "jobs report to the namespace that the alarms watch"


def partitions_for_spectrum(deployed: Deployed) -> set[tuple[str, ...]]:
    """Gold tables and KPIs that the catalog lists for Redshift Spectrum, each where its manifests lie."""
    catalog = client(deployed, "glue")
    [database] = [each["Name"] for each in catalog.get_databases()["DatabaseList"] if "spectrum" in each["Name"]]
    found: set[tuple[str, ...]] = set()
    for table in GOLD:
        name = table.removeprefix("gold.")
        for each in catalog.get_partitions(DatabaseName=database, TableName=name)["Partitions"]:
            kpi, month = each["Values"]
            place = f"/gold/{name}/_symlink_format_manifest/kpi_name={kpi}/month={month}/"
            assert each["StorageDescriptor"]["Location"].endswith(place)
            found.add((name, kpi))
    return found


def lakehouse(deployed: Deployed, arguments: list[str], settings: dict[str, str], folder: Path) -> str:
    """Runs a command with a job's settings."""
    return run([sys.executable, "-m", "local", *arguments], deployed, settings, folder)


def run(command: list[str], deployed: Deployed, settings: dict[str, str], folder: Path) -> str:
    """Gives what the command printed; it must succeed."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAKEHOUSE_"))}
    environment = {**ours, **settings, **HERE, **credentials(deployed.endpoint), "PYTHONPATH": str(ROOT)}
    environment["LAKEHOUSE_STATE_DIRECTORY"] = str(folder / "state")
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, f"{command}: {done.stderr[-3000:]}"
    return done.stdout


@contextlib.contextmanager
def open_buckets(deployed: Deployed) -> Iterator[None]:
    """Without bucket policies: the emulator takes `deny what is not TLS` for `deny`, it knows no conditions."""
    s3 = client(deployed, "s3")
    names = [each["Name"] for each in s3.list_buckets()["Buckets"]]
    policies = {name: s3.get_bucket_policy(Bucket=name)["Policy"] for name in names}
    for name in names:
        s3.delete_bucket_policy(Bucket=name)
    try:
        yield
    finally:
        for name, policy in policies.items():
            s3.put_bucket_policy(Bucket=name, Policy=policy)


def client(deployed: Deployed, service: str) -> Any:
    """A client of the emulated account."""
    names = credentials(deployed.endpoint)
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=deployed.endpoint,
        region_name=names["AWS_REGION"],
        aws_access_key_id=names["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=names["AWS_SECRET_ACCESS_KEY"],
    )
