"""Who may ask the audit tables: a role for auditors, which sees who did what and nothing of the data itself."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.audit import Audit
from infra.catalog import AUDIT, Catalog
from infra.documents import document, statement
from infra.estate import Estate
from infra.governance import Governance
from infra.grants import DESCRIBE, SELECT, see_database, use_table
from infra.keys import READ, Keys
from infra.readers import AUDITOR, place_of, reader_statements, taken_by
from infra.storage import Storage


@dataclass(frozen=True)
class AuditorsArgs:
    """What there is to audit, and the tables over it."""

    estate: Estate
    keys: Keys
    storage: Storage
    catalog: Catalog
    governance: Governance
    audit: Audit


class Auditors(pulumi.ComponentResource):
    """A role that reads the tables of the audit database through Athena.

    The logs lie outside of the locations that Lake Formation hands out, so the role reads their objects by IAM; that it
    may know of the tables is Lake Formation's to say, as for every table of this catalog. Costs nothing.
    """

    def __init__(self, name: str, args: AuditorsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Auditors", name, None, opts)
        estate, storage, keys = args.estate, args.storage, args.keys
        role = aws.iam.Role(
            name,
            name=estate.global_name("auditor"),
            description="Asks who did what in the estate, and who read what",
            assume_role_policy=taken_by("Auditors", estate.config.auditors),
            max_session_duration=8 * 3600,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.role_arn = role.arn
        database, logs = args.catalog.databases[AUDIT], (storage.audit, storage.access_logs)
        aws.iam.RolePolicy(
            name,
            role=role.id,
            policy=document(
                *reader_statements(estate, storage, keys, [database], place_of(estate, AUDITOR)),
                statement("ReadLogs", ["s3:GetObject"], [arn for bucket in logs for arn in bucket.below("")]),
                statement("ListLogs", ["s3:ListBucket", "s3:GetBucketLocation"], [bucket.arn for bucket in logs]),
                statement("DecryptLogs", READ, [keys.arn("audit")]),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._grant(name, args, role.arn)
        self.register_outputs({"role": self.role_arn})

    def _grant(self, name: str, args: AuditorsArgs, role: pulumi.Output[str]) -> None:
        database = args.catalog.databases[AUDIT]
        after = pulumi.ResourceOptions(parent=self, depends_on=[args.governance])
        see_database(f"{name}-database", role, database, after)
        for table, declared in args.audit.tables.items():
            own = pulumi.ResourceOptions.merge(after, pulumi.ResourceOptions(depends_on=[declared]))
            use_table(f"{name}-{table}", role, (DESCRIBE, SELECT), database, declared.name, own)
