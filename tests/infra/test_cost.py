"""The budget, and that docs/cost.md is what the script computes from today's configuration."""

import json
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from infra import cost_page
from infra.config import EstateConfig
from infra.estimate import LOADS, Line, bill, configuration
from infra.price_check import unlisted
from infra.prices import DEARER, PAGES, PRICES
from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS
from tests.infra.operations import one, operations
from tests.infra.recorded_program import ACCOUNT, REGION

BUDGET = "aws:budgets/budget:Budget"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:shopware-lakehouse-dev-alarms"


def lines(stack: str = "dev", **settings: object) -> list[Line]:
    return bill(EstateConfig.model_validate(settings), load_contracts(CONTRACTS), LOADS[stack])


def test_the_budget_tells_the_topic_before_the_month_is_over() -> None:
    budget = one(operations(monthly_budget_usd=250), BUDGET)

    assert budget.at("limitAmount") == "250"
    assert budget.at("timeUnit") == "MONTHLY"
    assert budget.at("costFilters") == [{"name": "TagKeyValue", "values": ["user:environment$dev"]}]
    assert [(each["notificationType"], each["threshold"]) for each in budget.at("notifications")] == [
        ("ACTUAL", 50), ("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100),
    ]  # fmt: skip
    assert all(each["subscriberSnsTopicArns"] == [TOPIC] for each in budget.at("notifications"))


def test_the_budgets_tag_leads_to_its_page_in_characters_that_a_tag_may_have() -> None:
    link = one(operations(runbooks_url="https://git.shop.example/a_b/-/c/docs/runbooks"), BUDGET).at("tags", "runbook")

    assert link == "https://git.shop.example/a_b/-/c/docs/runbooks/budget.md"


def test_the_cost_page_is_current() -> None:
    assert cost_page.PAGE.read_text(encoding="utf-8") == cost_page.page(), "run `python -m infra.cost_page`"


def test_every_price_is_used_and_every_line_has_one() -> None:
    used = {
        line.price
        for settings in (
            {"switches": {"warehouse": True, "fan_out": True}, "streams": {"shards": 0}},
            {"switches": {"fan_out": True}, "streams": {"shards": 2}},
        )
        for line in lines("prod", **settings)
    }

    assert used <= set(PRICES)
    assert set(PRICES) - used == {"KMS request"}, "bucket keys keep these few"


def test_a_line_is_its_amount_times_the_price() -> None:
    assert Line("query", "Athena", 2_000, "Athena scan").usd == pytest.approx(10.0)


def test_a_record_of_600_bytes_costs_firehose_5_kilobytes() -> None:
    archived = next(line for line in lines("prod", streams={"shards": 0}) if line.price == "Firehose GB")

    assert archived.amount == pytest.approx(1_000 * 730 * 3600 * 5_000 / 1e9)


@pytest.mark.parametrize(
    ("what", "usd"),
    [
        # 2 streams of 4 shards, 2 metrics each.
        ("metrics of each shard", 16 * 0.30),
        # 1 GB a day, each for 30 days.
        ("flow logs kept", 30 * 0.03),
        ("flow logs", 30 * 0.50),
        # 1 000 events of 600 bytes a second, and 2 GB of logs a day.
        ("events and logs through them", (1_000 * 600 * 730 * 3600 / 1e9 + 60) * 0.01),
        ("dedicated consumers, all records", 1_000 * 600 * 730 * 3600 / 1e9 * 0.05),
        # 4 hours a day of 8 RPU.
        ("Redshift Serverless", 4 * 30 * 8 * 0.375),
    ],
)
def test_what_runs_beside_the_jobs_is_billed(what: str, usd: float) -> None:
    found = lines("prod", switches={"fan_out": True, "warehouse": True}, streams={"shards": 0})

    assert [line.usd for line in found if line.what == what] == [pytest.approx(usd)]


def test_access_logs_have_a_line_of_600_bytes_for_each_request_and_are_kept_a_year() -> None:
    found = lines("prod")
    requests = sum(line.amount for line in found if line.price in ("S3 PUT or LIST", "S3 GET"))
    [kept] = [line.amount for line in found if line.what == "access logs"]

    assert kept == pytest.approx(requests * 600 / 1e9 * 12)


def test_the_budgets_of_the_committed_stacks_hold_what_they_are_expected_to_cost() -> None:
    for stack, load in LOADS.items():
        config = configuration(stack)
        expected = sum(line.usd for line in bill(config, load_contracts(CONTRACTS), load))
        assert expected < config.monthly_budget_usd < 2 * expected, f"{stack}: {expected:.0f} USD"


def test_the_default_budget_holds_the_default_stack_in_every_region_of_the_list() -> None:
    config = EstateConfig()
    usual = sum(line.usd for line in bill(config, load_contracts(CONTRACTS), LOADS["dev"]))

    assert len(DEARER) == 15
    assert {region for region, share in DEARER.items() if usual * share >= config.monthly_budget_usd} == set()


def test_every_price_says_when_and_where_it_was_seen() -> None:
    assert {name for name, price in PRICES.items() if price.seen.year < 2026 or price.source not in PAGES} == set()
    assert f"| Glue DPU | 0.308 USD / hour | {PRICES['Glue DPU'].seen} | https://aws.amazon.com/glue/pricing/ |" in (
        cost_page.page()
    )


def test_a_proof_of_each_day_reads_older_bronze_thirty_times_a_month() -> None:
    """1 000 events of 600 bytes a second and 5 GB of files a day, half of that once stored, 9 months old and more."""
    month = (1_000 * 600 * 730 * 3600 / 1e9 + 150) * 0.5
    for schedule, proofs in (("cron(30 4 * * ? *)", 30), ("cron(30 4 ? * SUN *)", 52 / 12)):
        found = lines("prod", batch={"reconcile_schedule": schedule})
        [read] = [line.usd for line in found if line.what == "proof: older bronze read"]
        assert read == pytest.approx(proofs * month * 9 * 0.01)
    assert [line.usd for line in lines("prod") if line.what == "old versions of objects"] == [
        pytest.approx(month * 2 * 0.023)
    ]


def price_list(client: Any, *usd: str) -> Stubber:
    """AWS' price list with products of these prices, whatever it is asked."""
    stubber = Stubber(client)
    products = [
        json.dumps({"terms": {"OnDemand": {"t": {"priceDimensions": {"d": {"pricePerUnit": {"USD": each}}}}}}})
        for each in usd
    ]
    asked = {"ServiceCode": ANY, "Filters": [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-1"}]}
    for _ in range(2):
        stubber.add_response("get_products", {"PriceList": products}, asked)
    stubber.activate()
    return stubber


def test_a_price_that_aws_no_longer_asks_is_named() -> None:
    client = boto3.client("pricing", region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t")
    ours = {name: PRICES[name] for name in ("Glue DPU", "Athena scan")}
    with price_list(client, "0.0", "0.3080000000", "0.44"):
        assert list(unlisted(client, ours)) == ["Athena scan"]


def test_the_warehouse_is_part_of_prod_and_of_its_bill() -> None:
    assert configuration("prod").switches.warehouse
    assert "| warehouse | 0 | 360 |" in cost_page.page()


def test_what_is_switched_off_costs_nothing() -> None:
    off = {"archive": False, "trail": False, "streaming_jobs": False, "dashboards": False}
    found = lines("dev", switches=off)

    assert not {line.component for line in found} & {"compute", "audit", "warehouse"}
    assert sum(line.usd for line in found) < sum(line.usd for line in lines("dev")) / 3


def test_the_alarms_that_are_billed_are_those_that_are_declared() -> None:
    declared = operations()
    metrics = sum(
        len([query for query in each.at("metricQueries") or ({"metric": 1},) if "metric" in query])
        for each in declared.of("aws:cloudwatch/metricAlarm:MetricAlarm")
    )
    billed = next(line for line in lines() if line.price == "CloudWatch alarm metric")

    assert billed.amount == metrics
