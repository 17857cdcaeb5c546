"""The AWS estate of the lakehouse, as a table of contents. `pulumi up` makes it; docs/deploy.md tells how."""

import pulumi
import pulumi_aws as aws

from infra import config as configuration
from infra.account_settings import AccountSettings, AccountSettingsArgs
from infra.audit import Audit, AuditArgs
from infra.auditors import Auditors, AuditorsArgs
from infra.batch import Batch, BatchArgs
from infra.catalog import Catalog, CatalogArgs
from infra.classification import Classification, ClassificationArgs
from infra.compute import Compute, ComputeArgs
from infra.cost import Cost, CostArgs
from infra.estate import Estate
from infra.governance import Governance, GovernanceArgs
from infra.keys import Keys, KeysArgs
from infra.manifests import Manifests, ManifestsArgs
from infra.monitoring import Monitoring, MonitoringArgs
from infra.network import Network, NetworkArgs
from infra.outputs import outputs
from infra.package import package
from infra.query import Query, QueryArgs
from infra.storage import Storage, StorageArgs
from infra.streams import Streams, StreamsArgs
from infra.tags import tag_everything
from infra.warehouse import Warehouse, WarehouseArgs
from lakehouse.contracts import load_contracts
from lakehouse.policies import role_names
from lakehouse.settings import CONTRACTS


def declare() -> None:
    """Declares the whole estate from the stack's configuration and the contracts."""
    contracts = load_contracts(CONTRACTS)
    config = configuration.load(pulumi.Config("shopware-lakehouse"), aws.config.region, role_names(contracts))
    adopting = aws.get_caller_identity().account_id if config.adopt else ""
    caller = aws.get_caller_identity_output()
    estate = Estate(config, contracts, caller.account_id, aws.get_partition_output().partition, adopting)

    tag_everything(estate.tags)

    # Where data lies, and what protects it
    keys = Keys("keys", KeysArgs(estate))
    network = Network("network", NetworkArgs(estate, keys))
    storage = Storage("storage", StorageArgs(estate, keys))
    streams = Streams("streams", StreamsArgs(estate, keys, storage))

    # What the data is, and who may see it
    settings = AccountSettings("account", AccountSettingsArgs(estate, keys))
    catalog = Catalog("catalog", CatalogArgs(estate, settings, storage))
    governance = Governance("governance", GovernanceArgs(estate, keys, settings, storage, catalog))
    Classification("classification", ClassificationArgs(estate, catalog, governance))

    # What moves the data
    code = package(estate, storage)
    compute = Compute("compute", ComputeArgs(estate, keys, network, storage, streams, catalog, code))
    batch = Batch("batch", BatchArgs(estate, keys, network, storage, catalog, code))

    # How people read it
    Manifests("manifests", ManifestsArgs(estate, keys, storage, catalog, governance, compute))
    query = Query("query", QueryArgs(estate, keys, storage, catalog, governance))

    warehouse = None
    if config.switches.warehouse:
        warehouse = Warehouse("warehouse", WarehouseArgs(estate, keys, network, catalog, governance))

    # Who watches over it
    audit = Audit("audit", AuditArgs(estate, keys, storage, catalog))
    auditors = Auditors("auditors", AuditorsArgs(estate, keys, storage, catalog, governance, audit))
    monitoring = Monitoring("monitoring", MonitoringArgs(estate, keys, storage, streams, compute, batch, audit))
    Cost("cost", CostArgs(estate, monitoring))

    told = outputs(estate, storage, streams, compute, batch, governance, query, warehouse, auditors, monitoring)
    for name, value in told.items():
        pulumi.export(name, value)


if __name__ == "__main__":
    declare()
