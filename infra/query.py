"""Athena: one workgroup with limits, and queries to begin with, for each team's KPIs and for auditors."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.catalog import AUDIT, Catalog
from infra.estate import Estate
from infra.governance import Governance
from infra.keys import Keys
from infra.storage import Storage
from lakehouse.policies import Access, all_access

GIGABYTE = 1024**3
# Who read a table's column in the last 30 days, as Lake Formation noted it when it handed out the data.
COLUMN_READERS = """SELECT useridentity.arn AS who, count(*) AS times, max(eventtime) AS last
FROM cloudtrail
WHERE eventsource = 'lakeformation.amazonaws.com' AND eventname = 'GetDataAccess'
  AND day >= date_format(date_add('day', -30, current_date), '%Y/%m/%d')
  AND requestparameters LIKE concat('%', ?, '%')
GROUP BY 1 ORDER BY 2 DESC"""
DENIED = """SELECT eventtime, useridentity.arn AS who, eventsource, eventname, errormessage
FROM cloudtrail
WHERE errorcode IN ('AccessDenied', 'AccessDeniedException')
  AND day >= date_format(date_add('day', -7, current_date), '%Y/%m/%d')
ORDER BY 1 DESC"""
AUDIT_QUERIES = {
    "readers-of-a-table-or-column": ("Who read table or column X in the last 30 days", COLUMN_READERS),
    "denied": ("What was refused to whom in the last 7 days", DENIED),
}


@dataclass(frozen=True)
class QueryArgs:
    """What there is to query."""

    estate: Estate
    keys: Keys
    storage: Storage
    catalog: Catalog
    governance: Governance


class Query(pulumi.ComponentResource):
    """An Athena workgroup that nobody can loosen: encrypted results, a limit for what a query may read.

    Costs 5 USD a TB read.
    """

    def __init__(self, name: str, args: QueryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Query", name, None, opts)
        estate, child = args.estate, pulumi.ResourceOptions(parent=self)
        encryption = aws.athena.WorkgroupConfigurationResultConfigurationEncryptionConfigurationArgs(
            encryption_option="SSE_KMS", kms_key_arn=args.keys.arn("lake")
        )
        workgroup = aws.athena.Workgroup(
            name,
            name=estate.name(),
            description="Gold and silver, for the teams",
            configuration=aws.athena.WorkgroupConfigurationArgs(
                enforce_workgroup_configuration=True,
                publish_cloudwatch_metrics_enabled=True,
                bytes_scanned_cutoff_per_query=estate.config.athena_scan_limit_gb * GIGABYTE,
                result_configuration=aws.athena.WorkgroupConfigurationResultConfigurationArgs(
                    output_location=pulumi.Output.concat(args.storage.query_results.uri, "/athena/"),
                    encryption_configuration=encryption,
                ),
            ),
            force_destroy=estate.config.data_may_go,
            opts=child,
        )
        self.workgroup_name = workgroup.name
        for access in all_access(estate.contracts):
            if access.row_filter is not None:
                aws.athena.NamedQuery(
                    f"{name}-{access.role}-{access.table.partition('.')[2]}",
                    name=f"{access.role}: {access.table}, last 30 days",
                    workgroup=workgroup.name,
                    database=args.catalog.databases["gold"],
                    query=recent(access),
                    opts=child,
                )
        for query, (title, text) in AUDIT_QUERIES.items():
            aws.athena.NamedQuery(
                f"{name}-{query}",
                name=title,
                workgroup=workgroup.name,
                database=args.catalog.databases[AUDIT],
                query=text,
                opts=child,
            )
        self.register_outputs({"workgroup": self.workgroup_name})


def recent(access: Access) -> str:
    """The last 30 days of what a team may see of a table of KPIs."""
    columns, table = ", ".join(access.columns), access.table.partition(".")[2]
    since = "period_start >= date_add('day', -30, current_date)"
    return f"SELECT {columns}\nFROM {table}\nWHERE {since} AND {access.row_filter}\nORDER BY 1"
