"""Who is told what: the topic that alarms go to, alarms, rules for events, and dashboards."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import pulumi
import pulumi_aws as aws

from infra.alarms import (
    Alarm,
    Metric,
    Told,
    application_event,
    archive_alarm,
    audit_event,
    batch_event,
    freshness_alarm,
    job_events,
    quota_alarm,
    reconcile_alarm,
    reject_alarm,
    stream_alarms,
    streaming_layers,
)
from infra.audit import Audit
from infra.batch import Batch
from infra.compute import Compute
from infra.dashboards import Pipeline, pipeline_body, team_body, url
from infra.documents import Statement, document, statement
from infra.estate import Estate
from infra.keys import Keys
from infra.metrics import namespace
from infra.storage import Storage
from infra.streams import Streams
from lakehouse.policies import role_names

PIPELINE = "pipeline"


@dataclass(frozen=True)
class MonitoringArgs:
    """What is watched."""

    estate: Estate
    keys: Keys
    storage: Storage
    streams: Streams
    compute: Compute
    batch: Batch
    audit: Audit


class Monitoring(pulumi.ComponentResource):
    """An encrypted topic with the configured addresses on it, every alarm of `infra/alarms.py`, rules for the ends of
    jobs and for changes to the audit, and dashboards.

    An address gets a mail with a link to confirm first. Costs 0.10 USD an alarm and month, 3 USD a dashboard beyond the
    third of the account, 0.30 USD for each of the jobs' own metrics.
    """

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("lakehouse:estate:Monitoring", name, None, opts)
        self._name, self._args, self._estate = name, args, args.estate
        self._child = pulumi.ResourceOptions(parent=self)
        self._namespace = namespace(args.estate)
        self.topic_arn = self._topic()
        alarms = [self._alarm(alarm) for alarm in self._alarms()]
        for event in self._events():
            self._rule(event)
        self.dashboard_urls: dict[str, pulumi.Output[str]] = {}
        if self._estate.config.switches.dashboards:
            self._dashboards([alarm.arn for alarm in alarms])
        self.register_outputs({"topic_arn": self.topic_arn, "dashboard_urls": self.dashboard_urls})

    def _topic(self) -> pulumi.Output[str]:
        estate = self._estate
        topic = aws.sns.Topic(
            f"{self._name}-alarms",
            name=estate.name("alarms"),
            display_name=f"{estate.config.name} {estate.config.environment}",
            kms_master_key_id=self._args.keys.arn("notifications"),
            opts=self._child,
        )
        aws.sns.TopicPolicy(
            f"{self._name}-alarms", arn=topic.arn, policy=document(*_publishers(estate, topic.arn)), opts=self._child
        )
        for number, address in enumerate(estate.config.alarm_emails):
            aws.sns.TopicSubscription(
                f"{self._name}-alarms-{number}", topic=topic.arn, protocol="email", endpoint=address, opts=self._child
            )
        return topic.arn

    def _alarms(self) -> list[Alarm]:
        streams, switches = self._args.streams, self._estate.config.switches
        found = [
            alarm
            for source, stream in streams.names.items()
            for alarm in stream_alarms(self._estate, source, stream, self._namespace)
        ]
        found += [archive_alarm(source, delivery) for source, delivery in streams.delivery_streams.items()]
        found += [reject_alarm(source, self._namespace) for source in self._estate.contracts.sources]
        found.append(reconcile_alarm(self._namespace))
        if switches.streaming_jobs:
            # Without jobs nothing reports freshness, and these would fire for ever.
            found += [freshness_alarm(self._estate, layer, self._namespace) for layer in streaming_layers()]
        return [*found, quota_alarm()]

    def _events(self) -> list[Told]:
        switches = self._estate.config.switches
        found = [batch_event([job.name for job in self._args.batch.jobs.values()])]
        found.append(application_event(self._args.compute.application_id))
        for name, job in self._args.compute.jobs.items():
            found += job_events(name, job.run_id)
        if switches.trail:
            found.append(audit_event())
        return found

    def _alarm(self, alarm: Alarm) -> aws.cloudwatch.MetricAlarm:
        single = None if alarm.expression is not None else next(iter(alarm.metrics.values()))
        return aws.cloudwatch.MetricAlarm(
            f"{self._name}-{alarm.name}",
            name=self._estate.name(alarm.name),
            alarm_description=alarm.text(self._estate.config.runbooks_url),
            comparison_operator="GreaterThanThreshold",
            threshold=alarm.above,
            evaluation_periods=alarm.periods,
            datapoints_to_alarm=alarm.periods,
            treat_missing_data=alarm.missing,
            alarm_actions=[self.topic_arn],
            ok_actions=[self.topic_arn],
            namespace=single.namespace if single else None,
            metric_name=single.name if single else None,
            dimensions=dict(single.dimensions) if single else None,
            statistic=single.statistic if single else None,
            period=alarm.period_seconds if single else None,
            metric_queries=None if single else _queries(alarm),
            opts=self._child,
        )

    def _rule(self, event: Told) -> None:
        text = event.text(self._estate.config.runbooks_url)
        rule = aws.cloudwatch.EventRule(
            f"{self._name}-{event.name}",
            name=self._estate.name(event.name),
            description=text,
            event_pattern=pulumi.Output.json_dumps(event.pattern, sort_keys=True),
            opts=self._child,
        )
        shown = " ".join(f"{name}: <{name}>" for name in event.shown)
        aws.cloudwatch.EventTarget(
            f"{self._name}-{event.name}",
            rule=rule.name,
            arn=self.topic_arn,
            target_id="alarms",
            input_transformer=aws.cloudwatch.EventTargetInputTransformerArgs(
                input_paths=dict(event.shown), input_template=f'"{self._estate.name()}: {text} ({shown})"'
            ),
            opts=self._child,
        )

    def _dashboards(self, alarm_arns: list[pulumi.Output[str]]) -> None:
        estate, streams = self._estate, self._args.streams
        region = estate.config.region
        bodies: Mapping[str, pulumi.Output[str]] = {
            PIPELINE: pipeline_body(
                estate, self._namespace, Pipeline(streams.names, streams.delivery_streams, alarm_arns)
            ),
            **{team: team_body(estate, self._namespace, team) for team in role_names(estate.contracts)},
        }
        for subject, body in bodies.items():
            dashboard = aws.cloudwatch.Dashboard(
                f"{self._name}-{subject}",
                dashboard_name=estate.global_name(subject.replace("_", "-")),
                dashboard_body=body,
                opts=self._child,
            )
            self.dashboard_urls[subject] = dashboard.dashboard_name.apply(partial(url, region))


def _queries(alarm: Alarm) -> list[aws.cloudwatch.MetricAlarmMetricQueryArgs]:
    """The metrics by their ids, and the expression over them that the alarm looks at."""
    queries = [
        aws.cloudwatch.MetricAlarmMetricQueryArgs(id=name, metric=_statistic(metric, alarm.period_seconds))
        for name, metric in alarm.metrics.items()
    ]
    looked_at = aws.cloudwatch.MetricAlarmMetricQueryArgs(
        id="looked_at", expression=alarm.expression, label=alarm.name, return_data=True
    )
    return [looked_at, *queries]


def _statistic(metric: Metric, period: int) -> aws.cloudwatch.MetricAlarmMetricQueryMetricArgs:
    return aws.cloudwatch.MetricAlarmMetricQueryMetricArgs(
        namespace=metric.namespace,
        metric_name=metric.name,
        dimensions=dict(metric.dimensions),
        stat=metric.statistic,
        period=period,
    )


def _publishers(estate: Estate, topic_arn: pulumi.Output[str]) -> list[Statement]:
    """Alarms, rules and budgets of this account may publish; nobody may without TLS."""
    ours = {"StringEquals": {"aws:SourceAccount": estate.account_id}}
    rules = {"ArnLike": {"aws:SourceArn": estate.arn("events", f"rule/{estate.name()}-*")}}
    publish = ["sns:Publish"]
    return [
        statement("Alarms", publish, [topic_arn],
                  principals={"Service": "cloudwatch.amazonaws.com"}, conditions=ours),
        statement("Rules", publish, [topic_arn],
                  principals={"Service": "events.amazonaws.com"}, conditions=rules),
        statement("Budgets", publish, [topic_arn],
                  principals={"Service": "budgets.amazonaws.com"}, conditions=ours),
        statement("RefusePlainHttp", publish, [topic_arn], effect="Deny", principals={"AWS": "*"},
                  conditions={"Bool": {"aws:SecureTransport": "false"}}),
    ]  # fmt: skip
