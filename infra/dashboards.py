"""What the dashboards show: one of the pipeline, and one for each team of the tables that it may read.

CloudWatch shows how current and how clean a team's KPIs are, never their values: those are read through Lake Formation
only, and a dashboard knows no row filters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.alarms import FIREHOSE, KINESIS, Metric, streaming_layers
from infra.estate import Estate
from lakehouse.policies import Access

WIDTH, HEIGHT, HALF = 24, 6, 12


@dataclass(frozen=True)
class Pipeline:
    """What the dashboard of the pipeline is about: names by source, and the alarms as they are in AWS."""

    streams: Mapping[str, pulumi.Input[str]]
    delivery_streams: Mapping[str, pulumi.Input[str]]
    alarm_arns: Sequence[pulumi.Input[str]]


def pipeline_body(estate: Estate, namespace: str, pipeline: Pipeline) -> pulumi.Output[str]:
    """Where records are and what is wrong, from the streams to gold."""
    region = estate.config.region
    age = [Metric(KINESIS, "GetRecords.IteratorAgeMilliseconds", {"StreamName": name}, "Maximum")
           for name in pipeline.streams.values()]  # fmt: skip
    incoming = [Metric(KINESIS, "IncomingRecords", {"StreamName": name}, "Sum") for name in pipeline.streams.values()]
    behind = [Metric(namespace, "FreshnessSeconds", {"Layer": layer}, "Maximum") for layer in streaming_layers()]
    rejects = [Metric(namespace, "RejectRatio", {"Source": source}, "Average") for source in estate.contracts.sources]
    retries = [Metric(namespace, "KinesisRetries", {"Stream": name}, "Sum") for name in pipeline.streams.values()]
    archive = [Metric(FIREHOSE, "DeliveryToS3.DataFreshness", {"DeliveryStreamName": name}, "Maximum")
               for name in pipeline.delivery_streams.values()]  # fmt: skip
    charts = [
        ("Records that arrive", incoming),
        ("Wait in the streams (ms)", age),
        ("Layers behind (s)", behind),
        ("Share of records rejected", rejects),
        ("Repeated calls to Kinesis", retries),
        ("Archive behind (s)", archive),
    ]
    alarms = {
        "type": "alarm", "x": 0, "y": 0, "width": WIDTH, "height": HEIGHT,
        "properties": {"title": "Alarms", "alarms": list(pipeline.alarm_arns)},
    }  # fmt: skip
    shown = [(title, metrics) for title, metrics in charts if metrics]
    return pulumi.Output.json_dumps({"widgets": [alarms, *_grid(shown, region)]})


def team_body(estate: Estate, namespace: str, team: str) -> pulumi.Output[str]:
    """How current and how clean what the team reads is."""
    granted = [access for access in estate.access if access.role == team]
    tables = [access.table for access in granted if access.table.partition(".")[0] in streaming_layers()[1:]]
    current = [
        Metric(namespace, "FreshnessSeconds", dict(zip(("Layer", "Table"), table.split("."), strict=True)), "Maximum")
        for table in tables
    ]
    sources = [source for table in tables if (source := estate.contracts.table(table).extends) is not None]
    rejects = [Metric(namespace, "RejectRatio", {"Source": source}, "Average") for source in sources]
    text = {
        "type": "text", "x": 0, "y": 0, "width": WIDTH, "height": HEIGHT,
        "properties": {"markdown": _about(estate, team, granted)},
    }  # fmt: skip
    charts = [("Tables behind (s)", current), ("Share of records rejected", rejects)]
    shown = [(title, metrics) for title, metrics in charts if metrics]
    return pulumi.Output.json_dumps({"widgets": [text, *_grid(shown, estate.config.region)]})


def _about(estate: Estate, team: str, granted: Sequence[Access]) -> str:
    """What the team may read, with the condition on its rows as the contract has it."""
    title = team.replace("_", " ").capitalize()
    lines = [f"# {title}", "", "| table | rows | agreed to be current within |", "|---|---|---|"]
    for access in granted:
        agreed = estate.contracts.table(access.table).freshness
        lines.append(f"| {access.table} | {access.row_filter or 'all'} | {agreed or 'not agreed'} |")
    return "\n".join(lines)


def _grid(charts: Sequence[tuple[str, Sequence[Metric]]], region: str) -> list[dict[str, Any]]:
    """Line charts in two columns, below the first widget."""
    return [
        {
            "type": "metric",
            "x": HALF * (place % 2),
            "y": HEIGHT * (1 + place // 2),
            "width": HALF,
            "height": HEIGHT,
            "properties": {
                "title": title,
                "region": region,
                "view": "timeSeries",
                "period": 300,
                "metrics": [_line(metric) for metric in metrics],
            },
        }
        for place, (title, metrics) in enumerate(charts)
    ]


def _line(metric: Metric) -> list[Any]:
    """A metric as dashboards spell it: namespace, name, then dimension names and values in turn."""
    dimensions = [part for each in metric.dimensions.items() for part in each]
    return [metric.namespace, metric.name, *dimensions, {"stat": metric.statistic}]


def url(region: str, name: str) -> str:
    """Where a person opens a dashboard."""
    return f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#dashboards/dashboard/{name}"
