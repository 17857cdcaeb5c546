"""What a person needs next, once the estate stands."""

from collections.abc import Mapping
from typing import Any

from infra.auditors import Auditors
from infra.batch import Batch
from infra.compute import Compute
from infra.estate import Estate
from infra.governance import Governance
from infra.monitoring import Monitoring
from infra.query import Query
from infra.storage import Storage
from infra.streams import Streams
from infra.warehouse import Warehouse


def outputs(
    estate: Estate,
    storage: Storage,
    streams: Streams,
    compute: Compute,
    batch: Batch,
    governance: Governance,
    query: Query,
    warehouse: Warehouse | None,
    auditors: Auditors,
    monitoring: Monitoring,
) -> Mapping[str, Any]:
    """Names and addresses, by output name."""
    return {
        "region": estate.config.region,
        "lake": storage.lake.uri,
        "landing": storage.landing.uri,
        "artifacts": storage.artifacts.uri,
        "streams": streams.names,
        "fanOutConsumers": streams.consumer_arns,
        "applicationId": compute.application_id,
        "jobSettings": {layer: compute.settings(layer) for layer in compute.job_roles},
        "jobRoles": {layer: role.arn for layer, role in compute.job_roles.items()},
        "batchJobs": {name: job.name for name, job in batch.jobs.items()},
        "teamRoles": {team: role.arn for team, role in governance.team_roles.items()},
        "auditorRole": auditors.role_arn,
        "athenaWorkgroups": query.workgroup_names,
        "auditorWorkgroup": query.auditor_workgroup_name,
        "warehouse": None if warehouse is None else warehouse.endpoint,
        "warehouseJdbc": None if warehouse is None else warehouse.jdbc_url,
        "warehouseOdbc": None if warehouse is None else warehouse.odbc,
        "warehouseSecret": None if warehouse is None else warehouse.secret_arn,
        "alarmTopic": monitoring.topic_arn,
        "dashboards": monitoring.dashboard_urls,
    }
