"""The budget, and that docs/cost.md is what the script computes from today's configuration."""

import pytest

from infra import estimate
from infra.config import EstateConfig
from infra.estimate import LOADS, Line, bill
from infra.prices import PRICES
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


def test_the_budget_can_be_left_out() -> None:
    assert list(operations(switches={"budget": False}).of(BUDGET)) == []


def test_the_cost_page_is_current() -> None:
    assert estimate.PAGE.read_text(encoding="utf-8") == estimate.page(), "run `python -m infra.estimate`"


def test_every_price_is_used_and_every_line_has_one() -> None:
    used = {
        line.price
        for settings in ({"switches": {"warehouse": True}}, {"streams": {"shards": 2}})
        for line in lines("prod", **settings)
    }

    assert used <= set(PRICES)
    assert set(PRICES) - used == {"KMS request"}, "bucket keys keep these few"


def test_a_line_is_its_amount_times_the_price() -> None:
    assert Line("query", "Athena", 2_000, "Athena scan").usd == pytest.approx(10.0)


def test_a_record_of_600_bytes_costs_firehose_5_kilobytes() -> None:
    archived = next(line for line in lines("prod") if line.price == "Firehose GB")

    assert archived.amount == pytest.approx(1_000 * 730 * 3600 * 5_000 / 1e9)


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
