"""What wakes somebody: every alarm and every event that is told, each with what it means and its runbook page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi

from infra.estate import Estate
from lakehouse.layout import LAYERS

KINESIS, FIREHOSE, USAGE = "AWS/Kinesis", "AWS/Firehose", "AWS/Usage"
MINUTE = 60
LATE_MINUTES = 5
ARCHIVE_LATE_SECONDS = 3 * 300
REJECTED_SHARE = 0.05
LEAST_RECORDS = 20
RETRIES = 100
QUOTA_PERCENT = 80


@dataclass(frozen=True)
class Metric:
    """A metric in CloudWatch and how its values of a period become one."""

    namespace: str
    name: str
    dimensions: Mapping[str, pulumi.Input[str]]
    statistic: Literal["Average", "Maximum", "Sum", "SampleCount"]


@dataclass(frozen=True)
class Alarm:
    """Fires when the metric, or the expression over several, lies above `above` in each of `periods` periods."""

    name: str
    runbook: str
    meaning: str
    metrics: Mapping[str, Metric]
    above: float
    periods: int
    expression: str | None = None
    period_seconds: int = 5 * MINUTE
    missing: Literal["notBreaching", "breaching"] = "notBreaching"

    def text(self, runbooks_url: str) -> str:
        """What the mail says."""
        return told(self.meaning, runbooks_url, self.runbook)


@dataclass(frozen=True)
class Told:
    """Events that are passed on as they come; `shown` are the parts of the event that the mail repeats, by name."""

    name: str
    runbook: str
    meaning: str
    pattern: Mapping[str, Any]
    shown: Mapping[str, str] = field(default_factory=dict)

    def text(self, runbooks_url: str) -> str:
        """What the mail says before it shows parts of the event."""
        return told(self.meaning, runbooks_url, self.runbook)


def told(meaning: str, runbooks_url: str, runbook: str) -> str:
    """What something means, with a link to the page that says what to do."""
    return f"{meaning} What to do: {link(runbooks_url, runbook)}"


def link(runbooks_url: str, runbook: str) -> str:
    """Where a page of docs/runbooks can be read."""
    return f"{runbooks_url}/{runbook}.md"


def stream_alarms(estate: Estate, source: str, stream: pulumi.Input[str], namespace: str) -> list[Alarm]:
    """The alarms on one Kinesis stream: readers that fall behind, producers that are turned away, lost records."""
    hours = estate.config.streams.retention_hours
    name = source.replace("_", "-")
    age = Metric(KINESIS, "GetRecords.IteratorAgeMilliseconds", {"StreamName": stream}, "Maximum")
    refused = Metric(KINESIS, "WriteProvisionedThroughputExceeded", {"StreamName": stream}, "Sum")
    retries = Metric(namespace, "KinesisRetries", {"Stream": stream}, "Sum")
    gaps = Metric(namespace, "GapRecords", {"Stream": stream}, "Sum")
    return [
        Alarm(
            f"iterator-age-{name}", "iterator-age",
            f"Records of {source} wait in their stream for more than {LATE_MINUTES} minutes before they are read.",
            {"m": age}, LATE_MINUTES * MINUTE * 1000, 3,
        ),
        Alarm(
            f"retention-{name}", "retention",
            f"Records of {source} are unread for half of the {hours} hours that the stream keeps them: "
            "after that they are lost.",
            {"m": age}, hours * 3600 * 1000 / 2, 1,
        ),
        Alarm(
            f"producers-refused-{name}", "producers-refused",
            f"The stream of {source} turns producers away: what they do not repeat never arrives.",
            {"m": refused}, 0, 3,
        ),
        Alarm(
            f"kinesis-retries-{name}", "kinesis-retries",
            f"Reading {source} fails and is repeated more than {RETRIES} times in five minutes.",
            {"m": retries}, RETRIES, 3,
        ),
        Alarm(
            f"gap-{name}", "gap",
            f"Records of {source} left their stream before they were read.",
            {"m": gaps}, 0, 1,
        ),
    ]  # fmt: skip


def archive_alarm(source: str, delivery_stream: pulumi.Input[str]) -> Alarm:
    """The raw copy of a stream comes late."""
    late = Metric(FIREHOSE, "DeliveryToS3.DataFreshness", {"DeliveryStreamName": delivery_stream}, "Maximum")
    return Alarm(
        f"archive-{source.replace('_', '-')}", "archive",
        f"Firehose has not written records of {source} to the archive for more than "
        f"{ARCHIVE_LATE_SECONDS // MINUTE} minutes: the copy that a replay reads has a hole until it catches up.",
        {"m": late}, ARCHIVE_LATE_SECONDS, 1,
    )  # fmt: skip


def freshness_alarm(estate: Estate, layer: str, namespace: str) -> Alarm:
    """A layer is behind by more than the shortest time that its contracts agree on, or its job says nothing."""
    agreed = (estate.contracts.table(table).freshness for table in estate.contracts.tables if table.startswith(layer))
    seconds = min(each.total_seconds() for each in agreed if each is not None)
    age = Metric(namespace, "FreshnessSeconds", {"Layer": layer}, "Maximum")
    return Alarm(
        f"freshness-{layer}", "freshness",
        f"A table of {layer} is more than {seconds / MINUTE:.0f} minutes behind what it could have read, "
        "or its job reports nothing any more.",
        {"m": age}, seconds, 3, missing="breaching",
    )  # fmt: skip


def reject_alarm(source: str, namespace: str) -> Alarm:
    """Too many records of a source break a rule."""
    share = Metric(namespace, "RejectRatio", {"Source": source}, "Average")
    count = Metric(namespace, "RejectRatio", {"Source": source}, "SampleCount")
    return Alarm(
        f"rejects-{source.replace('_', '-')}", "rejects",
        f"More than {REJECTED_SHARE:.0%} of the records of {source} break a rule of their contract.",
        {"share": share, "records": count}, REJECTED_SHARE, 1, period_seconds=15 * MINUTE,
        # One broken record among three is no news.
        expression=f"IF(records >= {LEAST_RECORDS}, share, 0)",
    )  # fmt: skip


def reconcile_alarm(namespace: str) -> Alarm:
    """The daily proof found that the tables do not follow from bronze."""
    differences = Metric(namespace, "ReconcileDifferences", {}, "Maximum")
    return Alarm(
        "reconcile", "reconcile",
        "Silver, rejected or gold are not what a recomputation from bronze gives: somebody or something else than the "
        "jobs changed them.",
        {"m": differences}, 0, 1,
    )  # fmt: skip


def quota_alarm() -> Alarm:
    """The account's limit of EMR Serverless comes near."""
    cores = {"Service": "EMR Serverless", "Resource": "vCPU", "Type": "Resource", "Class": "None"}
    return Alarm(
        "emr-quota", "emr-quota",
        f"EMR Serverless uses more than {QUOTA_PERCENT} % of the vCPUs that this account may use at once: "
        "beyond, jobs wait.",
        {"used": Metric(USAGE, "ResourceCount", cores, "Maximum")}, QUOTA_PERCENT, 3,
        expression="used / SERVICE_QUOTA(used) * 100",
    )  # fmt: skip


