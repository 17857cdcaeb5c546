"""The Glue jobs: what they are started with, when, and what their role may do."""

import json
import sys
from typing import Any

import pytest

from batch import glue
from lakehouse.settings import Settings
from runtime.commits import code_version
from runtime.spark import _platform
from tests.infra.declared import Program
from tests.infra.operations import one
from tests.infra.recorded_program import ACCOUNT, REGION, recorded, with_everything
from tests.infra.regions import all_in, environment, regions

JOB, TRIGGER, POLICY = "aws:glue/job:Job", "aws:glue/trigger:Trigger", "aws:iam/rolePolicy:RolePolicy"
GROUP, KINDS = "aws:cloudwatch/logGroup:LogGroup", ("error", "output")
LAKE = f"shopware-lakehouse-dev-lake-{ACCOUNT}-euc1"
LANDING = f"shopware-lakehouse-dev-landing-{ACCOUNT}-euc1"
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


def started(program: Program, name: str) -> list[str]:
    """The command line that Glue gives to the script."""
    arguments = one(program, JOB, name).at("defaultArguments")
    return ["glue.py", *(part for pair in arguments.items() for part in pair)]


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
    minutes = {"batch-maintenance": 120, "batch-reconcile": 180}.get(name, 60)
    assert (job.at("timeout"), job.at("maxRetries")) == (minutes, 2)
    assert (job.at("numberOfWorkers"), job.at("workerType")) == (2, "G.1X")
    assert one(program, TRIGGER, name).at("actions", 0, "timeout") == minutes
    assert job.at("defaultArguments", "--lakehouse_job") == name.removeprefix("batch-")
    assert job.at("defaultArguments", "--lakehouse_root") == f"s3://{LAKE}"
    assert job.at("defaultArguments", "--lakehouse_landing") == f"s3://{LANDING}"


def test_workers_time_and_schedule_of_every_job_are_configured() -> None:
    proof = {"workers": 10, "worker_type": "G.2X", "timeout_minutes": 720}
    sizes = {"sources": {"workers": 3}, "maintenance": {"timeout_minutes": 30}, "reconcile": proof}
    weekly = "cron(30 4 ? * SUN *)"
    program = recorded("dev", batch={**sizes, "reconcile_schedule": weekly})
    parts = ("numberOfWorkers", "workerType", "timeout")

    found = {each.name: tuple(each.at(part) for part in parts) for each in program.of(JOB)}
    assert found == {
        **{f"batch-{source}": (3, "G.1X", 60) for source in ("pos", "inventory", "campaigns", "reference")},
        "batch-maintenance": (2, "G.1X", 30),
        "batch-reconcile": (10, "G.2X", 720),
    }
    assert one(program, TRIGGER, "batch-reconcile").at("schedule") == weekly


def test_a_job_calls_its_own_region_from_driver_and_executors(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[str, Settings, dict[str, str | None]]] = []
    monkeypatch.setattr(glue, "run", lambda job, settings: called.append((job, settings, regions(REGION))))
    monkeypatch.setattr(sys, "argv", started(program, "batch-pos"))

    with environment({}):
        glue.main()

    [(job, settings, found)] = called
    assert (job, settings.region, settings.platform) == ("pos", REGION, "glue")
    assert found == all_in(REGION)
    executor = _platform(settings)
    with environment({name.removeprefix("spark.executorEnv."): value for name, value in executor.items()}):
        assert regions(REGION) == all_in(REGION)


def test_commits_of_a_job_name_the_package_that_the_streaming_jobs_name(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[str] = []
    monkeypatch.setattr(glue, "run", lambda job, settings: named.append(code_version()))
    monkeypatch.setattr(sys, "argv", started(program, "batch-pos"))

    with environment({}):
        glue.main()

    streaming = next(each for each in program.resources if each.type == "pulumi-python:dynamic:Resource")
    [defaults] = json.loads(streaming.at("configuration"))["applicationConfiguration"]
    assert named == [defaults["properties"]["spark.emr-serverless.driverEnv.LAKEHOUSE_CODE_VERSION"]]


def test_maintenance_keeps_what_the_estate_says_can_be_read_back(program: Program) -> None:
    hours = one(program, JOB, "batch-maintenance").at("defaultArguments", "--lakehouse_time_travel_hours")

    assert hours == "720"
    assert Settings.model_validate({"time_travel_hours": hours}).time_travel_hours == 30 * 24


def test_delta_is_glues_and_only_what_it_lacks_is_ours(program: Program) -> None:
    job = one(program, JOB, "batch-pos")
    jars = job.at("defaultArguments", "--extra-jars").split(",")

    assert job.at("defaultArguments", "--datalake-formats") == "delta"
    assert [jar.rpartition("/")[2] for jar in jars] == ["a.jar", "b.jar"]


def test_logs_go_to_groups_that_expire_and_are_encrypted(
    program: Program, statements: dict[str, dict[str, Any]]
) -> None:
    """The names are those that Glue makes of prefix, security configuration and role, since version 5.0."""
    job = one(program, JOB, "batch-pos")
    prefix = job.at("defaultArguments", "--custom-logGroup-prefix")
    role = one(program, "aws:iam/role:Role", "batch").at("name")
    groups = {each.at("name"): each for each in program.of(GROUP) if each.name.startswith("batch")}

    assert sorted(groups) == [f"{prefix}/{job.at('securityConfiguration')}-role/{role}/{kind}" for kind in KINDS]
    for group in groups.values():
        assert group.at("retentionInDays") == 30
        assert group.at("kmsKeyId").endswith(":key/keys-logs")
    arns = [f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}" for name in sorted(groups)]
    assert statements["WriteLogs"]["Resource"] == [each for arn in arns for each in (arn, f"{arn}:*")]
    assert "logs:AssociateKmsKey" in statements["WriteLogs"]["Action"]
    assert "--continuous-log-logGroup" not in job.at("defaultArguments")


def test_nothing_goes_where_the_jobs_key_is_refused(program: Program, statements: dict[str, dict[str, Any]]) -> None:
    """What a job writes carries the lake's key, by its security configuration; only the lake's bucket takes that."""
    encryption = one(program, "aws:glue/securityConfiguration:SecurityConfiguration").at("encryptionConfiguration")

    assert encryption["s3Encryption"]["kmsKeyArn"].endswith(":key/keys-lake")
    written = {one for each in statements.values() if "s3:PutObject" in each["Action"] for one in each["Resource"]}
    assert {arn.removeprefix("arn:aws:s3:::").partition("/")[0] for arn in written} == {LAKE}
    for each in program.of(JOB):
        assert "--TempDir" not in each.at("defaultArguments")


def test_the_role_may_join_its_own_subnet_and_no_other(statements: dict[str, dict[str, Any]]) -> None:
    ec2 = f"arn:aws:ec2:{REGION}:{ACCOUNT}"

    assert statements["LookAtNetwork"]["Resource"] == ["*"]
    assert statements["LookAtNetwork"]["Action"] == [
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcEndpoints",
    ]
    assert statements["LookAtVpc"]["Action"] == ["ec2:DescribeVpcAttribute"]
    assert statements["LookAtVpc"]["Resource"] == [f"{ec2}:vpc/network-id"]
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
