"""`python -m tests.infra.completed_moto`: moto's server with the few operations that the estate needs beyond moto's.

Importing it completes the moto of this process.
"""

import datetime as dt
import json
import sys
from typing import Any

from moto.athena.responses import AthenaResponse
from moto.core.responses import ActionResult
from moto.emrserverless.exceptions import ValidationException
from moto.emrserverless.models import Application, EMRServerlessBackend, JobRun
from moto.emrserverless.responses import EMRServerlessResponse
from moto.glue.models import FakeConnection
from moto.glue.responses import GlueResponse
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.lakeformation.exceptions import InvalidInput
from moto.lakeformation.models import LakeFormationBackend
from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response
from moto.server import main


def delete_named_query(self: AthenaResponse) -> str:
    """Athena's DeleteNamedQuery."""
    self.athena_backend.named_queries.pop(self._get_param("NamedQueryId"), None)
    return "{}"


def delete_connection(self: GlueResponse) -> str:
    """Glue's DeleteConnection."""
    self.glue_backend.connections.pop(self._get_param("ConnectionName"), None)
    return "{}"


def whole_connection(self: FakeConnection, hide_password: bool = False) -> dict[str, Any]:
    """A Glue connection with all that it was made with: its type and network too."""
    return self.connection_input | _as_dict(self, hide_password)


def get_bucket_logging(self: S3Response) -> Any:
    """S3's GetBucketLogging with the form of the logs' names, which moto forgets."""
    kept = self.backend.get_bucket_logging(self.bucket_name)
    names = ("TargetBucket", "TargetPrefix", "TargetObjectKeyFormat")
    told = {name: kept[name] for name in names if name in kept}
    return self.serialized(ActionResult({"LoggingEnabled": told} if told else {}))


def get_permission(self: FakeBucket, action: str, resource: str) -> Any:
    """What a bucket's policy says of a call of ours: moto knows no conditions, and would take `deny what is not TLS`
    for `deny`. None of ours holds for a call from here.
    """
    policy = json.loads(self.policy or '{"Statement": []}')
    policy["Statement"] = [each for each in policy["Statement"] if "Condition" not in each]
    if not policy["Statement"]:
        return PermissionResult.NEUTRAL
    return IAMPolicy(json.dumps(policy)).is_action_permitted(action, resource)


def remove_tags(
    self: LakeFormationBackend, catalog_id: str, resource: dict[str, Any], tags: list[dict[str, str]]
) -> None:
    """Lake Formation's RemoveLFTagsFromResource: moto gives the columns of a table one list of tags, and takes a tag
    off it once for each column.
    """
    if (place := resource.get("TableWithColumns")) is None:
        _remove_tags(self, catalog_id, resource, tags)
        return
    keys = {tag["TagKey"] for tag in tags}
    for column in place["ColumnNames"]:
        name = (place.get("CatalogId", self.account_id), place["DatabaseName"], place["Name"], column)
        self.lf_columns_tags[name] = [tag for tag in self.lf_columns_tags[name] if tag["TagKey"] not in keys]


def list_permissions(
    self: LakeFormationBackend, catalog_id: str, principal: Any = None, resource: Any = None, resource_type: Any = None
) -> list[dict[str, Any]]:
    """Lake Formation's ListPermissions, which tells of a table the grants on some of its columns too."""
    found = _list_permissions(self, catalog_id, principal, resource, resource_type)
    if resource is None or resource.table is None or catalog_id not in self.grants:
        return found
    for each in self.grants[catalog_id].permissions:
        place = each.resource.get("TableWithColumns", {})
        same = (place.get("DatabaseName"), place.get("Name")) == (resource.table.database_name, resource.table.name)
        if same and principal in (None, each.principal):
            found.append(each.to_external_form())
    return found


def revoke_permissions(
    self: LakeFormationBackend, catalog_id: str, principal: dict[str, str], resource: dict[str, Any], **rights: Any
) -> None:
    """Lake Formation's RevokePermissions, which refuses to take what nobody has: so a caller sees that it is gone."""
    granted = self.grants[catalog_id].permissions if catalog_id in self.grants else set()
    if not any((each.principal, each.resource) == (principal, resource) for each in granted):
        raise InvalidInput("No permissions revoked. Grantee has no such permissions.")
    _revoke_permissions(self, catalog_id, principal, resource, **rights)


# A run with this in the name of its entry point fails at once, as one does whose code is not there.
BROKEN = "broken"
ENDED = ("SUCCESS", "FAILED", "CANCELLED")