def streaming_layers() -> tuple[str, ...]:
    """The layers that streaming jobs write."""
    return LAYERS[:3]


def job_events(job: str, run: pulumi.Input[str]) -> list[Told]:
    """The run of a streaming job ended, or failed and begins again. AWS' events name a run by its id only ("Monitoring
    EMR Serverless with Amazon EventBridge"), so there is a rule for each job that knows its run.
    """
    name = job.replace("_", "-")
    return [
        Told(
            f"streaming-job-{name}", "streaming-job",
            f"The streaming job {job} has ended; it should run always. CANCELLED comes with every upgrade and is "
            "followed by a new run.",
            {
                "source": ["aws.emr-serverless"],
                "detail-type": ["EMR Serverless Job Run State Change"],
                "detail": {"jobRunId": [run], "state": ["FAILED", "CANCELLED", "SUCCESS"]},
            },
            {"run": "$.detail.jobRunId", "state": "$.detail.state"},
        ),
        Told(
            f"streaming-retry-{name}", "streaming-job",
            f"The streaming job {job} has failed and is started again by EMR: once is an accident, a row of these is a "
            "job that cannot run.",
            {
                "source": ["aws.emr-serverless"],
                "detail-type": ["EMR Serverless Job Run Retry"],
                "detail": {"jobRunId": [run]},
            },
            {
                "run": "$.detail.jobRunId", "attempt": "$.detail.newAttempt",
                "before": "$.detail.previousAttemptState",
            },
        ),
    ]  # fmt: skip


def application_event(application_id: pulumi.Input[str]) -> Told:
    """The application of the streaming jobs stopped."""
    return Told(
        "application", "streaming-job",
        "The EMR Serverless application has stopped: no streaming job runs.",
        {
            "source": ["aws.emr-serverless"],
            "detail-type": ["EMR Serverless Application State Change"],
            "detail": {"applicationId": [application_id], "state": ["STOPPED", "TERMINATED"]},
        },
        {"application": "$.detail.applicationName", "state": "$.detail.state"},
    )  # fmt: skip


def batch_event(jobs: Sequence[pulumi.Input[str]]) -> Told:
    """A Glue job failed."""
    return Told(
        "batch-job", "batch-job",
        "A batch job has failed, timed out or was stopped; files that it did not take in wait in landing.",
        {
            "source": ["aws.glue"],
            "detail-type": ["Glue Job State Change"],
            "detail": {"jobName": list(jobs), "state": ["FAILED", "TIMEOUT", "STOPPED", "ERROR"]},
        },
        {"job": "$.detail.jobName", "run": "$.detail.jobRunId", "state": "$.detail.state", "why": "$.detail.message"},
    )  # fmt: skip


def audit_event() -> Told:
    """Somebody changed what protects the record of who read what, or a key."""
    calls = ["StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors", "PutDataLakeSettings",
             "DeregisterResource", "DisableKey", "ScheduleKeyDeletion", "DisableKeyRotation"]  # fmt: skip
    return Told(
        "audit-change", "audit-change",
        "Somebody changed the trail, Lake Formation's settings or a key. An upgrade of the estate may; nobody else "
        "should.",
        {
            "source": ["aws.cloudtrail", "aws.lakeformation", "aws.kms"],
            "detail-type": ["AWS API Call via CloudTrail"],
            "detail": {"eventName": calls},
        },
        {"call": "$.detail.eventName", "who": "$.detail.userIdentity.arn", "when": "$.detail.eventTime"},
    )  # fmt: skip
