"""A streaming job as a resource, against an emulated EMR Serverless: started, updated, ended, and never twice."""

import datetime as dt
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.emrserverless.models import emrserverless_backends
from pulumi.dynamic import Config, ConfigureRequest, CreateResult

from infra import job_runs
from infra.aws_session import session
from infra.job_runs import Runs, StreamingJobError
from infra.streaming_job import Provider
from tests.infra.completed_moto import BROKEN

if TYPE_CHECKING:
    from mypy_boto3_emr_serverless import EMRServerlessClient

REGION = "eu-central-1"
SILVER, GOLD = "shopware-lakehouse-dev-silver", "shopware-lakehouse-dev-gold"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> "Iterator[EMRServerlessClient]":
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(job_runs, "POLL_SECONDS", 0.001)
    with mock_aws():
        yield boto3.client("emr-serverless", region_name=REGION)


@pytest.fixture
def application(client: "EMRServerlessClient") -> str:
    made = client.create_application(name="streaming", clientToken="t", releaseLabel="emr-spark-8.1.0", type="SPARK")
    return made["applicationId"]


def _set_application(application: str, state: str) -> None:
    emrserverless_backends[DEFAULT_ACCOUNT_ID][REGION].applications[application].state = state


def _set_runs(application: str, state: str) -> None:
    for run in emrserverless_backends[DEFAULT_ACCOUNT_ID][REGION].job_runs[application]:
        run.state = state


def inputs(application: str, **changed: Any) -> dict[str, Any]:
    return {
        "application_id": application,
        "name": SILVER,
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


def states(client: "EMRServerlessClient", application: str, name: str = SILVER) -> list[str]:
    """How the runs of a name stand, oldest first."""
    runs = client.list_job_runs(applicationId=application)["jobRuns"]
    return [run["state"] for run in sorted(runs, key=lambda run: run["createdAt"]) if run["name"] == name]


def running(client: "EMRServerlessClient", application: str) -> list[str]:
    """The entry points of what runs."""
    runs = client.list_job_runs(applicationId=application)["jobRuns"]
    details = [client.get_job_run(applicationId=application, jobRunId=run["id"])["jobRun"] for run in runs]
    return [run["jobDriver"]["sparkSubmit"]["entryPoint"] for run in details if run["state"] == "RUNNING"]


def test_a_job_is_started_on_an_application_that_was_not(client: "EMRServerlessClient", application: str) -> None:
    made = Provider().create(inputs(application))
    run = client.get_job_run(applicationId=application, jobRunId=outs(made)["run_id"])["jobRun"]
    assert made.id == f"{application}/{SILVER}"
    assert client.get_application(applicationId=application)["application"]["state"] == "STARTED"
    assert run["jobDriver"] == {
        "sparkSubmit": {
            "entryPoint": "s3://artifacts/1/emr.py",
            "entryPointArguments": ["silver"],
            "sparkSubmitParameters": "--conf a=b",
        }
    }
    assert (run["name"], run["state"]) == (SILVER, "RUNNING")


def test_an_active_run_with_the_same_inputs_is_taken_over(client: "EMRServerlessClient", application: str) -> None:
    """What a broken `pulumi up` left, or a state that was lost; Pulumi hands numbers over as floats."""
    left = Provider().create(inputs(application))
    again = Provider().create(inputs(application, grace_seconds=1.0, failures_an_hour=5.0))
    assert (again.id, outs(again)["run_id"]) == (left.id, outs(left)["run_id"])
    assert states(client, application) == ["RUNNING"]


def test_an_active_run_with_other_inputs_is_ended_before_the_next_starts(
    client: "EMRServerlessClient", application: str
) -> None:
    Provider().create(inputs(application))
    Provider().create(inputs(application, entry_point="s3://artifacts/2/emr.py"))
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
    client: "EMRServerlessClient", application: str
) -> None:
    with pytest.raises(StreamingJobError, match="ended as FAILED: no such entry point"):
        Provider().create(inputs(application, entry_point=f"s3://artifacts/{BROKEN}/emr.py"))
    Provider().create(inputs(application))
    assert states(client, application) == ["FAILED", "RUNNING"]


def test_a_start_that_lasts_too_long_leaves_no_run(
    client: "EMRServerlessClient", application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_runs, "START_SECONDS", 0.01)
    real = Runs._start_run

    def scheduled(runs: Runs, given: Any, token: str) -> str:
        run = real(runs, given, token)
        _set_runs(application, "SCHEDULED")
        return run

    monkeypatch.setattr(Runs, "_start_run", scheduled)
    with pytest.raises(StreamingJobError, match="is still SCHEDULED after 0 s"):
        Provider().create(inputs(application))
    assert states(client, application) == ["CANCELLED"]