def create_application(self: EMRServerlessBackend, **given: Any) -> Application:
    """EMR's CreateApplication: any release, the type in any case, and not started by being created."""
    release, kind = given["release_label"], given["application_type"]
    made = _create_application(self, **{**given, "release_label": "emr-7.5.0", "application_type": kind.upper()})
    made.release_label, made.state = release, "CREATED"
    return made


def create_whole_application(self: EMRServerlessResponse) -> ActionResult:
    """The application with its architecture, which moto forgets."""
    answer = _create_whole_application(self)
    made = self.emrserverless_backend.applications[answer.result["applicationId"]]  # type: ignore[index]
    made.architecture = self._get_param("architecture") or "X86_64"  # type: ignore[attr-defined]
    return answer


def stop_application(self: EMRServerlessBackend, application_id: str) -> None:
    """EMR's StopApplication, which refuses while runs are active."""
    if any(run.state not in ENDED for run in self.job_runs.get(application_id, [])):
        raise ValidationException(f"Application {application_id} has active job runs")
    _stop_application(self, application_id)


def start_job_run(self: EMRServerlessBackend, application_id: str, **given: Any) -> JobRun:
    """EMR's StartJobRun: the run goes on, and is the same for the same token."""
    for run in self.job_runs.get(application_id, []):
        if run.client_token == given["client_token"]:
            return run
    if self.get_application(application_id).state == "STOPPING":
        raise ValidationException(f"Application {application_id} is stopping")
    run = _start_job_run(self, application_id=application_id, **given)
    if BROKEN in str(given["job_driver"]):
        run.state, run.state_details = "FAILED", "no such entry point"
    return run


def make_run(self: JobRun, **given: Any) -> None:
    """A run that was created now, where moto has midnight, and that runs, all before anybody can list it."""
    _make_run(self, **given)
    self.created_at = dt.datetime.now(dt.UTC)
    self.state, self.state_details = "RUNNING", ""


def cancel_job_run(self: EMRServerlessBackend, application_id: str, job_run_id: str) -> tuple[str, str]:
    """EMR's CancelJobRun, which refuses what has ended and tells when it ended a run."""
    if (run := self.get_job_run(application_id, job_run_id)).state in ENDED:
        raise ValidationException(f"Job run {job_run_id} is {run.state}")
    run.updated_at = dt.datetime.now(dt.UTC)
    return _cancel_job_run(self, application_id, job_run_id)


def list_job_runs(self: EMRServerlessBackend, application_id: str, *given: Any, **named: Any) -> list[JobRun]:
    """EMR's ListJobRuns, of an application that never had a run too."""
    if application_id in self.applications:
        self.job_runs.setdefault(application_id, [])
    return _list_job_runs(self, application_id, *given, **named)


_create_application = EMRServerlessBackend.create_application
_create_whole_application = EMRServerlessResponse.create_application
_stop_application = EMRServerlessBackend.stop_application
_start_job_run = EMRServerlessBackend.start_job_run
_make_run = JobRun.__init__
_cancel_job_run = EMRServerlessBackend.cancel_job_run
_list_job_runs = EMRServerlessBackend.list_job_runs
EMRServerlessBackend.create_application = create_application  # type: ignore[method-assign,assignment]
EMRServerlessResponse.create_application = create_whole_application  # type: ignore[method-assign]
EMRServerlessBackend.stop_application = stop_application  # type: ignore[method-assign]
EMRServerlessBackend.start_job_run = start_job_run  # type: ignore[method-assign,assignment]
JobRun.__init__ = make_run  # type: ignore[method-assign,assignment]
EMRServerlessBackend.cancel_job_run = cancel_job_run  # type: ignore[method-assign]
EMRServerlessBackend.list_job_runs = list_job_runs  # type: ignore[method-assign]

_list_permissions = LakeFormationBackend.list_permissions
_revoke_permissions = LakeFormationBackend.revoke_permissions
_remove_tags = LakeFormationBackend.remove_lf_tags_from_resource
LakeFormationBackend.list_permissions = list_permissions  # type: ignore[method-assign]
LakeFormationBackend.revoke_permissions = revoke_permissions  # type: ignore[method-assign,assignment]
LakeFormationBackend.remove_lf_tags_from_resource = remove_tags  # type: ignore[method-assign]

_as_dict = FakeConnection.as_dict
FakeBucket.get_permission = get_permission  # type: ignore[method-assign]
S3Response.get_bucket_logging = get_bucket_logging  # type: ignore[method-assign]
AthenaResponse.delete_named_query = delete_named_query  # type: ignore[attr-defined]
GlueResponse.delete_connection = delete_connection  # type: ignore[attr-defined]
FakeConnection.as_dict = whole_connection  # type: ignore[method-assign]

if __name__ == "__main__":
    main(sys.argv[1:])
