"""Athena: one workgroup with limits, and queries to begin with, for each team's KPIs and for auditors."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.catalog import AUDIT, Catalog
from infra.documents import document, trust
from infra.estate import Estate
from infra.governance import LAYERS_READ, Governance
from infra.keys import Keys
from infra.readers import reader_statements
from infra.storage import Storage
from lakehouse.policies import Access

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
        workgroup = aws.athena.Workgroup(
            name,
            name=estate.name(),
            description="Gold and silver, for the teams",
            configuration=_limits(args, "athena"),
            force_destroy=estate.config.data_may_go,
            opts=child,
        )
        self.workgroup_name = workgroup.name
        for access in estate.access:
            if access.row_filter is not None and access.table.startswith("gold."):
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
        if estate.config.identity_center is not None:
            self._for_groups(name, args, estate.config.identity_center)
        self.register_outputs({"workgroup": self.workgroup_name})

    def _for_groups(self, name: str, args: QueryArgs, instance: str) -> None:
        """A second workgroup, in which a query runs as the person who asks: what the groups of IAM Identity Center may
        read counts. The role does the rest of the work, and may read no table by itself.
        """
        estate, child = args.estate, pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(
            f"{name}-people",
            name=estate.name("athena-people"),
            description="Runs the queries of people of IAM Identity Center",
            assume_role_policy=trust("athena.amazonaws.com", estate.account_id, on_behalf=True),
            opts=child,
        )
        databases = [args.catalog.databases[layer] for layer in LAYERS_READ]
        workgroup, results = estate.name("people"), "people/"
        policy = aws.iam.RolePolicy(
            f"{name}-people",
            role=role.id,
            policy=document(*reader_statements(estate, args.storage, args.keys, databases, results, workgroup)),
            opts=child,
        )
        people = aws.athena.WorkgroupConfigurationIdentityCenterConfigurationArgs(
            enable_identity_center=True, identity_center_instance_arn=instance
        )
        aws.athena.Workgroup(
            f"{name}-people",
            name=workgroup,
            description="Gold and silver, for people of IAM Identity Center",
            configuration=_limits(args, results.rstrip("/"), people, role.arn),
            force_destroy=estate.config.data_may_go,
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[policy])),
        )


def _limits(
    args: QueryArgs,
    results: str,
    people: aws.athena.WorkgroupConfigurationIdentityCenterConfigurationArgs | None = None,
    role: pulumi.Output[str] | None = None,
) -> aws.athena.WorkgroupConfigurationArgs:
    """What no query of a workgroup can loosen: encrypted results in one place, and a limit for what it may read."""
    encryption = aws.athena.WorkgroupConfigurationResultConfigurationEncryptionConfigurationArgs(
        encryption_option="SSE_KMS", kms_key_arn=args.keys.arn("lake")
    )
    return aws.athena.WorkgroupConfigurationArgs(
        enforce_workgroup_configuration=True,
        publish_cloudwatch_metrics_enabled=True,
        bytes_scanned_cutoff_per_query=args.estate.config.athena_scan_limit_gb * GIGABYTE,
        execution_role=role,
        identity_center_configuration=people,
        result_configuration=aws.athena.WorkgroupConfigurationResultConfigurationArgs(
            output_location=pulumi.Output.concat(args.storage.query_results.uri, f"/{results}/"),
            encryption_configuration=encryption,
        ),
    )


def recent(access: Access) -> str:
    """The last 30 days of what a team may see of a table of KPIs."""
    columns, table = ", ".join(access.columns), access.table.partition(".")[2]
    since = "period_start >= date_add('day', -30, current_date)"
    return f"SELECT {columns}\nFROM {table}\nWHERE {since} AND {access.row_filter}\nORDER BY 1"
