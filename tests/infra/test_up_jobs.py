"""A streaming job and its application on the real engine: started, changed, broken, moved and removed. In order, on one
stack.

Takes `pulumi` and `pulumi-resource-aws` from PATH; without them these tests are skipped, and say how to make them run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pulumi
import pulumi_aws as aws
import pytest
from pulumi import automation

from infra.compute import APPLICATION_PARTS
from infra.streaming_job import StreamingJob, StreamingJobArgs
from tests.infra.completed_moto import BROKEN
from tests.infra.emulated_aws import ACCOUNT
from tests.infra.engine import REGION, Engine, credentials

if TYPE_CHECKING:
    from mypy_boto3_emr_serverless import EMRServerlessClient

JOB, APPLICATION = "pulumi-python:dynamic:Resource job", "aws:emrserverless/application:Application streaming"
NAME = "job-of-test-up-jobs"


@dataclass
class Estate:
    """The engine with the application's and the job's program, whose settings a test changes, and EMR to look at."""

    engine: Engine
    emr: "EMRServerlessClient"
    version: str = "1"
    cores: int = 8

    def declare(self) -> None:
        """One application as the estate has it, and a job on it."""
        application = aws.emrserverless.Application(
            "streaming",
            name=NAME,
            type="spark",
            release_label="emr-spark-8.1.0",
            architecture="X86_64",
            maximum_capacity=aws.emrserverless.ApplicationMaximumCapacityArgs(cpu=f"{self.cores} vCPU", memory="64 GB"),
            opts=pulumi.ResourceOptions(replace_on_changes=[*APPLICATION_PARTS]),
        )
        job = StreamingJob(
            "job",
            StreamingJobArgs(
                application_id=application.id,
                name=NAME,
                role_arn=f"arn:aws:iam::{ACCOUNT}:role/job",
                region=REGION,
                entry_point=f"s3://artifacts/{self.version}/emr.py",
                arguments=["silver"],
                spark_parameters="--conf a=b",
                configuration='{"monitoringConfiguration": {}}',
                tags={"environment": "dev"},
                grace_seconds=1,
            ),
        )
        pulumi.export("run", job.run_id)
        pulumi.export("application", application.id)

    def runs(self) -> list[Mapping[str, Any]]:
        """All runs of the job, on every application, oldest first."""
        found = [
            self.emr.get_job_run(applicationId=application["id"], jobRunId=run["id"])["jobRun"]
            for application in self.emr.list_applications()["applications"]
            for run in self.emr.list_job_runs(applicationId=application["id"])["jobRuns"]
            if run["name"] == NAME
        ]
        return sorted(found, key=lambda run: run["createdAt"])

    def running(self) -> list[str]:
        """The code versions that run."""
        entry_points = [
            run["jobDriver"]["sparkSubmit"]["entryPoint"] for run in self.runs() if run["state"] == "RUNNING"
        ]
        return [entry_point.split("/")[3] for entry_point in entry_points]

    def applications(self) -> list[str]:
        """How the job's applications stand, the newest last."""
        found = self.emr.list_applications()["applications"]
        return [application["state"] for application in found if application["name"] == NAME]


@pytest.fixture(scope="module")
def estate(emulator_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """The stack after its first `up`. Only its configuration says who calls: that holds for the job too."""
    who = {"aws:accessKey": "of-the-stack", "aws:secretKey": "test"}
    engine = Engine("dev", emulator_endpoint, tmp_path_factory.mktemp("jobs"), who)
    engine.environment.update(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    given = credentials(emulator_endpoint)
    emr = boto3.client(
        "emr-serverless",
        endpoint_url=emulator_endpoint,
        region_name=REGION,
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
    )
    made = Estate(engine, emr)
    engine.declare = made.declare
    run = engine.up()
    assert (run.errors, run.operations.get(JOB), run.operations.get(APPLICATION)) == ([], "create", "create")
    yield made
    made.engine.destroy()


@pytest.mark.timeout(300)
def test_up_starts_the_job_and_a_second_preview_proposes_nothing(estate: Estate) -> None:
    assert estate.running() == ["1"]
    assert estate.engine.outputs()["run"] == estate.runs()[-1]["jobRunId"]
    assert estate.engine.preview().operations == {}


@pytest.mark.timeout(300)
def test_other_code_is_an_update_that_ends_the_old_run_first(estate: Estate) -> None:
    estate.version = "2"
    assert estate.engine.up().operations == {JOB: "update"}
    assert estate.running() == ["2"]
    old, new = estate.runs()
    assert (old["state"], old["updatedAt"] <= new["createdAt"]) == ("CANCELLED", True)


@pytest.mark.timeout(300)
def test_an_upgrade_that_fails_goes_on_with_the_old_code_and_rolls_back_to_it(estate: Estate) -> None:
    estate.version = BROKEN
    with pytest.raises(automation.CommandError, match="the version of before runs again"):
        estate.engine.up()
    assert estate.running() == ["2"]
    estate.version = "2"
    assert estate.engine.preview().operations == {}
    estate.engine.up()
    assert estate.running() == ["2"]


@pytest.mark.timeout(300)
def test_a_run_that_died_is_started_again_with_a_refresh_or_without(estate: Estate) -> None:
    dead = estate.runs()[-1]
    estate.emr.cancel_job_run(applicationId=dead["applicationId"], jobRunId=dead["jobRunId"])
    assert estate.engine.preview().operations == {JOB: "update"}
    assert "delete" not in estate.engine.refresh().operations.values()
    assert estate.engine.preview().operations == {JOB: "update"}
    estate.engine.up()
    assert estate.running() == ["2"]
    assert estate.engine.outputs()["run"] == estate.runs()[-1]["jobRunId"]


@pytest.mark.timeout(300)
def test_a_changed_application_is_replaced_and_the_job_moves_to_it(estate: Estate) -> None:
    estate.cores = 16
    assert estate.engine.preview().operations == {JOB: "replace", APPLICATION: "replace"}
    estate.engine.up()
    assert estate.running() == ["2"]
    old, new = estate.runs()[-2:]
    assert old["updatedAt"] <= new["createdAt"], "two runs on one checkpoint"
    assert (new["applicationId"], estate.applications()) == (
        estate.engine.outputs()["application"],
        ["TERMINATED", "STARTED"],
    )
    assert estate.engine.preview().operations == {}


@pytest.mark.timeout(300)
def test_destroy_ends_the_job_and_removes_the_application(estate: Estate) -> None:
    run = estate.engine.destroy()
    assert (run.errors, estate.running()) == ([], [])
    assert set(estate.applications()) == {"TERMINATED"}
