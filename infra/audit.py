"""Who did what and who read what: CloudTrail over the account and the lake's objects, and tables to ask it with."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.audit_tables import (
    ACCESS,
    LOGGED_BUCKETS,
    TRAIL,
    TRAIL_PREFIX,
    LogTable,
    access_projection,
    trail_projection,
)
from infra.bucket import ACCESS_PREFIX
from infra.catalog import AUDIT, Catalog
from infra.estate import Estate
from infra.keys import Keys
from infra.storage import Storage
from lakehouse.layout import LAYERS

Selector = aws.cloudtrail.TrailAdvancedEventSelectorArgs
Field = aws.cloudtrail.TrailAdvancedEventSelectorFieldSelectorArgs
TEXT_OUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
# The raw copies of the streams hold what bronze holds, so reading them is recorded as well.
ARCHIVE = "archive"


@dataclass(frozen=True)
class AuditArgs:
    """What is audited, and where the record of it goes."""

    estate: Estate
    keys: Keys
    storage: Storage
    catalog: Catalog


class Audit(pulumi.ComponentResource):
    """A trail of all Regions with validated, encrypted logs, and Glue tables over it and over S3's access logs.

    Recorded are management events (Lake Formation's `GetDataAccess`, which says who was let see which columns, is one
    of them, and so is the end of a key) and every read and write of objects in landing, in the lake's tables and in
    the archive. Checkpoints are left out: only jobs touch them, and they do so all the time. The first trail's
    management events are free, data events cost 0.10 USD for 100 000. The log goes to S3 alone: a second copy in
    CloudWatch Logs would cost 0.50 USD a GB, and what must be told at once comes through EventBridge
    (`infra/monitoring.py`).
    """

    def __init__(self, name: str, args: AuditArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Audit", name, None, opts)
        self._name, self._args = name, args
        self.trail_arn: pulumi.Output[str] | None = None
        self.log_group_name: pulumi.Output[str] | None = None
        self.tables: dict[str, aws.glue.CatalogTable] = {}
        config = args.estate.config
        if config.switches.trail:
            self.trail_arn = self._trail().arn
            account = pulumi.Output.concat(
                args.storage.audit.uri, f"/{TRAIL_PREFIX}/AWSLogs/", args.estate.account_id, "/CloudTrail/"
            )
            projection = trail_projection(config.retention.audit, config.region)
            self._table(TRAIL, account, pulumi.Output.from_input(projection))
        # As S3 nests the folders that it delivers to (`infra/bucket.py`).
        requests = pulumi.Output.concat(
            args.storage.access_logs.uri, f"/{ACCESS_PREFIX}", args.estate.account_id, f"/{config.region}/"
        )
        buckets = pulumi.Output.all(*map(args.estate.bucket_name, LOGGED_BUCKETS)).apply(",".join)
        self._table(ACCESS, requests, buckets.apply(lambda names: access_projection(config.retention.audit, names)))
        self.register_outputs({"trail_arn": self.trail_arn})

    def _trail(self) -> aws.cloudtrail.Trail:
        estate, storage = self._args.estate, self._args.storage
        return aws.cloudtrail.Trail(
            f"{self._name}-trail",
            # A trail of all Regions is seen in each.
            name=estate.global_name("audit"),
            s3_bucket_name=storage.audit.name,
            s3_key_prefix=TRAIL_PREFIX,
            kms_key_id=self._args.keys.arn("audit"),
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_log_file_validation=True,
            enable_logging=True,
            advanced_event_selectors=[_management(), self._objects()],
            # CloudTrail tries the bucket at once: its policy has to be there.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[storage.audit]),
        )

    def _objects(self) -> Selector:
        lake, landing = self._args.storage.lake, self._args.storage.landing
        # Not `Bucket.below`: CloudTrail compares with the beginning of an ARN, where an asterisk is an asterisk.
        below = [pulumi.Output.concat(lake.arn, f"/{prefix}/") for prefix in (*LAYERS, ARCHIVE)]
        below.append(pulumi.Output.concat(landing.arn, "/"))
        return Selector(
            name="Objects of the lake and of landing",
            field_selectors=[
                Field(field="eventCategory", equals=["Data"]),
                Field(field="resources.type", equals=["AWS::S3::Object"]),
                # A prefix as CloudTrail takes it has no asterisk.
                Field(
                    field="resources.ARN",
                    starts_withs=[arn.apply(lambda text: text.removesuffix("*")) for arn in below],
                ),
            ],
        )

    def _table(self, table: LogTable, location: pulumi.Output[str], projection: pulumi.Output[dict[str, str]]) -> None:
        estate = self._args.estate
        serde = aws.glue.CatalogTableStorageDescriptorSerDeInfoArgs(
            serialization_library=table.serde, parameters=table.serde_parameters
        )
        parameters = pulumi.Output.all(projection, location).apply(
            lambda known: {"EXTERNAL": "TRUE", **known[0], "storage.location.template": known[1] + table.folders}
        )
        self.tables[table.name] = aws.glue.CatalogTable(
            f"{self._name}-{table.name}",
            name=table.name,
            database_name=self._args.catalog.databases[AUDIT],
            description=table.description,
            table_type="EXTERNAL_TABLE",
            parameters=parameters,
            storage_descriptor=aws.glue.CatalogTableStorageDescriptorArgs(
                location=location,
                input_format=table.input_format,
                output_format=TEXT_OUT,
                ser_de_info=serde,
                columns=[
                    aws.glue.CatalogTableStorageDescriptorColumnArgs(name=column, type=kind, comment=comment)
                    for column, kind, comment in table.columns
                ],
            ),
            partition_keys=[
                aws.glue.CatalogTablePartitionKeyArgs(name=column, type=kind, comment=comment)
                for column, kind, comment in table.partitions
            ],
            opts=estate.keeps_data(self, f"{{account}}:{estate.database(AUDIT)}:{table.name}"),
        )


def _management() -> Selector:
    return Selector(
        name="Management events",
        field_selectors=[
            Field(field="eventCategory", equals=["Management"]),
        ],
    )
