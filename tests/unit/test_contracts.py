"""The contracts as they are, and everything that a folder of contracts is refused for."""

import json
import shutil
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from lakehouse.contracts import Column, ContractError, Contracts, Group, Role, load_contracts
from lakehouse.settings import CONTRACTS

FILES = sorted(CONTRACTS.glob("*.odcs.yaml"))
SOURCES = ("campaigns", "crm", "inventory", "pos", "products", "stores", "warehouses", "web_logs")


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return load_contracts(CONTRACTS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_contract_is_valid_against_the_standard(file: Path) -> None:
    schema = json.loads(OpenDataContractStandard.json_schema())  # type: ignore[no-untyped-call]
    jsonschema.validators.validator_for(schema)(schema).validate(yaml.safe_load(file.read_text(encoding="utf-8")))


def test_every_table_of_the_lake_has_a_contract(contracts: Contracts) -> None:
    assert contracts.sources == SOURCES
    assert contracts.references == ("products", "stores", "warehouses")
    assert set(contracts.tables) == {
        *(f"bronze.{source}" for source in SOURCES),
        *(f"rejected.{source}" for source in SOURCES),
        "silver.validated_pos",
        "silver.enriched_inventory",
        "silver.sessionized_web_logs",
        "silver.customer_interactions",
        "silver.campaign_spend",
        "silver.stores",
        "silver.warehouses",
        "silver.products",
        "gold.sales_kpis",
        "gold.marketing_funnel",
        "gold.customer_insights",
        "gold.operations_kpis",
    }


def test_files_are_named_after_their_contracts(contracts: Contracts) -> None:
    assert sorted(contracts) == [file.name.removesuffix(".odcs.yaml") for file in FILES]


def test_source_says_what_the_tills_send(contracts: Contracts) -> None:
    pos = contracts.source("pos")
    types = {column.name: (column.stored_as, column.type, column.required) for column in pos.columns}
    assert types == {
        "transaction_id": ("transaction_id", "string", True),
        "line_number": ("line_number", "int", True),
        "store_id": ("store_id", "int", True),
        "product_id": ("product_id", "string", True),
        "quantity": ("quantity", "int", True),
        "unit_price": ("unit_price", "decimal(18,4)", True),
        "revenue": ("revenue", "decimal(18,4)", True),
        "discount_applied": ("discount_applied", "decimal(18,4)", False),
        "customer_id": ("customer_id", "string", False),
        "timestamp": ("event_time", "timestamp", True),
    }
    assert pos.identity == ("transaction_id", "line_number", "event_time")
    assert pos.precedence == ("arrived_at", "record_id")
    assert (pos.event_time, pos.owner, pos.retention_days, pos.freshness) == (
        "event_time",
        "Sales",
        2557,
        timedelta(hours=26),
    )


def test_column_carries_every_rule(contracts: Contracts) -> None:
    assert contracts.source("crm").column("rating") == Column(
        name="rating",
        stored_as="rating",
        type="int",
        required=False,
        description="What the customer gave us, 5 is best.",
        classification="internal",
        minimum=Decimal(1),
        maximum=Decimal(5),
    )
    web = contracts.source("web_logs")
    assert web.column("event_type").enum == ("view", "click", "scroll", "impression", "add_to_cart", "purchase")
    assert web.column("country").pattern == "^[A-Z]{2}$"
    assert web.column("page").max_length == 4096
    assert web.column("product_id").reference == ("products", "product_id")


def test_silver_has_the_columns_of_its_source_first(contracts: Contracts) -> None:
    silver = contracts.silver_of("pos")
    assert silver.name == "validated_pos"
    assert silver.column_names == (
        *("record_id", "arrived_at"),
        *contracts.source("pos").column_names,
        *("country", "category", "unit_cost", "basket_key", "is_first_line", "region", "month", "type"),
    )
    assert [column.name for column in silver.columns] == list(silver.column_names)
    assert silver.identity == contracts.source("pos").identity
    assert silver.partitions == ("region", "month", "type")
    assert silver.group == Group("basket_key", timedelta(days=1), ("event_time", "transaction_id", "line_number"))
    assert silver.column("region").lookup == ("stores", "region")
    assert silver.column("type").expression == "if(quantity < 0, 'refund', 'sale')"
    assert silver.column("is_first_line").settled


@pytest.mark.parametrize(
    ("source", "key", "gap"),
    [
        ("pos", "basket_key", timedelta(days=1)),
        ("inventory", "stock_key", timedelta(days=2)),
        ("web_logs", "visitor_id", timedelta(minutes=30)),
        ("crm", "case_key", timedelta(days=30)),
    ],
)
def test_rows_of_a_group_are_ordered_by_time_then_identity(
    contracts: Contracts, source: str, key: str, gap: timedelta
) -> None:
    silver = contracts.silver_of(source)
    others = tuple(name for name in silver.identity if name != "event_time")
    assert silver.group == Group(key, gap, ("event_time", *others))


def test_reference_table_has_its_source_s_columns(contracts: Contracts) -> None:
    table = contracts.table("silver.stores")
    assert (table.kind, table.name, table.extends) == ("silver", "stores", "stores")
    assert table.column_names == ("record_id", "arrived_at", "store_id", "region", "country", "valid_from")
    assert (table.partitions, table.group, table.identity) == ((), None, ("store_id", "valid_from"))


def test_bronze_and_rejected_tables_belong_to_their_source(contracts: Contracts) -> None:
    bronze, rejected = contracts.table("bronze.crm"), contracts.table("rejected.crm")
    assert bronze.column_names == (
        *("record_id", "payload", "payload_encoding", "arrived_at", "ingested_at", "partition_key", "ingest_date"),
    )
    assert rejected.column_names == (
        *("record_id", "source", "rule", "column", "value", "message", "errors", "payload", "payload_encoding"),
        *("arrived_at", "partition_key", "ingest_date", "batch", "batch_number", "contract_version"),
    )
    for table in (bronze, rejected):
        assert table.partitions == ("ingest_date",)
        assert (table.owner, table.retention_days) == ("Customer Support", 1096)


def test_what_derives_from_bronze_is_kept_no_longer_than_bronze(contracts: Contracts) -> None:
    for source in contracts.sources:
        kept = {contracts.table(f"{layer}.{source}").retention_days for layer in ("bronze", "rejected")}
        assert kept == {contracts.silver_of(source).retention_days}, source


def test_gold_tables_share_their_measures(contracts: Contracts) -> None:
    for table in (contracts.table(name) for name in contracts.tables if name.startswith("gold.")):
        assert table.column_names[:3] == ("kpi_name", "month", "period_start")
        assert [(column.name, column.type) for column in table.columns[-4:]] == [
            ("numerator", "decimal(28,4)"),
            ("denominator", "decimal(28,4)"),
            ("value", "decimal(38,10)"),
            ("contributions", "bigint"),
        ]
        assert table.partitions == ("kpi_name", "month")
        assert table.identity == ("kpi_name", "period_start", *table.column_names[3:-4])


def test_unknown_names_are_told(contracts: Contracts) -> None:
    with pytest.raises(ContractError, match="there is no contract 'poss': there are bad_rows, "):
        contracts["poss"]
    with pytest.raises(ContractError, match="there is no table 'gold.pos': there are bronze.campaigns, "):
        contracts.table("gold.pos")
    with pytest.raises(ContractError, match="sales_kpis is no source: the sources are campaigns, "):
        contracts.source("sales_kpis")
    with pytest.raises(ContractError, match="contract stores has no column 'city': it has store_id, "):
        contracts["stores"].column("city")


REFUSED = [
    ("pos", "property: eventTime", "property: eventTIme", "pos.odcs.yaml: customProperties.eventTIme: unknown custom"),
    (
        "pos",
        "property: storedAs",
        "property: storeAs",
        "pos.odcs.yaml: schema.pos.timestamp.customProperties.storeAs: unknown custom property; known are storedAs",
    ),
    (
        "validated_pos",
        "property: excludeClassification",
        "property: exclude",
        "validated_pos.odcs.yaml: roles.sales.customProperties.exclude: unknown custom property",
    ),
    (
        "pos",
        "physicalType: int",
        "physicalType: integer",
        "pos.odcs.yaml: schema.pos.line_number.physicalType: 'integer'",
    ),
    (
        "pos",
        "decimal(18,4)",
        "decimal(4,18)",
        "schema.pos.unit_price.physicalType: decimal(4,18) needs scale <= precision",
    ),
    (
        "pos",
        "logicalType: integer",
        "logicalType: number",
        "schema.pos.line_number.logicalType: 'number' must be integer",
    ),
    (
        "pos",
        "required: true",
        "requird: true",
        "pos.odcs.yaml: schema.pos.properties.transaction_id.requird: the standard",
    ),
    (
        "pos",
        "name: pos\nversion",
        "name: pos\nname: pos\nversion",
        "pos.odcs.yaml: line 1: the key 'name' is written twice",
    ),
    (
        "pos",
        "value: event_time}\n  - {property: prec",
        "value: at}\n  - {property: prec",
        "pos.odcs.yaml: primaryKey: must include the event time at",
    ),
    ("pos", "value: [arrived_at, record_id]", "value: [arrived_at, rank]", "precedence: 'rank' is no column of pos"),
    ("pos", "to: stores.store_id", "to: shops.store_id", "store_id.relationships: 'shops' is no reference data"),
    ("pos", "to: stores.store_id", "to: stores.region", "store_id.relationships: stores.region is not what identifies"),
    ("pos", "to: stores.store_id", "to: stores.id", "store_id.relationships: stores has no column 'id'"),
    ("pos", "name: line_number", "name: transaction_id", "schema: 'transaction_id' is there twice"),
    ("pos", "name: line_number", "name: Line", "schema.pos.Line: 'Line' is no column name"),
    ("pos", "name: line_number", "name: payload", "schema.payload: 'payload' is what every record has; use storedAs"),
    (
        "pos",
        "primaryKeyPosition: 2",
        "primaryKeyPosition: 4",
        "primaryKeyPosition: the primaryKey columns must be numbered",
    ),
    (
        "pos",
        "classification: pii",
        "classification: secret",
        "schema.pos.customer_id.classification: 'secret' is none of",
    ),
    ("pos", "{minimum: 0}", "{exclusiveMinimum: 0}", "unit_price.logicalTypeOptions.exclusiveMinimum: only minimum, "),
    ("pos", "{minimum: 0}", "{pattern: x}", "schema.pos.unit_price: enum, pattern and maxLength are for strings"),
    (
        "pos",
        "{maxLength: 128}",
        "{minimum: 1}",
        "schema.pos.transaction_id.logicalTypeOptions: minimum and maximum are for",
    ),
    ("pos", "version: 1.0.0", "version: v1", "pos.odcs.yaml: version: 'v1' is no semantic version"),
    ("pos", "unit: h", "unit: weeks", "pos.odcs.yaml: slaProperties.freshness: needs a whole value and a unit of"),
    (
        "pos",
        "access: read",
        "access: write",
        "pos.odcs.yaml: roles.data_engineer.access: 'write': contracts grant read",
    ),
    ("pos", "  name: Sales", "  description: Sales", "pos.odcs.yaml: team.name: names no owner"),
    ("pos", "status: active", "status: [", "pos.odcs.yaml: is no YAML"),
    (
        "stores",
        "name: stores\nversion",
        "name: pos\nversion",
        "stores.odcs.yaml: schema: must describe exactly one table",
    ),
    ("crm", 'pattern: "^', 'pattern: "^(', "is no RE2 pattern: Invalid Input Error: missing )"),
    ("crm", 'pattern: "^', 'pattern: "(?=x)^', "schema.crm.channel.logicalTypeOptions.pattern: '(?=x)^"),
    (
        "validated_pos",
        "if(quantity < 0, '|refund', '|sale')",
        "if(quantities < 0, '|refund', '|sale')",
        "schema.basket_key.customProperties.expression: \"transaction_id || if(quantities < 0, '|refund', '|sale')\" "
        'is no DuckDB SQL: Binder Error: Referenced column "quantities" not found',
    ),
    (
        "customer_interactions",
        "strftime(event_time, '%Y-%m')",
        "date_format(event_time, 'yyyy-MM')",
        "schema.month.customProperties.expression: \"date_format(event_time, 'yyyy-MM')\" is no DuckDB SQL",
    ),
    ("crm", "metric: invalidValues", "metric: nullValues", "schema.crm.interaction_type.quality: only invalidValues"),
    (
        "validated_pos",
        "partitioned: true",
        "partitioned: false",
        "partitionKeyPosition: the partitioned columns must be",
    ),
    (
        "validated_pos",
        "name: unit_cost",
        "name: quantity",
        "validated_pos.odcs.yaml: schema: quantity is already a column of",
    ),
    (
        "validated_pos",
        "stores.country",
        "shops.country",
        "schema.country.customProperties.lookup: 'shops' is no reference data",
    ),
    (
        "validated_pos",
        "stores.country",
        "stores.city",
        "schema.country.customProperties.lookup: stores has no column 'city'",
    ),
    (
        "validated_pos",
        "stores.country",
        "warehouses.country",
        "schema.country.customProperties.lookup: no column refers to",
    ),
    (
        "validated_pos",
        "{property: settled, value: true}",
        "{property: settled, value: false}",
        "is_first_line: needs one of",
    ),
    ("validated_pos", "value: pos}", "value: tills}", "customProperties.extends: 'tills' is no source"),
    (
        "validated_pos",
        "key: basket_key",
        "key: basket",
        "customProperties.group: 'basket' is no column of validated_pos",
    ),
    ("validated_pos", "gap: P1D", "gap: P", "validated_pos.odcs.yaml: customProperties.group.gap: 'P' is no ISO 8601"),
    (
        "stores",
        "value: P732D",
        "value: 2 years",
        "stores.odcs.yaml: customProperties.eventTimeAhead: '2 years'",
    ),
    (
        "bronze_envelope",
        "{property: kind, value: bronze}",
        "{property: kind, value: bronze}\n  - {property: eventTimeAhead, value: P1D}",
        "customProperties.eventTimeAhead: only a source with an eventTime can say how far ahead it may be",
    ),
    ("campaign_spend", "value: campaigns}", "value: pos}", "customProperties.extends: pos has two silver contracts"),
    (
        "campaign_spend",
        "{property: expression, value: channel}",
        "{property: settled, value: true}",
        "campaign_spend.odcs.yaml: schema.type.customProperties.settled: campaign_spend has no group to settle",
    ),
    (
        "bronze_envelope",
        "value: bronze}",
        "value: rejected}",
        "there must be a contract bronze_envelope of kind bronze",
    ),
]


@pytest.mark.parametrize(("name", "there", "instead", "message"), REFUSED, ids=[f"{r[0]}: {r[2]}" for r in REFUSED])
def test_a_contract_that_cannot_work_is_refused_by_file_and_key(
    tmp_path: Path, name: str, there: str, instead: str, message: str
) -> None:
    folder = shutil.copytree(CONTRACTS, tmp_path / "contracts")
    file = folder / f"{name}.odcs.yaml"
    text = file.read_text(encoding="utf-8")
    assert there in text
    file.write_text(text.replace(there, instead, 1), encoding="utf-8")
    with pytest.raises(ContractError) as refused:
        load_contracts(folder)
    assert message in str(refused.value)


def test_reference_data_may_begin_to_hold_two_years_from_now_and_events_a_day(contracts: Contracts) -> None:
    ahead = {source: contracts.source(source).event_time_ahead for source in contracts.sources}
    assert {source for source, time in ahead.items() if time == timedelta(days=732)} == set(contracts.references)
    assert {time for source, time in ahead.items() if source not in contracts.references} == {timedelta(hours=24)}


def test_two_contracts_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(CONTRACTS, tmp_path / "contracts")
    shutil.copy(folder / "pos.odcs.yaml", folder / "tills.odcs.yaml")
    with pytest.raises(ContractError, match="tills.odcs.yaml: name: pos is already the name in pos.odcs.yaml"):
        load_contracts(folder)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="holds no .*odcs.yaml file: set contracts_directory"):
        load_contracts(tmp_path)


def test_changing_a_rule_is_one_line_in_one_file(tmp_path: Path) -> None:
    folder = shutil.copytree(CONTRACTS, tmp_path / "contracts")
    file = folder / "crm.odcs.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("maximum: 5", "maximum: 10"), encoding="utf-8")
    changed = load_contracts(folder)
    assert changed.source("crm").column("rating").maximum == Decimal(10)
    assert changed.table("silver.customer_interactions").column("rating").maximum == Decimal(10)


def test_roles_are_read(contracts: Contracts) -> None:
    assert contracts["marketing_funnel"].roles == (
        Role(
            name="marketing",
            description="The KPIs of the Marketing team.",
            columns=None,
            excluded=(),
            row_filter="kpi_name in ('click_through_rate', 'campaign_roi', 'funnel_stage', 'session_duration', "
            "'bounce_rate', 'engagement')",
        ),
        Role("data_engineer", "Everything, to run and repair the lake.", None, (), None),
    )


def test_what_infrastructure_reads_does_not_import_spark() -> None:
    modules = "lakehouse.contracts, lakehouse.policies, lakehouse.glue_columns, lakehouse.settings, lakehouse.layout"
    program = f"import sys, {modules}; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=CONTRACTS.parent, check=False).returncode == 0
