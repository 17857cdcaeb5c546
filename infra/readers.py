"""Roles of people: who may take one, and what it needs to ask Athena. The data itself is Lake Formation's to give."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from infra.documents import Statement, document, statement
from infra.estate import Estate
from infra.keys import READ, Keys
from infra.storage import Storage

AUDITOR, PEOPLE = "auditor", "people"
LOOK = ("glue:GetDatabase", "glue:GetDatabases", "glue:GetTable", "glue:GetTables", "glue:GetPartition",
        "glue:GetPartitions")  # fmt: skip
# What the console, JDBC and ODBC call: of a workgroup, of the catalog, and lists of what no policy can name.
RUN = ("athena:StartQueryExecution", "athena:StopQueryExecution", "athena:GetQueryExecution",
       "athena:BatchGetQueryExecution", "athena:ListQueryExecutions", "athena:GetQueryResults",
       "athena:GetQueryResultsStream", "athena:GetQueryRuntimeStatistics", "athena:GetWorkGroup",
       "athena:ListNamedQueries", "athena:GetNamedQuery", "athena:BatchGetNamedQuery")  # fmt: skip
BROWSE = ("athena:GetDataCatalog", "athena:ListDatabases", "athena:GetDatabase", "athena:ListTableMetadata",
          "athena:GetTableMetadata")  # fmt: skip
LIST = ("athena:ListWorkGroups", "athena:ListDataCatalogs")
# A result of many gigabytes is put in parts.
KEEP = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")


@dataclass(frozen=True)
class Place:
    """Where one group of readers asks: a workgroup of its own, and the folder of its results that nobody else reads."""

    workgroup: str
    folder: str


def place_of(estate: Estate, reader: str) -> Place:
    """The place of a team, of `AUDITOR` or of `PEOPLE`: the workgroup puts results where its readers may keep them."""
    return Place(estate.name(reader.replace("_", "-")), f"{reader}/")


def team_role_name(estate: Estate, team: str) -> str:
    """The name of a team's IAM role."""
    return estate.global_name("team", team.replace("_", "-"))


def taken_by(sid: str, principals: Sequence[str]) -> pulumi.Output[str]:
    """The trust policy of a role that these IAM roles may take, and, where none is named, nobody: IAM takes no policy
    without a statement.
    """
    action: Statement = {"Sid": sid, "Action": ["sts:AssumeRole"]}
    if principals:
        return document({**action, "Effect": "Allow", "Principal": {"AWS": list(principals)}})
    return document({**action, "Effect": "Deny", "Principal": {"AWS": "*"}})


def reader_statements(
    estate: Estate, storage: Storage, keys: Keys, databases: Sequence[pulumi.Input[str]], place: Place
) -> list[Statement]:
    """Queries over these Glue databases in a workgroup of their own, whose results no other reader sees."""
    bucket = storage.query_results
    only_results: dict[str, dict[str, object]] = {
        "StringEquals": {"kms:ViaService": f"s3.{estate.config.region}.amazonaws.com"},
        "StringLike": {"kms:EncryptionContext:aws:s3:arn": [pulumi.Output.concat(bucket.arn, "*")]},
    }
    own_folder = {"StringLike": {"s3:prefix": [f"{place.folder}*"]}}
    return [
        # Lake Formation hands out the data itself; this is only the right to ask.
        statement("AskLakeFormation", ["lakeformation:GetDataAccess"], ["*"]),
        statement("LookIntoCatalog", LOOK, _catalog(estate, databases)),
        # Athena looks for this database before any other, whether it is there or not.
        statement(
            "LookForDefault",
            ["glue:GetDatabase"],
            [estate.arn("glue", "catalog"), estate.arn("glue", "database/default")],
        ),
        statement("RunQueries", RUN, [estate.arn("athena", f"workgroup/{place.workgroup}")]),
        statement("BrowseCatalog", BROWSE, [estate.arn("athena", "datacatalog/AwsDataCatalog")]),
        statement("ListPlaces", LIST, ["*"]),
        statement("KeepOwnResults", KEEP, bucket.below(place.folder)),
        statement("FindOwnResults", ["s3:ListBucket"], [bucket.arn], conditions=own_folder),
        statement("FindResults", ["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"], [bucket.arn]),
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
