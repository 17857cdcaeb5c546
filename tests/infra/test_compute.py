"""The streaming jobs: what each may touch, and what it is told."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from tests.infra.declared import Program
from tests.infra.operations import one
from tests.infra.recorded_program import ACCOUNT, REGION, recorded

POLICY, JOB, APPLICATION = (
    "aws:iam/rolePolicy:RolePolicy",
    "pulumi-python:dynamic:Resource",
    "aws:emrserverless/application:Application",
)
WRITES = {
    "bronze": ["bronze", "checkpoints/bronze"],
    "silver": ["silver", "rejected", "checkpoints/silver"],
    "gold": ["gold", "checkpoints/gold"],
}
READS = {"bronze": [], "silver": ["bronze"], "gold": ["silver"]}


@pytest.fixture(scope="module")
def dev() -> Program:
    return recorded("dev")


@pytest.fixture(scope="module")
def prod() -> Program:
    return recorded("prod")


def allowed(program: Program, job: str) -> Mapping[str, Any]:
    document = json.loads(one(program, POLICY, f"compute-{job}").at("policy"))
    return {each["Sid"]: each for each in document["Statement"]}


def below(stack: str, prefixes: list[str]) -> list[str]:
    return [f"arn:aws:s3:::shopware-lakehouse-{stack}-lake-{ACCOUNT}-{REGION}/{each}/*" for each in prefixes]


@pytest.mark.parametrize("job", ["bronze", "silver", "gold"])
def test_a_job_writes_its_own_prefixes_and_reads_those_before_it(prod: Program, job: str) -> None:
    found = allowed(prod, job)
    assert found["WriteOwnPrefixes"]["Resource"] == below("prod", WRITES[job])
    assert (found["ReadPrefixes"]["Resource"] if READS[job] else []) == below("prod", READS[job])
    assert ("ReadStreams" in found) == (job == "bronze")


def test_one_job_for_all_has_what_the_three_have_and_no_more(dev: Program, prod: Program) -> None:
    def reached(program: Program, stack: str, jobs: tuple[str, ...]) -> set[tuple[str, str]]:
        return {
            (action, resource.replace(f"-{stack}-", "-"))
            for job in jobs
            for each in allowed(program, job).values()
            for action in each["Action"]
            for resource in each["Resource"]
        }

    assert reached(dev, "dev", ("all",)) == reached(prod, "prod", ("bronze", "silver", "gold"))


@pytest.mark.parametrize(("stack", "jobs"), [("dev", ["all"]), ("prod", ["bronze", "silver", "gold"])])
def test_each_job_is_told_its_layers_and_where_the_lake_lies(stack: str, jobs: list[str]) -> None:
    program = recorded(stack)
    declared = {each.at("name").rpartition("-")[2]: each for each in program.of(JOB)}
    assert sorted(declared) == sorted(jobs)
    for job, each in declared.items():
        assert each.at("arguments") == [job]
        words = shlex.split(each.at("spark_parameters"))
        pairs = [pair.partition("=") for pair in words[1::2]]
        assert set(words[::2]) == {"--conf"}
        settings = {name: value for name, _, value in pairs}
        driver = "spark.emr-serverless.driverEnv.LAKEHOUSE_"
        assert settings[f"{driver}PLATFORM"] == "emr"
        assert settings[f"{driver}ROOT"] == f"s3://shopware-lakehouse-{stack}-lake-{ACCOUNT}-{REGION}"
        assert json.loads(settings[f"{driver}STREAMS"]) == {
            "web_logs": f"shopware-lakehouse-{stack}-web-logs",
            "crm": f"shopware-lakehouse-{stack}-crm",
        }
        assert settings[f"{driver}SPECTRUM_DATABASE"] == f"shopware_lakehouse_{stack}_spectrum"
        assert settings[f"{driver}SYMLINK_MANIFESTS"] == ("false" if job == "bronze" else "true")
        for scheme in ("s3", "s3a"):
            store = settings[f"spark.delta.logStore.{scheme}.impl"]
            assert store == "shopware.lakehouse.S3ConditionalLogStore"
        assert settings["spark.dynamicAllocation.enabled"] == "false"


def test_no_secret_and_no_credential_is_in_what_a_job_is_told(dev: Program) -> None:
    [job] = dev.of(JOB)
    text = json.dumps(dict(job.inputs), default=str).lower()
    for word in ("secret_access", "aws_access_key", "session_token", "password"):
        assert word not in text


def test_the_application_is_private_bounded_and_stops_by_itself(dev: Program) -> None:
    application = one(dev, APPLICATION)
    assert application.at("maximumCapacity") == {"cpu": "8 vCPU", "memory": "64 GB"}
    assert application.at("networkConfiguration") == {
        "subnetIds": ["network-0-id"],
        "securityGroupIds": ["network-jobs-id"],
    }
    assert application.at("autoStopConfiguration") == {"enabled": True, "idleTimeoutMinutes": 15}
    assert application.at("releaseLabel") == "emr-spark-8.1.0"
    assert application.at("initialCapacities") in (None, [])
