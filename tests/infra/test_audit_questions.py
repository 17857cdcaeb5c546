"""What auditors' queries answer, run on events as CloudTrail writes them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest
import sqlglot

from infra.audit_tables import TRAIL
from tests.infra.recorded_program import ACCOUNT, REGION, with_everything

QUERY = "aws:athena/namedQuery:NamedQuery"
READERS = "Who read column X in the last 30 days"
FILES = "Who read files of a table past Lake Formation in the last 30 days"
REFUSED = "What was refused to whom in the last 7 days"
POS = f"arn:aws:glue:{REGION}:{ACCOUNT}:table/shopware_lakehouse_dev_silver/validated_pos"
SPECTRUM = f"arn:aws:glue:{REGION}:{ACCOUNT}:table/shopware_lakehouse_dev_spectrum/validated_pos"
LIKE_POS = f"arn:aws:glue:{REGION}:{ACCOUNT}:table/shopware_lakehouse_dev_silver/validatedXpos"
PERSON = "arn:aws:identitystore:::user/459e10f6-a3d0-47ae-bc8d-a66f8b054014"
Event = Mapping[str, Any]


def role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


SALES, ENGINEER = role("shopware-lakehouse-dev-team-sales-euc1"), role("shopware-lakehouse-dev-team-data-engineer-euc1")
WAREHOUSE, JOB, ADMIN = role("shopware-lakehouse-dev-spectrum"), role("shopware-lakehouse-dev-silver"), role("Admin")


def session(of: str, name: str) -> dict[str, Any]:
    """A role's session, as CloudTrail tells of it."""
    taken = of.replace(":iam::", ":sts::").replace(":role/", ":assumed-role/")
    issuer = {"type": "Role", "arn": of, "accountId": ACCOUNT}
    return {
        "type": "AssumedRole",
        "arn": f"{taken}/{name}",
        "accountId": ACCOUNT,
        "sessionContext": {"sessionIssuer": issuer},
    }


def handed_out(table: str, principal: str | None, caller: str, columns: Sequence[str] = (), **more: Any) -> Event:
    """Lake Formation's `GetDataAccess`: the caller is the engine's session, the principal whom it acted for."""
    asked: dict[str, Any] = {"tableArn": table, "permissions": ["SELECT"], "cellLevelSecurityEnforced": True,
                             "auditContext": {"additionalAuditContext": "{queryId: 33333333-4444-5555}"}}  # fmt: skip
    if columns:
        asked["columnNames"] = [*columns]
    added = {"requesterService": "ATHENA"} | ({} if principal is None else {"lakeFormationPrincipal": principal})
    return {
        "eventSource": "lakeformation.amazonaws.com",
        "eventName": "GetDataAccess",
        "userIdentity": session(caller, "someone"),
        "requestParameters": asked,
        "additionalEventData": added,
        **more,
    }


def read(key: str, identity: Mapping[str, Any], **more: Any) -> Event:
    asked = {"bucketName": "lake", "key": key}
    return {"eventSource": "s3.amazonaws.com", "eventName": "GetObject", "userIdentity": identity,
            "requestParameters": asked, **more}  # fmt: skip


VENDED = session(role("shopware-lakehouse-dev-lake-formation-euc1"), "AWSLF-00-AT-123456789012-EXAMPLE04")
REFUSAL = {"errorCode": "AccessDenied", "errorMessage": "no right to it"}
EVENTS: tuple[tuple[int, Event], ...] = (
    # Days ago, and what happened. Athena calls as whoever asks, Redshift as the role of the warehouse.
    (0, handed_out(POS, ENGINEER, ENGINEER)),
    (3, handed_out(POS, ENGINEER, ENGINEER)),
    (29, handed_out(POS, ENGINEER, ENGINEER, ["customer_id", "quantity"])),
    (31, handed_out(POS, ENGINEER, ENGINEER)),
    (1, handed_out(POS, ENGINEER, ENGINEER, ["quantity"])),
    (2, handed_out(POS, SALES, SALES)),
    (2, handed_out(POS, SALES, SALES, **REFUSAL)),
    (4, handed_out(SPECTRUM, WAREHOUSE, ADMIN)),
    (5, handed_out(POS, PERSON, role("shopware-lakehouse-dev-athena-people-euc1"))),
    (6, handed_out(POS, None, ADMIN)),
    (1, handed_out(LIKE_POS, ENGINEER, ENGINEER)),
    (1, {**handed_out(POS, ENGINEER, ENGINEER), "eventName": "GetTableObjects"}),
    (1, {**handed_out(POS, ENGINEER, ENGINEER), "region": "us-east-1"}),
    (0, read("silver/validated_pos/part-1.parquet", session(JOB, "run"))),
    (7, read("silver/validated_pos/part-2.parquet", session(JOB, "run"))),
    (1, read("silver/validated_pos/part-1.parquet", VENDED)),
    (1, read("silver/validated_pos_old/part-1.parquet", session(JOB, "run"))),
    (8, read("silver/validated_pos/part-1.parquet", session(ADMIN, "alice"))),
    (8, read("silver/validated_pos/part-1.parquet", session(SALES, "bob"), **REFUSAL)),
)


