"""After `up` the pieces work together: a file put into landing and records put on the streams reach gold, when the jobs
run with the settings, paths and names that the estate gives them.

Two settings are of this machine: Spark runs here (`platform`), and the endpoint is the emulator's.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.infra.deployed import Deployed
from tests.infra.engine import credentials

ROOT = Path(__file__).resolve().parents[2]
HERE = {"LAKEHOUSE_PLATFORM": "local"}
DAY = f"{datetime.now(UTC):%Y-%m-%d}"
STORES = "store_id,region,country,valid_from\n1,north,GB,2009-01-01T00:00:00Z\n"
PRODUCTS = "product_id,category,unit_cost,valid_from\nA,toys,1.10,2009-01-01T00:00:00Z\n"
SALES = (
    "transaction_id,line_number,store_id,product_id,quantity,unit_price,revenue,discount_applied,customer_id,timestamp\n"
    f"T1,1,1,A,3,2.00,6.00,,ann,{DAY}T00:00:00Z\n"
)
CLICK = {"event_id": "e1", "user_id": "ann", "page": "/", "event_type": "click", "campaign_id": "C1"}
RATING = {"interaction_id": "k1", "customer_id": "ann", "interaction_type": "feedback", "rating": 4, "channel": "mail"}


@pytest.mark.timeout(900)
def test_a_file_and_records_reach_gold_with_the_settings_of_the_estate(deployed: Deployed, tmp_path: Path) -> None:
    told = deployed.engine.outputs()
    with open_buckets(deployed):
        s3, kinesis = client(deployed, "s3"), client(deployed, "kinesis")
        landing = told["landing"].removeprefix("s3://")
        for key, content in (("stores/a.csv", STORES), ("products/a.csv", PRODUCTS), ("pos/a.csv", SALES)):
            s3.put_object(Bucket=landing, Key=key, Body=content.encode())
        for source, record in (("web_logs", CLICK), ("crm", RATING)):
            data = json.dumps(record | {"timestamp": f"{DAY}T00:00:00Z"}).encode()
            kinesis.put_record(StreamName=told["streams"][source], Data=data, PartitionKey="ann")

        for job in ("reference", "pos"):
            glue(deployed, told["batchJobs"][job], tmp_path)
        for job, settings in told["jobSettings"].items():
            lakehouse(deployed, ["stream", job, "--drain"], settings, tmp_path)
        query = (
            "select kpi_name, numerator::varchar as numerator from gold.sales_kpis where kpi_name = 'daily_revenue' "
            "union all select kpi_name, numerator::varchar from gold.marketing_funnel where kpi_name = 'funnel_stage' "
            "union all select kpi_name, numerator::varchar from gold.customer_insights "
            "where kpi_name = 'feedback_score' order by 1"
        )
        shown = lakehouse(deployed, ["sql", query, "--format", "json"], told["jobSettings"]["all"], tmp_path)

    assert json.loads(shown) == [
        {"kpi_name": "daily_revenue", "numerator": "6.0000"},
        {"kpi_name": "feedback_score", "numerator": "4.0000"},
        {"kpi_name": "funnel_stage", "numerator": "1.0000"},
    ]
    lake = told["lake"].removeprefix("s3://")
    keys = [each["Key"] for each in client(deployed, "s3").list_objects_v2(Bucket=lake)["Contents"]]
    assert {key.partition("/")[0] for key in keys} == {"bronze", "silver", "gold", "rejected", "checkpoints"}
    manifests = [key for key in keys if "_symlink_format_manifest" in key]
    assert manifests, "the gold job keeps the manifests that Redshift Spectrum reads"
    assert partitions_for_spectrum(deployed) == {
        ("customer_insights", "feedback_score"),
        ("marketing_funnel", "funnel_stage"),
        ("sales_kpis", "daily_revenue"),
    }
    metrics = {each["MetricName"] for each in client(deployed, "cloudwatch").list_metrics()["Metrics"]}
    assert metrics >= {"FreshnessSeconds", "RejectRatio"}, "jobs report to the namespace that the alarms watch"


def partitions_for_spectrum(deployed: Deployed) -> set[tuple[str, str]]:
    """Tables and KPIs of this month that the catalog lists for Redshift Spectrum, of those asked for above."""
    catalog = client(deployed, "glue")
    [database] = [each["Name"] for each in catalog.get_databases()["DatabaseList"] if "spectrum" in each["Name"]]
    found = set()
    for table in catalog.get_tables(DatabaseName=database)["TableList"]:
        for each in catalog.get_partitions(DatabaseName=database, TableName=table["Name"])["Partitions"]:
            kpi, *month = each["Values"]
            place = f"/gold/{table['Name']}/_symlink_format_manifest/kpi_name={kpi}/month={DAY[:7]}/"
            assert month == [DAY[:7]]
            assert each["StorageDescriptor"]["Location"].endswith(place)
            found.add((table["Name"], kpi))
    return {each for each in found if each[1] in ("daily_revenue", "feedback_score", "funnel_stage")}


def glue(deployed: Deployed, name: str, folder: Path) -> None:
    """Runs a Glue job's script with the job's own arguments."""
    job = client(deployed, "glue").get_job(JobName=name)["Job"]
    assert job["Command"]["ScriptLocation"].endswith("/glue.py")
    arguments = job["DefaultArguments"] | {"--lakehouse_platform": "local"}
    script = [sys.executable, "-c", "from batch.glue import main; main()"]
    run([*script, *(part for pair in arguments.items() for part in pair)], deployed, {}, folder)


def lakehouse(deployed: Deployed, arguments: list[str], settings: dict[str, str], folder: Path) -> str:
    """Runs a command with a job's settings."""
    return run([sys.executable, "-m", "local", *arguments], deployed, settings, folder)


def run(command: list[str], deployed: Deployed, settings: dict[str, str], folder: Path) -> str:
    """Gives what the command printed; it must succeed."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAKEHOUSE_"))}
    environment = {**ours, **settings, **HERE, **credentials(deployed.endpoint), "PYTHONPATH": str(ROOT)}
    environment["LAKEHOUSE_STATE_DIRECTORY"] = str(folder / "state")
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=400
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
