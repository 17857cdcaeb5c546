"""The whole program on the real engine: plans, makes, changes, looks at and removes the estate. In order, on one stack.

Takes `pulumi` and `pulumi-resource-aws` from PATH; without them these tests are skipped, and say how to make them run.
"""

from collections.abc import Mapping
from pathlib import Path

import boto3
import pytest

from lakehouse.settings import CONTRACTS
from tests.infra.deployed import NOT_EMULATED, Deployed, changed_contracts
from tests.infra.engine import Engine, Run, credentials
from tests.infra.recorded_program import PROJECT, STACKS

# What the second plan proposes though nothing changed, because the emulator forgets a part of what it was told; plain
# Terraform sees the same. Anything else fails.
FORGOTTEN: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "aws:s3/bucketNotification:BucketNotification storage-landing": (
        "update", ("eventbridge",), "that EventBridge gets events",
    ),
    "aws:lakeformation/resource:Resource governance": (
        "replace", ("hybridAccessEnabled",), "that the location is in hybrid mode",
    ),
    **{
        f"aws:kinesis/stream:Stream streams-{name}": ("update", ("tags", "tagsAll"), "the tags of a stream")
        for name in ("crm", "web_logs")
    },
}  # fmt: skip
COMMON_TAGS = {"project", "environment", "owner", "cost-centre", "data-classification"}


def known(run: Run) -> dict[str, str]:
    """What a run changes beyond what the emulator forgets."""
    return {
        name: operation
        for name, operation in run.operations.items()
        if name not in FORGOTTEN or (operation, run.differences[name]) != FORGOTTEN[name][:2]
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize("stack", STACKS)
def test_a_preview_with_every_feature_has_no_error_and_no_warning(
    stack: str, emulator_endpoint: str, tmp_path: Path
) -> None:
    everything = {f"{PROJECT}:switches.{name}": "true" for name in ("warehouse", "fan_out", "object_lock")}
    run = Engine(stack, emulator_endpoint, tmp_path, everything).preview()
    print(f"{stack}: {len(run.operations)} resources")
    assert (run.errors, run.warnings) == ([], [])
    assert set(run.operations.values()) == {"create"}
    untagged = [
        name
        for name, inputs in run.inputs.items()
        if "tags" in inputs and not set(inputs["tags"]) >= COMMON_TAGS and not name.startswith("lakehouse:")
    ]
    assert untagged == [], "taggable, but without the estate's tags"
    assert sum("tags" in inputs for inputs in run.inputs.values()) > 50, "nothing is tagged"


@pytest.mark.timeout(600)
def test_up_makes_everything_that_the_emulator_can(deployed: Deployed) -> None:
    assert (deployed.up.errors, deployed.up.warnings) == ([], [])
    print(f"{len(deployed.up.operations)} resources made; switched off: {', '.join(NOT_EMULATED)}")
    assert len(deployed.up.operations) > 150


@pytest.mark.timeout(300)
def test_a_second_preview_proposes_nothing_of_its_own(deployed: Deployed) -> None:
    run = deployed.engine.preview()
    for name, (_, properties, what) in FORGOTTEN.items():
        print(f"the emulator forgets {what}: {name} {', '.join(properties)}")
    assert known(run) == {}


@pytest.mark.timeout(300)
def test_a_changed_column_changes_its_table_only(deployed: Deployed, tmp_path: Path) -> None:
    globals_of_program = deployed.engine.declare.__globals__
    globals_of_program["CONTRACTS"] = changed_contracts(
        CONTRACTS, tmp_path, "stores", "Sales region of the store.", "Region that sells."
    )
    try:
        # The catalog has it twice: the Delta table, and the one over its manifests.
        assert known(deployed.engine.up()) == {
            "aws:glue/catalogTable:CatalogTable catalog-silver-stores": "update",
            "aws:glue/catalogTable:CatalogTable catalog-spectrum-stores": "update",
        }
        glue = _client(deployed, "glue")
        (database,) = (
            each["Name"] for each in glue.get_databases()["DatabaseList"] if each["Name"].endswith("_silver")
        )
        columns = glue.get_table(DatabaseName=database, Name="stores")["Table"]["StorageDescriptor"]["Columns"]
        assert "Region that sells." in [column.get("Comment") for column in columns]
    finally:
        globals_of_program["CONTRACTS"] = CONTRACTS


@pytest.mark.timeout(300)
def test_a_refresh_sees_what_was_made(deployed: Deployed) -> None:
    """All but the packaged files: the emulator takes a bucket policy's denial of plain HTTP for one of everything."""
    run = deployed.engine.refresh(without=["**aws:s3/bucketObjectv2:BucketObjectv2::*"])
    assert run.errors == []
    assert "delete" not in run.operations.values(), "something that was made is not there"


@pytest.mark.timeout(300)
def test_destroy_leaves_the_data(deployed: Deployed) -> None:
    s3, kinesis = _client(deployed, "s3"), _client(deployed, "kinesis")
    buckets = {each["Name"] for each in s3.list_buckets()["Buckets"]}
    run = deployed.engine.destroy()
    assert run.errors == []
    assert {each["Name"] for each in s3.list_buckets()["Buckets"]} == buckets
    assert len(buckets) == 6
    for name in sorted(buckets):
        block = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
        assert set(block.values()) == {True}, name
        encryption = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
        algorithm = encryption[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
        assert algorithm == ("AES256" if "access-logs" in name else "aws:kms"), name
        assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled", name
        assert "RefusePlainHttp" in s3.get_bucket_policy(Bucket=name)["Policy"], name
    assert len(kinesis.list_streams()["StreamNames"]) == 2
    assert _client(deployed, "iam").list_roles()["Roles"] == [], "roles hold no data, and go"


def _client(deployed: Deployed, service: str):  # type: ignore[no-untyped-def]  # boto3's clients have no common type
    names = credentials(deployed.endpoint)
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=deployed.endpoint,
        region_name=names["AWS_REGION"],
        aws_access_key_id=names["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=names["AWS_SECRET_ACCESS_KEY"],
    )
