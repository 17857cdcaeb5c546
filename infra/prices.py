"""What AWS asks for, in USD: list prices of us-east-1 without free tiers, entered by hand, never fetched.

AWS' price pages decide; other Regions differ, and Frankfurt mostly asks 0 to 20 % more. Change a price here, then
`python -m infra.cost_page`.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Price:
    """A price for `per` units."""

    usd: float
    per: float
    unit: str

    @property
    def each(self) -> float:
        """The price of one unit."""
        return self.usd / self.per

    def __str__(self) -> str:
        return f"{self.usd:g} USD / {'' if self.per == 1 else f'{self.per:,.0f} '}{self.unit}"


MONTH, HOUR, GB, REQUEST = "month", "hour", "GB", "requests"
PRICES: Mapping[str, Price] = {
    "KMS key": Price(1.0, 1, MONTH),
    "KMS request": Price(0.03, 10_000, REQUEST),
    "interface endpoint": Price(0.01, 1, "hour and zone"),
    "interface endpoint GB": Price(0.01, 1, GB),
    "S3 Standard": Price(0.023, 1, "GB and month"),
    "S3 Standard-IA": Price(0.0125, 1, "GB and month"),
    "S3 PUT or LIST": Price(0.005, 1_000, REQUEST),
    "S3 GET": Price(0.0004, 1_000, REQUEST),
    "Kinesis stream on demand": Price(0.04, 1, HOUR),
    "Kinesis GB in": Price(0.08, 1, GB),
    "Kinesis GB out": Price(0.04, 1, GB),
    "Kinesis kept beyond a day": Price(0.10, 1, "GB and month"),
    "Kinesis shard": Price(0.015, 1, HOUR),
    "Kinesis shard kept beyond a day": Price(0.02, 1, "shard and hour"),
    "Kinesis PUT unit": Price(0.014, 1_000_000, "units of 25 KB"),
    "Kinesis fan-out shard": Price(0.015, 1, "consumer, shard and hour"),
    "Kinesis fan-out GB": Price(0.013, 1, GB),
    "Kinesis fan-out GB on demand": Price(0.05, 1, GB),
    "Firehose GB": Price(0.029, 1, "GB of records, each rounded up to 5 KB"),
    "EMR Serverless vCPU": Price(0.052624, 1, HOUR),
    "EMR Serverless memory": Price(0.0057785, 1, "GB and hour"),
    "Glue DPU": Price(0.44, 1, HOUR),
    "Athena scan": Price(5.0, 1_000, GB),
    "Redshift RPU": Price(0.375, 1, HOUR),
    "CloudTrail data event": Price(0.10, 100_000, "events"),
    "CloudWatch log": Price(0.50, 1, GB),
    "CloudWatch log kept": Price(0.03, 1, "GB and month"),
    "CloudWatch metric": Price(0.30, 1, MONTH),
    "CloudWatch alarm metric": Price(0.10, 1, MONTH),
    "CloudWatch dashboard": Price(3.0, 1, MONTH),
    "CloudWatch PutMetricData": Price(0.01, 1_000, REQUEST),
}
