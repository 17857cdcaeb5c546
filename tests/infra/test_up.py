"""The whole program on the real engine: plans, makes, changes, looks at and removes the estate. In order, on one stack.

Takes `pulumi` and `pulumi-resource-aws` from PATH; without them these tests are skipped, and say how to make them run.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from lakehouse.settings import CONTRACTS
from tests.infra.deployed import FORGOTTEN, NOT_EMULATED, Deployed, changed_contracts, emulated_program
from tests.infra.engine import Engine, Run, credentials
from tests.infra.recorded_program import PROJECT, recorded

# Plans of the committed stacks as they are, and of what they leave as it is: the other layout of the jobs, all that is
# off, and a stack beside another one in its account. With some of what each must have and must not have. What registers
# IAM Identity Center, in the first stack of an account, only mocks see: the Terraform provider 5 does not know it.
SEVERAL, ONE = "pulumi-python:dynamic:Resource compute-bronze", "pulumi-python:dynamic:Resource compute-all"
SETTINGS = "aws:lakeformation/dataLakeSettings:DataLakeSettings account"
CATALOG_KEY = "aws:kms/key:Key keys-catalog"
WAREHOUSE = "aws:redshiftserverless/workgroup:Workgroup warehouse"
GROUP, CLIENTS = "3f0e2c1a-aaaa-bbbb-cccc-0123456789ab", ("10.7.0.0/16", "sg-0123456789abcdef0")


@dataclass(frozen=True)
class Plan:
    """A stack with values of its own, and some of what they must bring along and what they must take away."""

    stack: str
    settings: Mapping[str, str]
    has: Set[str]
    lacks: Set[str]


PLANS = {
    "dev": Plan("dev", {}, {ONE, SETTINGS, CATALOG_KEY}, {SEVERAL, WAREHOUSE}),
    "prod": Plan("prod", {}, {SEVERAL, SETTINGS, WAREHOUSE}, {ONE}),
    "dev with all that is off": Plan(
        "dev",
        {
            "team_regions.sales[0]": "north",
            "team_principals.sales[0]": "arn:aws:iam::123456789012:role/sales",
            "administrators[0]": "arn:aws:iam::123456789012:role/platform",
            "auditors[0]": "arn:aws:iam::123456789012:role/security",
            "alarm_emails[0]": "on-call@example.com",
            "compute.together": "false",
            "compute.warm_workers": "1",
            "switches.warehouse": "true",
            "switches.fan_out": "true",
            "switches.object_lock": "true",
            **{f"warehouse_clients[{number}]": client for number, client in enumerate(CLIENTS)},
        },
        {
            SEVERAL, SETTINGS, WAREHOUSE,
            "aws:kinesis/streamConsumer:StreamConsumer streams-crm",
            "aws:lakeformation/dataCellsFilter:DataCellsFilter governance-sales-silver-validated_pos",
            "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration storage-audit",
            "aws:sns/topicSubscription:TopicSubscription monitoring-alarms-0",
            *(f"aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule network-warehouse-from-{client}"
              for client in CLIENTS),
        },
        {ONE},
    ),
    "prod beside another stack": Plan(
        "prod",
        {
            "catalog_key": "arn:aws:kms:eu-central-1:123456789012:key/3f0e2c1a-aaaa-bbbb-cccc-0123456789ab",
            "compute.together": "true",
            "identity_center": "arn:aws:sso:::instance/ssoins-7223f1c2d3e4a5b6",
            "team_groups.sales[0]": GROUP,
        },
        {
            ONE, WAREHOUSE,
            "aws:athena/workgroup:Workgroup query-people",
            f"aws:lakeformation/permissions:Permissions governance-sales-silver-validated_pos-{GROUP}",
        },
        {SEVERAL, SETTINGS, CATALOG_KEY},
    ),
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
@pytest.mark.parametrize("name", PLANS)
def test_a_plan_has_no_error_and_no_warning(name: str, emulator_endpoint: str, tmp_path: Path) -> None:
    plan = PLANS[name]
    settings = {f"{PROJECT}:{key}": value for key, value in plan.settings.items()}
    run = Engine(plan.stack, emulator_endpoint, tmp_path, settings).preview()
    print(f"{name}: {len(run.operations)} resources")
    assert (run.errors, run.warnings) == ([], [])
    assert set(run.operations.values()) == {"create"}
    assert plan.has - run.operations.keys() == set()
    assert plan.lacks & run.operations.keys() == set()
    if not plan.settings:
        # The stack is one more. Mocks thus see all that the engine sees; docs/deploy.md has the number.
        assert len(run.operations) == len(recorded(plan.stack).resources) + 1
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
    print(f"{len(deployed.up.operations)} resources made; left out: {', '.join(NOT_EMULATED)}")
    assert len(deployed.up.operations) > 150


@pytest.mark.timeout(300)
def test_a_second_preview_proposes_nothing_of_its_own(deployed: Deployed) -> None:
    run = deployed.engine.preview()
    for name, (_, properties, what) in FORGOTTEN.items():
        print(f"the emulator forgets {what}: {name} {', '.join(properties)}")
    assert known(run) == {}


@pytest.mark.timeout(300)
def test_a_changed_column_changes_its_table_only(deployed: Deployed, tmp_path: Path) -> None:
    globals_of_program = deployed.globals
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
    run = deployed.engine.refresh()
    assert run.errors == []
    assert "delete" not in run.operations.values(), "something that was made is not there"


@pytest.mark.timeout(600)
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


@pytest.mark.timeout(600)
def test_a_later_up_takes_over_what_destroy_left(deployed: Deployed) -> None:
    deployed.engine.configure({f"{PROJECT}:adopt": "true"})
    run = deployed.engine.up()
    assert run.errors == []
    left = {str(each) for each in emulated_program(adopt="true").resources if each.adopted}
    assert {name for name, operation in run.operations.items() if operation == "import"} == left
    deployed.engine.configure({f"{PROJECT}:adopt": "false"})
    assert known(deployed.engine.preview()) == {}


def _client(deployed: Deployed, service: str):  # type: ignore[no-untyped-def]  # boto3's clients have no common type
    names = credentials(deployed.endpoint)
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=deployed.endpoint,
        region_name=names["AWS_REGION"],
        aws_access_key_id=names["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=names["AWS_SECRET_ACCESS_KEY"],
    )
