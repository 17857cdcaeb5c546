"""Lake Formation tags that say how delicate each table and column is, from the contracts."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.catalog import Catalog
from infra.estate import Estate
from infra.governance import Governance
from lakehouse.contract_model import CLASSIFICATIONS


@dataclass(frozen=True)
class ClassificationArgs:
    """What is tagged, once there are administrators who may."""

    estate: Estate
    catalog: Catalog
    governance: Governance


class Classification(pulumi.ComponentResource):
    """A tag `<name>-classification` on every table (its strictest column's) and on the columns that are less strict.

    The tags tell; they grant nothing. A team's rows and columns come from grants by name (`infra/governance.py`): what
    a grant by tag gives is added to that, and would pass by the row filters. Costs nothing.
    """

    def __init__(self, name: str, args: ClassificationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Classification", name, None, opts)
        estate = args.estate
        tag = aws.lakeformation.LfTag(
            name,
            key=estate.name("classification"),
            values=list(CLASSIFICATIONS),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.governance]),
        )
        for table, declared in args.catalog.tables.items():
            layer, _, table_name = table.partition(".")
            database, strictest = args.catalog.databases[layer], estate.classification(table)
            own = pulumi.ResourceOptions(parent=self, depends_on=[declared])
            whole = aws.lakeformation.ResourceLfTag(
                f"{name}-{layer}-{table_name}",
                lf_tag=aws.lakeformation.ResourceLfTagLfTagArgs(key=tag.key, value=strictest),
                table=aws.lakeformation.ResourceLfTagTableArgs(database_name=database, name=declared.name),
                opts=own,
            )
            for classification, columns in _less_strict(estate, table, strictest).items():
                aws.lakeformation.ResourceLfTag(
                    f"{name}-{layer}-{table_name}-{classification}",
                    lf_tag=aws.lakeformation.ResourceLfTagLfTagArgs(key=tag.key, value=classification),
                    table_with_columns=aws.lakeformation.ResourceLfTagTableWithColumnsArgs(
                        database_name=database, name=declared.name, column_names=columns
                    ),
                    # Columns take their table's tag until they have one of their own.
                    opts=pulumi.ResourceOptions(parent=self, depends_on=[whole]),
                )
        self.register_outputs({"tag": tag.key})


def _less_strict(estate: Estate, table: str, strictest: str) -> dict[str, list[str]]:
    """The columns by classification, without those that are as their table is."""
    found: dict[str, list[str]] = {}
    for column in estate.contracts.table(table).columns:
        if column.classification != strictest:
            found.setdefault(column.classification, []).append(column.stored_as)
    return found