def test_an_update_that_fails_leaves_the_version_of_before_running(
    client: "EMRServerlessClient", application: str
) -> None:
    made = Provider().create(inputs(application))
    broken = inputs(application, entry_point=f"s3://artifacts/{BROKEN}/emr.py")
    with pytest.raises(StreamingJobError, match="did not start: .* no such entry point; the version of before runs"):
        Provider().update(made.id, outs(made), broken)
    assert states(client, application) == ["CANCELLED", "FAILED", "RUNNING"]
    assert running(client, application) == ["s3://artifacts/1/emr.py"]
    # Back to the code of before: the state still has its inputs.
    assert Provider().diff(made.id, outs(made), inputs(application)).changes is False


def test_when_neither_version_starts_the_next_up_proposes_to_start_the_job(
    client: "EMRServerlessClient", application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Provider().create(inputs(application))

    def refused(*_: Any) -> str:
        raise StreamingJobError("no capacity")

    with monkeypatch.context() as patch:
        patch.setattr(Runs, "_start_run", refused)
        with pytest.raises(StreamingJobError, match="nor did the version of before: no capacity. Nothing runs"):
            Provider().update(made.id, outs(made), inputs(application, entry_point="s3://artifacts/2/emr.py"))
    found = Provider().diff(made.id, outs(made), inputs(application))
    assert (found.changes, found.replaces) == (True, [])
    Provider().update(made.id, outs(made), inputs(application))
    assert running(client, application) == ["s3://artifacts/1/emr.py"]


def test_code_that_runs_but_is_not_what_was_declared_is_a_change(application: str) -> None:
    """An update that broke after its start: the state knows the inputs of before, and the new code runs."""
    made = Provider().create(inputs(application))
    Provider().create(inputs(application, entry_point="s3://artifacts/2/emr.py"))
    assert Provider().diff(made.id, outs(made), inputs(application)).changes is True


def test_of_two_updates_at_once_one_run_stays(
    client: "EMRServerlessClient", application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have looked for active runs before either started one, and both have started before either looks again."""
    looked, started = threading.Barrier(2, timeout=20), threading.Barrier(2, timeout=20)
    real_active, real_start = Runs._submit, Runs._keep_the_oldest
    late = threading.local()

    def submit(runs: Runs, given: Any) -> str:
        looked.wait()
        return real_active(runs, given)

    def leave(runs: Runs, run: str, name: str) -> None:
        if not getattr(late, "once", False):
            late.once = True
            started.wait()
        real_start(runs, run, name)

    monkeypatch.setattr(Runs, "_submit", submit)
    monkeypatch.setattr(Runs, "_keep_the_oldest", leave)

    def up(version: int) -> str:
        try:
            return str(outs(Provider().create(inputs(application, entry_point=f"s3://artifacts/{version}/emr.py"))))
        except StreamingJobError as error:
            return f"refused: {error}"

    with ThreadPoolExecutor(2) as both:
        answers = list(both.map(up, (1, 2)))
    assert sorted(states(client, application)) == ["CANCELLED", "RUNNING"]
    refused = [answer for answer in answers if answer.startswith("refused")]
    assert len(refused) == 1, answers
    assert "another `pulumi up` started run" in refused[0]
    assert states(client, application) == ["RUNNING", "CANCELLED"], "the older run is the one that stays"


def test_updates_at_once_without_any_order_leave_one_run(client: "EMRServerlessClient", application: str) -> None:
    def up(version: int) -> bool:
        try:
            Provider().create(inputs(application, entry_point=f"s3://artifacts/{version}/emr.py"))
        except StreamingJobError:
            return False
        return True

    with ThreadPoolExecutor(2) as both:
        for first in range(0, 8, 2):
            # A list: `any` over the map itself would go on while the second is still at work.
            assert any(list(both.map(up, (first, first + 1)))), "both took themselves back"
            assert len(running(client, application)) == 1


def test_an_older_run_that_is_listed_late_ends_the_younger_one(
    client: "EMRServerlessClient", application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EMR took it first and lists it last: the younger one has looked twice by then and stays."""
    real_active, real_start = Runs.active, Runs._start_run
    unseen: list[list[str]] = [[], []]

    def active(runs: Runs, name: str | None = None) -> list[str]:
        return unseen.pop() if unseen else real_active(runs, name)

    def start(runs: Runs, given: Any, token: str) -> str:
        run = real_start(runs, given, token)
        made = emrserverless_backends[DEFAULT_ACCOUNT_ID][REGION].job_runs[application]
        made[-1].created_at = made[0].created_at - dt.timedelta(seconds=1)
        return run

    Provider().create(inputs(application))
    monkeypatch.setattr(Runs, "active", active)
    monkeypatch.setattr(Runs, "_start_run", start)
    older = outs(Provider().create(inputs(application, entry_point="s3://artifacts/2/emr.py")))["run_id"]
    assert states(client, application) == ["RUNNING", "CANCELLED"]
    assert Runs(client, application).active(SILVER) == [older]


def test_what_changes_is_another_version_or_another_job(application: str) -> None:
    olds = outs(Provider().create(inputs(application)))
    same = Provider().diff("i", {**olds, "__provider": "1"}, {**inputs(application), "__provider": "2"})
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
    Provider().create(inputs(application, name=GOLD))
    Provider().delete(made.id, outs(made))
    Provider().delete(made.id, outs(made))
    assert (states(client, application), states(client, application, GOLD)) == (["CANCELLED"], ["RUNNING"])
    assert client.get_application(applicationId=application)["application"]["state"] == "STARTED"


def test_the_last_job_to_go_stops_the_application_so_that_it_can_be_deleted(
    client: "EMRServerlessClient", application: str
) -> None:
    jobs = [Provider().create(inputs(application, name=name)) for name in (SILVER, GOLD)]
    with pytest.raises(ClientError, match="must be in one of the following statuses"):
        client.delete_application(applicationId=application)
    for job in jobs:
        Provider().delete(job.id, outs(job))
    assert client.get_application(applicationId=application)["application"]["state"] == "STOPPED"
    client.delete_application(applicationId=application)
    # Once more, as after a broken `pulumi destroy`.
    Provider().delete(jobs[0].id, outs(jobs[0]))


def test_an_application_that_does_not_stop_is_an_error(application: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_runs, "APPLICATION_SECONDS", 0.01)
    _set_application(application, "STOPPING")
    with pytest.raises(StreamingJobError, match=f"application {application} is STOPPING and does not stop"):
        Provider().delete(f"{application}/{SILVER}", inputs(application))


def test_a_job_starts_although_another_just_stopped_the_application(
    client: "EMRServerlessClient", application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Runs._start_application
    calls: list[str] = []

    def overtaken(runs: Runs) -> None:
        real(runs)
        calls.append("started")
        _set_application(application, "STOPPING" if len(calls) == 1 else "STARTED")

    def state(runs: Runs) -> str:
        found = client.get_application(applicationId=application)["application"]["state"]
        if found == "STOPPING":
            _set_application(application, "STOPPED")
        return found

    monkeypatch.setattr(Runs, "_start_application", overtaken)
    monkeypatch.setattr(Runs, "_application_state", state)
    Provider().create(inputs(application))
    assert (calls, states(client, application)) == (["started", "started"], ["RUNNING"])


def test_read_finds_the_active_run_and_a_job_is_gone_only_with_its_application(
    client: "EMRServerlessClient", application: str
) -> None:
    made = Provider().create(inputs(application))
    stale = {**outs(made), "run_id": "of-before"}
    found = Provider().read(made.id, stale)
    assert (found.id, found.outs) == (made.id, outs(made))
    _set_runs(application, "FAILED")
    ended = Provider().read(made.id, outs(made))
    assert (ended.id, (ended.outs or {})["run_id"]) == (made.id, None)
    assert Provider().diff(made.id, ended.outs or {}, inputs(application)).changes is True
    Provider().delete(made.id, outs(made))
    client.delete_application(applicationId=application)
    assert Provider().read(made.id, outs(made)).id == ""


def test_read_without_properties_tells_what_stands_for_an_import(application: str) -> None:
    with pytest.raises(StreamingJobError, match="cannot be imported: `pulumi up` takes over the run"):
        Provider().read(f"{application}/{SILVER}", {})


def test_emr_is_asked_as_the_configuration_of_the_stack_says(
    client: "EMRServerlessClient", monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    profiles = tmp_path / "config"
    profiles.write_text("[profile people]\naws_access_key_id = of-people\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profiles))
    role = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/deployer"
    raw = {"aws:profile": "people", "aws:assumeRoles": json.dumps([{"roleArn": role, "sessionName": "up"}])}

    def caller(config: dict[str, str]) -> tuple[str, str]:
        provider = Provider()
        provider.configure(ConfigureRequest(Config(config, "shopware-lakehouse")))
        found = session(provider.credentials, REGION)
        keys = found.get_credentials()
        assert keys is not None, "nobody"
        return keys.access_key, found.client("sts").get_caller_identity()["Arn"].rpartition(":")[2]

    assert caller({"aws:profile": "people"})[0] == "of-people"
    assert caller({"aws:accessKey": "of-keys", "aws:secretKey": "s"})[0] == "of-keys"
    assert caller(raw)[1] == "assumed-role/deployer/up"
