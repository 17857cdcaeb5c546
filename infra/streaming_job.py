"""`StreamingJob`: a job run of EMR Serverless as a resource, so that `pulumi up` deploys code.

EMR calls every run by its name; there is never more than one active run of a name in an application. A new version
starts only when the old one has ended: both would write one checkpoint. (Should two `pulumi up` race all the same, the
run that came later is cancelled here, and the job itself refuses by its lease.)
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pulumi
from botocore.config import Config
from botocore.exceptions import ClientError
from pulumi import dynamic

from lakehouse.errors import LakehouseError

if TYPE_CHECKING:
    from mypy_boto3_emr_serverless import EMRServerlessClient

ACTIVE = ("SUBMITTED", "PENDING", "SCHEDULED", "QUEUED", "RUNNING", "CANCELLING")
ENDED = ("SUCCESS", "FAILED", "CANCELLED")
POLL_SECONDS = 5.0
APPLICATION_SECONDS = 600.0
START_SECONDS = 600.0
# Beyond the time that the job itself has to finish its batch.
CANCEL_SECONDS = 120.0
TO_REPLACE = ("application_id", "name")


class StreamingJobError(LakehouseError):
    """A run could not be started or ended; the message says what EMR says."""


@dataclass(frozen=True)
class Runs:
    """The runs of one application, through EMR's API."""

    client: "EMRServerlessClient"
    application_id: str
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def start(self, inputs: Mapping[str, Any]) -> str:
        """1 The application is started. 2 No other run of this name is active: one that a broken `pulumi up` left is
        ended first. 3 Start; a repeated call within one attempt is the same run. 4 Who came second in a race takes his
        run back. 5 Wait until it runs; one that fails at once is an error with EMR's reason.
        """
        # 1
        self._start_application()
        # 2
        for left in self.active(inputs["name"]):
            self.stop(left, inputs["grace_seconds"])
        # 3
        started = self.client.start_job_run(
            applicationId=self.application_id,
            clientToken=_token(inputs, self.clock()),
            executionRoleArn=inputs["role_arn"],
            name=inputs["name"],
            mode="STREAMING",
            jobDriver={
                "sparkSubmit": {
                    "entryPoint": inputs["entry_point"],
                    "entryPointArguments": list(inputs["arguments"]),
                    "sparkSubmitParameters": inputs["spark_parameters"],
                }
            },
            configurationOverrides=json.loads(inputs["configuration"]),
            retryPolicy={"maxFailedAttemptsPerHour": int(inputs["failures_an_hour"])},
            executionTimeoutMinutes=0,
            tags=dict(inputs["tags"]),
        )
        run = str(started["jobRunId"])
        # 4
        others = [each for each in self.active(inputs["name"]) if each != run]
        if others:
            self.stop(run, 0)
            raise StreamingJobError(
                f"{inputs['name']}: another `pulumi up` started run {', '.join(others)} at the same time; it stays"
            )
        # 5
        self._wait(run, lambda state: state == "RUNNING", START_SECONDS)
        return run

    def active(self, name: str) -> list[str]:
        """The runs of this name that have not ended, oldest first."""
        pages = self.client.get_paginator("list_job_runs").paginate(applicationId=self.application_id)
        found = [run for page in pages for run in page["jobRuns"] if run.get("name") == name and run["state"] in ACTIVE]
        return [run["id"] for run in sorted(found, key=lambda run: run["createdAt"])]

    def stop(self, run: str, grace_seconds: float) -> None:
        """Ends a run after its batch; one that has ended, or that nobody knows any more, is fine."""
        try:
            self.client.cancel_job_run(
                applicationId=self.application_id, jobRunId=run, shutdownGracePeriodInSeconds=int(grace_seconds)
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ResourceNotFoundException", "ValidationException"):
                raise
            if self.state(run) in (None, *ENDED):
                return
            raise
        self._wait(run, lambda state: state in ENDED, grace_seconds + CANCEL_SECONDS)

    def state(self, run: str) -> str | None:
        """The state of a run; None for one that does not exist."""
        try:
            return str(self.client.get_job_run(applicationId=self.application_id, jobRunId=run)["jobRun"]["state"])
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            raise

    def _start_application(self) -> None:
        deadline = self.clock() + APPLICATION_SECONDS
        while (state := self._application_state()) != "STARTED":
            if state in ("CREATED", "STOPPED"):
                self.client.start_application(applicationId=self.application_id)
            elif state == "TERMINATED" or self.clock() > deadline:
                raise StreamingJobError(f"application {self.application_id} is {state} and does not start")
            self.sleep(POLL_SECONDS)

    def _application_state(self) -> str:
        return str(self.client.get_application(applicationId=self.application_id)["application"]["state"])

    def _wait(self, run: str, reached: Callable[[str], bool], seconds: float) -> None:
        deadline = self.clock() + seconds
        while True:
            found = self.client.get_job_run(applicationId=self.application_id, jobRunId=run)["jobRun"]
            if reached(found["state"]):
                return
            if found["state"] in ENDED:
                raise StreamingJobError(
                    f"run {run} of {found.get('name', run)} ended as {found['state']}: {found['stateDetails']}"
                )
            if self.clock() > deadline:
                raise StreamingJobError(f"run {run} is still {found['state']} after {seconds:.0f} s")
            self.sleep(POLL_SECONDS)


def _token(inputs: Mapping[str, Any], moment: float) -> str:
    """The same for a call that is repeated by the client, another for another attempt."""
    content = json.dumps({**inputs, "moment": moment}, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


class Provider(dynamic.ResourceProvider):
    """What Pulumi asks of a streaming job. Ids are `<application>/<run>`."""

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Starts a run."""
        run = _runs(props).start(props)
        return dynamic.CreateResult(f"{props['application_id']}/{run}", {**props, "run_id": run})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Any other input is another version of the job; another application or name is another job."""
        changed = [name for name in _news if name != "run_id" and _olds.get(name) != _news[name]]
        replaces = [name for name in changed if name in TO_REPLACE]
        return dynamic.DiffResult(
            changes=bool(changed), replaces=replaces, stables=["application_id"], delete_before_replace=True
        )

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        """Ends the old run after its batch, then starts the new one on the same checkpoint."""
        runs = _runs(_news)
        runs.stop(_olds["run_id"], _olds["grace_seconds"])
        return dynamic.UpdateResult({**_news, "run_id": runs.start(_news)})

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Ends the run after its batch; whatever else runs under its name, too."""
        runs = _runs(_props)
        for run in {_props["run_id"], *runs.active(_props["name"])}:
            runs.stop(run, _props["grace_seconds"])

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """The active run of this name, which EMR may have replaced; without one the job is gone."""
        application, _, run = id_.partition("/")
        runs = _runs({"region": None, **props, "application_id": application})
        name = props.get("name") or runs.client.get_job_run(applicationId=application, jobRunId=run)["jobRun"]["name"]
        active = runs.active(name)
        if not active:
            return dynamic.ReadResult("", {})
        return dynamic.ReadResult(f"{application}/{active[-1]}", {**props, "name": name, "run_id": active[-1]})


def _runs(props: Mapping[str, Any]) -> Runs:
    retries = Config(retries={"mode": "standard", "max_attempts": 6})
    return Runs(boto3.client("emr-serverless", region_name=props["region"], config=retries), props["application_id"])


@dataclass(frozen=True)
class StreamingJobArgs:
    """One job: what runs, as whom, with what; `grace_seconds` is what it has to finish its batch."""

    application_id: pulumi.Input[str]
    name: str
    role_arn: pulumi.Input[str]
    region: str
    entry_point: pulumi.Input[str]
    arguments: list[str]
    spark_parameters: pulumi.Input[str]
    configuration: pulumi.Input[str]
    tags: Mapping[str, str]
    failures_an_hour: int = 5
    grace_seconds: int = 300


class StreamingJob(dynamic.Resource):
    """A run of a streaming job that goes on until `pulumi destroy`, or until its code or settings change."""

    run_id: pulumi.Output[str]

    def __init__(self, name: str, args: StreamingJobArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(Provider(), name, {**vars(args), "tags": dict(args.tags), "run_id": None}, opts)
