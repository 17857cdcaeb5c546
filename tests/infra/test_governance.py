"""Who may read what on AWS beside the teams' own grants: regions, groups of people, auditors; and what tags tell."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from lakehouse.settings import CONTRACTS
from tests.infra.declared import Declared, Program
from tests.infra.operations import one
from tests.infra.recorded_program import ACCOUNT, REGION, recorded

PERMISSIONS, OPT_IN = "aws:lakeformation/permissions:Permissions", "aws:lakeformation/optIn:OptIn"
FILTER, TAG = "aws:lakeformation/dataCellsFilter:DataCellsFilter", "aws:lakeformation/resourceLfTag:ResourceLfTag"
SETTINGS = "aws:lakeformation/dataLakeSettings:DataLakeSettings"
LOCATION = "aws:lakeformation/resource:Resource"
PEOPLE = "aws:lakeformation/identityCenterConfiguration:IdentityCenterConfiguration"
WORKGROUP, POLICY, ROLE = "aws:athena/workgroup:Workgroup", "aws:iam/rolePolicy:RolePolicy", "aws:iam/role:Role"
SALES = f"arn:aws:iam::{ACCOUNT}:role/shopware-lakehouse-dev-team-sales-euc1"
AUDITOR = f"arn:aws:iam::{ACCOUNT}:role/shopware-lakehouse-dev-auditor-euc1"
STRICTNESS = ("public", "internal", "pii")
GROUP, INSTANCE = "3f0e2c1a-aaaa-bbbb-cccc-0123456789ab", "arn:aws:sso:::instance/ssoins-7223f1c2d3e4a5b6"


@pytest.fixture(scope="module")
def program() -> Program:
    return recorded("dev")


def grants(program: Program, principal: str) -> Iterator[Declared]:
    return (each for each in program.of(PERMISSIONS) if each.at("principal") == principal)


def test_nothing_is_open_to_everybody_and_the_lake_is_registered_for_reading(program: Program) -> None:
    settings, location = one(program, SETTINGS), one(program, LOCATION)

    assert settings.at("createDatabaseDefaultPermissions") == []
    assert settings.at("createTableDefaultPermissions") == []
    assert settings.at("admins") == [f"arn:aws:iam::{ACCOUNT}:role/deployer"]
    assert location.at("arn") == f"arn:aws:s3:::shopware-lakehouse-dev-lake-{ACCOUNT}-euc1"
    assert location.at("hybridAccessEnabled") is True
    document = json.loads(one(program, POLICY, "governance-location").at("policy"))
    actions = {action for each in document["Statement"] for action in each["Action"]}
    assert actions == {"s3:GetObject", "s3:ListBucket", "kms:Decrypt", "kms:DescribeKey"}


def test_administrators_are_those_of_the_configuration_whoever_runs_it() -> None:
    named = [f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("platform", "security")]
    program = recorded("dev", administrators=json.dumps(named))
    assert one(program, SETTINGS).at("admins") == named


def test_a_second_stack_of_an_account_leaves_the_settings_and_the_key_of_the_first() -> None:
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/of-the-first-stack"
    program = recorded("prod", catalog_key=key, identity_center=INSTANCE)
    for kind in (SETTINGS, PEOPLE, "aws:glue/dataCatalogEncryptionSettings:DataCatalogEncryptionSettings"):
        assert list(program.of(kind)) == []
    assert [each.name for each in program.of("aws:kms/key:Key") if each.name == "keys-catalog"] == []
    using = {
        resource
        for _, _, statement in program.statements()
        if statement["Sid"] in ("ReadCatalogKey", "UseCatalogKey")
        for resource in statement["Resource"]
    }
    assert using == {key}


def test_a_team_of_some_regions_gets_their_rows_through_filters_and_no_table_with_regions_whole() -> None:
    confined = recorded("dev", team_regions={"sales": ["north", "europe"]})
    within = "region in ('north', 'europe')"
    named = {each.at("tableData", "name"): each for each in confined.of(FILTER)}

    whole = {each.at("tableWithColumns", "name") for each in grants(confined, SALES) if each.at("tableWithColumns")}
    assert whole == {"products"}
    filters = {
        each.at("dataCellsFilter", "tableName"): named[each.at("dataCellsFilter", "name")]
        for each in grants(confined, SALES)
        if each.at("dataCellsFilter")
    }
    expressions = {
        table: each.at("tableData", "rowFilter", "filterExpression") for table, each in sorted(filters.items())
    }
    kpis = "kpi_name in ('revenue_by_store', 'revenue_by_region', 'units_sold', 'average_basket', "
    assert expressions.pop("sales_kpis").replace("\n", " ") == f"({kpis}'product_conversion_rate')) and {within}"
    assert expressions == {"stores": within, "validated_pos": within}
    free = {each.at("tableData", "name") for each in recorded("dev").of(FILTER)}
    others = {name for name in named if not name.startswith("sales-")}
    assert others == {name for name in free if not name.startswith("sales-")}, "other teams see what they saw"


def test_groups_of_people_get_what_their_team_gets() -> None:
    both = recorded("dev", identity_center=INSTANCE, team_groups={"sales": [GROUP]})
    group = f"arn:aws:identitystore:::group/{GROUP}"
    parts = ("permissions", "database", "tableWithColumns", "dataCellsFilter")

    def given(principal: str) -> list[str]:
        return sorted(json.dumps([each.at(part) for part in parts]) for each in grants(both, principal))

    assert given(group) == given(SALES) != []

    def opted(principal: str) -> list[Any]:
        found = [e for e in both.of(OPT_IN) if e.at("principals", 0, "dataLakePrincipalIdentifier") == principal]
        return sorted(json.dumps(each.at("resourceDatas")) for each in found)

    assert opted(group) == opted(SALES) != []
    assert one(both, PEOPLE).at("instanceArn") == INSTANCE
    assert not list(recorded("dev").of(PEOPLE))


def test_people_ask_in_a_workgroup_of_their_own_that_is_as_strict() -> None:
    both = recorded("dev", identity_center=INSTANCE, team_groups={"sales": [GROUP]})
    people, teams = one(both, WORKGROUP, "query-people"), one(both, WORKGROUP, "query-sales")

    role = f"arn:aws:iam::{ACCOUNT}:role/shopware-lakehouse-dev-athena-people-euc1"
    own = {
        "executionRole": role,
        "identityCenterConfiguration": {"enableIdentityCenter": True, "identityCenterInstanceArn": INSTANCE},
    }
    results = f"s3://shopware-lakehouse-dev-query-results-{ACCOUNT}-euc1"
    common = {**people.at("configuration")}
    assert {name: common.pop(name) for name in own} == own
    assert common.pop("resultConfiguration")["outputLocation"] == f"{results}/people/"
    of_teams = {**teams.at("configuration")}
    of_teams.pop("resultConfiguration")
    assert common == of_teams
    trust = json.loads(one(both, ROLE, "query-people").at("assumeRolePolicy"))["Statement"]
    assert trust[0]["Principal"] == {"Service": "athena.amazonaws.com"}
    assert not list(grants(both, role)), "the role itself is granted no table"


def test_tags_say_of_every_column_what_its_contract_says(program: Program) -> None:
    tagged: dict[tuple[str, str], dict[str, str]] = {}
    for each in sorted(program.of(TAG), key=lambda each: bool(each.at("tableWithColumns"))):
        assert each.at("lfTag", "key") == "shopware-lakehouse-dev-classification"
        place = each.at("table") or each.at("tableWithColumns")
        table = tagged.setdefault((place["databaseName"].rpartition("_")[2], place["name"]), {})
        table |= dict.fromkeys(place.get("columnNames", ["*"]), each.at("lfTag", "value"))

    for path in CONTRACTS.glob("*.odcs.yaml"):
        contract = yaml.safe_load(path.read_text())
        kind = next(each["value"] for each in contract["customProperties"] if each["property"] == "kind")
        if kind not in ("silver", "gold"):
            continue
        tags = tagged[kind, contract["name"]]
        for column in contract["schema"][0]["properties"]:
            assert tags.get(column["name"], tags["*"]) == column["classification"], (path.name, column["name"])
        assert max(tags.values(), key=STRICTNESS.index) == tags["*"]
    assert {layer for layer, _ in tagged} == {"bronze", "silver", "gold", "rejected"}
    assert all(tags["*"] == "pii" for (layer, _), tags in tagged.items() if layer in ("bronze", "rejected"))


def test_no_grant_is_by_tag(program: Program) -> None:
    """What a tag gives would be added to what a filter leaves."""
    assert not [each for each in program.of(PERMISSIONS) if each.at("lfTag") or each.at("lfTagPolicy")]


def test_auditors_read_the_logs_and_nothing_of_the_lake(program: Program) -> None:
    database = "shopware_lakehouse_dev_audit"
    given = {each.at("table", "name"): each.at("permissions") for each in grants(program, AUDITOR)}
    assert given == {
        None: ["DESCRIBE"],
        "cloudtrail": ["DESCRIBE", "SELECT"],
        "s3_access_logs": ["DESCRIBE", "SELECT"],
    }
    assert {each.at("table", "databaseName") or each.at("database", "name") for each in grants(program, AUDITOR)} == {
        database
    }
    statements = json.loads(one(program, POLICY, "auditors").at("policy"))["Statement"]
    bucket = f"arn:aws:s3:::shopware-lakehouse-dev-{{}}-{ACCOUNT}-euc1"
    objects = {each["Sid"]: each["Resource"] for each in statements if "s3:GetObject" in each["Action"]}
    assert objects == {
        "KeepOwnResults": [f"{bucket.format('query-results')}/auditor/*"],
        "ReadLogs": [f"{bucket.format('audit')}/*", f"{bucket.format('access-logs')}/*"],
    }
    glue = [each["Resource"] for each in statements if "glue:GetTable" in each["Action"]]
    prefix = f"arn:aws:glue:{REGION}:{ACCOUNT}"
    assert glue == [[f"{prefix}:catalog", f"{prefix}:database/{database}", f"{prefix}:table/{database}/*"]]


def trusts(program: Program) -> dict[str, Any]:
    """The trust of each role of people."""
    people = [each for each in program.of(ROLE) if each.name == "auditors" or "-team-" in each.at("name")]
    return {each.name: json.loads(each.at("assumeRolePolicy"))["Statement"] for each in people}


def test_nobody_may_take_a_role_that_the_configuration_gives_to_nobody(program: Program) -> None:
    """AWS, "Policy evaluation logic": without an Allow in its trust policy nobody assumes a role."""
    found = trusts(program)

    assert len(found) == 7
    assert {statement["Effect"] for each in found.values() for statement in each} == {"Deny"}


def test_only_those_whom_the_configuration_names_may_take_a_role() -> None:
    named = f"arn:aws:iam::{ACCOUNT}:role/security"
    found = trusts(recorded("dev", auditors=json.dumps([named]), team_principals={"sales": [named]}))

    allowed = {name: each["Principal"] for name, [each] in found.items() if each["Effect"] == "Allow"}
    assert allowed == {"auditors": {"AWS": [named]}, "governance-sales": {"AWS": [named]}}
