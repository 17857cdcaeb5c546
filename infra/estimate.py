"""What a stack costs a month, from its configuration and `prices.py`; `cost_page` writes it down.

An estimate: amounts that the configuration does not fix are assumptions, listed in the page.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from infra.alarms import streaming_layers
from infra.config import KEY_PREFIX, Batch, EstateConfig
from infra.keys import DOMAINS
from infra.network import interfaces
from infra.prices import PRICES
from infra.streams import SHARD_METRICS
from lakehouse.contracts import Contracts
from lakehouse.policies import role_names
from lakehouse.settings import CONTRACTS, Settings

REPOSITORY = CONTRACTS.parent
HOURS = 730
SECONDS = HOURS * 3600
KILOBYTE, GIGABYTE = 1_000, 1_000_000_000
FIREHOSE_LEAST_BYTES = 5 * KILOBYTE
ALARMS_A_STREAM, RECONCILE_ALARMS, FREE_DASHBOARDS = 5, 1, 3


@dataclass(frozen=True)
class Load:
    """How much a stack has to do; each is an assumption, with its meaning in `ASSUMED`."""

    events_per_second: float
    batches_per_minute: float
    file_gb_a_day: float
    glue_dpu_hours_a_day: float
    athena_gb_a_day: float
    warehouse_hours_a_day: float
    logs_gb_a_day: float
    flow_logs_gb_a_day: float


EVENT_BYTES = 600
STORED_SHARE = 0.5
MONTHS_KEPT = 12
PUTS_A_BATCH, GETS_A_BATCH, AUDITED_A_BATCH = 25, 50, 60
GOLD_FEEDS = 7
# Of a month's micro-batches: files that compaction leaves. Of a month's data: what is written again, by compaction too.
FILES_LEFT_SHARE, REWRITTEN_SHARE, WEEKS = 0.01, 2.0, 52 / 12
DAILY_PROOF = Batch().reconcile_schedule
ACCESS_LOG_BYTES, TRAIL_BYTES = 600, 150
# What a stream on demand begins with; it takes 4 000 records a second.
SHARDS_ON_DEMAND = 4
ASSUMED = {
    "events_per_second": "events a second over both streams, day and night",
    "batches_per_minute": "micro-batches with data a minute and query",
    "file_gb_a_day": "GB of files a day",
    "glue_dpu_hours_a_day": "DPU hours of all Glue jobs a day (an hourly run of a minute on 2 DPUs is 0.8)",
    "athena_gb_a_day": "GB that Athena reads a day",
    "warehouse_hours_a_day": "hours a day in which the warehouse answers queries",
    "logs_gb_a_day": "GB that jobs log a day",
    "flow_logs_gb_a_day": "GB of the network's flow logs a day",
}
LOADS: Mapping[str, Load] = {
    "dev": Load(1, 1, 0.1, 1.5, 1, 1, 0.15, 0.05),
    "prod": Load(1_000, 6, 5, 12, 200, 4, 2, 1),
}


@dataclass(frozen=True)
class Line:
    """One row of the bill."""

    component: str
    what: str
    amount: float
    price: str

    @property
    def usd(self) -> float:
        """What it costs a month."""
        return self.amount * PRICES[self.price].each


def configuration(stack: str) -> EstateConfig:
    """The committed configuration of a stack."""
    content = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8"))
    given: Mapping[str, Any] = content.get("config") or {}
    own = {key.partition(":")[2]: value for key, value in given.items() if key.startswith(f"{KEY_PREFIX}:")}
    if "aws:region" in given:
        own.setdefault("region", given["aws:region"])
    # Through JSON, where lists may stand for tuples.
    return EstateConfig.model_validate_json(json.dumps(own))


def bill(config: EstateConfig, contracts: Contracts, load: Load) -> list[Line]:
    """Every row of the monthly bill, component by component."""
    jobs = config.switches.streaming_jobs
    return [
        *_base(config, load),
        *_storage(contracts, config, load),
        *_streams(config, load),
        *(_compute(config) if jobs else ()),
        *_batch_and_query(config, load),
        *_audit(contracts, config, load),
        *_monitoring(contracts, config, load),
    ]


def _base(config: EstateConfig, load: Load) -> list[Line]:
    return [
        Line("keys", "one for each domain", len(DOMAINS), "KMS key"),
        Line("network", "interface endpoints", len(interfaces(config)) * config.availability_zones * HOURS,
             "interface endpoint"),
        Line("network", "events and logs through them", _gigabytes(load) + load.logs_gb_a_day * 30,
             "interface endpoint GB"),
        Line("network", "flow logs", load.flow_logs_gb_a_day * 30, "CloudWatch log"),
        Line("network", "flow logs kept", _kept_logs(config, load.flow_logs_gb_a_day), "CloudWatch log kept"),
    ]  # fmt: skip


def _storage(contracts: Contracts, config: EstateConfig, load: Load) -> list[Line]:
    """Bronze, silver and the archive hold every event once each; all of it grows for a year."""
    gigabytes = (_gigabytes(load) + load.file_gb_a_day * 30) * STORED_SHARE
    kept, fresh = MONTHS_KEPT, min(MONTHS_KEPT, config.retention.bronze_to_infrequent_access / 30)
    copies = 2 if config.switches.archive else 1
    proof = _proof(contracts, config, load, gigabytes, fresh)
    lines = [
        Line("storage", "silver, archive and recent bronze", gigabytes * (copies * kept + fresh), "S3 Standard"),
        Line("storage", "older bronze", gigabytes * (kept - fresh), "S3 Standard-IA"),
        *proof,
    ]
    if config.switches.streaming_jobs:
        batches = _batches(contracts, config, load)
        looks = (len(contracts.sources) + GOLD_FEEDS) * SECONDS / max(1.0, config.compute.trigger_seconds)
        requests = (
            looks
            + batches * (PUTS_A_BATCH + GETS_A_BATCH)
            + sum(line.amount for line in proof if line.price == "S3 GET")
        )
        lines += [
            Line("storage", "queries that look for news", looks, "S3 GET"),
            Line("storage", "writes of micro-batches", batches * PUTS_A_BATCH, "S3 PUT or LIST"),
            Line("storage", "reads of micro-batches", batches * GETS_A_BATCH, "S3 GET"),
            Line("storage", "access logs", _kept_bytes(config, requests, ACCESS_LOG_BYTES), "S3 Standard"),
        ]  # fmt: skip
    return lines


def _proof(contracts: Contracts, config: EstateConfig, load: Load, gigabytes: float, fresh: float) -> list[Line]:
    """The proof reads every table each time, bronze's older files out of a class that asks for it; and what jobs
    overwrite or remove stays readable for a while.
    """
    proofs = 30 if config.batch.reconcile_schedule == DAILY_PROOF else WEEKS
    old = max(0.0, gigabytes * (MONTHS_KEPT - fresh))
    files = _batches(contracts, config, load) * MONTHS_KEPT * FILES_LEFT_SHARE
    rewritten = gigabytes * REWRITTEN_SHARE * config.retention.noncurrent_versions / 30
    return [
        Line("storage", "proof: reads of all files", proofs * files, "S3 GET"),
        Line("storage", "proof: older bronze read", proofs * old, "S3 Standard-IA retrieval"),
        Line("storage", "old versions of objects", rewritten, "S3 Standard"),
    ]


def _streams(config: EstateConfig, load: Load) -> list[Line]:
    count = len(_stream_names())
    events = load.events_per_second * SECONDS
    billed = events * max(EVENT_BYTES, KILOBYTE) / GIGABYTE
    readers = 1 + config.switches.archive
    kept_days = config.streams.retention_hours / 24 - 1
    if config.streams.shards:
        shard_hours = count * config.streams.shards * HOURS
        lines = [
            Line("streams", "shards", shard_hours, "Kinesis shard"),
            Line("streams", "kept longer", shard_hours if kept_days > 0 else 0, "Kinesis shard kept beyond a day"),
            Line("streams", "records put", events, "Kinesis PUT unit"),
        ]
    else:
        lines = [
            Line("streams", "streams on demand", count * HOURS, "Kinesis stream on demand"),
            Line("streams", "records in, each at least 1 KB", billed, "Kinesis GB in"),
            Line("streams", f"records out, {readers} readers", billed * readers, "Kinesis GB out"),
            Line("streams", "kept longer", billed * kept_days / 30, "Kinesis kept beyond a day"),
        ]
    shards = count * (config.streams.shards or SHARDS_ON_DEMAND)
    lines.append(Line("streams", "metrics of each shard", shards * len(SHARD_METRICS), "CloudWatch metric"))
    if config.switches.fan_out:
        lines += _fan_out(config, shards, events * EVENT_BYTES / GIGABYTE)
    if config.switches.archive:
        archived = events * max(EVENT_BYTES, FIREHOSE_LEAST_BYTES) / GIGABYTE
        lines.append(Line("streams", "Firehose to the archive", archived, "Firehose GB"))
    return lines


def _fan_out(config: EstateConfig, shards: int, gigabytes: float) -> list[Line]:
    """A dedicated consumer of each stream, with a reader of somebody's that takes every record."""
    if not config.streams.shards:
        return [Line("streams", "dedicated consumers, all records", gigabytes, "Kinesis fan-out GB on demand")]
    return [
        Line("streams", "dedicated consumers", shards * HOURS, "Kinesis fan-out shard"),
        Line("streams", "dedicated consumers, all records", gigabytes, "Kinesis fan-out GB"),
    ]


