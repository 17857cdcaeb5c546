"""What Lake Formation is told of one principal: databases it may know of, whole tables it may use, and opt-ins, without
which a grant on a location in hybrid mode does not count.
"""

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from infra.estate import Estate

SELECT, DESCRIBE, ALTER = "SELECT", "DESCRIBE", "ALTER"
Text = pulumi.Input[str]


def see_database(name: str, principal: Text, database: Text, opts: pulumi.ResourceOptions) -> None:
    """The principal may know of the database, which is needed to find any table in it."""
    aws.lakeformation.Permissions(
        name,
        principal=principal,
        permissions=[DESCRIBE],
        database=aws.lakeformation.PermissionsDatabaseArgs(name=database),
        opts=opts,
    )


def use_table(
    name: str, principal: Text, permissions: Sequence[str], database: Text, table: Text, opts: pulumi.ResourceOptions
) -> None:
    """The principal has these permissions on the whole table."""
    aws.lakeformation.Permissions(
        name,
        principal=principal,
        permissions=list(permissions),
        table=aws.lakeformation.PermissionsTableArgs(database_name=database, name=table),
        opts=opts,
    )


def opt_in(
    name: str, estate: Estate, principal: Text, database: Text, table: Text, opts: pulumi.ResourceOptions
) -> None:
    """Lake Formation decides what the principal may do with the table; IAM alone no longer does."""
    aws.lakeformation.OptIn(
        name,
        principals=[aws.lakeformation.OptInPrincipalArgs(data_lake_principal_identifier=principal)],
        resource_datas=[
            aws.lakeformation.OptInResourceDataArgs(
                table=aws.lakeformation.OptInResourceDataTableArgs(
                    catalog_id=estate.account_id, database_name=database, name=table
                )
            )
        ],
        opts=opts,
    )
