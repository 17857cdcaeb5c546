"""Roles of people: who may take one, and what it needs to ask Athena. The data itself is Lake Formation's to give."""

from collections.abc import Sequence

import pulumi

from infra.documents import Statement, document, statement
from infra.estate import Estate
from infra.keys import READ, Keys
from infra.storage import Storage

LOOK = ("glue:GetDatabase", "glue:GetDatabases", "glue:GetTable", "glue:GetTables", "glue:GetPartition",
        "glue:GetPartitions")  # fmt: skip
RUN = ("athena:StartQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults", "athena:StopQueryExecution",
       "athena:GetWorkGroup", "athena:ListNamedQueries", "athena:GetNamedQuery")  # fmt: skip


def taken_by(estate: Estate, sid: str, principals: Sequence[str]) -> pulumi.Output[str]:
    """The trust policy of a role that these IAM roles may take; where none is named, those of this account."""
    account = pulumi.Output.concat("arn:", estate.partition, ":iam::", estate.account_id, ":root")
    named: list[pulumi.Input[str]] = [*principals] or [account]
    return document({"Sid": sid, "Effect": "Allow", "Action": ["sts:AssumeRole"], "Principal": {"AWS": named}})


def reader_statements(
    estate: Estate, storage: Storage, keys: Keys, databases: Sequence[pulumi.Input[str]], results: str, workgroup: str
) -> list[Statement]:
    """Queries in a workgroup over these Glue databases, with results under the prefix `results` of their own."""
    bucket = storage.query_results
    only_results: dict[str, dict[str, object]] = {
        "StringEquals": {"kms:ViaService": f"s3.{estate.config.region}.amazonaws.com"},
        "StringLike": {"kms:EncryptionContext:aws:s3:arn": [pulumi.Output.concat(bucket.arn, "*")]},
    }
    return [
        # Lake Formation hands out the data itself; this is only the right to ask.
        statement("AskLakeFormation", ["lakeformation:GetDataAccess"], ["*"]),
        statement("LookIntoCatalog", LOOK, _catalog(estate, databases)),
        statement("RunQueries", RUN, [estate.arn("athena", f"workgroup/{workgroup}")]),
        statement("KeepOwnResults", ["s3:GetObject", "s3:PutObject"], bucket.below(results)),
        statement("FindResults", ["s3:GetBucketLocation"], [bucket.arn]),
        # The lake's key, but only for what S3 does with query results: not for the tables.
        statement(
            "EncryptResults", ["kms:Decrypt", "kms:GenerateDataKey"], [keys.arn("lake")], conditions=only_results
        ),
        statement("ReadCatalogKey", READ, [keys.arn("catalog")]),
    ]  # fmt: skip


def _catalog(estate: Estate, databases: Sequence[pulumi.Input[str]]) -> list[pulumi.Output[str]]:
    arns = [estate.arn("glue", "catalog")]
    for database in databases:
        arns.append(estate.arn("glue", pulumi.Output.concat("database/", database)))
        arns.append(estate.arn("glue", pulumi.Output.concat("table/", database, "/*")))
    return arns
