"""`WarehouseSql`: statements that the warehouse has run, as one resource that Pulumi need not ask for again.

Redshift forgets the results of its Data API after a day (AWS, "Using the Amazon Redshift Data API"), so nothing there
can tell whether a statement ran. What Pulumi remembers does: the statements run again when they change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi import dynamic
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from infra.aws_session import credentials_config, session
from lakehouse.errors import LakehouseError

ENDED = ("FINISHED", "FAILED", "ABORTED")
POLL_SECONDS, LONGEST_SECONDS = 1.0, 600.0


class WarehouseSqlError(LakehouseError):
    """A statement did not run; the message has the statement and what Redshift says."""


class Provider(dynamic.ResourceProvider):
    """What Pulumi asks of the statements. AWS is asked as the stack's configuration says."""

    credentials: Mapping[str, str] = {}

    def configure(self, req: dynamic.ConfigureRequest) -> None:
        """Keeps who the stack's configuration says we are."""
        self.credentials = credentials_config(req.config.get)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Runs the statements."""
        self._run(props)
        return dynamic.CreateResult(f"{props['workgroup']}/{props['database']}", props)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Any other input is something to run."""
        changed = any(_olds.get(name) != value for name, value in _news.items() if name != "__provider")
        return dynamic.DiffResult(changes=changed)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        """Runs the statements, all of which can run again."""
        self._run(_news)
        return dynamic.UpdateResult(_news)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Leaves what they made: it goes with the warehouse."""

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """The statements as they were last run."""
        return dynamic.ReadResult(id_, props)

    def _run(self, props: Mapping[str, Any]) -> None:
        client = session(self.credentials, props["region"]).client("redshift-data")
        run(client, props["workgroup"], props["database"], props["secret_arn"], props["statements"])


def run(
    client: Any, workgroup: str, database: str, secret_arn: str, statements: Sequence[str], poll: float = POLL_SECONDS
) -> None:
    """Runs one statement after the other and waits for the end of each.

    Raises WarehouseSqlError for one that Redshift refuses, or that has not ended after ten minutes.
    """
    for text in statements:
        started = client.execute_statement(
            WorkgroupName=workgroup, Database=database, SecretArn=secret_arn, Sql=text, StatementName="estate"
        )
        asking = Retrying(
            retry=retry_if_result(lambda found: found["Status"] not in ENDED),
            stop=stop_after_delay(LONGEST_SECONDS),
            wait=wait_fixed(poll),
        )
        try:
            found = asking(client.describe_statement, Id=started["Id"])
        except RetryError as error:
            raise WarehouseSqlError(f"{workgroup}: `{text}` has not ended after {LONGEST_SECONDS:.0f} s") from error
        if found["Status"] != "FINISHED":
            raise WarehouseSqlError(f"{workgroup}: `{text}` {found['Status']}: {found.get('Error', 'no reason given')}")


@dataclass(frozen=True)
class WarehouseSqlArgs:
    """Where the statements run, as whom (the secret of a database user), and their texts."""

    workgroup: pulumi.Input[str]
    database: str
    secret_arn: pulumi.Input[str]
    region: str
    statements: Sequence[pulumi.Input[str]]


class WarehouseSql(dynamic.Resource, module="lakehouse", name="WarehouseSql"):
    """Statements that ran in the warehouse, in order."""

    def __init__(self, name: str, args: WarehouseSqlArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(Provider(), name, {**vars(args), "statements": list(args.statements)}, opts)
