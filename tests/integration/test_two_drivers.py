"""Two drivers that pass by the leases and write the same tables: with Delta's DynamoDB log store no commit is lost.

Maven Central does not have the log store for Delta 4.2 (`io.delta:delta-storage-s3-dynamodb` answers 404); EMR and Glue
bring it. The test runs where its jars are named, and says how where they are not.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest

from tests.infra.emulated_aws import emulated_aws
from tests.infra.engine import credentials

ROOT = Path(__file__).resolve().parents[2]
JARS = "LAKEHOUSE_LOG_STORE_JARS"
LOG_TABLE, BUCKET = "delta-log", "two-drivers"
DRIVERS, COMMITS = ("first", "second"), 12
LONGEST_SECONDS = 600
REGION = "us-east-1"


@pytest.mark.timeout(2 * LONGEST_SECONDS)
def test_two_drivers_that_append_and_merge_lose_no_commit(tmp_path: Path) -> None:
    jars = os.environ.get(JARS)
    if not jars:
        pytest.skip(
            f"did not run: set {JARS} to the jars of io.delta:delta-storage-s3-dynamodb and of the AWS SDK's DynamoDB "
            f"client (on EMR: /usr/share/aws/delta/lib), with `{os.pathsep}` between them"
        )
    with emulated_aws(tmp_path / "emulator.log") as endpoint:
        names = {**credentials(endpoint), "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        client = {"endpoint_url": endpoint, "region_name": REGION, "aws_access_key_id": "test",
                  "aws_secret_access_key": "test"}  # fmt: skip
        boto3.client("s3", **client).create_bucket(Bucket=BUCKET)  # type: ignore[call-overload]
        boto3.client("dynamodb", **client).create_table(  # type: ignore[call-overload]
            TableName=LOG_TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("tablePath", "fileName")],
            KeySchema=[
                {"AttributeName": "tablePath", "KeyType": "HASH"},
                {"AttributeName": "fileName", "KeyType": "RANGE"},
            ],
        )
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAKEHOUSE_"))},
            **names,
            "LAKEHOUSE_DELTA_LOG_TABLE": LOG_TABLE,
            # Spark's launcher puts this behind its own class path.
            "SPARK_DIST_CLASSPATH": jars,
        }
        found = written_side_by_side(f"s3://{BUCKET}/lake", tmp_path, environment)
    assert found == {
        "rows": sorted([driver, number] for driver in DRIVERS for number in range(COMMITS)),
        "counter": len(DRIVERS) * COMMITS,
    }


def written_side_by_side(root: str, folder: Path, environment: dict[str, str]) -> dict[str, object]:
    """What the tables hold after all drivers are through."""
    driver(["make", root, str(folder)], environment).communicate(timeout=LONGEST_SECONDS)
    running = {name: driver(["write", root, str(folder), name, str(COMMITS)], environment) for name in DRIVERS}
    try:
        deadline = time.monotonic() + LONGEST_SECONDS
        while not all((folder / f"{name} is ready").exists() for name in DRIVERS):
            assert time.monotonic() < deadline, "the drivers do not start"
            time.sleep(0.05)
        (folder / "go").touch()
        for name, process in running.items():
            _, errors = process.communicate(timeout=LONGEST_SECONDS)
            assert process.returncode == 0, f"{name}: {errors[-3000:]}"
    finally:
        for process in running.values():
            process.kill()
    shown, errors = driver(["read", root, str(folder)], environment).communicate(timeout=LONGEST_SECONDS)
    assert shown, errors[-3000:]
    content: dict[str, object] = json.loads(shown.splitlines()[-1])
    return content


def driver(arguments: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.writing_driver", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
