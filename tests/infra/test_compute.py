"""The streaming jobs: what each may touch, and what it is told."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from infra.compute import _spark_parameters
from infra.config import Compute
from tests.infra.declared import Declared, Program
from tests.infra.operations import one
from tests.infra.recorded_program import ACCOUNT, REGION, recorded
from tests.infra.regions import all_in, environment, regions

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
JARS = ["a.jar", "b.jar"]
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


def settings(job: Declared) -> dict[str, str]:
    """All that Spark is told, by name."""
    words = job.at("spark_parameters").split(" ")
    assert set(words[::2]) == {"--conf"}
    options = {name: value for name, _, value in (pair.partition("=") for pair in words[1::2])}
    [defaults] = json.loads(job.at("configuration"))["applicationConfiguration"]
    assert defaults["classification"] == "spark-defaults"
    assert options.keys() & defaults["properties"].keys() == set()
    return {**options, **defaults["properties"]}


def below(stack: str, prefixes: list[str]) -> list[str]:
    return [f"arn:aws:s3:::shopware-lakehouse-{stack}-lake-{ACCOUNT}-euc1/{each}/*" for each in prefixes]


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
        told = settings(each)
        driver = "spark.emr-serverless.driverEnv.LAKEHOUSE_"
        assert told[f"{driver}PLATFORM"] == "emr"
        assert told[f"{driver}ROOT"] == f"s3://shopware-lakehouse-{stack}-lake-{ACCOUNT}-euc1"
        assert json.loads(told[f"{driver}STREAMS"]) == {
            "web_logs": f"shopware-lakehouse-{stack}-web-logs",
            "crm": f"shopware-lakehouse-{stack}-crm",
        }
        assert told[f"{driver}SPECTRUM_DATABASE"] == f"shopware_lakehouse_{stack}_spectrum"
        assert told[f"{driver}SYMLINK_MANIFESTS"] == ("false" if job == "bronze" else "true")
        for scheme in ("s3", "s3a"):
            store = told[f"spark.delta.logStore.{scheme}.impl"]
            assert store == "shopware.lakehouse.S3ConditionalLogStore"
        assert told["spark.dynamicAllocation.enabled"] == "false"
        assert told[f"{driver}TIME_TRAVEL_HOURS"] == "720"


@pytest.mark.parametrize("process", ["spark.emr-serverless.driverEnv.", "spark.executorEnv."])
def test_a_job_calls_its_own_region_from_driver_and_executors(dev: Program, process: str) -> None:
    [job] = dev.of(JOB)
    told = {name.removeprefix(process): value for name, value in settings(job).items() if name.startswith(process)}

    with environment(told):
        assert regions(REGION) == all_in(REGION)
    assert told["AWS_REGION"] == told["AWS_DEFAULT_REGION"] == REGION


def test_what_spark_is_told_fits_what_emr_takes(dev: Program) -> None:
    """Its API: up to 100 properties, values of 1 to 1 024 characters; its shell: options without a character of one."""
    [job] = dev.of(JOB)
    [defaults] = json.loads(job.at("configuration"))["applicationConfiguration"]

    assert len(defaults["properties"]) <= 100
    assert [name for name, value in defaults["properties"].items() if not 1 <= len(value) <= 1024] == []
    assert re.fullmatch(r"[A-Za-z0-9 .=-]+", job.at("spark_parameters"))


def test_delta_is_the_platforms_and_only_what_it_lacks_is_ours(dev: Program) -> None:
    [job] = dev.of(JOB)
    delta, *ours = settings(job)["spark.jars"].split(",")

    assert delta == "/usr/share/aws/delta/lib/*.jar"
    assert [jar.rpartition("/")[2] for jar in ours] == JARS


@pytest.mark.parametrize(("cores", "memory", "heap"), [(1, 4, "2g"), (2, 8, "6g"), (16, 120, "118g")])
def test_a_worker_has_the_memory_that_is_configured(cores: int, memory: int, heap: str) -> None:
    """Heap and overhead together; by Spark's own overhead, a tenth, the largest would ask for more than there is."""
    config = Compute(driver_cores=cores, driver_memory_gb=memory, executor_cores=cores, executor_memory_gb=memory)
    words = _spark_parameters(config).split(" ")

    for kind in ("driver", "executor"):
        assert f"spark.{kind}.memory={heap}" in words
        assert f"spark.{kind}.memoryOverhead=2g" in words


def test_the_log_group_keeps_its_own_key(dev: Program) -> None:
    """With a key in the job's logging EMR would ask for the right to associate it; the role has none."""
    [job] = dev.of(JOB)
    logging = json.loads(job.at("configuration"))["monitoringConfiguration"]["cloudWatchLoggingConfiguration"]
    group = one(dev, "aws:cloudwatch/logGroup:LogGroup", "compute")

    assert logging == {
        "enabled": True,
        "logGroupName": group.at("name"),
        "logStreamNamePrefix": "all",
        "logTypes": {"SPARK_DRIVER": ["STDOUT", "STDERR"]},
    }
    assert group.at("kmsKeyId").endswith(":key/keys-logs")


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
