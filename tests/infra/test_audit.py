"""The trail and the tables over it: what is recorded, where to, and that the record is safe."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from infra.audit_tables import ACCESS
from tests.infra.declared import Program
from tests.infra.operations import one, operations
from tests.infra.recorded_program import ACCOUNT, REGION

TRAIL, TABLE = "aws:cloudtrail/trail:Trail", "aws:glue/catalogTable:CatalogTable"
LAKE = f"shopware-lakehouse-dev-lake-{ACCOUNT}-euc1"
LANDING = f"shopware-lakehouse-dev-landing-{ACCOUNT}-euc1"
AUDIT = f"shopware-lakehouse-dev-audit-{ACCOUNT}-euc1"
# As S3's documentation shows one, with a quoted user agent that has blanks in it.
REQUEST = (
    "79a59df9 lake [06/Feb/2026:00:00:38 +0000] 192.0.2.3 arn:aws:sts::1:assumed-role/r/s 3E57427F3EXAMPLE "
    'REST.GET.OBJECT gold/a.parquet "GET /lake/gold/a.parquet HTTP/1.1" 200 - 2662992 3462992 70 10 "-" '
    '"S3Console/0.4 with blanks" - s9lzHYrFp76ZVxRcpX9+5cjAnEH2ROuNkd2BHfIa6UkFVdtjf5mKR3/eTPFvsiP/XV/VLi31234= '
    "SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader lake.s3.eu-central-1.amazonaws.com TLSV1.2 - Yes"
)


@pytest.fixture(scope="module")
def program() -> Program:
    return operations()


def selectors(program: Program) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = one(program, TRAIL).inputs["advancedEventSelectors"]
    return found


def test_the_trail_covers_all_regions_and_cannot_be_rewritten_unseen(program: Program) -> None:
    trail = one(program, TRAIL)

    assert trail.at("isMultiRegionTrail") is True
    assert trail.at("includeGlobalServiceEvents") is True
    assert trail.at("enableLogFileValidation") is True
    assert trail.at("enableLogging") is True


def test_the_trail_goes_to_the_audit_bucket_under_the_key_and_name_that_their_policies_know(program: Program) -> None:
    trail = one(program, TRAIL)

    assert trail.at("name") == "shopware-lakehouse-dev-audit-euc1"
    assert trail.at("s3BucketName") == AUDIT
    assert trail.at("s3KeyPrefix") == "cloudtrail"
    assert trail.at("kmsKeyId") == f"arn:aws:kms:{REGION}:{ACCOUNT}:key/keys-audit"


def test_all_management_events_are_recorded_lake_formation_and_kms_among_them(program: Program) -> None:
    assert selectors(program)[0]["fieldSelectors"] == [{"field": "eventCategory", "equals": ["Management"]}]


def test_reads_and_writes_of_every_table_and_of_landing_are_recorded_but_not_checkpoints(program: Program) -> None:
    prefixes = ("bronze", "silver", "gold", "rejected", "archive")

    assert selectors(program)[1]["fieldSelectors"] == [
        {"field": "eventCategory", "equals": ["Data"]},
        {"field": "resources.type", "equals": ["AWS::S3::Object"]},
        {
            "field": "resources.ARN",
            "startsWiths": [*(f"arn:aws:s3:::{LAKE}/{prefix}/" for prefix in prefixes), f"arn:aws:s3:::{LANDING}/"],
        },
    ]


def test_the_trail_table_finds_its_days_by_itself(program: Program) -> None:
    table = one(program, TABLE, "audit-cloudtrail")
    folder = f"s3://{AUDIT}/cloudtrail/AWSLogs/{ACCOUNT}/CloudTrail/"

    assert table.at("databaseName") == "shopware_lakehouse_dev_audit"
    assert table.at("storageDescriptor", "location") == folder
    assert table.at("parameters", "storage.location.template") == folder + "${region}/${day}"
    assert table.at("parameters", "projection.day.range") == "NOW-400DAYS,NOW"
    assert REGION in table.at("parameters", "projection.region.values").split(",")
    assert [key["name"] for key in table.at("partitionKeys")] == ["region", "day"]


def test_access_logs_of_every_logged_bucket_are_found_by_day(program: Program) -> None:
    """Where S3 delivers them: `<prefix><account>/<Region>/<bucket>/<yyyy>/<MM>/<dd>/`."""
    logged = [*program.of("aws:s3/bucketLogging:BucketLogging")]
    table = one(program, TABLE, "audit-s3_access_logs")
    folder = f"s3://shopware-lakehouse-dev-access-logs-{ACCOUNT}-euc1/access/{ACCOUNT}/{REGION}/"

    assert {each.at("targetPrefix") for each in logged} == {"access/"}
    assert table.at("storageDescriptor", "location") == folder
    assert table.at("parameters", "storage.location.template") == folder + "${source_bucket}/${day}"
    assert set(table.at("parameters", "projection.source_bucket.values").split(",")) == {
        each.at("bucket") for each in logged
    }
    assert len(logged) == 5
    assert table.at("parameters", "projection.day.format") == "yyyy/MM/dd"
    assert table.at("parameters", "projection.day.range") == "NOW-400DAYS,NOW"
    assert [key["name"] for key in table.at("partitionKeys")] == ["source_bucket", "day"]


def test_a_line_of_an_access_log_falls_into_its_columns() -> None:
    match = re.match(ACCESS.serde_parameters["input.regex"], REQUEST)

    assert match is not None
    assert match.re.groups == len(ACCESS.columns)
    row = dict(zip((name for name, _, _ in ACCESS.columns), match.groups(), strict=True))
    assert row["operation"] == "REST.GET.OBJECT"
    assert row["key"] == "gold/a.parquet"
    assert row["http_status"] == "200"
    assert row["user_agent"] == '"S3Console/0.4 with blanks"'
    assert row["host_header"] == "lake.s3.eu-central-1.amazonaws.com"


def test_an_access_log_line_of_before_the_later_columns_is_read_as_well() -> None:
    assert re.match(ACCESS.serde_parameters["input.regex"], REQUEST.partition(" SigV4")[0]) is not None


def test_without_the_trail_the_access_logs_can_still_be_asked() -> None:
    program = operations(switches={"trail": False})

    assert list(program.of(TRAIL)) == []
    assert [each.name for each in program.of(TABLE) if each.name.startswith("audit-")] == ["audit-s3_access_logs"]
