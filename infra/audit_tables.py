"""The tables over CloudTrail's and S3's own logs: their columns are AWS's formats, so no contract knows them."""

from collections.abc import Mapping
from dataclasses import dataclass

TRAIL_TABLE, ACCESS_TABLE = "cloudtrail", "s3_access_logs"
TRAIL_PREFIX = "cloudtrail"
# The Regions that every account has; events of global services such as IAM are in us-east-1.
REGIONS = (
    "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2",
    "ca-central-1", "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "us-east-1",
    "us-east-2", "us-west-1", "us-west-2",
)  # fmt: skip
# The buckets whose access is logged, as the last part of their names says it.
LOGGED_BUCKETS = ("lake", "landing", "artifacts", "query-results", "audit")


@dataclass(frozen=True)
class LogTable:
    """One table over log files: how its files are read, its columns, and how partitions follow from its folders."""

    name: str
    description: str
    input_format: str
    serde: str
    serde_parameters: Mapping[str, str]
    columns: tuple[tuple[str, str, str], ...]
    partitions: tuple[tuple[str, str, str], ...]
    folders: str


IDENTITY = (
    "struct<type:string,principalid:string,arn:string,accountid:string,invokedby:string,accesskeyid:string,"
    "username:string,sessioncontext:struct<attributes:struct<mfaauthenticated:string,creationdate:string>,"
    "sessionissuer:struct<type:string,principalid:string,arn:string,accountid:string,username:string>>>"
)
TRAIL = LogTable(
    TRAIL_TABLE,
    "Calls to AWS in this account: who did what, and who read which object or table",
    "com.amazon.emr.cloudtrail.CloudTrailInputFormat",
    "org.apache.hive.hcatalog.data.JsonSerDe",
    {},
    (
        ("eventversion", "string", "Version of the event's format"),
        ("useridentity", IDENTITY, "Who called; of a role the session, and in sessionissuer the role"),
        ("eventtime", "string", "When, in UTC, such as 2026-11-24T04:00:00Z"),
        ("eventsource", "string", "The service, such as lakeformation.amazonaws.com"),
        ("eventname", "string", "The call, such as GetDataAccess or GetObject"),
        ("awsregion", "string", "The Region of the call"),
        ("sourceipaddress", "string", "From where, or the AWS service that called"),
        ("useragent", "string", "The client"),
        ("errorcode", "string", "Why it was refused or failed; null when it succeeded"),
        ("errormessage", "string", "The same in words"),
        ("requestparameters", "string", "What was asked for, as JSON"),
        ("responseelements", "string", "What was changed, as JSON"),
        ("additionaleventdata", "string", "What the service adds, as JSON; Lake Formation: for whom"),
        ("requestid", "string", "The request"),
        ("eventid", "string", "The event; unique"),
        ("readonly", "string", "Whether the call only read"),
        ("resources", "array<struct<arn:string,accountid:string,type:string>>", "What it was about"),
        ("eventtype", "string", "The kind of event"),
        ("managementevent", "string", "Whether it is a management event, no data event"),
        ("recipientaccountid", "string", "The account that the event was delivered to"),
        ("eventcategory", "string", "Management or Data"),
    ),
    (("region", "string", "Region, as in the folder"), ("day", "string", "Day, such as 2026/11/24")),
    "${region}/${day}",
)
ACCESS = LogTable(
    ACCESS_TABLE,
    "Requests to the buckets, as S3 saw them; delivered within hours, best effort",
    "org.apache.hadoop.mapred.TextInputFormat",
    "org.apache.hadoop.hive.serde2.RegexSerDe",
    {
        "input.regex": (
            r"([^ ]*) ([^ ]*) \[(.*?)\] ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) "
            r'("[^"]*"|-) (-|[0-9]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ("[^"]*"|-) ("[^"]*"|-) ([^ ]*)'
            r"(?: ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*))?.*$"
        )
    },
    tuple(
        (name, "string", comment)
        for name, comment in (
            ("bucket_owner", "Who owns the bucket"),
            ("bucket", "The bucket"),
            ("request_time", "When, such as 24/Nov/2026:04:00:00 +0000"),
            ("remote_ip", "From where"),
            ("requester", "Who; - for nobody"),
            ("request_id", "The request"),
            ("operation", "Such as REST.GET.OBJECT"),
            ("key", "The object"),
            ("request_uri", "The request line"),
            ("http_status", "The answer"),
            ("error_code", "S3's error; - for none"),
            ("bytes_sent", "How much was sent"),
            ("object_size", "How large the object is"),
            ("total_time", "Milliseconds until the last byte was sent"),
            ("turn_around_time", "Milliseconds until the first byte was sent"),
            ("referrer", "HTTP's referrer"),
            ("user_agent", "The client"),
            ("version_id", "The object's version"),
            ("host_id", "S3's extended request id"),
            ("signature_version", "How the request was signed"),
            ("cipher_suite", "How it was encrypted"),
            ("authentication_type", "Where the signature stood"),
            ("host_header", "The endpoint"),
        )
    ),
    (
        ("source_bucket", "string", "The bucket, as in the folder"),
        ("day", "string", "Day of the request, such as 2026/11/24"),
    ),
    "${source_bucket}/${day}",
)


def trail_projection(days: int, region: str) -> dict[str, str]:
    """How Athena finds the trail's partitions without anybody adding them: a folder a Region and day."""
    return {
        "projection.enabled": "true",
        "projection.region.type": "enum",
        "projection.region.values": ",".join(sorted({*REGIONS, region})),
        **_days(days),
    }


def access_projection(days: int, buckets: str) -> dict[str, str]:
    """The same for access logs: a folder a bucket and day; `buckets` are their names, by commas."""
    return {
        "projection.enabled": "true",
        "projection.source_bucket.type": "enum",
        "projection.source_bucket.values": buckets,
        **_days(days),
    }


def _days(days: int) -> dict[str, str]:
    return {
        "projection.day.type": "date",
        "projection.day.format": "yyyy/MM/dd",
        "projection.day.range": f"NOW-{days}DAYS,NOW",
        "projection.day.interval": "1",
        "projection.day.interval.unit": "DAYS",
    }
