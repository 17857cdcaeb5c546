"""What auditors ask of the trail, as Athena's SQL: who read a column, or files past Lake Formation; who was refused.

Lake Formation notes a `GetDataAccess` whenever it hands out a table's data: which table, and for whom. Most events name
no columns. Such a one stands for all columns that its principal may see: all but those that the contracts hide from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.audit_tables import TRAIL_TABLE
from infra.estate import Estate
from infra.readers import team_role_name

# Who it was: for whom Lake Formation acted, else the role behind a session, else the caller.
WHO = (
    "coalesce(json_extract_scalar(additionaleventdata, '$.lakeFormationPrincipal'),"
    " useridentity.sessioncontext.sessionissuer.arn, useridentity.arn, useridentity.invokedby)"
)
COLUMN_READERS = """WITH
asked AS (SELECT ? AS table_name, ? AS column_name),
hidden (principal, table_name, column_name) AS (VALUES {hidden}),
given AS (
  SELECT {who} AS who, eventtime, json_extract_scalar(requestparameters, '$.tableArn') AS table_arn,
    regexp_like(requestparameters, '(?i)column[a-z]*" *:') AS names_columns, requestparameters
  FROM {trail}
  WHERE eventsource = 'lakeformation.amazonaws.com' AND eventname = 'GetDataAccess' AND errorcode IS NULL
    AND region = '{region}'
    AND day >= date_format(date_add('day', -30, current_date), '%Y/%m/%d')
)
SELECT who, table_arn, count(*) AS times,
  sum(CASE WHEN names_columns THEN 1 ELSE 0 END) AS naming_the_column, max(eventtime) AS last
FROM given CROSS JOIN asked
LEFT JOIN hidden ON split_part(who, ':role/', 2) = hidden.principal
  AND asked.table_name = hidden.table_name AND asked.column_name = hidden.column_name
WHERE reverse(split_part(reverse(table_arn), '/', 1)) = asked.table_name
  AND (NOT names_columns OR strpos(requestparameters, concat('"', asked.column_name, '"')) > 0)
  AND hidden.principal IS NULL
GROUP BY who, table_arn
ORDER BY times DESC, who"""
FILE_READERS = """SELECT {who} AS who, count(*) AS times, max(eventtime) AS last
FROM {trail}
WHERE eventsource = 's3.amazonaws.com' AND eventname = 'GetObject' AND errorcode IS NULL
  AND region = '{region}'
  AND day >= date_format(date_add('day', -30, current_date), '%Y/%m/%d')
  AND strpos(json_extract_scalar(requestparameters, '$.key'), concat(?, '/')) = 1
  AND coalesce(useridentity.arn, '') NOT LIKE '%/AWSLF-%'
GROUP BY 1
ORDER BY times DESC, who"""
REFUSED = """SELECT eventtime, {who} AS who, eventsource, eventname, errormessage
FROM {trail}
WHERE errorcode IN ('AccessDenied', 'AccessDeniedException', 'UnauthorizedOperation', 'Client.UnauthorizedOperation')
  AND day >= date_format(date_add('day', -7, current_date), '%Y/%m/%d')
ORDER BY eventtime DESC"""
NOBODY = ("", "", "")


@dataclass(frozen=True)
class Question:
    """A named query; its description says what each `?` is."""

    key: str
    title: str
    description: str
    sql: str


def questions(estate: Estate) -> Iterator[Question]:
    """The questions to this estate's trail."""
    known = {"who": WHO, "trail": TRAIL_TABLE, "region": estate.config.region, "hidden": _hidden(estate)}
    yield Question(
        "readers-of-a-column",
        "Who read column X in the last 30 days",
        "Parameters: table such as 'validated_pos', column. Through Lake Formation: Athena and Redshift.",
        COLUMN_READERS.format(**known),
    )
    yield Question(
        "readers-of-files",
        "Who read files of a table past Lake Formation in the last 30 days",
        "Parameter: folder such as 'silver/validated_pos'. By IAM: the jobs, and whoever else can. All columns.",
        FILE_READERS.format(**known),
    )
    yield Question("refused", "What was refused to whom in the last 7 days", "No parameters.", REFUSED.format(**known))


def _hidden(estate: Estate) -> str:
    """The columns that the contracts hide from a team in tables that it reads, as rows of SQL."""
    rows = [
        (team_role_name(estate, access.role), access.table.partition(".")[2], column)
        for access in estate.access
        for column in estate.contracts.table(access.table).column_names
        if column not in access.columns
    ]
    return ",\n  ".join("(" + ", ".join(f"'{text}'" for text in row) + ")" for row in rows or [NOBODY])
