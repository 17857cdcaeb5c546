"""A streaming job as a resource, against an emulated EMR Serverless: started, updated, ended, and never twice."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.emrserverless import models
from moto.emrserverless.models import emrserverless_backends
from pulumi.dynamic import CreateResult

from infra import streaming_job
from infra.streaming_job import Provider, Runs, StreamingJobError

if TYPE_CHECKING:
    from mypy_boto3_emr_serverless import EMRServerlessClient

REGION = "eu-central-1"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> "Iterator[EMRServerlessClient]":
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(streaming_job, "POLL_SECONDS", 0.001)
    # The emulator's runs would be over as soon as they start.
    monkeypatch.setattr(models, "JOB_STATUS", "RUNNING")
    with mock_aws():
        yield boto3.client("emr-serverless", region_name=REGION)


@pytest.fixture
def application(client: "EMRServerlessClient") -> str:
    made = client.create_application(name="streaming", clientToken="t", releaseLabel="emr-7.5.0", type="SPARK")
    # The emulator does not list the runs of an application that never had one.
    arn = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/another"
    client.start_job_run(applicationId=made["applicationId"], clientToken="t", executionRoleArn=arn, name="another")
    _set_runs(made["applicationId"], "SUCCESS")
    _set_application(made["applicationId"], "CREATED")
    return made["applicationId"]


def _set_application(application: str, state: str) -> None:
    emrserverless_backends[DEFAULT_ACCOUNT_ID][REGION].applications[application].state = state


def _set_runs(application: str, state: str, details: str = "") -> None:
    for run in emrserverless_backends[DEFAULT_ACCOUNT_ID][REGION].job_runs[application]:
        run.state, run.state_details = state, details


def inputs(application: str, **changed: Any) -> dict[str, Any]:
    return {
        "application_id": application,
        "name": "shopware-lakehouse-dev-silver",
        "role_arn": f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/silver",
        "region": REGION,
        "entry_point": "s3://artifacts/1/emr.py",
        "arguments": ["silver"],
        "spark_parameters": "--conf a=b",
        "configuration": json.dumps({"monitoringConfiguration": {}}),
        "tags": {"environment": "dev"},
        "failures_an_hour": 5,
        "grace_seconds": 1,
        **changed,
    }


def outs(made: CreateResult) -> dict[str, Any]:
    """What a resource remembers of itself."""
    assert made.outs is not None, "nothing is remembered"
    return made.outs


def states(client: "EMRServerlessClient", application: str) -> list[str]:
    runs = client.list_job_runs(applicationId=application)["jobRuns"]
    return sorted(run["state"] for run in runs if run["name"] != "another")


def test_a_job_is_started_on_an_application_that_was_not(client: "EMRServerlessClient", application: str) -> None:
    made = Provider().create(inputs(application))
    run = client.get_job_run(applicationId=application, jobRunId=outs(made)["run_id"])["jobRun"]
    assert made.id == f"{application}/{run['jobRunId']}"
    assert client.get_application(applicationId=application)["application"]["state"] == "STARTED"
    assert run["jobDriver"] == {
        "sparkSubmit": {
            "entryPoint": "s3://artifacts/1/emr.py",
            "entryPointArguments": ["silver"],
            "sparkSubmitParameters": "--conf a=b",
        }
    }
    assert (run["name"], run["state"]) == ("shopware-lakehouse-dev-silver", "RUNNING")


def test_a_run_that_a_broken_up_left_is_ended_before_the_next_starts(
    client: "EMRServerlessClient", application: str
) -> None:
    Provider().create(inputs(application))
    Provider().create(inputs(application))
    assert states(client, application) == ["CANCELLED", "RUNNING"]


def test_an_update_ends_the_old_run_and_starts_the_new_code(client: "EMRServerlessClient", application: str) -> None:
    made = Provider().create(inputs(application))
    changed = inputs(application, entry_point="s3://artifacts/2/emr.py")
    updated = Provider().update(made.id, outs(made), changed)
    old = client.get_job_run(applicationId=application, jobRunId=outs(made)["run_id"])["jobRun"]
    new = client.get_job_run(applicationId=application, jobRunId=(updated.outs or {})["run_id"])["jobRun"]
    assert (old["state"], new["state"]) == ("CANCELLED", "RUNNING")
    assert new["jobDriver"]["sparkSubmit"]["entryPoint"] == "s3://artifacts/2/emr.py"


def test_a_start_that_fails_tells_what_emr_says_and_can_be_tried_again(
    client: "EMRServerlessClient", application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Runs.active

    def failing(runs: Runs, name: str) -> list[str]:
        found = real(runs, name)
        _set_runs(application, "FAILED", "no such entry point")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Runs, "active", failing)
        with pytest.raises(StreamingJobError, match="ended as FAILED: no such entry point"):
            Provider().create(inputs(application))
    Provider().create(inputs(application))
    assert states(client, application) == ["FAILED", "RUNNING"]


def test_of_two_updates_at_once_one_run_stays(
    client: "EMRServerlessClient", application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second has looked for active runs just before the first one started."""
    first = Provider().create(inputs(application))
    real = Runs.active
    looks: list[str] = []

    def before_the_first(runs: Runs, name: str) -> list[str]:
        looks.append(name)
        return [] if len(looks) == 1 else real(runs, name)

    monkeypatch.setattr(Runs, "active", before_the_first)
    with pytest.raises(StreamingJobError, match="another `pulumi up` started run"):
        Provider().create(inputs(application, entry_point="s3://artifacts/2/emr.py"))
    running = [
        run["id"] for run in client.list_job_runs(applicationId=application)["jobRuns"] if run["state"] == "RUNNING"
    ]
    assert running == [outs(first)["run_id"]]


def test_what_changes_is_another_version_or_another_job(application: str) -> None:
    olds = {**inputs(application), "run_id": "r"}
    same = Provider().diff("i", olds, {**inputs(application), "run_id": None})
    code = Provider().diff("i", olds, inputs(application, entry_point="s3://artifacts/2/emr.py"))
    name = Provider().diff("i", olds, inputs(application, name="another"))
    assert [(each.changes, each.replaces) for each in (same, code, name)] == [
        (False, []),
        (True, []),
        (True, ["name"]),
    ]
    assert name.delete_before_replace is True


def test_destroy_ends_every_run_of_the_name_and_no_other(client: "EMRServerlessClient", application: str) -> None:
    made = Provider().create(inputs(application))
    Provider().create(inputs(application, name="shopware-lakehouse-dev-gold"))
    Provider().delete(made.id, outs(made))
    Provider().delete(made.id, outs(made))
    names = {run["name"]: run["state"] for run in client.list_job_runs(applicationId=application)["jobRuns"]}
    del names["another"]
    assert names == {"shopware-lakehouse-dev-silver": "CANCELLED", "shopware-lakehouse-dev-gold": "RUNNING"}


def test_read_finds_the_active_run_or_says_that_the_job_is_gone(application: str) -> None:
    made = Provider().create(inputs(application))
    assert Provider().read(made.id, outs(made)).id == made.id
    _set_runs(application, "FAILED")
    assert Provider().read(made.id, outs(made)).id == ""