@pytest.fixture(scope="module")
def trail() -> Iterator[duckdb.DuckDBPyConnection]:
    """The table `cloudtrail` with the events."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    columns = [(name, kind) for name, kind, _ in (*TRAIL.columns, *TRAIL.partitions)]
    types = [f'"{name}" {sqlglot.exp.DataType.build(kind, dialect="hive").sql("duckdb")}' for name, kind in columns]
    connection.execute(f"create table cloudtrail ({', '.join(types)})")
    now = connection.sql("select current_date + interval 12 hour").fetchall()[0][0]
    for days, event in EVENTS:
        row = _row(event, now - timedelta(days))
        names = ", ".join(f'"{name}"' for name in row)
        connection.execute(
            f"insert into cloudtrail ({names}) values ({', '.join('?' * len(row))})",
            [*row.values()],
        )
    yield connection
    connection.close()


def _row(event: Event, at: datetime) -> dict[str, Any]:
    """As the table's format reads an event: names in lower case, what is free in form as its JSON text."""
    row = {name.lower(): json.dumps(value) if isinstance(value, dict) else value for name, value in event.items()}
    row["useridentity"] = _lower(event["userIdentity"])
    return {"region": REGION, **row, "eventtime": f"{at:%Y-%m-%dT%H:%M:%SZ}", "day": f"{at:%Y/%m/%d}"}


def _lower(value: Any) -> Any:
    return {name.lower(): _lower(each) for name, each in value.items()} if isinstance(value, dict) else value


def answers(trail: duckdb.DuckDBPyConnection, title: str, *parameters: str) -> list[tuple[Any, ...]]:
    """What the saved query of this title gives."""
    [text] = [each.at("query") for each in with_everything("dev").of(QUERY) if each.at("name") == title]
    [sql] = sqlglot.transpile(text, read="athena", write="duckdb")
    return trail.execute(sql, parameters).fetchall()


def ago(trail: duckdb.DuckDBPyConnection, days: int) -> str:
    [(found,)] = trail.sql(f"select strftime(current_date - {days}, '%Y-%m-%dT12:00:00Z')").fetchall()
    return str(found)


def test_readers_of_a_personal_column_are_those_who_may_see_it(trail: duckdb.DuckDBPyConnection) -> None:
    """For whom Lake Formation acted, not who called. A request that names no columns counts, unless the contracts hide
    this one from the team.
    """
    assert answers(trail, READERS, "validated_pos", "customer_id") == [
        (ENGINEER, POS, 3, 1, ago(trail, 0)),
        (ADMIN, POS, 1, 0, ago(trail, 6)),
        (WAREHOUSE, SPECTRUM, 1, 0, ago(trail, 4)),
        (PERSON, POS, 1, 0, ago(trail, 5)),
    ]


def test_readers_of_an_open_column_are_all_who_were_handed_the_table(trail: duckdb.DuckDBPyConnection) -> None:
    assert answers(trail, READERS, "validated_pos", "quantity") == [
        (ENGINEER, POS, 4, 2, ago(trail, 0)),
        (ADMIN, POS, 1, 0, ago(trail, 6)),
        (WAREHOUSE, SPECTRUM, 1, 0, ago(trail, 4)),
        (SALES, POS, 1, 0, ago(trail, 2)),
        (PERSON, POS, 1, 0, ago(trail, 5)),
    ]


def test_nobody_read_what_nobody_was_handed(trail: duckdb.DuckDBPyConnection) -> None:
    assert answers(trail, READERS, "sales_kpis", "value") == []


def test_readers_of_files_are_those_that_lake_formation_did_not_send(trail: duckdb.DuckDBPyConnection) -> None:
    assert answers(trail, FILES, "silver/validated_pos") == [(JOB, 2, ago(trail, 0)), (ADMIN, 1, ago(trail, 8))]


def test_refusals_of_a_week(trail: duckdb.DuckDBPyConnection) -> None:
    assert answers(trail, REFUSED) == [
        (ago(trail, 2), SALES, "lakeformation.amazonaws.com", "GetDataAccess", "no right to it")
    ]
