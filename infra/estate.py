"""What every component shares: names, tags, and what happens to resources that hold data when the estate goes."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.config import EstateConfig
from infra.regions import short_name
from lakehouse.contract_model import CLASSIFICATIONS
from lakehouse.contracts import Contracts
from lakehouse.policies import Access, all_access
from lakehouse.settings import Settings


@dataclass(frozen=True)
class Estate:
    """One stack: its configuration, its contracts, and the account that it lies in.

    `adopting` is the account's id where the stack takes over what an earlier one left (`adopt`), else empty.
    """

    config: EstateConfig
    contracts: Contracts
    account_id: pulumi.Output[str]
    partition: pulumi.Output[str]
    adopting: str = ""

    def name(self, *parts: str) -> str:
        """A physical name such as `shopware-lakehouse-dev-bronze`."""
        return "-".join((self.config.name, self.config.environment, *parts))

    def bucket_name(self, purpose: str) -> pulumi.Output[str]:
        """A bucket's name: bucket names are global, so the account and region take part."""
        return pulumi.Output.concat(self.name(purpose), "-", self.account_id, "-", short_name(self.config.region))

    def global_name(self, *parts: str) -> str:
        """A name where an account has only one of it in all Regions, such as a role's."""
        return self.name(*parts, short_name(self.config.region))

    def database(self, layer: str) -> str:
        """The Glue database of a layer; SQL wants no dashes in its name."""
        return self.name(layer).replace("-", "_")

    def arn(self, service: str, resource: pulumi.Input[str], regional: bool = True) -> pulumi.Output[str]:
        """The ARN of a resource in this account, for policies that name it before it exists."""
        region = self.config.region if regional else ""
        return pulumi.Output.concat("arn:", self.partition, f":{service}:{region}:", self.account_id, ":", resource)

    @property
    def access(self) -> tuple[Access, ...]:
        """Who may read what: the contracts' grants, confined to regions where the configuration says so."""
        return all_access(self.contracts, self.config.team_regions)

    @property
    def streaming_sources(self) -> tuple[str, ...]:
        """The sources that come on a stream; the others come in files."""
        return tuple(Settings.model_fields["streams"].default)

    def classification(self, table: str) -> str:
        """The strictest classification among a table's columns."""
        found = {column.classification for column in self.contracts.table(table).columns}
        return max(found, key=CLASSIFICATIONS.index)

    @property
    def tags(self) -> Mapping[str, str]:
        """The default tags of every resource; a component adds `data-classification` where it holds data."""
        return {
            "project": self.config.name,
            "environment": self.config.environment,
            "owner": self.config.owner,
            "cost-centre": self.config.cost_centre,
            "data-classification": "internal",
        }

    def keeps_data(self, parent: pulumi.Resource, identity: str, **more: object) -> pulumi.ResourceOptions:
        """Options of a resource that holds data or protects it: `pulumi destroy` leaves it, unless the configuration
        says otherwise.

        `identity` is what AWS knows it by, with `{account}` for the account's id: with `adopt` the one that was left is
        taken over instead of made, which would fail on its name.
        """
        left = identity.format(account=self.adopting) if self.adopting else None
        return pulumi.ResourceOptions.merge(
            pulumi.ResourceOptions(parent=parent, retain_on_delete=not self.config.data_may_go, import_=left),
            pulumi.ResourceOptions(**more),  # type: ignore[arg-type]
        )
