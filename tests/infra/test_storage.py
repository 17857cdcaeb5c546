"""The buckets: each under its key, versioned, closed and logged; and no rule that works against Delta."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.infra.declared import Declared, Program
from tests.infra.operations import one
from tests.infra.recorded_program import ACCOUNT, REGION, recorded, with_everything

BUCKETS = ("access-logs", "artifacts", "audit", "lake", "landing", "query-results")
KEYS = {"lake": "lake", "landing": "landing", "artifacts": "artifacts", "query-results": "lake", "audit": "audit"}
BUCKET, LIFECYCLE = "aws:s3/bucket:Bucket", "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
# Delta alone may remove what lies here: an expired file would break reading a table as it was.
TABLES = ("bronze/", "silver/", "gold/", "rejected/", "checkpoints/")


@pytest.fixture(scope="module")
def program() -> Program:
    return with_everything("prod")


def name(purpose: str, stack: str = "prod") -> str:
    return f"shopware-lakehouse-{stack}-{purpose}-{ACCOUNT}-euc1"


def beside(program: Program, kind: str) -> Mapping[str, Any]:
    """The resources of a kind that belong to buckets, by the bucket's purpose."""
    found = {each.at("bucket"): each for each in program.of(f"aws:s3/{kind[0].lower()}{kind[1:]}:{kind}")}
    return {purpose: found[name(purpose)] for purpose in BUCKETS if name(purpose) in found}


def test_there_are_these_buckets(program: Program) -> None:
    assert sorted(each.at("bucket") for each in program.of(BUCKET)) == sorted(name(each) for each in BUCKETS)


def test_every_bucket_is_closed_to_the_public_and_keeps_versions(program: Program) -> None:
    closed = beside(program, "BucketPublicAccessBlock")
    parts = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    assert {each: [closed[each].at(part) for part in parts] for each in BUCKETS} == dict.fromkeys(BUCKETS, [True] * 4)
    versions = beside(program, "BucketVersioning")
    assert {each: versions[each].at("versioningConfiguration", "status") for each in BUCKETS} == dict.fromkeys(
        BUCKETS, "Enabled"
    )


def test_every_bucket_is_encrypted_with_the_key_of_its_domain(program: Program) -> None:
    found = {}
    for purpose, each in beside(program, "BucketServerSideEncryptionConfiguration").items():
        rule = each.at("rules", 0)
        by_default = rule["applyServerSideEncryptionByDefault"]
        found[purpose] = (by_default["sseAlgorithm"], by_default.get("kmsMasterKeyId"), rule.get("bucketKeyEnabled"))
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/keys-{{}}"
    wanted = {purpose: ("aws:kms", key.format(domain), True) for purpose, domain in KEYS.items()}
    # S3 delivers access logs only where its own key encrypts.
    assert {each: found[each] for each in KEYS} == wanted
    assert found["access-logs"][:2] == ("AES256", None)


def test_every_bucket_but_that_of_the_logs_is_logged_there(program: Program) -> None:
    logged = beside(program, "BucketLogging")
    assert {purpose: each.at("targetBucket") for purpose, each in logged.items()} == dict.fromkeys(
        sorted(KEYS), name("access-logs")
    )
    by_day = {"partitionedPrefix": {"partitionDateSource": "EventTime"}}
    for each in logged.values():
        assert (each.at("targetPrefix"), each.at("targetObjectKeyFormat")) == ("access/", by_day)


def test_destroying_leaves_a_bucket_with_all_that_protects_it(program: Program) -> None:
    """One that stays with its data, but open, unencrypted or unversioned, would be worse than none."""
    parts = [each for each in program.resources if each.type.startswith("aws:s3/bucket")]
    assert {each.type.rpartition(":")[2] for each in parts} - {"BucketObjectv2"} == {
        "Bucket", "BucketPublicAccessBlock", "BucketOwnershipControls", "BucketVersioning", "BucketPolicy",
        "BucketServerSideEncryptionConfiguration", "BucketLifecycleConfiguration", "BucketLogging",
        "BucketObjectLockConfiguration",
    }  # fmt: skip
    assert [str(each) for each in parts if not (each.kept or each.type.endswith(":BucketObjectv2"))] == []


