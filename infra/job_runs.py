"""The runs of one EMR Serverless application, through EMR's API: started, taken over, ended, never two of a name.

EMR calls every run by its name. A new version starts only when the old one has ended: both would write one checkpoint.
(Should two `pulumi up` race all the same, the older run stays, and the job itself refuses by its lease.)
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from lakehouse.errors import LakehouseError

if TYPE_CHECKING:
    from mypy_boto3_emr_serverless import EMRServerlessClient
    from mypy_boto3_emr_serverless.type_defs import JobRunTypeDef

ACTIVE = ("SUBMITTED", "PENDING", "SCHEDULED", "QUEUED", "RUNNING", "CANCELLING")
ENDED = ("SUCCESS", "FAILED", "CANCELLED")
POLL_SECONDS = 2.0
APPLICATION_SECONDS = 600.0
START_SECONDS = 600.0
# Beyond the time that the job itself has to finish its batch.
CANCEL_SECONDS = 120.0
# How often a run is submitted to an application that somebody stops meanwhile.
SUBMISSIONS = 3
# The tag that tells which inputs a run was started with.
INPUTS_TAG = "lakehouse-inputs"
# What a resource remembers beside its inputs.
NOT_INPUTS = ("run_id", "__provider")
UNKNOWN, REFUSED = "ResourceNotFoundException", "ValidationException"


class StreamingJobError(LakehouseError):
    """A run could not be started or ended; the message says what EMR says."""


def given(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A job's inputs without what it remembers beside them."""
    return {name: value for name, value in inputs.items() if name not in NOT_INPUTS}


