"""The Kinesis streams that the shop and customer support write to, and Firehose's raw copy of them."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.documents import document, statement, trust
from infra.estate import Estate
from infra.keys import READ, WRITE, Keys
from infra.storage import Storage
from lakehouse.settings import Settings

BUFFER_MEGABYTES, BUFFER_SECONDS = 64, 300
CONSUMER = "guest"
SHARD_METRICS = ("IteratorAgeMilliseconds", "ReadProvisionedThroughputExceeded")


@dataclass(frozen=True)
class StreamsArgs:
    """What the streams build on."""

    estate: Estate
    keys: Keys
    storage: Storage


class Streams(pulumi.ComponentResource):
    """An encrypted stream for each streaming source, on demand unless shards are configured; a Firehose for each that
    keeps every record as it came under `archive/<source>/`, from which a replay reads.

    A stream on demand costs 0.04 USD an hour and 0.08 USD a GB in; a provisioned shard 0.015 USD an hour; Firehose
    0.03 USD a GB.
    """

    def __init__(self, name: str, args: StreamsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Streams", name, None, opts)
        estate = args.estate
        self._args = args
        self.names: dict[str, pulumi.Output[str]] = {}
        self.arns: dict[str, pulumi.Output[str]] = {}
        self.consumer_arns: dict[str, pulumi.Output[str]] = {}
        self.delivery_streams: dict[str, pulumi.Output[str]] = {}
        for source in Settings.model_fields["streams"].default:
            stream = self._stream(f"{name}-{source}", source)
            self.names[source], self.arns[source] = stream.name, stream.arn
            if estate.config.switches.fan_out:
                # The estate's own jobs read by GetRecords and never through it.
                self.consumer_arns[source] = aws.kinesis.StreamConsumer(
                    f"{name}-{source}", name=CONSUMER, stream_arn=stream.arn, opts=pulumi.ResourceOptions(parent=self)
                ).arn
            if estate.config.switches.archive:
                self.delivery_streams[source] = self._archive(f"{name}-{source}", source, stream.arn).name
        self.register_outputs({"names": self.names})

    def _stream(self, name: str, source: str) -> aws.kinesis.Stream:
        config = self._args.estate.config.streams
        physical = self._args.estate.name(source.replace("_", "-"))
        mode = "PROVISIONED" if config.shards else "ON_DEMAND"
        return aws.kinesis.Stream(
            name,
            name=physical,
            shard_count=config.shards or None,
            stream_mode_details=aws.kinesis.StreamStreamModeDetailsArgs(stream_mode=mode),
            retention_period=config.retention_hours,
            encryption_type="KMS",
            kms_key_id=self._args.keys.arn("streams"),
            shard_level_metrics=[*SHARD_METRICS],
            tags={"data-classification": self._args.estate.classification(f"bronze.{source}")},
            opts=self._args.estate.keeps_data(self, physical),
        )

    def _archive(self, name: str, source: str, stream_arn: pulumi.Output[str]) -> aws.kinesis.FirehoseDeliveryStream:
        estate, keys, lake = self._args.estate, self._args.keys, self._args.storage.lake
        child = pulumi.ResourceOptions(parent=self)
        delivery = estate.name("archive", source.replace("_", "-"))
        group = aws.cloudwatch.LogGroup(
            f"{name}-archive",
            name=f"/{estate.name('firehose')}/{source}",
            retention_in_days=estate.config.retention.logs,
            kms_key_id=keys.arn("logs"),
            opts=child,
        )
        log = aws.cloudwatch.LogStream(f"{name}-archive", name="delivery", log_group_name=group.name, opts=child)
        role = aws.iam.Role(
            f"{name}-archive",
            name=estate.global_name("archive", source.replace("_", "-")),
            assume_role_policy=trust("firehose.amazonaws.com", estate.account_id),
            opts=child,
        )
        read = ["kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetShardIterator"]
        read += ["kinesis:GetRecords", "kinesis:ListShards"]
        write = ["s3:AbortMultipartUpload", "s3:PutObject"]
        look = ["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"]
        below = {"StringLike": {"s3:prefix": [f"archive/{source}/*"]}}
        policy = aws.iam.RolePolicy(
            f"{name}-archive",
            role=role.id,
            policy=document(
                statement("ReadStream", read, [stream_arn]),
                statement("DecryptStream", READ, [keys.arn("streams")]),
                statement("WriteArchive", write, lake.below(f"archive/{source}/")),
                statement("LookAtBucket", look, [lake.arn]),
                statement("ListArchive", ["s3:ListBucket"], [lake.arn], conditions=below),
                statement("EncryptArchive", WRITE, [keys.arn("lake")]),
                statement("WriteLog", ["logs:PutLogEvents"], [log.arn]),
            ),
            opts=child,
        )
        return aws.kinesis.FirehoseDeliveryStream(
            f"{name}-archive",
            name=delivery,
            destination="extended_s3",
            kinesis_source_configuration=aws.kinesis.FirehoseDeliveryStreamKinesisSourceConfigurationArgs(
                kinesis_stream_arn=stream_arn, role_arn=role.arn
            ),
            extended_s3_configuration=aws.kinesis.FirehoseDeliveryStreamExtendedS3ConfigurationArgs(
                role_arn=role.arn,
                bucket_arn=lake.arn,
                prefix=f"archive/{source}/date=!{{timestamp:yyyy-MM-dd}}/",
                error_output_prefix=f"archive/{source}/errors/!{{firehose:error-output-type}}/date=!{{timestamp:yyyy-MM-dd}}/",
                buffering_size=BUFFER_MEGABYTES,
                buffering_interval=BUFFER_SECONDS,
                compression_format="GZIP",
                kms_key_arn=keys.arn("lake"),
                cloudwatch_logging_options=(
                    aws.kinesis.FirehoseDeliveryStreamExtendedS3ConfigurationCloudwatchLoggingOptionsArgs(
                        enabled=True, log_group_name=group.name, log_stream_name=log.name
                    )
                ),
                # Records come without line ends: without this nobody could tell them apart in a file.
                processing_configuration=_line_ends(),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )


def _line_ends() -> aws.kinesis.FirehoseDeliveryStreamExtendedS3ConfigurationProcessingConfigurationArgs:
    processor = aws.kinesis.FirehoseDeliveryStreamExtendedS3ConfigurationProcessingConfigurationProcessorArgs(
        type="AppendDelimiterToRecord",
        parameters=[
            aws.kinesis.FirehoseDeliveryStreamExtendedS3ConfigurationProcessingConfigurationProcessorParameterArgs(
                parameter_name="Delimiter", parameter_value="\\n"
            )
        ],
    )
    return aws.kinesis.FirehoseDeliveryStreamExtendedS3ConfigurationProcessingConfigurationArgs(
        enabled=True, processors=[processor]
    )
