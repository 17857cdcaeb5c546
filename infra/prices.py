"""What AWS asks for, in USD: list prices of us-east-1 without free tiers, each with the page that it is from and when.

Entered by hand; AWS' price pages decide. `python -m infra.price_check` compares them with AWS' price list where there
is a network. Change a price here, then `python -m infra.cost_page`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

# By page: the service's code in AWS' price list.
PAGES: Mapping[str, str] = {
    "https://aws.amazon.com/kms/pricing/": "awskms",
    "https://aws.amazon.com/privatelink/pricing/": "AmazonVPC",
    "https://aws.amazon.com/s3/pricing/": "AmazonS3",
    "https://aws.amazon.com/kinesis/data-streams/pricing/": "AmazonKinesis",
    "https://aws.amazon.com/firehose/pricing/": "AmazonKinesisFirehose",
    "https://aws.amazon.com/emr/pricing/": "ElasticMapReduce",
    "https://aws.amazon.com/glue/pricing/": "AWSGlue",
    "https://aws.amazon.com/athena/pricing/": "AmazonAthena",
    "https://aws.amazon.com/redshift/pricing/": "AmazonRedshift",
    "https://aws.amazon.com/cloudtrail/pricing/": "AWSCloudTrail",
    "https://aws.amazon.com/cloudwatch/pricing/": "AmazonCloudWatch",
}
KMS, PRIVATELINK, S3, KINESIS, FIREHOSE, EMR, GLUE, ATHENA, REDSHIFT, CLOUDTRAIL, CLOUDWATCH = PAGES
ENTERED, REVIEWED = date(2026, 11, 24), date(2026, 11, 28)
# Rough, entered by hand: how many times what it costs in us-east-1 the default stack costs elsewhere at most. What
# weighs most are vCPU hours of EMR Serverless, requests of S3 and endpoints.
DEARER: Mapping[str, float] = {
    "us-east-1": 1.0, "us-east-2": 1.0, "us-west-2": 1.0, "ca-central-1": 1.15, "eu-central-1": 1.2, "eu-west-1": 1.12,
    "eu-west-2": 1.2, "eu-west-3": 1.2, "eu-north-1": 1.1, "ap-south-1": 1.1, "ap-southeast-1": 1.3,
    "ap-southeast-2": 1.3, "ap-northeast-1": 1.35, "ap-northeast-2": 1.3, "sa-east-1": 1.7,
}  # fmt: skip


@dataclass(frozen=True)
class Price:
    """A price for `per` units, as the page `source` had it on the day `seen`."""

    usd: float
    per: float
    unit: str
    source: str
    seen: date = ENTERED

    @property
    def each(self) -> float:
        """The price of one unit."""
        return self.usd / self.per

    def __str__(self) -> str:
        return f"{self.usd:g} USD / {'' if self.per == 1 else f'{self.per:,.0f} '}{self.unit}"


MONTH, HOUR, GB, REQUEST = "month", "hour", "GB", "requests"
PRICES: Mapping[str, Price] = {
    "KMS key": Price(1.0, 1, MONTH, KMS),
    "KMS request": Price(0.03, 10_000, REQUEST, KMS),
    "interface endpoint": Price(0.01, 1, "hour and zone", PRIVATELINK),
    "interface endpoint GB": Price(0.01, 1, GB, PRIVATELINK),
    "S3 Standard": Price(0.023, 1, "GB and month", S3),
    "S3 Standard-IA": Price(0.0125, 1, "GB and month", S3),
    "S3 Standard-IA retrieval": Price(0.01, 1, GB, S3),
    "S3 PUT or LIST": Price(0.005, 1_000, REQUEST, S3),
    "S3 GET": Price(0.0004, 1_000, REQUEST, S3),
    "Kinesis stream on demand": Price(0.04, 1, HOUR, KINESIS),
    "Kinesis GB in": Price(0.08, 1, GB, KINESIS),
    "Kinesis GB out": Price(0.04, 1, GB, KINESIS),
    "Kinesis kept beyond a day": Price(0.10, 1, "GB and month", KINESIS),
    "Kinesis shard": Price(0.015, 1, HOUR, KINESIS),
    "Kinesis shard kept beyond a day": Price(0.02, 1, "shard and hour", KINESIS),
    "Kinesis PUT unit": Price(0.014, 1_000_000, "units of 25 KB", KINESIS),
    "Kinesis fan-out shard": Price(0.015, 1, "consumer, shard and hour", KINESIS),
    "Kinesis fan-out GB": Price(0.013, 1, GB, KINESIS),
    "Kinesis fan-out GB on demand": Price(0.05, 1, GB, KINESIS),
    "Firehose GB": Price(0.029, 1, "GB of records, each rounded up to 5 KB", FIREHOSE),
    "EMR Serverless vCPU": Price(0.052624, 1, HOUR, EMR),
    "EMR Serverless memory": Price(0.0057785, 1, "GB and hour", EMR),
    # Version 6.0 costs 30 % less than the 0.44 of those before it.
    "Glue DPU": Price(0.308, 1, HOUR, GLUE, REVIEWED),
    "Athena scan": Price(5.0, 1_000, GB, ATHENA),
    "Redshift RPU": Price(0.375, 1, HOUR, REDSHIFT),
    "CloudTrail data event": Price(0.10, 100_000, "events", CLOUDTRAIL),
    "CloudWatch log": Price(0.50, 1, GB, CLOUDWATCH),
    "CloudWatch log kept": Price(0.03, 1, "GB and month", CLOUDWATCH),
    "CloudWatch metric": Price(0.30, 1, MONTH, CLOUDWATCH),
    "CloudWatch alarm metric": Price(0.10, 1, MONTH, CLOUDWATCH),
    "CloudWatch dashboard": Price(3.0, 1, MONTH, CLOUDWATCH),
    "CloudWatch PutMetricData": Price(0.01, 1_000, REQUEST, CLOUDWATCH),
}