def test_what_was_left_is_taken_over_where_that_is_asked_for(program: Program) -> None:
    """All of it has a name that `pulumi up` would find taken. Objects, statements and settings are simply put again."""
    again = (
        "aws:s3/bucketObjectv2:BucketObjectv2",
        "aws:redshiftdata/statement:Statement",
        # An account has one of each, always.
        "aws:glue/dataCatalogEncryptionSettings:DataCatalogEncryptionSettings",
        "aws:lakeformation/dataLakeSettings:DataLakeSettings",
    )
    assert [str(each) for each in program.resources if each.adopted] == []
    adopting = recorded("prod", adopt="true", switches={"warehouse": True, "fan_out": True, "object_lock": True})

    left = [each for each in adopting.resources if each.kept and each.type not in again]
    assert {str(each): each.adopted for each in left} == {str(each): identity(each) for each in left}
    assert len(left) > 100
    assert [str(each) for each in adopting.resources if each.adopted and not each.kept] == []


def identity(resource: Declared) -> str:
    """What AWS calls what a stack left behind."""
    at = resource.at
    match resource.type.rpartition(":")[2]:
        case "Stream" | "Alias":
            return str(at("name"))
        case "Key":
            return "0f0e0d0c"
        case "Namespace":
            return str(at("namespaceName"))
        case "DataCatalogEncryptionSettings":
            return ACCOUNT
        case "CatalogDatabase":
            return f"{ACCOUNT}:{at('name')}"
        case "CatalogTable":
            return f"{ACCOUNT}:{at('databaseName')}:{at('name')}"
        case _:
            return str(at("bucket"))


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_no_rule_expires_a_current_file_of_a_table(stack: str) -> None:
    for each in recorded(stack).of(LIFECYCLE):
        for rule in each.at("rules"):
            days = (rule.get("expiration") or {}).get("days")
            prefix = (rule.get("filter") or {}).get("prefix", "")
            if days is None or each.at("bucket") != name("lake", stack):
                continue
            assert prefix, f"{rule['id']} expires the whole lake"
            assert not prefix.startswith(TABLES), rule["id"]


def test_unfinished_uploads_and_old_versions_end_everywhere(program: Program) -> None:
    rules = {each.at("bucket"): each.at("rules") for each in program.of(LIFECYCLE)}
    for purpose in BUCKETS:
        own = rules[name(purpose)]
        assert [r for r in own if r.get("abortIncompleteMultipartUpload")], purpose
        assert [r for r in own if r.get("noncurrentVersionExpiration")], purpose


def test_old_versions_outlive_what_time_travel_needs(program: Program) -> None:
    """VACUUM removes files behind time travel; their versions are the last resort, and begin when they go."""
    [rule] = [r for e in program.of(LIFECYCLE) if e.at("bucket") == name("lake")
              for r in e.at("rules") if r.get("noncurrentVersionExpiration")]  # fmt: skip
    assert rule["noncurrentVersionExpiration"]["noncurrentDays"] == 30


def test_markers_of_deleted_objects_go_once_nothing_is_behind_them(program: Program) -> None:
    """VACUUM deletes files day after day; a marker that stayed would make every listing slower."""
    for each in program.of(LIFECYCLE):
        [rule] = [r for r in each.at("rules") if r.get("noncurrentVersionExpiration")]
        assert rule["expiration"] == {"expiredObjectDeleteMarker": True}, each
        assert rule["filter"] == {"prefix": ""}, each


def test_logs_of_jobs_and_temporary_files_end_and_code_stays(program: Program) -> None:
    [rules] = [each.at("rules") for each in program.of(LIFECYCLE) if each.at("bucket") == name("artifacts")]
    expired = {r["filter"]["prefix"]: r["expiration"]["days"] for r in rules if "days" in (r.get("expiration") or {})}
    assert expired == {"logs/": 30, "temporary/": 7}


def test_a_lock_is_put_on_the_bucket_that_exists(program: Program) -> None:
    """`objectLockEnabled` on the bucket itself would replace it, and collide with the one that is kept."""
    assert [each.at("objectLockEnabled") for each in program.of(BUCKET)] == [None] * len(BUCKETS)
    lock = one(program, "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration")
    assert lock.at("objectLockEnabled") == "Enabled"


def test_audit_is_locked_where_asked(program: Program) -> None:
    lock = one(program, "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration")
    assert lock.at("bucket") == name("audit")
    assert lock.at("rule", "defaultRetention", "days") == 400
    unlocked = recorded("prod", switches={"object_lock": False})
    assert not list(unlocked.of("aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration"))