def digest(inputs: Mapping[str, Any]) -> str:
    """The same for the same inputs, whether their numbers are whole or come as Pulumi hands them over, as floats."""
    whole = {name: int(value) if isinstance(value, float) else value for name, value in given(inputs).items()}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Runs:
    """The runs of one application."""

    client: "EMRServerlessClient"
    application_id: str
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def start(self, inputs: Mapping[str, Any]) -> str:
        """1 A run with these very inputs that is active is taken over. 2 Any other run of this name is ended first.
        3 Start, on an application that is started for it. 4 Of two runs that started at once the older stays.
        5 Wait until it runs; one that does not is an error with EMR's reason, and is ended. 6 Look once more: while it
        started, another run may have come to light.
        """
        name = inputs["name"]
        # 1
        if (same := self.current(inputs)) is not None:
            self._wait_until_it_runs(same)
            return same
        # 2
        for left in self.active(name):
            self.stop(left, inputs["grace_seconds"])
        # 3
        run = self._submit(inputs)
        # 4
        self._keep_the_oldest(run, name)
        # 5
        self._wait_until_it_runs(run)
        # 6
        self._keep_the_oldest(run, name)
        return run

    def restore(self, inputs: Mapping[str, Any]) -> str:
        """After a version did not start: starts the one of before, unless a run is active. Answers what came of it."""
        if others := self.active(inputs["name"]):
            return f"run {', '.join(others)} is active"
        try:
            return f"the version of before runs again, as run {self.start(inputs)}"
        except (StreamingJobError, ClientError, BotoCoreError) as error:
            return f"nor did the version of before: {error}. Nothing runs; `pulumi up` starts it"

    def current(self, inputs: Mapping[str, Any]) -> str | None:
        """The active run that was started with these very inputs and that nobody has told to end; None without one."""
        for run in self.active(inputs["name"]):
            found = self._run(run)
            if found["state"] != "CANCELLING" and found.get("tags", {}).get(INPUTS_TAG) == digest(inputs):
                return run
        return None

    def active(self, name: str | None = None) -> list[str]:
        """The runs of this name, or all, that have not ended, oldest first; none where the application is gone."""
        try:
            pages = self.client.get_paginator("list_job_runs").paginate(applicationId=self.application_id)
            found = [run for page in pages for run in page["jobRuns"] if run["state"] in ACTIVE]
        except ClientError as error:
            if _code(error) in (UNKNOWN, REFUSED) and self.is_gone():
                return []
            raise
        ours = [run for run in found if name is None or run.get("name") == name]
        return [run["id"] for run in sorted(ours, key=lambda run: (run["createdAt"], run["id"]))]

    def stop(self, run: str, grace_seconds: float) -> None:
        """Ends a run after its batch; one that has ended, or that nobody knows any more, is fine."""
        try:
            self.client.cancel_job_run(
                applicationId=self.application_id, jobRunId=run, shutdownGracePeriodInSeconds=int(grace_seconds)
            )
        except ClientError as error:
            if _code(error) not in (UNKNOWN, REFUSED):
                raise
            state = self.state(run)
            if state in (None, *ENDED):
                return
            if state != "CANCELLING":
                raise
        self._wait(run, lambda state: state in ENDED, grace_seconds + CANCEL_SECONDS)

    def state(self, run: str) -> str | None:
        """The state of a run; None for one that does not exist."""
        try:
            return str(self._run(run)["state"])
        except ClientError as error:
            if _code(error) == UNKNOWN:
                return None
            raise

    def is_gone(self) -> bool:
        """Whether the application does not exist, or no longer."""
        return self._application_state() in (None, "TERMINATED")

    def stop_application(self) -> None:
        """Stops the application and waits for it, unless a run is active on it: EMR deletes only what is stopped."""
        deadline = self.clock() + APPLICATION_SECONDS
        while (state := self._application_state()) not in (None, "CREATED", "STOPPED", "TERMINATED"):
            if state == "STARTED":
                if self.active():
                    return
                try:
                    self.client.stop_application(applicationId=self.application_id)
                except ClientError as error:
                    # Somebody started a run or stopped the application at the same moment: look again.
                    if _code(error) not in (UNKNOWN, REFUSED):
                        raise
            if self.clock() > deadline:
                raise StreamingJobError(f"application {self.application_id} is {state} and does not stop")
            self.sleep(POLL_SECONDS)

    def _submit(self, inputs: Mapping[str, Any]) -> str:
        """A new run; a call that the client repeats is the same run, by its token."""
        token = hashlib.sha256(f"{digest(inputs)} {self.clock()}".encode()).hexdigest()[:32]
        for submission in range(SUBMISSIONS):
            self._start_application()
            try:
                return self._start_run(inputs, token)
            except ClientError as error:
                # The end of another job may just have stopped the application.
                last = submission + 1 == SUBMISSIONS
                if last or _code(error) != REFUSED or self._application_state() == "STARTED":
                    raise
        raise AssertionError("the last submission returns or raises")

    def _start_run(self, inputs: Mapping[str, Any], token: str) -> str:
        started = self.client.start_job_run(
            applicationId=self.application_id,
            clientToken=token,
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
            tags={**inputs["tags"], INPUTS_TAG: digest(inputs)},
        )
        return str(started["jobRunId"])

    def _keep_the_oldest(self, run: str, name: str) -> None:
        """Of the runs of a name that are active at once the oldest stays. Ours ends the younger ones: they may have
        looked before EMR listed ours. Raises StreamingJobError, with ours ended, when an older one is active.
        """
        active = self.active(name)
        # A run that is no longer active was ended by whoever runs now.
        place = active.index(run) if run in active else len(active)
        for younger in active[place + 1 :]:
            self.stop(younger, 0)
        if older := active[:place]:
            self.stop(run, 0)
            raise StreamingJobError(
                f"{name}: another `pulumi up` started run {', '.join(older)} at the same time; it stays"
            )

    def _wait_until_it_runs(self, run: str) -> None:
        try:
            self._wait(run, lambda state: state == "RUNNING", START_SECONDS)
        except StreamingJobError:
            self.stop(run, 0)
            raise

    def _start_application(self) -> None:
        deadline = self.clock() + APPLICATION_SECONDS
        while (state := self._application_state()) != "STARTED":
            if state in ("CREATED", "STOPPED"):
                self.client.start_application(applicationId=self.application_id)
            elif state in (None, "TERMINATED") or self.clock() > deadline:
                raise StreamingJobError(f"application {self.application_id} is {state or 'gone'} and does not start")
            self.sleep(POLL_SECONDS)

    def _application_state(self) -> str | None:
        try:
            return str(self.client.get_application(applicationId=self.application_id)["application"]["state"])
        except ClientError as error:
            if _code(error) == UNKNOWN:
                return None
            raise

    def _run(self, run: str) -> "JobRunTypeDef":
        return self.client.get_job_run(applicationId=self.application_id, jobRunId=run)["jobRun"]

    def _wait(self, run: str, reached: Callable[[str], bool], seconds: float) -> None:
        deadline = self.clock() + seconds
        while True:
            found = self._run(run)
            if reached(found["state"]):
                return
            if found["state"] in ENDED:
                raise StreamingJobError(
                    f"run {run} of {found.get('name', run)} ended as {found['state']}: {found['stateDetails']}"
                )
            if self.clock() > deadline:
                raise StreamingJobError(f"run {run} is still {found['state']} after {seconds:.0f} s")
            self.sleep(POLL_SECONDS)


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])