def _compute(config: EstateConfig) -> list[Line]:
    """Streaming jobs run always, with all the executors that they may have."""
    compute, jobs = config.compute, _jobs(config)
    cores = compute.driver_cores + compute.executors * compute.executor_cores
    memory = compute.driver_memory_gb + compute.executors * compute.executor_memory_gb
    return [
        Line("compute", f"{_plural(jobs)} of {cores} vCPU", jobs * cores * HOURS, "EMR Serverless vCPU"),
        Line("compute", f"{_plural(jobs)} of {memory} GB", jobs * memory * HOURS, "EMR Serverless memory"),
    ]


def _batch_and_query(config: EstateConfig, load: Load) -> list[Line]:
    lines = [
        Line("batch", "Glue jobs", load.glue_dpu_hours_a_day * 30, "Glue DPU"),
        Line("query", "Athena", load.athena_gb_a_day * 30, "Athena scan"),
    ]
    if config.switches.warehouse:
        hours = min(load.warehouse_hours_a_day, config.redshift_hours_a_day) * 30
        lines.append(Line("warehouse", "Redshift Serverless", hours * config.redshift_base_capacity, "Redshift RPU"))
    return lines


def _audit(contracts: Contracts, config: EstateConfig, load: Load) -> list[Line]:
    if not (config.switches.trail and config.switches.streaming_jobs):
        return []
    events = _batches(contracts, config, load) * AUDITED_A_BATCH
    return [
        Line("audit", "reads and writes of objects", events, "CloudTrail data event"),
        Line("audit", "the trail kept", _kept_bytes(config, events, TRAIL_BYTES), "S3 Standard"),
    ]


