"""`StreamingJob`: a job run of EMR Serverless as a resource, so that `pulumi up` deploys code.

What Pulumi asks is answered here; how runs are started and ended is in `job_runs`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pulumi import dynamic

from infra.aws_session import credentials_config, session
from infra.job_runs import Runs, StreamingJobError, given

TO_REPLACE = ("application_id", "name")
RETRIES = Config(retries={"mode": "standard", "max_attempts": 6})


class Provider(dynamic.ResourceProvider):
    """What Pulumi asks of a streaming job. Ids are `<application>/<name>`: EMR gives each start another run.

    AWS is asked as the stack's configuration says (`aws:profile`, `aws:assumeRoles`, keys), as pulumi-aws does.

    `pulumi import` cannot work for a dynamic resource of Python: Pulumi then hands over neither inputs nor the provider
    itself. It is not needed. `create` takes over an active run with the same inputs; one with other inputs ends after
    its batch, as at an update.
    """

    credentials: Mapping[str, str] = {}

    def configure(self, req: dynamic.ConfigureRequest) -> None:
        """Keeps who the stack's configuration says we are."""
        self.credentials = credentials_config(req.config.get)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Starts a run, or takes over the one that runs with these inputs."""
        run = self._runs(props).start(props)
        return dynamic.CreateResult(f"{props['application_id']}/{props['name']}", {**props, "run_id": run})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Any other input is another version of the job; another application or name is another job. Without a changed
        input there is still something to do when no run has these inputs: it ended, or an update broke.
        """
        changed = [name for name, value in given(_news).items() if _olds.get(name) != value]
        replaces = [name for name in changed if name in TO_REPLACE]
        return dynamic.DiffResult(
            changes=bool(changed) or self._runs(_news).current(_news) is None,
            replaces=replaces,
            stables=["application_id"],
            delete_before_replace=True,
        )

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        """Ends the old run after its batch, then starts the new one on the same checkpoint. If that does not start the
        old version is started again, so that a failed upgrade leaves the lake running, and the error says so.
        """
        runs = self._runs(_news)
        if _olds.get("run_id"):
            runs.stop(_olds["run_id"], _olds["grace_seconds"])
        try:
            return dynamic.UpdateResult({**_news, "run_id": runs.start(_news)})
        except (StreamingJobError, ClientError, BotoCoreError) as error:
            raise StreamingJobError(
                f"{_news['name']}: the new version did not start: {error}; {runs.restore(_olds)}"
            ) from error

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Ends whatever runs under this name after its batch. The last job to go stops the application: EMR deletes,
        and changes, only one that is stopped.
        """
        runs = self._runs(_props)
        for run in runs.active(_props["name"]):
            runs.stop(run, _props["grace_seconds"])
        runs.stop_application()

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """The job with its active run, if it has one. It is gone only with its application: a job whose run has ended
        is still declared, and the next `pulumi up` starts it.

        Raises StreamingJobError without what Pulumi remembers of the job.
        """
        if "name" not in props:
            raise StreamingJobError(
                f"{id_} cannot be imported: `pulumi up` takes over the run of a declared job that has the same inputs"
            )
        runs = self._runs(props)
        if runs.is_gone():
            return dynamic.ReadResult("", {})
        active = runs.active(props["name"])
        return dynamic.ReadResult(id_, {**props, "run_id": active[-1] if active else None})

    def _runs(self, props: Mapping[str, Any]) -> Runs:
        client = session(self.credentials, props["region"]).client("emr-serverless", config=RETRIES)
        return Runs(client, props["application_id"])


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
