"""The Glue jobs: what they are started with, when, and what their role may do."""

import json
from typing import Any

import pytest

from infra.batch import LOOK_AT_NETWORK
from tests.infra.declared import Program
from tests.infra.operations import one
from tests.infra.recorded_program import ACCOUNT, REGION, with_everything

JOB, TRIGGER, POLICY = "aws:glue/job:Job", "aws:glue/trigger:Trigger", "aws:iam/rolePolicy:RolePolicy"
LAKE = f"shopware-lakehouse-dev-lake-{ACCOUNT}-{REGION}"
LANDING = f"shopware-lakehouse-dev-landing-{ACCOUNT}-{REGION}"
SCHEDULES = {
    "batch-pos": "cron(15 3 * * ? *)",
    "batch-campaigns": "cron(15 3 * * ? *)",
    "batch-reference": "cron(15 3 * * ? *)",
    "batch-inventory": "cron(10 * * * ? *)",
    "batch-maintenance": "cron(30 1 * * ? *)",
    "batch-reconcile": "cron(30 4 * * ? *)",
}


@pytest.fixture(scope="module")
def program() -> Program:
    return with_everything("dev")


@pytest.fixture(scope="module")
def statements(program: Program) -> dict[str, dict[str, Any]]:
    policy = one(program, POLICY, "batch")
    return {each["Sid"]: each for each in json.loads(policy.at("policy"))["Statement"]}


def test_pos_is_daily_and_inventory_hourly(program: Program) -> None:
    assert {each.name: each.at("schedule") for each in program.of(TRIGGER)} == SCHEDULES


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_job_runs_once_at_a_time_and_ends(program: Program, name: str) -> None:
    job = one(program, JOB, name)

    assert job.at("glueVersion") == "6.0"
    assert job.at("executionProperty", "maxConcurrentRuns") == 1
    assert (job.at("timeout"), job.at("maxRetries")) == (60, 2)
    assert job.at("defaultArguments", "--lakehouse_job") == name.removeprefix("batch-")
    assert job.at("defaultArguments", "--lakehouse_root") == f"s3://{LAKE}"
    assert job.at("defaultArguments", "--lakehouse_landing") == f"s3://{LANDING}"


def test_the_role_may_join_its_own_subnet_and_no_other(statements: dict[str, dict[str, Any]]) -> None:
    ec2 = f"arn:aws:ec2:{REGION}:{ACCOUNT}"

    assert statements["LookAtNetwork"]["Resource"] == ["*"]
    assert statements["LookAtNetwork"]["Action"] == list(LOOK_AT_NETWORK)
    assert all(action.startswith("ec2:Describe") for action in LOOK_AT_NETWORK)
    assert statements["JoinNetwork"]["Action"] == ["ec2:CreateNetworkInterface"]
    assert statements["JoinNetwork"]["Resource"] == [
        f"{ec2}:network-interface/*",
        f"{ec2}:subnet/network-0-id",
        f"{ec2}:security-group/network-jobs-id",
    ]
    assert statements["LeaveNetwork"]["Action"] == ["ec2:DeleteNetworkInterface"]
    assert statements["TagInterfaces"]["Condition"] == {
        "ForAllValues:StringEquals": {"aws:TagKeys": ["aws-glue-service-resource"]}
    }


def test_the_role_writes_every_table_but_never_the_archive_or_landing(statements: dict[str, dict[str, Any]]) -> None:
    prefixes = ("bronze", "silver", "gold", "rejected", "checkpoints")

    assert statements["WriteOwnPrefixes"]["Resource"] == [f"arn:aws:s3:::{LAKE}/{prefix}/*" for prefix in prefixes]
    assert statements["ReadLanding"]["Action"] == ["s3:GetObject"]
    writes = [each for each in statements.values() if "s3:PutObject" in each["Action"]]
    assert not [one for each in writes for one in each["Resource"] if LANDING in one or "/archive/" in one]