def _monitoring(contracts: Contracts, config: EstateConfig, load: Load) -> list[Line]:
    streams, layers, sources = len(_stream_names()), len(streaming_layers()), len(contracts.sources)
    # An alarm on an expression counts each of its metrics.
    alarms = streams * (ALARMS_A_STREAM + config.switches.archive) + 2 * sources + RECONCILE_ALARMS
    lines = [
        Line("monitoring", "logs", load.logs_gb_a_day * 30, "CloudWatch log"),
        Line("monitoring", "logs kept", _kept_logs(config, load.logs_gb_a_day), "CloudWatch log kept"),
    ]
    if config.switches.streaming_jobs:
        alarms += layers
        metrics = _queries(contracts) + layers + sources + 2 * streams
        lines += [
            Line("monitoring", "the jobs' own metrics", metrics, "CloudWatch metric"),
            Line("monitoring", "sent once a minute and job", _jobs(config) * SECONDS / 60, "CloudWatch PutMetricData"),
        ]
    alarms += 1
    dashboards = 1 + len(role_names(contracts)) if config.switches.dashboards else 0
    return [
        *lines,
        Line("monitoring", "alarms", alarms, "CloudWatch alarm metric"),
        Line("monitoring", "dashboards, the first three free", max(0, dashboards - FREE_DASHBOARDS),
             "CloudWatch dashboard"),
    ]  # fmt: skip


def _jobs(config: EstateConfig) -> int:
    return 1 if config.compute.together else len(streaming_layers())


def _plural(jobs: int) -> str:
    return "1 job" if jobs == 1 else f"{jobs} jobs"


def _stream_names() -> Collection[str]:
    names: dict[str, str] = Settings.model_fields["streams"].default
    return names


def _gigabytes(load: Load) -> float:
    return load.events_per_second * SECONDS * EVENT_BYTES / GIGABYTE


def _kept_logs(config: EstateConfig, gigabytes_a_day: float) -> float:
    """GB in a log group, once the first day's are at their end."""
    return gigabytes_a_day * config.retention.logs


def _kept_bytes(config: EstateConfig, lines_a_month: float, line_bytes: int) -> float:
    """GB of a log that lies in S3 as long as the audit's retention says, a year after the start."""
    return lines_a_month * line_bytes / GIGABYTE * min(MONTHS_KEPT, config.retention.audit / 30)


def _queries(contracts: Contracts) -> int:
    gold = sum(table.startswith("gold.") for table in contracts.tables)
    return len(_stream_names()) + len(contracts.sources) + gold


def _batches(contracts: Contracts, config: EstateConfig, load: Load) -> float:
    a_minute = min(load.batches_per_minute, 60 / max(1.0, config.compute.trigger_seconds))
    return _queries(contracts) * a_minute * SECONDS / 60
