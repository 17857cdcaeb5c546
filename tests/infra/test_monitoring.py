"""Alarms, rules and dashboards: each exactly as declared, each with its page, and nothing that cannot fire."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.metrics import VARIABLE
from lakehouse.contracts import load_contracts
from lakehouse.policies import role_names
from lakehouse.settings import CONTRACTS
from runtime import metrics
from tests.infra.declared import Declared, Program
from tests.infra.operations import APPLICATION, RUN, one, operations
from tests.infra.recorded_program import ACCOUNT, REGION

ALARM, RULE = "aws:cloudwatch/metricAlarm:MetricAlarm", "aws:cloudwatch/eventRule:EventRule"
BUDGET = "aws:budgets/budget:Budget"
TARGET, DASHBOARD = "aws:cloudwatch/eventTarget:EventTarget", "aws:cloudwatch/dashboard:Dashboard"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:shopware-lakehouse-dev-alarms"
REPOSITORY = CONTRACTS.parent
RUNBOOKS = REPOSITORY / "docs" / "runbooks"
LINK = re.compile(r"https://git\.example\.com/shopware-lakehouse/blob/main/(docs/runbooks/[a-z-]+\.md)(?=$|[ \"])")
STREAMS = ("web-logs", "crm")
SOURCES = ("campaigns", "crm", "inventory", "pos", "products", "stores", "warehouses", "web-logs")


@pytest.fixture(scope="module")
def program() -> Program:
    return operations(alarm_emails=("on-call@example.com",))


def alarm(program: Program, name: str) -> Declared:
    return one(program, ALARM, f"monitoring-{name}")


def texts(program: Program) -> Iterator[tuple[str, str]]:
    """All that people are told, by what tells it."""
    yield from ((each.name, each.inputs["alarmDescription"]) for each in program.of(ALARM))
    yield from ((each.name, each.inputs["description"]) for each in program.of(RULE))
    yield from ((each.name, each.inputs["inputTransformer"]["inputTemplate"]) for each in program.of(TARGET))
    # A mail of AWS Budgets has a text of its own: what leads to the page is the budget's tag.
    yield from ((each.name, each.inputs["tags"]["runbook"]) for each in program.of(BUDGET))


def test_every_alarm_that_the_estate_needs_is_there(program: Program) -> None:
    kinds = ("iterator-age", "retention", "producers-refused", "kinesis-retries", "gap", "archive")
    expected = {f"monitoring-{kind}-{stream}" for kind in kinds for stream in STREAMS}
    expected |= {f"monitoring-rejects-{source}" for source in SOURCES}
    expected |= {f"monitoring-freshness-{layer}" for layer in ("bronze", "silver", "gold")}
    expected |= {"monitoring-emr-quota", "monitoring-reconcile"}

    assert {each.name for each in program.of(ALARM)} == expected


def test_every_alarm_tells_the_topic_when_it_fires_and_when_it_is_over(program: Program) -> None:
    for each in program.of(ALARM):
        assert each.at("alarmActions") == [TOPIC], each
        assert each.at("okActions") == [TOPIC], each


def test_the_iterator_age_alarm_to_the_letter(program: Program) -> None:
    assert alarm(program, "iterator-age-web-logs").inputs == {
        "name": "shopware-lakehouse-dev-iterator-age-web-logs",
        "alarmDescription": "Records of web_logs wait in their stream for more than 5 minutes before they are read. "
        "What to do: https://git.example.com/shopware-lakehouse/blob/main/docs/runbooks/iterator-age.md",
        "namespace": "AWS/Kinesis",
        "metricName": "GetRecords.IteratorAgeMilliseconds",
        "dimensions": {"StreamName": "shopware-lakehouse-dev-web-logs"},
        "statistic": "Maximum",
        "period": 300,
        "threshold": 300_000,
        "comparisonOperator": "GreaterThanThreshold",
        "evaluationPeriods": 3,
        "datapointsToAlarm": 3,
        "treatMissingData": "notBreaching",
        "alarmActions": [TOPIC],
        "okActions": [TOPIC],
    }


def test_half_of_the_configured_retention_is_when_unread_records_are_urgent() -> None:
    program = operations(streams={"retention_hours": 48})

    assert alarm(program, "retention-crm").at("threshold") == 24 * 3_600_000


@pytest.mark.parametrize(("layer", "seconds"), [("bronze", 300), ("silver", 300), ("gold", 600)])
def test_a_layer_may_be_as_old_as_its_contracts_agree_on_and_silence_is_too_old(
    program: Program, layer: str, seconds: int
) -> None:
    found = alarm(program, f"freshness-{layer}")

    assert found.at("threshold") == seconds
    assert found.at("dimensions") == {"Layer": layer}
    assert found.at("treatMissingData") == "breaching"


def test_a_share_of_rejects_counts_only_among_enough_records(program: Program) -> None:
    found = alarm(program, "rejects-pos")
    share = {"metricName": "RejectRatio", "namespace": "Lakehouse/dev", "dimensions": {"Source": "pos"}, "period": 900}

    assert found.at("threshold") == 0.05
    assert found.at("metricName") is None
    assert found.at("metricQueries") == [
        {"id": "looked_at", "expression": "IF(records >= 20, share, 0)", "label": "rejects-pos", "returnData": True},
        {"id": "share", "metric": {**share, "stat": "Average"}},
        {"id": "records", "metric": {**share, "stat": "SampleCount"}},
    ]


def test_the_quota_alarm_asks_the_quota_itself(program: Program) -> None:
    queries = alarm(program, "emr-quota").at("metricQueries")

    assert queries[0]["expression"] == "used / SERVICE_QUOTA(used) * 100"
    assert queries[1]["metric"]["dimensions"] == {
        "Service": "EMR Serverless", "Resource": "vCPU", "Type": "Resource", "Class": "None",
    }  # fmt: skip


def test_alarms_ask_only_for_metrics_that_the_jobs_send(program: Program) -> None:
    asked = {each.at("metricName") for each in program.of(ALARM) if each.at("namespace") == "Lakehouse/dev"}
    asked |= {
        query["metric"]["metricName"]
        for each in program.of(ALARM)
        for query in each.at("metricQueries") or ()
        if query.get("metric", {}).get("namespace") == "Lakehouse/dev"
    }

    assert asked == set(metrics.UNITS)
    assert VARIABLE == metrics.NAMESPACE, "else jobs are told of a namespace in a variable that they do not read"


@pytest.mark.parametrize(
    ("rule", "detail"),
    [
        ("streaming-job-all", {"jobRunId": [RUN], "state": ["FAILED", "CANCELLED", "SUCCESS"]}),
        ("streaming-retry-all", {"jobRunId": [RUN]}),
        ("application", {"applicationId": [APPLICATION], "state": ["STOPPED", "TERMINATED"]}),
        (
            "batch-job",
            {
                "jobName": ["shopware-lakehouse-dev-pos", "shopware-lakehouse-dev-maintenance"],
                "state": ["FAILED", "TIMEOUT", "STOPPED", "ERROR"],
            },
        ),
    ],
)
def test_the_end_of_a_job_is_told(program: Program, rule: str, detail: dict[str, Any]) -> None:
    pattern = json.loads(one(program, RULE, f"monitoring-{rule}").inputs["eventPattern"])

    assert pattern["detail"] == detail
    assert one(program, TARGET, f"monitoring-{rule}").at("arn") == TOPIC


# Parts of events by their kind, from AWS' samples ("Monitoring EMR Serverless with Amazon EventBridge", "Glue events").
EVENTS = {
    "EMR Serverless Job Run State Change": {
        "jobRunId", "applicationId", "arn", "releaseLabel", "state", "previousState", "createdBy", "updatedAt",
        "createdAt",
    },
    "EMR Serverless Job Run Retry": {
        "jobRunId", "applicationId", "arn", "releaseLabel", "createdBy", "updatedAt", "createdAt", "previousAttempt",
        "previousAttemptState", "previousAttemptCreatedAt", "previousAttemptEndedAt", "newAttempt",
        "newAttemptCreatedAt",
    },
    "EMR Serverless Application State Change": {
        "applicationId", "applicationName", "arn", "releaseLabel", "state", "previousState", "type", "createdAt",
        "updatedAt", "autoStopConfig", "autoStartConfig",
    },
    "Glue Job State Change": {"jobName", "severity", "state", "jobRunId", "message"},
    "AWS API Call via CloudTrail": {"eventName", "userIdentity", "eventTime"},
}  # fmt: skip


def test_rules_look_for_and_mails_show_what_is_in_an_event_of_aws(program: Program) -> None:
    targets = {each.name: each for each in program.of(TARGET)}
    for rule in program.of(RULE):
        pattern = json.loads(rule.at("eventPattern"))
        [kind] = pattern["detail-type"]
        shown = targets[rule.name].at("inputTransformer", "inputPaths").values()
        assert set(pattern["detail"]) | {path.split(".")[2] for path in shown} <= EVENTS[kind], rule


def test_a_mail_names_the_job(program: Program) -> None:
    for name in ("streaming-job-all", "streaming-retry-all"):
        told = one(program, TARGET, f"monitoring-{name}").at("inputTransformer", "inputTemplate")
        assert "The streaming job all has" in told


def test_what_a_rule_sends_is_one_json_string_whose_parts_the_event_has(program: Program) -> None:
    for target in program.of(TARGET):
        transformer = target.inputs["inputTransformer"]
        assert isinstance(json.loads(transformer["inputTemplate"]), str), target
        assert set(re.findall(r"<(\w+)>", transformer["inputTemplate"])) == set(transformer["inputPaths"]), target


def test_every_text_says_where_its_page_is_and_fits_into_its_field(program: Program) -> None:
    for name, text in texts(program):
        assert len(LINK.findall(text)) == 1, name
        assert (REPOSITORY / LINK.findall(text)[0]).is_file(), f"{name} links to a page that is not there"
        assert len(text) <= 512, name


def test_the_links_lead_to_the_copy_of_the_repository_that_is_configured() -> None:
    ours = "https://git.shop.example/data/lakehouse/-/blob/main/docs/runbooks"
    for name, text in texts(operations(runbooks_url=ours)):
        assert len(re.findall(rf"{re.escape(ours)}/[a-z-]+\.md(?=$|[ \"])", text)) == 1, name
        assert "git.example.com" not in text, name


def test_every_runbook_page_is_linked(program: Program) -> None:
    linked = {Path(link).name for _, text in texts(program) for link in LINK.findall(text)}
    pages = {page.name for page in RUNBOOKS.glob("*.md")} - {"README.md"}

    assert linked == pages
    listed = set(re.findall(r"\]\(([a-z-]+\.md)\)", (RUNBOOKS / "README.md").read_text(encoding="utf-8")))
    assert listed == pages


def test_links_between_runbooks_lead_somewhere() -> None:
    for page in RUNBOOKS.glob("*.md"):
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (RUNBOOKS / link).resolve().is_file(), f"{page.name}: {link}"


def test_the_topic_is_encrypted_and_takes_messages_of_this_account_only(program: Program) -> None:
    topic = one(program, "aws:sns/topic:Topic")
    policy = json.loads(one(program, "aws:sns/topicPolicy:TopicPolicy").inputs["policy"])
    ours = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    rules = {"ArnLike": {"aws:SourceArn": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/shopware-lakehouse-dev-*"}}
    publish = {"Action": ["sns:Publish"], "Resource": [TOPIC]}

    assert topic.at("kmsMasterKeyId") == f"arn:aws:kms:{REGION}:{ACCOUNT}:key/keys-notifications"
    assert policy["Statement"] == [
        {"Sid": "Alarms", "Effect": "Allow", "Principal": {"Service": "cloudwatch.amazonaws.com"},
         "Condition": ours, **publish},
        {"Sid": "Rules", "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
         "Condition": rules, **publish},
        {"Sid": "Budgets", "Effect": "Allow", "Principal": {"Service": "budgets.amazonaws.com"},
         "Condition": ours, **publish},
        {"Sid": "RefusePlainHttp", "Effect": "Deny", "Principal": {"AWS": "*"},
         "Condition": {"Bool": {"aws:SecureTransport": "false"}}, **publish},
    ]  # fmt: skip
    assert one(program, "aws:sns/topicSubscription:TopicSubscription").at("endpoint") == "on-call@example.com"


def test_the_names_of_all_rules_are_those_that_the_topic_lets_in(program: Program) -> None:
    assert all(each.at("name").startswith("shopware-lakehouse-dev-") for each in program.of(RULE))


def test_each_team_has_a_dashboard_of_what_it_may_read_and_the_pipeline_has_one(program: Program) -> None:
    bodies = {each.name: json.loads(each.inputs["dashboardBody"]) for each in program.of(DASHBOARD)}
    teams = role_names(load_contracts(CONTRACTS))

    assert set(bodies) == {f"monitoring-{subject}" for subject in ("pipeline", *teams)}
    sales = json.dumps(bodies["monitoring-sales"])
    assert "sales_kpis" in sales
    assert "marketing_funnel" not in sales, "no team sees what another one has"
    shown = bodies["monitoring-pipeline"]["widgets"][0]["properties"]["alarms"]
    assert len(shown) == len(list(program.of(ALARM)))


def test_no_widget_lies_over_another(program: Program) -> None:
    for each in program.of(DASHBOARD):
        cells = [
            (x, y)
            for widget in json.loads(each.inputs["dashboardBody"])["widgets"]
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        ]
        assert len(cells) == len(set(cells)), each


def test_without_jobs_nothing_waits_for_their_metrics() -> None:
    program = operations(switches={"streaming_jobs": False, "archive": False, "trail": False, "dashboards": False})
    names = {each.name for each in program.of(ALARM)}

    assert not {name for name in names if "freshness" in name or "archive" in name}
    assert {each.name for each in program.of(RULE)} == {"monitoring-application", "monitoring-batch-job"}
    assert list(program.of(DASHBOARD)) == []
